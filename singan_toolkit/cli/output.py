"""Where the pictures and clips of a task go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from singan_toolkit.imaging.pictures import WRITABLE, Picture, write_picture
from singan_toolkit.imaging.sheet import contact_sheet
from singan_toolkit.imaging.video import CLIP_ENDINGS, Clip, write_clip
from singan_toolkit.tasks.task import Result, TaskError

ENDINGS = {"pictures": WRITABLE, "clips": CLIP_ENDINGS}


def write_results(results: Sequence[Result], target: Path | None, stem: str, as_sheet: bool) -> Iterator[Path]:
    """Write pictures and clips, and yield their paths.

    Args:
        results: What a task gave back.
        target: A file for one result or a sheet; a folder for any number; by default named after ``stem``, here.
        stem: Name of the default file or folder, and first part of the names in a folder.
        as_sheet: One contact sheet instead of single pictures.

    Raises:
        TaskError: Several results and one file, or a sheet of clips.
        PictureError: A file that cannot hold the result, or cannot be written.
    """
    if as_sheet:
        pictures = [result.picture for result in results if isinstance(result.picture, Picture)]
        if len(pictures) < len(results):
            raise TaskError("a contact sheet shows pictures, and these are clips: leave out --sheet")
        results = [Result(contact_sheet(pictures, [result.label for result in results]), "sheet")]
    endings = ENDINGS["clips" if isinstance(results[0].picture, Clip) else "pictures"]
    if len(results) == 1 and (target is None or (target.suffix.lower() in endings and not target.is_dir())):
        path = target or Path(f"{stem}-sheet" if as_sheet else stem)
        yield _write(results[0], path if target else path.with_name(path.name + _ending(results[0])))
        return
    folder = target or Path(stem)
    if folder.suffix.lower() in endings and not folder.is_dir():
        raise TaskError(f"{len(results)} pictures do not fit into the file {folder}: give a folder, or --sheet")
    names = Counter[str]()
    paths = []
    for result in results:
        name = "-".join(filter(None, (stem, result.label)))
        names[name] += 1
        again = f"-{names[name]}" if names[name] > 1 else ""
        paths.append(folder / f"{name}{again}{_ending(result)}")
    with ThreadPoolExecutor() as threads:  # encoders leave Python's lock to others
        yield from threads.map(_write, results, paths)


def _ending(result: Result) -> str:
    return ".gif" if isinstance(result.picture, Clip) else ".png"


def _write(result: Result, path: Path) -> Path:
    if isinstance(result.picture, Clip):
        write_clip(result.picture, path)
    else:
        write_picture(result.picture, path)
    return path
