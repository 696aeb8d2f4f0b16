"""How the command line speaks: results to stdout, everything else to stderr, each in one of four ways."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal

import rich_click as click
from click.exceptions import Exit
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from singan_toolkit.tasks.task import TaskError

Mode = Literal["rich", "plain", "json", "quiet"]


class Console:
    """Rich on a terminal, plain lines in a pipe, JSON lines with ``--json``, only errors with ``--quiet``."""

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.errors = RichConsole(stderr=True, highlight=False)
        self.results = RichConsole(highlight=False)
        self.mode: Mode = "rich" if self.errors.is_terminal else "plain"
        if as_json or quiet:
            self.mode = "json" if as_json else "quiet"

    def note(self, text: str) -> None:
        """Something worth knowing, on stderr."""
        if self.mode == "json":
            print(json.dumps({"note": text}), file=sys.stderr, flush=True)
        elif self.mode != "quiet":
            self.errors.print(Text(text), soft_wrap=True)

    def result(self, text: str, **fields: Any) -> None:
        """What was asked for, on stdout: a path or a figure."""
        if self.mode == "json":
            print(json.dumps(fields), flush=True)
        elif self.mode != "quiet":
            print(text, flush=True)

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
                table.add_row(*map(Text, row))
            self.results.print(table)
        else:
            for row in rows:
                print("\t".join(row))

    def error(self, text: str) -> None:
        """What went wrong, on stderr, whatever the mode."""
        if self.mode == "json":
            print(json.dumps({"error": text}), file=sys.stderr, flush=True)
        else:
            self.errors.print(Text.assemble(("error:", "bold red"), " ", text), soft_wrap=True)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json``, ``--quiet`` and ``--traceback``; it gets a :class:`Console` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
    @click.option("--quiet", "-q", is_flag=True, help="Only errors.")
    @click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
    @click.pass_context
    @wraps(command)
    def wrapped(context: click.RichContext, /, as_json: bool, quiet: bool, traceback: bool, **options: Any) -> Any:
        console = Console(as_json, quiet)
        try:
            return context.invoke(command, console, **options)
        except click.UsageError as error:
            if not as_json:
                raise
            console.error(error.format_message())
            context.exit(2)
        except (click.ClickException, Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if traceback:
                raise
            expected = isinstance(error, (ValueError, OSError)) or type(error).__name__ == "TrainingError"
            console.error(_message(error) if expected else f"unexpected {type(error).__name__}: {_message(error)}")
            if not expected:
                console.error("this is a defect of the toolkit or of a plugin; --traceback shows where it arose")
            wrong_usage = isinstance(error, TaskError) or type(error).__name__ == "ValidationError"
            context.exit(2 if wrong_usage else 1)

    return wrapped


def _message(error: Exception) -> str:
    problems = getattr(error, "errors", None)
    if callable(problems):  # pydantic: one line a setting
        return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg'].lower()}" for p in problems())
    return str(error) or type(error).__name__
