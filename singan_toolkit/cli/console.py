"""How the command line speaks: results to stdout, everything else to stderr, each in one of four ways."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TextIO

import rich_click as click
from click.exceptions import Exit
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from singan_toolkit.errors import ToolkitError, failure
from singan_toolkit.words import did_you_mean

Mode = Literal["rich", "plain", "json", "quiet"]
_UNPRINTABLE = re.compile("[\x00-\x08\n-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """A text of one line that does nothing to a terminal.

    What would steer it (but for tabs), what changes the direction of writing, and bytes of names that are no text are
    written as Python would escape them.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that can move its cursor. A file is none, whatever is asked for by variables."""
    return bool(stream and stream.isatty()) and os.environ.get("TERM") not in ("dumb", "unknown")


def takes_colour(stream: TextIO | None) -> bool:
    """Whether text may be coloured: on a terminal, unless FORCE_COLOR or, before it, NO_COLOR says otherwise."""
    forced = os.environ.get("FORCE_COLOR") or ("1" if is_terminal(stream) else "0")
    return not os.environ.get("NO_COLOR") and forced not in ("0", "false")


class Console:
    """Rich on a terminal, plain lines in a pipe, JSON lines with ``--json``, only errors with ``--quiet``."""

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.errors = _rich(sys.stderr)
        self.results = _rich(sys.stdout)
        self.mode: Mode = "rich" if self.errors.is_terminal else "plain"
        if as_json or quiet:
            self.mode = "json" if as_json else "quiet"

    def note(self, text: str) -> None:
        """Something worth knowing, on stderr."""
        if self.mode == "json":
            print(json.dumps({"note": text}), file=sys.stderr, flush=True)
        elif self.mode != "quiet":
            self.errors.print(Text(printable(text)), soft_wrap=True)

    def result(self, text: str | Path, **fields: Any) -> None:
        """What was asked for, on stdout: a figure, or a path, which keeps its bytes unless a terminal shows it."""
        if self.mode == "json":
            print(json.dumps(fields), flush=True)
        elif self.mode != "quiet":
            as_it_is = isinstance(text, Path) and not is_terminal(sys.stdout)
            print(text if as_it_is else printable(str(text)), flush=True)

    def rows(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table on stdout; in a pipe, fields separated by tabs; with ``--json``, an object a row."""
        if self.mode == "json":
            for row in rows:
                print(json.dumps(dict(zip(columns, row, strict=True))))
        elif self.results.is_terminal:
            table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
            for column in columns:
                table.add_column(column)
            for row in rows:
                table.add_row(*(Text(printable(cell)) for cell in row))
            self.results.print(table)
        else:
            for row in rows:
                print("\t".join(printable(cell).replace("\t", "\\t") for cell in row))

    def error(self, text: str) -> None:
        """What went wrong, on stderr, whatever the mode."""
        if self.mode == "json":
            print(json.dumps({"error": text}), file=sys.stderr, flush=True)
        else:
            self.errors.print(Text.assemble(("error:", "bold red"), " ", printable(text)), soft_wrap=True)


def _rich(stream: TextIO | None) -> RichConsole:
    terminal = is_terminal(stream)
    return RichConsole(
        stderr=stream is sys.stderr,
        highlight=False,
        force_terminal=terminal,
        force_interactive=terminal,
        color_system="auto" if takes_colour(stream) else None,
    )


class Group(click.RichGroup):
    """Commands; one that is not known is answered with what was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"No such command {name!r}" + (did_you_mean(name, self.list_commands(ctx)) or "."))
        return super().resolve_command(ctx, args)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json``, ``--quiet`` and ``--traceback``; it gets a ``Console`` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
    @click.option("--quiet", "-q", is_flag=True, help="Only errors.")
    @click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
    @click.pass_context
    @wraps(command)
    def wrapped(context: click.RichContext, /, as_json: bool, quiet: bool, traceback: bool, **options: Any) -> Any:
        console = Console(as_json, quiet)
        told: set[str] = set()

        def tell(message: Warning | str, *_: object, **__: object) -> None:
            if str(message) not in told:
                told.add(str(message))
                console.note(f"warning: {message}")

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", UserWarning)
                warnings.showwarning = tell
                return context.invoke(command, console, **options)
        except SystemExit as end:
            if traceback:
                sys.excepthook(type(end), end, end.__traceback__)
            console.error(f"a plugin ended the program: {end.code}")
            context.exit(1)
        except (click.ClickException, Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if traceback:
                raise
            failed = failure(error)
            console.error(failed.sentence)
            if failed.kind == "defect":
                console.error("this is a defect of the toolkit or of a plugin; --traceback shows where it arose")
            context.exit(error.exit_status if isinstance(error, ToolkitError) else 1)

    return wrapped
