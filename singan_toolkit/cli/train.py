"""``singan-tk train``: from a picture to a bundle, or from many to a bundle each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import rich_click as click

from singan_toolkit.cli.console import Console, is_terminal, output_options
from singan_toolkit.cli.many import How, do_all, many_options, places
from singan_toolkit.cli.targets import Target, check_writable, is_folder
from singan_toolkit.pyramid.geometry import MAX_SIZE
from singan_toolkit.tasks.aside import aside
from singan_toolkit.training.presets import DEFAULT_PRESET, PRESETS
from singan_toolkit.words import did_you_mean

if TYPE_CHECKING:
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.training.events import Event

_LARGEST = ", ".join(f"{values.get('max_size', MAX_SIZE)} with preset {name}" for name, values in PRESETS.items())


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


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=Target(),
    help="Bundle to write; folder, as 'out/'; - for stdout; or, of many, names with fields, as "
    "'out/{stem}-{seed}.sgb'  "
    "[default: PICTURE.sgb]",
)
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), default=DEFAULT_PRESET, show_default=True, help="How thoroughly."
)
@click.option("--for", "task", metavar="TASK", help="Train with the profile of that task.")
@click.option("--max-size", type=int, help=f"Longer side of the finest scale, px.  [default: {_LARGEST}]")
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
@click.option("--force", is_flag=True, help="Replace bundles that exist; without it, those of several pictures stay.")
@click.option(
    "--partial",
    is_flag=True,
    help="Train no more, and make a bundle of the scales that are done in a training that was stopped.",
)
@many_options
@output_options
def train(
    console: Console,
    pictures: tuple[Path, ...],
    output: str | None,
    preset: str,
    task: str | None,
    max_size: int | None,
    changes: tuple[str, ...],
    seed: int,
    device: str,
    force: bool,
    partial: bool,
    **many: Any,
) -> None:
    """Train a pyramid on each of the PICTURES and keep it as a bundle.

    PICTURES are files, folders (the pictures directly inside, or with -r all), patterns like 'photos/*.jpg', and lists
    of these: @FILE, or @- for stdin; a single - is a picture from stdin. Of many, what is done is skipped, so that a
    run that was ended goes on: the folder of the bundles keeps a ledger.
    """
    from singan_toolkit.batch.inputs import names_one_file

    if Path("-") in pictures and pictures[1:]:
        raise click.UsageError("beside other pictures none can come from stdin: give it as a file, or a list as @-")
    if output == "-" and console.mode == "json":
        raise click.UsageError("stdout is the bundle's with -o -, so --json has no place there: give a file")
    settings = ({} if max_size is None else {"max_size": max_size}) | changed_settings(changes)
    how = dict(preset=preset, task=task, seed=seed, device=device, **settings)
    if names_one_file(pictures) and not many["dry_run"]:
        _train_one(console, pictures[0], output, force, partial, many["threads"], how)
    elif partial:
        raise click.UsageError("--partial makes a bundle of one picture: name a single one")
    else:
        _train_many(console, pictures, output, how, How.taken_from(many, force))


def changed_settings(changes: Iterable[str]) -> dict[str, str]:
    """Settings by name, from the texts ``NAME=VALUE`` that ``--set`` was given; values are not looked at.

    Raises:
        UsageError: One is no such text, or there is no such setting.
    """
    from singan_toolkit.training.settings import Settings

    settings = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {change}: give NAME=VALUE; train --settings lists the names")
        settings[name] = value
    if unknown := min(settings.keys() - Settings.model_fields.keys(), default=""):
        near = did_you_mean(unknown, Settings.model_fields)
        raise click.UsageError(f"there is no setting {unknown}" + (near or "; train --settings lists the names"))
    return settings


def _train_one(
    console: Console,
    picture: Path,
    output: str | None,
    force: bool,
    partial: bool,
    threads: int | None,
    how: dict[str, Any],
) -> None:
    from singan_toolkit.batch.inputs import BUNDLE_ENDING, checkpoint_path

    if picture == Path("-") and not output:
        raise click.UsageError("a picture from stdin gives its bundle no name: give one with -o")
    if output == "-" and is_terminal(sys.stdout):
        raise click.UsageError("a bundle cannot be written to a terminal: give a file, or send stdout to a program")
    if output == "-" and partial:
        raise click.UsageError("a training that goes to stdout is kept nowhere: give --partial the -o that it had")
    started = time.monotonic()
    with TemporaryDirectory() as temporary:
        if picture == Path("-"):
            picture = Path(temporary) / "stdin"
            picture.write_bytes(sys.stdin.buffer.read())
        if output == "-":
            bundle = _trained(console, picture, None, partial, threads, how)
            bundle.save(Path(temporary) / "stdout")
            sys.stdout.buffer.write((Path(temporary) / "stdout").read_bytes())
            return
        folder = Path(output) if output and is_folder(output) else None
        beside = (folder or picture.parent) / f"{picture.stem}{BUNDLE_ENDING}"
        target = Path(output) if output and not folder else beside
        check_writable(target, [picture])
        if target.exists() and not force:
            raise click.UsageError(f"{target} exists; give another -o, or --force to replace it")
        checkpoint = checkpoint_path(target)
        try:
            bundle = _trained(console, picture, checkpoint, partial, threads, how)
            bundle.save(target)
        except KeyboardInterrupt:
            if os.path.lexists(checkpoint):
                console.note(f"the training is kept in {checkpoint}; the same command goes on with it")
            raise
    if partial:
        console.note(f"the training is kept in {checkpoint}; --force instead of --partial goes on with it")
    else:
        checkpoint.unlink(missing_ok=True)
    seconds = time.monotonic() - started
    console.note(f"trained in {seconds:.0f} s; try: singan-tk run generate --bundle {target}")
    console.result(target, bundle=str(target), seconds=round(seconds, 1), scales=len(bundle.manifest.scales))


def _trained(
    console: Console, picture: Path, checkpoint: Path | None, partial: bool, threads: int | None, how: dict[str, Any]
) -> Bundle:
    """Train, and tell how it goes; a Ctrl-C waits until the training is in its checkpoint."""
    from singan_toolkit.cli.progress import training_progress
    from singan_toolkit.jobs import TrainingJob
    from singan_toolkit.processes import first_interrupt_held

    if threads:
        import torch

        torch.set_num_threads(threads)
    with training_progress(console) as observer, aside(), first_interrupt_held() as stop_if_interrupted:

        def observe(event: Event) -> None:
            observer(event)
            stop_if_interrupted()

        return TrainingJob.of(picture, **how).run(observe, checkpoint=checkpoint, partial=partial)


def _train_many(console: Console, named: Iterable[Path], output: str | None, asked: dict[str, Any], how: How) -> None:
    from singan_toolkit.batch.inputs import BUNDLE_ENDING, find_inputs
    from singan_toolkit.batch.work import Work
    from singan_toolkit.imaging.pictures import readable_endings
    from singan_toolkit.jobs import TrainingJob

    found = find_inputs(named, readable_endings(), recursive=how.recursive, tell=console.note)
    fields = {name: asked[name] for name in ("preset", "seed", "task")}
    rows = [(one,) for one in found]
    each = [{"stem": one.path.stem, **fields} for one in found]
    targets, folder = places(output, "{stem}", BUNDLE_ENDING, [BUNDLE_ENDING], rows, each)
    job = TrainingJob.of("", **asked)
    jobs = [job.model_copy(update={"picture": one.path}) for one in found]
    works = [Work(job, target) for job, target in zip(jobs, targets, strict=True)]
    do_all(console, works, {"picture": found}, folder, how)
