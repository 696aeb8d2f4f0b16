"""``singan-tk info``: what a bundle holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.cli.targets import Target, check_writable, is_folder

if TYPE_CHECKING:
    from singan_toolkit.bundle import Bundle


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--image",
    type=Target("the picture"),
    help="Write the training picture and its reconstruction, side by side.",
)
@output_options
def info(console: Console, bundle: Path, image: str | None) -> None:
    """Show what a BUNDLE holds and how it was trained."""
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.training.presets import OFFICIAL

    if image:
        if is_folder(image):
            raise click.UsageError(f"cannot write {image}: it is a folder; give a file")
        check_writable(Path(image), [bundle])
    loaded = Bundle.load(bundle)
    manifest = loaded.manifest
    if console.mode == "json":
        console.result("", **manifest.model_dump())
    else:
        training = manifest.training
        megabytes = bundle.stat().st_size / 1e6
        console.result(f"{bundle}: bundle format {manifest.version}, {megabytes:.1f} MB, digest {manifest.digest[:12]}")
        versions = f"toolkit {training.toolkit}, torch {training.torch}"
        how = f"with preset {training.preset}" + (f" for {training.task}" if training.task else "")
        how += f", seed {training.seed}, with"
        how = "by the official SinGAN code, and imported with" if training.preset == OFFICIAL else how
        console.result(f"trained on {training.picture} {how} {versions}")
        console.rows(
            "Scales, coarsest first",
            ("scale", "width", "height", "channels", "noise amplitude"),
            [
                (
                    str(n),
                    str(s.width),
                    str(s.height),
                    "patches" if s.channels is None else str(s.channels),
                    f"{s.noise_amplitude:.4f}",
                )
                for n, s in enumerate(manifest.scales)
            ],
        )
        if console.mode == "rich":
            console.rows("Settings", ("setting", "value"), [(k, str(v)) for k, v in training.settings.items()])
    if image:
        _write_image(loaded, Path(image))
        console.note(f"wrote {image}: the training picture and the reconstruction from z*")


def _write_image(bundle: Bundle, target: Path) -> None:
    import numpy as np

    from singan_toolkit.imaging.pictures import Picture, write_picture
    from singan_toolkit.imaging.tensors import to_bytes
    from singan_toolkit.pyramid.walk import reconstruct

    rebuilt = to_bytes(reconstruct(bundle.pyramid("cpu"))[0])
    write_picture(Picture(np.concatenate([bundle.picture, rebuilt], axis=1), target.name), target)
