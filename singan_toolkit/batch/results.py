"""Writing what jobs give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from singan_toolkit.batch.combine import LABEL
from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import UsageError
from singan_toolkit.imaging.pictures import Picture, write_picture
from singan_toolkit.imaging.sheet import contact_sheet
from singan_toolkit.imaging.video import Clip, write_clip
from singan_toolkit.tasks.task import Output, Result

_FIELD = f"{{{LABEL}}}"


def names_of(result: Bundle | Output, target: Path) -> list[tuple[Result | Bundle, Path]]:
    """Each result with its path: the target, with the result's label where there are several or the target asks."""
    if isinstance(result, Bundle):
        return [(result, target)]
    if len(result.results) > 1 and _FIELD not in target.name:
        target = target.with_name(f"{target.stem}-{_FIELD}{target.suffix}")
    labels = [one.label for one in result.results]
    if len(set(labels)) < len(labels):
        labels = [f"{label}{number}" for number, label in enumerate(labels)]
    return [
        (one, target.with_name(target.name.replace(_FIELD, label)))
        for one, label in zip(result.results, labels, strict=True)
    ]


def write_result(result: Result | Bundle, path: Path) -> Path:
    """Write a bundle, picture or clip, whole or not at all.

    Raises:
        ToolkitError: The format cannot hold it, or the file cannot be written.
        OSError: The file cannot be written.
    """
    if isinstance(result, Bundle):
        result.save(path)
    elif isinstance(result.picture, Clip):
        write_clip(result.picture, path)
    else:
        write_picture(result.picture, path)
    return path


def sheet_of(results: Sequence[Result]) -> Result:
    """One contact sheet of several pictures.

    Raises:
        UsageError: They are clips.
    """
    pictures = [result.picture for result in results if isinstance(result.picture, Picture)]
    if len(pictures) < len(results):
        raise UsageError("a contact sheet shows pictures, and these are clips: leave out --sheet")
    return Result(contact_sheet(pictures, [result.label for result in results]), "sheet")


def ending_of(result: Result) -> str:
    """The ending of a file whose name is chosen here."""
    return ".gif" if isinstance(result.picture, Clip) else ".png"
