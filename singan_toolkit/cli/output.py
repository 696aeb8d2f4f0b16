"""Where the pictures of a task go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from singan_toolkit.imaging.pictures import WRITABLE, Picture, write_picture
from singan_toolkit.imaging.sheet import contact_sheet
from singan_toolkit.tasks.task import Result, TaskError


def write_results(results: Sequence[Result], target: Path | None, stem: str, as_sheet: bool) -> Iterator[Path]:
    """Write pictures and yield their paths.

    Args:
        results: What a task gave back.
        target: A file for one picture or a sheet; a folder for any number; by default named after ``stem``, here.
        stem: Name of the default file or folder, and first part of the names in a folder.
        as_sheet: One contact sheet instead of single pictures.

    Raises:
        PictureError: Several pictures and one file, or a file that cannot hold the picture.
    """
    if as_sheet:
        sheet = contact_sheet([result.picture for result in results], [result.label for result in results])
        results = [Result(sheet, "sheet")]
    if len(results) == 1 and (target is None or (target.suffix.lower() in WRITABLE and not target.is_dir())):
        name = f"{stem}-sheet" if as_sheet else stem
        path = target or Path(name + _ending(results[0].picture))
        write_picture(results[0].picture, path)
        yield path
        return
    folder = target or Path(stem)
    if folder.suffix.lower() in WRITABLE and not folder.is_dir():
        raise TaskError(f"{len(results)} pictures do not fit into the file {folder}: give a folder, or --sheet")
    names = Counter[str]()
    for result in results:
        name = "-".join(filter(None, (stem, result.label)))
        names[name] += 1
        again = f"-{names[name]}" if names[name] > 1 else ""
        path = folder / f"{name}{again}{_ending(result.picture)}"
        write_picture(result.picture, path)
        yield path


def _ending(picture: Picture) -> str:
    return ".tif" if picture.white > 255 and picture.pixels.shape[2] > 1 else ".png"
