"""The command line, ``singan-tk``. The only room that prints. No torch is imported before a command needs it."""

from __future__ import annotations

import os
import sys

import rich_click as click

from singan_toolkit.cli.bench import bench
from singan_toolkit.cli.demo import demo
from singan_toolkit.cli.info import info
from singan_toolkit.cli.listing import plugins, tasks
from singan_toolkit.cli.run import run
from singan_toolkit.cli.train import train


class Commands(click.RichGroup):
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


def main() -> None:
    """Entry point of ``singan-tk``: exit status 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone away is met
    except click.ClickException as error:
        error.show()
        status = 2
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status if isinstance(status, int) else 0)
