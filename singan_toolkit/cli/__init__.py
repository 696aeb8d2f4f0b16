"""The command line, ``singan-tk``. The only room that prints. No torch is imported before a command needs it."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import Any

import rich_click as click

from singan_toolkit.cli.batch import batch
from singan_toolkit.cli.bench import bench
from singan_toolkit.cli.console import Console, Group, printable, takes_colour
from singan_toolkit.cli.demo import demo
from singan_toolkit.cli.doctor import doctor
from singan_toolkit.cli.evaluate import evaluate
from singan_toolkit.cli.import_ import import_
from singan_toolkit.cli.info import info
from singan_toolkit.cli.listing import plugins, tasks
from singan_toolkit.cli.plugin import plugin
from singan_toolkit.cli.run import run
from singan_toolkit.cli.studio import studio
from singan_toolkit.cli.train import train
from singan_toolkit.tasks.manager import OWN_COMMANDS
from singan_toolkit.words import did_you_mean


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


for command in (train, run, evaluate, info, tasks, plugins, plugin, demo, doctor, bench, batch, import_, studio):
    cli.add_command(command)
    OWN_COMMANDS.add(str(command.name))


class _Pipe(io.FileIO):
    """A stream's file. Where its reader has gone away, what is written to it from then on goes nowhere."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


def _open_streams() -> None:
    """Have three streams that print names' own bytes, and what they cannot encode as ``?``.

    Those that are closed, or whose readers go away, hinder no work and change no exit status.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  # for as long as the process lives
    codecs.register_error("singan-tk", _byte_or_mark)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="singan-tk")
        if stream is getattr(sys, f"__{name}__") and not stream.isatty():
            pipe = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
            buffering = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
            setattr(sys, name, io.TextIOWrapper(pipe, stream.encoding, stream.errors, **buffering))


def _byte_or_mark(error: UnicodeError) -> tuple[str | bytes, int]:
    """As ``surrogateescape`` where a file's name has a byte that is no text, as ``replace`` elsewhere."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    return bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else "?", error.start + 1


def main() -> None:
    """Entry point of ``singan-tk``: exit status 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # torch's threads give up a core sooner that others want
    _open_streams()
    click.rich_click.FORCE_TERMINAL = takes_colour(sys.stdout)
    console = Console(as_json="--json" in sys.argv)
    try:
        status = cli.main(prog_name="singan-tk", standalone_mode=False)
        sys.stdout.flush()  # here, where a full disk is met
    except click.ClickException as error:
        near = _suggestion(error)
        error.message = printable(error.message).removesuffix("." if near else "") + near  # type: ignore[misc]  # final for type checkers
        if console.mode == "json":
            console.error(error.format_message())
        else:
            error.show()
        status = 2
    except (click.Abort, KeyboardInterrupt):
        console.note("interrupted")
        status = 130
    except OSError as error:  # of stdout: the commands tell their own
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        console.error(f"cannot write to stdout: {error.strerror or error}")
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _suggestion(error: click.ClickException) -> str:
    """What was probably meant where a value is none of the choices."""
    kind = error.param.type if isinstance(error, click.BadParameter) and error.param else None
    given = re.match("'(.+?)' is not one of", error.message)
    return did_you_mean(given[1], map(str, kind.choices)) if given and isinstance(kind, click.Choice) else ""
