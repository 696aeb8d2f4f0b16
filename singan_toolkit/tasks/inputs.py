"""Which pictures are meant by files, folders and patterns, and where the bundle of each goes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path

from singan_toolkit.imaging.pictures import WRITABLE
from singan_toolkit.tasks.task import TaskError

BUNDLE_ENDING = ".sgb"
_TAKEN = f"the endings {', '.join(WRITABLE)} are taken; name other files one by one"


def names_one_file(named: Sequence[Path]) -> bool:
    """Whether this is one file, be it there or not, and no folder or pattern."""
    return len(named) == 1 and not named[0].is_dir() and not _is_pattern(named[0])


def find_pictures(named: Iterable[Path]) -> list[Path]:
    """The pictures that are meant, each once, those of a folder or a pattern sorted by name.

    Args:
        named: Files, taken as they are, but for bundles, which lie beside their pictures and are passed over; folders,
            for the pictures directly inside; and patterns as of a shell, with ``**`` for any depth.

    Raises:
        TaskError: One of them names nothing.
    """
    pictures: dict[Path, Path] = {}
    for one in named:
        if one.is_dir():
            found = _in_folder(one)
            problem = f"there is no picture in {one}: {_TAKEN}"
        elif _is_pattern(one):
            matches = map(Path, sorted(glob(str(one), recursive=True)))  # noqa: PTH207  # Path.glob enters hidden folders
            found = [path for match in matches for path in (_in_folder(match) if match.is_dir() else _taken([match]))]
            problem = f"no picture matches {one}: {_TAKEN}"
        else:
            found = [one] if one.exists() else []
            problem = f"there is no file {one}"
        if not found:
            raise TaskError(problem)
        for path in found:
            if path.suffix.lower() != BUNDLE_ENDING:
                pictures.setdefault(path.parent.resolve() / path.name, path)
    if not pictures:
        raise TaskError("these are bundles, and no picture is among them")
    return list(pictures.values())


def bundle_paths(pictures: Iterable[Path], folder: Path | None = None) -> dict[Path, Path]:
    """Where each picture's bundle goes: in that folder or, without one, beside the picture.

    Raises:
        TaskError: Two pictures would have the same bundle.
    """
    targets: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for picture in pictures:
        beside = picture.with_suffix(BUNDLE_ENDING)
        target = folder / beside.name if folder else beside
        other = taken.setdefault(os.path.normcase(target.parent.resolve() / target.name), picture)
        if other is not picture:
            raise TaskError(
                f"{other} and {picture} would have the same bundle, {target}: rename one, or train it into another -o"
            )
        targets[picture] = target
    return targets


def _is_pattern(path: Path) -> bool:
    return not path.exists() and any(sign in str(path) for sign in "*?[")


def _in_folder(folder: Path) -> list[Path]:
    try:
        return _taken(sorted(folder.iterdir()))
    except OSError as error:
        raise TaskError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _taken(paths: Iterable[Path]) -> list[Path]:
    return [p for p in paths if p.suffix.lower() in WRITABLE and not p.name.startswith(".") and p.is_file()]
