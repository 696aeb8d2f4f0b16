"""``singan-tk train``: from a picture to a bundle."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.training.presets import DEFAULT_PRESET, PRESETS


def _list_settings(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from singan_toolkit.training.settings import Settings, settings_of

    values = {name: settings_of(name) for name in PRESETS}
    Console().rows(
        "Settings",
        ("setting", *PRESETS, "meaning"),
        [
            (name, *(str(getattr(values[preset], name)) for preset in PRESETS), field.description or "")
            for name, field in Settings.model_fields.items()
        ],
    )
    context.exit()


def _check_writable(target: Path) -> None:
    """Find out before the training, not after it, that a bundle cannot be written there."""
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise click.UsageError(f"cannot write {target}: {folder} is not a folder that can be written to")


@click.command()
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Bundle to write  [default: PICTURE.sgb]"
)
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), default=DEFAULT_PRESET, show_default=True, help="How thoroughly."
)
@click.option("--for", "task", metavar="TASK", help="Train with the profile of that task.")
@click.option("--max-size", type=int, help="Longer side of the finest scale, px; as --set max_size=N.")
@click.option("--set", "changes", metavar="NAME=VALUE", multiple=True, help="Change a setting; see --settings.")
@click.option(
    "--settings",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_settings,
    help="List all settings and exit.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed trains the same pyramid.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--force", is_flag=True, help="Replace a bundle that exists.")
@output_options
def train(
    console: Console,
    picture: Path,
    output: Path | None,
    preset: str,
    task: str | None,
    max_size: int | None,
    changes: tuple[str, ...],
    seed: int,
    device: str,
    force: bool,
) -> None:
    """Train a pyramid on one PICTURE and keep it as a bundle."""
    target = output or picture.with_suffix(".sgb")
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; give another -o, or --force to replace it")
    settings: dict[str, str | int] = {} if max_size is None else {"max_size": max_size}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {change}: give NAME=VALUE; --settings lists the names")
        settings[name] = value
    _check_writable(target)

    from singan_toolkit.cli.progress import training_progress
    from singan_toolkit.tasks.train import train as train_bundle
    from singan_toolkit.training.settings import Settings

    if unknown := settings.keys() - Settings.model_fields.keys():
        raise click.UsageError(f"there is no setting {min(unknown)}; --settings lists the names")

    with training_progress(console) as observer:
        bundle = train_bundle(
            picture, preset=preset, task=task, seed=seed, device=device, observer=observer, **settings
        )
    bundle.save(target)
    seconds = bundle.manifest.training.seconds
    console.note(f"trained in {seconds:.0f} s; try: singan-tk run generate --bundle {target}")
    console.result(str(target), bundle=str(target), seconds=round(seconds, 1), scales=len(bundle.manifest.scales))
