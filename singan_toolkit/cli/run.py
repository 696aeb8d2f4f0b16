"""``singan-tk run TASK``: a command for every installed task, made from what the task declares."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import rich_click as click

from singan_toolkit.cli.console import Console, Group, is_terminal, output_options
from singan_toolkit.cli.many import How, many_options
from singan_toolkit.cli.run_many import OneOrMany, many_of, run_many, with_many
from singan_toolkit.cli.targets import Target, check_writable, is_folder
from singan_toolkit.tasks.aside import aside
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.task import Output, Task
from singan_toolkit.training.events import Event, Observer
from singan_toolkit.words import did_you_mean

if TYPE_CHECKING:
    from singan_toolkit.jobs import RunJob


MANY = "Bundle to use. It, and any other file, may be many: a folder, a 'pattern*' or a @LIST."


class Tasks(Group):
    """One command for each installed task."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(installed_plugins().tasks)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        task = installed_plugins().tasks.get(cmd_name)
        return _command(task) if task else None


@click.group(cls=Tasks, invoke_without_command=True, subcommand_metavar="TASK [OPTIONS]")
@click.pass_context
def run(context: click.Context) -> None:
    """Run an installed task on a bundle."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


class ScaleType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A scale's number, ``auto`` or ``all``."""

    name = "N|auto|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in ("auto", "all") or isinstance(value, int):
            return value  # type: ignore[no-any-return]
        try:
            return int(value)
        except ValueError:
            near = did_you_mean(str(value), ("auto", "all"))
            self.fail(f"{value!r} is neither a scale's number, auto nor all{near}", param, ctx)


def _command(task: Task) -> click.Command:
    @many_options
    @output_options
    def callback(console: Console, bundle: Path, output: str | None, sheet: bool, force: bool, **options: Any) -> None:
        _run(console, task, bundle, output, sheet, How.taken_from(options, force), options)

    file = OneOrMany(click.Path(path_type=Path))
    params: list[click.Parameter] = [
        click.Option(["--bundle", "-b"], type=file, required=True, help=MANY),
        *map(with_many, task.options),
    ]
    if task.injection:
        injection = task.injection
        default = (
            f"{injection.default}" if isinstance(injection.default, int) else f"{injection.default:.0%} of the way up"
        )
        default = f"the first of {injection.pixels} pixels" if injection.pixels else default
        params.append(
            click.Option(
                ["--scale"],
                type=ScaleType(),
                help=f"Injection scale: {task.injection.lowest} is the coarsest and keeps least of what is given; auto "
                "chooses, all shows each on one sheet.  "
                f"[default: {default}]",
            )
        )
    params += [
        click.Option(["--seed"], type=int, default=0, show_default=True, help="The same seed gives the same pictures."),
        click.Option(["--device"], default="auto", show_default=True, help="auto, cpu, cuda or mps."),
        click.Option(
            ["-o", "--output"],
            type=Target("a clip" if task.makes == "clips" else ""),
            help="File to write, which is replaced if it is there; folder, as 'out/'; "
            + ("- for stdout, as PNG; " if task.makes == "pictures" else "")
            + "or, of many, a name with fields, as 'out/{stem}-{seed}"
            + (".png'." if task.makes == "pictures" else ".mp4'."),
        ),
        click.Option(
            ["--force"],
            is_flag=True,
            help="Replace files of the same names in a folder too; without it new ones are numbered on.",
        ),
        click.Option(["--sheet"], is_flag=True, help="Write one contact sheet instead of single pictures."),
    ]
    command = click.RichCommand(name=task.name, callback=callback, help=type(task).__doc__, short_help=task.summary)
    command.params = [*params, *getattr(callback, "__click_params__", [])[::-1]]
    return command


def _run(
    console: Console,
    task: Task,
    bundle_path: Path,
    output: str | None,
    sheet: bool,
    how: How,
    options: dict[str, Any],
) -> None:
    if sheet and task.makes == "clips":
        raise click.UsageError("a contact sheet shows pictures, and this task makes clips: leave out --sheet")
    if output == "-" and console.mode == "json":
        raise click.UsageError(
            "stdout is the picture's with -o -, so --json has no place there: give a file or a folder"
        )
    as_sheet = sheet or options.get("scale") == "all"
    if (many := many_of(task, bundle_path, options)) or how.dry_run:
        run_many(console, task, bundle_path, many, output, as_sheet, how, options)
        return
    if how.threads:
        import torch

        torch.set_num_threads(how.threads)
    with TemporaryDirectory() as temporary:
        given = _with_stdin({"bundle": bundle_path, **options}, Path(temporary))
        bundle_path, options = given.pop("bundle"), given
        if output:
            _check(task, output, as_sheet, bundle_path, options)

        from singan_toolkit.batch.results import write_results
        from singan_toolkit.cli.output import write_to_stdout
        from singan_toolkit.jobs import RunJob

        finished = _finished(console, RunJob.of(bundle_path, task.name, **options))
    for note in finished.notes:
        console.note(note)
    if output == "-":
        write_to_stdout(finished.results, as_sheet)
        return
    stem = f"{bundle_path.stem}-{task.name}"
    with aside():
        target, folder = (Path(output), is_folder(output)) if output else (None, False)
        paths = list(write_results(finished.results, target, stem, as_sheet, folder, how.force))
    for path in paths:
        console.result(path, task=task.name, picture=str(path))


def _finished(console: Console, job: RunJob) -> Output:
    """What a job makes; the training that it may ask for is told as it goes on."""
    from singan_toolkit.cli.progress import training_progress

    with ExitStack() as stack:
        progress: list[Observer] = []

        def observe(event: Event) -> None:
            if not progress:  # few tasks train anything, and the others show no empty bar
                progress.append(stack.enter_context(training_progress(console)))
            progress[0](event)

        with aside():
            return job.run(observe)


def _check(task: Task, output: str, as_sheet: bool, bundle_path: Path, options: dict[str, Any]) -> None:
    from singan_toolkit.batch.results import ENDINGS
    from singan_toolkit.imaging.pictures import check_holds, read_picture

    path, endings = Path(output), ENDINGS[task.makes]
    as_file = output == "-" or (path.suffix.lower() in endings and not is_folder(output))
    if as_file and not as_sheet and (count := options.get("count") or 1) > 1:
        raise click.UsageError(f"{count} pictures do not fit into the file {output}: give a folder, or --sheet")
    if output == "-":
        if is_terminal(sys.stdout):
            raise click.UsageError(
                "a picture cannot be written to a terminal: give a file, or send stdout to a program"
            )
        return
    if not as_file and path.suffix and not is_folder(output):
        raise click.UsageError(
            f"cannot write {output}: use one of {', '.join(endings)}, or {output}/ if it is to be a folder"
        )
    check_writable(path if as_file else path / "x", [bundle_path, *_files(options)])
    if as_file and not as_sheet and path.suffix.lower() not in (".png", ".tif", ".tiff"):
        kept = [options[name] for name in task.keeps if options.get(name)]
        if kept:
            check_holds(read_picture(kept[0]), path.suffix)


def _files(options: dict[str, Any]) -> list[Path]:
    values = [one for value in options.values() for one in (value if isinstance(value, tuple) else (value,))]
    return [value for value in values if isinstance(value, Path)]


def _with_stdin(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The options with stdin's content in a file of that folder where ``-`` was given."""
    dash, file = Path("-"), folder / "stdin"
    if not (dashes := _files(options).count(dash)):
        return options
    if dashes > 1:
        raise click.UsageError("only one file can come from stdin, and - was given several times")
    file.write_bytes(sys.stdin.buffer.read())
    return {
        name: tuple(file if one == dash else one for one in value)
        if isinstance(value, tuple)
        else (file if value == dash else value)
        for name, value in options.items()
    }
