"""``singan-tk run TASK``: a command for every installed task, made from what the task declares."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import rich_click as click

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.task import Task
from singan_toolkit.training.events import Event, Observer


class Tasks(click.RichGroup):
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
            self.fail(f"{value!r} is neither a scale's number, auto nor all", param, ctx)


def _command(task: Task) -> click.Command:
    @output_options
    def callback(console: Console, bundle: Path, output: Path | None, sheet: bool, **options: Any) -> None:
        _run(console, task, bundle, output, sheet, options)

    params: list[click.Parameter] = [
        click.Option(["--bundle", "-b"], type=click.Path(path_type=Path), required=True, help="Bundle to use."),
        *task.options,
    ]
    if task.injection:
        default = task.injection.default
        params.append(
            click.Option(
                ["--scale"],
                type=ScaleType(),
                help=f"Injection scale: {task.injection.lowest} is the coarsest and keeps least of what is given; auto "
                "chooses, all shows each on one sheet.  "
                + (f"[default: {default}]" if isinstance(default, int) else f"[default: {default:.0%} of the way up]"),
            )
        )
    params += [
        click.Option(["--seed"], type=int, default=0, show_default=True, help="The same seed gives the same pictures."),
        click.Option(["--device"], default="auto", show_default=True, help="auto, cpu, cuda or mps."),
        click.Option(["-o", "--output"], type=click.Path(path_type=Path), help="File, or folder, to write to."),
        click.Option(["--sheet"], is_flag=True, help="Write one contact sheet instead of single pictures."),
    ]
    command = click.RichCommand(name=task.name, callback=callback, help=type(task).__doc__, short_help=task.summary)
    command.params = [*params, *getattr(callback, "__click_params__", [])[::-1]]
    return command


def _run(
    console: Console, task: Task, bundle_path: Path, output: Path | None, sheet: bool, options: dict[str, Any]
) -> None:
    from singan_toolkit.cli.output import ENDINGS

    endings = ENDINGS[task.makes]
    if output and output.suffix and not output.is_dir() and output.suffix.lower() not in endings:
        raise click.UsageError(f"cannot write {output}: use one of {', '.join(endings)}, or a folder")

    if sheet and task.makes == "clips":
        raise click.UsageError("a contact sheet shows pictures, and this task makes clips: leave out --sheet")

    from singan_toolkit.bundle import Bundle
    from singan_toolkit.cli.output import write_results
    from singan_toolkit.cli.progress import training_progress
    from singan_toolkit.tasks.runner import run as run_task

    bundle = Bundle.load(bundle_path)
    with ExitStack() as stack:
        progress: list[Observer] = []

        def observe(event: Event) -> None:
            if not progress:  # few tasks train anything, and the others show no empty bar
                progress.append(stack.enter_context(training_progress(console)))
            progress[0](event)

        finished = run_task(bundle, task.name, observer=observe, **options)
    for note in finished.notes:
        console.note(note)
    as_sheet = sheet or options.get("scale") == "all"
    for path in write_results(finished.results, output, f"{bundle.name}-{task.name}", as_sheet):
        console.result(str(path), task=task.name, picture=str(path))
