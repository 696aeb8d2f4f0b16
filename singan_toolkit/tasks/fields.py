"""What an option of a task is, said by its type: a picture, a mask of one, a painting over one, or where a paste lies.

The command line takes them as it takes paths, texts, numbers and choices. Shell completion offers pictures alone for
them, and the studio lets people paint and place by hand what they name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import click
from click.shell_completion import CompletionItem
from click.types import FloatParamType, StringParamType


class PictureFile(click.Path):
    """A picture's file."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Pictures that can be read here, and folders."""
        from singan_toolkit.imaging.formats import readable_endings

        if incomplete.startswith("~"):
            return super().shell_complete(ctx, param, incomplete)
        return [CompletionItem(path) for path in _completions(incomplete, readable_endings())]


class MaskFile(PictureFile):
    """A picture's file that marks a part of another picture in white, and has its size.

    Args:
        of: Names of options: the first of them that is given holds the picture that is marked. Where none is given that
            is the training picture.
    """

    def __init__(self, of: Sequence[str] = ()) -> None:
        super().__init__()
        self.of = tuple(of)


class PaintedFile(PictureFile):
    """A picture's file that is made by painting over another picture.

    Args:
        over: Names of options, as the ``of`` of a ``MaskFile``.
        keeps: ``picture`` has the whole picture with what was painted on it; ``layer`` what was painted alone, and
            nothing where the other is to show through.
    """

    def __init__(self, over: Sequence[str] = (), keeps: Literal["picture", "layer"] = "picture") -> None:
        super().__init__()
        self.over, self.keeps = tuple(over), keeps


class Placing:
    """Says something of where an object is laid on a picture, as ``singan_toolkit.imaging.paste.paste`` takes it.

    Args:
        paste: Name of the option that holds the object, which has transparency or a mask.
        on: Names of options: the first of them that is given holds the picture that it lies on. Where none is given
            that is the training picture.
    """

    def __init__(self, paste: str, on: Sequence[str] = ()) -> None:
        self.paste, self.on = paste, tuple(on)


class Position(Placing, StringParamType):
    """Where an object lies: ``X,Y`` in pixels, of its top left corner; ``X%,Y%``; or ``center``, ``top-left`` ..."""


class Extent(Placing, StringParamType):
    """How large an object is: ``WxH`` or ``N`` (its longer side) in pixels, or ``N%`` of the picture's shorter side."""


class Angle(Placing, FloatParamType):
    """Degrees by which an object is turned, counter-clockwise."""


class Mirror(Placing, click.Choice):  # type: ignore[type-arg]  # generic since click 8.2
    """How an object is mirrored, before all else: ``horizontal``, ``vertical`` or ``both``."""

    def __init__(self, paste: str, on: Sequence[str] = ()) -> None:
        Placing.__init__(self, paste, on)
        click.Choice.__init__(self, ["horizontal", "vertical", "both"])


def _completions(incomplete: str, endings: frozenset[str]) -> Iterator[str]:
    """What a path that is begun may become: folders, with a slash, and files of these endings."""
    before, begun = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(before or "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(begun) and (begun.startswith(".") or not entry.name.startswith(".")):
            path = os.path.join(before, entry.name)  # noqa: PTH118  # which would drop what the user typed, as "./"
            if entry.is_dir():
                yield path + os.sep
            elif os.path.splitext(entry.name)[1].lower() in endings:  # noqa: PTH122
                yield path
