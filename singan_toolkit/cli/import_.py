"""``singan-tk import``: from what the official SinGAN code trained to a bundle."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.cli.targets import Target, check_writable, is_folder


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=Target("a bundle"),
    help="Bundle to write, or folder, as 'out/'.  [default: IMAGE.sgb in the current folder]",
)
@click.option("--force", is_flag=True, help="Replace a bundle that exists.")
@output_options
def import_(console: Console, folder: Path, output: str | None, force: bool) -> None:
    """Make a bundle of a FOLDER in which the official SinGAN code keeps what it trained.

    That is TrainedModels/IMAGE/scale_factor=..., with reals.pth, Zs.pth, NoiseAmp.pth and a netG.pth for each scale.
    They are read as tensors only: nothing in them is run.
    """
    from singan_toolkit.batch.inputs import BUNDLE_ENDING

    named = Path(output) if output and not is_folder(output) else None
    target = named or Path(output or ".") / f"{folder.resolve().parent.name}{BUNDLE_ENDING}"
    check_writable(target)
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; give another -o, or --force to replace it")

    from singan_toolkit.importing import import_official

    bundle = import_official(folder)
    bundle.save(target)
    sizes = bundle.geometry.sizes
    console.note(
        f"imported {len(sizes)} scales up to {sizes[-1]}; batch norm is folded in with its running statistics, with "
        "which the official code draws samples too"
    )
    console.note(f"try: singan-tk run generate --bundle {target}")
    console.result(target, bundle=str(target), scales=len(sizes))
