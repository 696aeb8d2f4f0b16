"""Which pictures are meant by files, folders and patterns, and where the bundle of each goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from glob import glob
from pathlib import Path

from singan_toolkit.errors import UsageError
from singan_toolkit.imaging.pictures import readable_endings

BUNDLE_ENDING, CHECKPOINT_ENDING = ".sgb", ".checkpoint"
_NAMED = 4
"""How many of the files that are passed over are told by name."""
_HEIC = (".heic", ".heif", ".heics", ".heifs", ".hif")


def names_one_file(named: Sequence[Path]) -> bool:
    """Whether this is one file, be it there or not, and no folder or pattern."""
    return len(named) == 1 and not named[0].is_dir() and not _is_pattern(named[0])


def find_pictures(named: Iterable[Path], tell: Callable[[str], object] = lambda text: None) -> list[Path]:
    """The pictures that are meant, each once, those of a folder or a pattern sorted by name.

    Args:
        named: Files, taken as they are, but for bundles, which lie beside their pictures and are passed over; folders,
            for the pictures directly inside; and patterns as of a shell, with ``**`` for any depth.
        tell: Called with a sentence on the files of folders and patterns that are passed over, if any.

    Raises:
        UsageError: One of them names nothing.
    """
    pictures: dict[Path, Path] = {}
    for one in named:
        if one.is_dir():
            seen = _in_folder(one)
            problem = f"there is no picture in {one}"
        elif _is_pattern(one):
            matches = map(Path, sorted(glob(str(one), recursive=True)))  # noqa: PTH207  # Path.glob enters hidden folders
            seen = [path for match in matches for path in (_in_folder(match) if match.is_dir() else _files([match]))]
            problem = f"no picture matches {one}"
        else:
            if not one.exists():
                raise UsageError(f"there is no file {one}")
            pictures.setdefault(one.parent.resolve() / one.name, one)
            continue
        found = [path for path in seen if path.suffix.lower() in readable_endings()]
        passed_over = _passed_over(seen, found)
        if not found:
            raise UsageError(f"{problem}: {passed_over or 'it holds no files'}")
        if passed_over:
            tell(passed_over)
        for path in found:
            pictures.setdefault(path.parent.resolve() / path.name, path)
    pictures = {key: path for key, path in pictures.items() if path.suffix.lower() != BUNDLE_ENDING}
    if not pictures:
        raise UsageError("these are bundles, and no picture is among them")
    return list(pictures.values())


def bundle_paths(pictures: Iterable[Path], folder: Path | None = None) -> dict[Path, Path]:
    """Where each picture's bundle goes: in that folder or, without one, beside the picture.

    Raises:
        UsageError: Two pictures would have the same bundle.
    """
    targets: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for picture in pictures:
        beside = picture.with_suffix(BUNDLE_ENDING)
        target = folder / beside.name if folder else beside
        other = taken.setdefault(os.path.normcase(target.parent.resolve() / target.name), picture)
        if other is not picture:
            raise UsageError(
                f"{other} and {picture} would have the same bundle, {target}: rename one, or train it into another -o"
            )
        targets[picture] = target
    return targets


def checkpoint_path(bundle: Path) -> Path:
    """Where the training of a bundle is kept until that is written."""
    return bundle.with_name(bundle.name + CHECKPOINT_ENDING)


def _is_pattern(path: Path) -> bool:
    return not path.exists() and any(sign in str(path) for sign in "*?[")


def _in_folder(folder: Path) -> list[Path]:
    try:
        return _files(sorted(folder.iterdir()))
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _files(paths: Iterable[Path]) -> list[Path]:
    ours = BUNDLE_ENDING, CHECKPOINT_ENDING
    return [p for p in paths if p.suffix.lower() not in ours and not p.name.startswith(".") and p.is_file()]


def _passed_over(seen: Sequence[Path], taken: Sequence[Path]) -> str:
    """A sentence on the files that are not taken, or nothing."""
    others = [path for path in seen if path not in set(taken)]
    if not others:
        return ""
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    heic = any(path.suffix.lower() in _HEIC for path in others)
    return (
        f"passed over {len(others)} of {len(seen)} files: {', '.join(path.name for path in others[:_NAMED])}{more}"
        + ("; HEIC is read where pillow-heif is installed: pip install pillow-heif" if heic else "")
    )
