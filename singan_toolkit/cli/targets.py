"""Where results go; what hinders them is found before the work, not after it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rich_click as click


class Target(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A file or a folder to write to, kept as text: a slash at its end says that it is a folder."""

    name = "path"

    def __init__(self, what: str = "") -> None:
        self.what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse nothing at all, and stdout for what cannot go there."""
        if not value:
            self.fail("give a file or a folder", param, ctx)
        if value == "-" and self.what:
            self.fail(f"{self.what} cannot be written to stdout: give a file", param, ctx)
        return str(value)


def is_folder(target: str) -> bool:
    """Whether a folder is meant: one that is there, or a name with a slash at its end."""
    return target.endswith(("/", os.sep)) or os.path.isdir(target)  # noqa: PTH112  # Path.is_dir raises for long names


def check_writable(target: Path, inputs: Iterable[Path] = ()) -> None:
    """Find out that a file can be written there.

    Raises:
        UsageError: It cannot, or is one of the inputs, be it through links.
    """
    try:
        there = target.stat()
    except (FileNotFoundError, NotADirectoryError):
        there = None
    except OSError as error:
        raise click.UsageError(f"cannot write {target}: {error.strerror or error}") from error
    folder = next(parent for parent in Path(os.path.realpath(target)).parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise click.UsageError(f"cannot write {target}: {folder} is not a folder that can be written to")
    for given in inputs if there else ():
        if given.exists() and given.samefile(target):
            raise click.UsageError(f"cannot write {target}: it is read as {given}; give another name")
