"""Writing what jobs give: where it goes, and how."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from singan_toolkit.batch.combine import LABEL
from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import UsageError
from singan_toolkit.imaging.pictures import WRITABLE, Picture, write_picture
from singan_toolkit.imaging.sheet import contact_sheet
from singan_toolkit.imaging.video import CLIP_ENDINGS, Clip, write_clip
from singan_toolkit.tasks.task import Output, Result

ENDINGS = {"pictures": WRITABLE, "clips": CLIP_ENDINGS}
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
    sheet = contact_sheet(pictures, [result.label for result in results])
    return Result(replace(sheet, tags=replace(sheet.tags, origin=pictures[0].tags.origin)), "sheet")


def ending_of(result: Result) -> str:
    """The ending of a file whose name is chosen here."""
    return ".gif" if isinstance(result.picture, Clip) else ".png"


def write_results(
    results: Sequence[Result],
    target: Path | None,
    stem: str,
    as_sheet: bool,
    folder: bool = False,
    force: bool = False,
) -> Iterator[Path]:
    """Write pictures and clips, and yield their paths.

    A file that is named is replaced. Where the name is chosen here, a file that is there stays, and a number is added.

    Args:
        results: What a task gave back.
        target: A file for one result or a sheet; a folder for any number; by default named after ``stem``, here.
        stem: Name of the default file or folder, and first part of the names in a folder.
        as_sheet: One contact sheet instead of single pictures.
        folder: Whether the target is a folder, whatever its name.
        force: Replace files of the names that are chosen here, too.

    Raises:
        UsageError: Several results and one file, or a sheet of clips.
        PictureError: A file that cannot hold the result, or cannot be written.
    """
    if as_sheet:
        results = [sheet_of(results)]
    endings = ENDINGS["clips" if isinstance(results[0].picture, Clip) else "pictures"]
    named = target is not None and target.suffix.lower() in endings and not folder and not target.is_dir()
    if named and len(results) > 1:
        raise UsageError(f"{len(results)} pictures do not fit into the file {target}: give a folder, or --sheet")
    if target and named:
        yield write_result(results[0], target)
        return
    if len(results) == 1 and not target:
        names = [Path(f"{stem}-sheet" if as_sheet else stem)]
    else:
        names = [(target or Path(stem)) / "-".join(filter(None, (stem, result.label))) for result in results]
    paths: list[Path] = []
    for path, result in zip(names, results, strict=True):
        paths.append(free_path(path, ending_of(result), paths, force))
    with ThreadPoolExecutor() as threads:  # encoders leave Python's lock to others
        yield from threads.map(write_result, results, paths)


def free_path(path: Path, ending: str, taken: Collection[Path] = (), force: bool = False) -> Path:
    """The path with that ending and, where it is taken, a number."""
    free, number = path.with_name(path.name + ending), 1
    while free in taken or (not force and os.path.lexists(free)):
        number += 1
        free = path.with_name(f"{path.name}-{number}{ending}")
    return free
