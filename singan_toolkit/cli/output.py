"""Where the pictures and clips of a task go."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from singan_toolkit.batch.results import ending_of, sheet_of, write_result
from singan_toolkit.errors import UsageError
from singan_toolkit.imaging.pictures import WRITABLE, encode_picture
from singan_toolkit.imaging.video import CLIP_ENDINGS, Clip
from singan_toolkit.tasks.task import Result

ENDINGS = {"pictures": WRITABLE, "clips": CLIP_ENDINGS}


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
    taken: set[Path] = set()
    if len(results) == 1 and not target:
        names = [Path(f"{stem}-sheet" if as_sheet else stem)]
    else:
        names = [(target or Path(stem)) / "-".join(filter(None, (stem, result.label))) for result in results]
    paths = [_free(path, ending_of(result), taken, force) for path, result in zip(names, results, strict=True)]
    with ThreadPoolExecutor() as threads:  # encoders leave Python's lock to others
        yield from threads.map(write_result, results, paths)


def write_to_stdout(results: Sequence[Result], as_sheet: bool) -> None:
    """Write one picture, or a sheet of them, to stdout as PNG.

    Raises:
        UsageError: There are several, or they are clips.
    """
    result = sheet_of(results) if as_sheet else results[0]
    if (len(results) > 1 and not as_sheet) or isinstance(result.picture, Clip):
        raise UsageError("one picture at a time can be written to stdout: give a folder, or --sheet")
    sys.stdout.buffer.write(encode_picture(result.picture, ".png"))


def _free(path: Path, ending: str, taken: set[Path], force: bool) -> Path:
    """The path with that ending and, where it is taken, a number."""
    free, number = path.with_name(path.name + ending), 1
    while free in taken or (not force and os.path.lexists(free)):
        number += 1
        free = path.with_name(f"{path.name}-{number}{ending}")
    taken.add(free)
    return free
