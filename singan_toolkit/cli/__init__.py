"""The command line, ``singan-tk``. The only room that prints. No torch is imported before a command needs it."""

from __future__ import annotations

import io
import os
import sys

import rich_click as click

from singan_toolkit.cli.bench import bench
from singan_toolkit.cli.console import Console, Group, printable
from singan_toolkit.cli.demo import demo
from singan_toolkit.cli.info import info
from singan_toolkit.cli.listing import plugins, tasks
from singan_toolkit.cli.run import run
from singan_toolkit.cli.train import train
from singan_toolkit.tasks.manager import OWN_COMMANDS


class Commands(Group):
    """The toolkit's commands and, behind them, those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from singan_toolkit.tasks.manager import installed_plugins

        return [*super().list_commands(ctx), *installed_plugins().commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from singan_toolkit.tasks.manager import installed_plugins

        return super().get_command(ctx, cmd_name) or installed_plugins().commands.get(cmd_name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="singan-toolkit", prog_name="singan-tk")
def cli() -> None:
    """Train a pyramid of tiny GANs on one picture, keep it as one file, and make new pictures with it."""


for command in (train, run, info, tasks, plugins, demo, bench):
    cli.add_command(command)
    OWN_COMMANDS.add(str(command.name))


def _open_streams() -> None:
    """Have three streams, whichever are closed, that print what they cannot encode with replacements."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  # for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def main() -> None:
    """Entry point of ``singan-tk``: exit status 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    _open_streams()
    console = Console(as_json="--json" in sys.argv)
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone away is met
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]  # final for type checkers
        if console.mode == "json":
            console.error(error.format_message())
        else:
            error.show()
        status = 2
    except (click.Abort, KeyboardInterrupt):
        console.note("interrupted")
        status = 130
    except OSError as error:  # of stdout: the commands tell their own
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        if isinstance(error, BrokenPipeError):
            os.dup2(nowhere, 2)
        else:
            console.error(f"cannot write to stdout: {error.strerror or error}")
        status = 1
    sys.exit(status if isinstance(status, int) else 0)
