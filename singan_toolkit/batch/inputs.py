"""Which files are meant by files, folders, patterns and lists."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from singan_toolkit.errors import UsageError

BUNDLE_ENDING, CHECKPOINT_ENDING = ".sgb", ".checkpoint"
_NAMED = 4
"""How many of the files that are passed over are told by name."""
_HEIC = (".heic", ".heif", ".heics", ".heifs", ".hif")


@dataclass(frozen=True)
class Input:
    """A file that is meant.

    Attributes:
        path: Where it lies.
        name: Its path below the folder that was named, or below the part of a pattern that has no signs, without its
            ending; of a file that was named itself, its name alone. Inputs of one name belong together, and results
            lie in folders as the names do.
    """

    path: Path
    name: str

    @classmethod
    def below(cls, path: Path, folder: Path) -> Input:
        """A file of that folder, at any depth."""
        return cls(path, os.path.relpath(path.with_suffix(""), folder))


def names_one_file(named: Sequence[Path]) -> bool:
    """Whether this is one file, be it there or not, and no folder, pattern or list."""
    return len(named) == 1 and not (named[0].is_dir() or _is_pattern(named[0]) or _is_list(named[0]))


def find_inputs(
    named: Iterable[Path],
    endings: Collection[str],
    what: str = "picture",
    *,
    recursive: bool = False,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Input]:
    """The files that are meant, each once, those of a folder or a pattern sorted by name.

    Args:
        named: Files, taken as they are; folders, for the files directly inside; patterns as of a shell, with ``**`` for
            any depth; and lists, ``@FILE`` or ``@-`` for stdin, with one of these a line or between NUL bytes.
        endings: Of the files that are taken from folders and patterns, in lower case with the dot. Bundles that were
            made of others and lie beside them are passed over.
        what: The files are, for messages.
        recursive: Whether folders are meant with all folders inside but hidden ones.
        tell: Called with a sentence on the files of folders and patterns that are passed over, if any.

    Raises:
        UsageError: One of them names nothing.
        OSError: A list cannot be read.
    """
    inputs: dict[Path, Input] = {}
    for one in _listed(named):
        if one.is_dir():
            seen = [Input.below(path, one) for path in _in_folder(one, recursive)]
            problem = f"there is no {what} in {one}"
        elif _is_pattern(one):
            seen = _matches(one, recursive)
            problem = f"no {what} matches {one}"
        else:
            if not os.path.lexists(one):
                raise UsageError(f"there is no file {one}")
            inputs.setdefault(one.parent.resolve() / one.name, Input(one, one.stem))
            continue
        bundles = BUNDLE_ENDING in endings
        seen = [one for one in seen if (one.path.suffix.lower() == BUNDLE_ENDING) == bundles]
        seen = [one for one in seen if not (bundles and _is_made(one.path))]
        found = [one for one in seen if one.path.suffix.lower() in endings and not one.path.is_dir()]
        seen = [one for one in seen if not one.path.is_dir() or _is_missed(one.path, endings, recursive)]
        passed_over = _passed_over([one.path for one in seen], {one.path for one in found})
        if not found:
            raise UsageError(f"{problem}: {passed_over or 'it holds none'}")
        if passed_over:
            tell(passed_over)
        for file in found:
            inputs.setdefault(file.path.parent.resolve() / file.path.name, file)
    if BUNDLE_ENDING not in endings:  # they lie beside their pictures
        inputs = {key: one for key, one in inputs.items() if one.path.suffix.lower() != BUNDLE_ENDING}
        if not inputs:
            raise UsageError(f"these are bundles, and no {what} is among them")
    return list(inputs.values())


def _listed(named: Iterable[Path]) -> Iterator[Path]:
    for one in named:
        if not _is_list(one):
            yield one
            continue
        file = str(one)[1:]
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        lines = content.split(b"\0") if b"\0" in content else [one.removesuffix(b"\r") for one in content.split(b"\n")]
        lines = [line for line in lines if line]
        if not lines:
            raise UsageError(f"the list {'of stdin' if file == '-' else file} names nothing")
        yield from (Path(os.fsdecode(line)) for line in lines)


def _is_list(path: Path) -> bool:
    return str(path).startswith("@") and not path.exists()


def checkpoint_path(bundle: Path) -> Path:
    """Where the training of a bundle is kept until that is written."""
    return bundle.with_name(bundle.name + CHECKPOINT_ENDING)


def _is_pattern(path: Path) -> bool:
    return not path.exists() and any(sign in str(path) for sign in "*?[")


def _is_missed(folder: Path, endings: Collection[str], recursive: bool) -> bool:
    """Whether a user may think that a folder, which is not entered, was taken: by its name, or as others are."""
    return folder.suffix.lower() in endings or (recursive and folder.is_symlink())


def _is_made(bundle: Path) -> bool:
    """Whether a bundle is kept beside the one that it was made of, as ``art.adapted-1.sgb`` beside ``art.sgb``."""
    made = re.fullmatch(r"(.+)\.[\w-]+-\d+", bundle.stem)
    return bool(made) and bundle.with_name(f"{made[1]}{bundle.suffix}").exists()  # type: ignore[index]


def _matches(pattern: Path, recursive: bool) -> list[Input]:
    signs = next(place for place, part in enumerate(pattern.parts) if any(sign in part for sign in "*?["))
    fixed = Path(*pattern.parts[:signs])
    try:  # by pathlib, which does not follow links from folder to folder for **, without an end where they are loops
        matches = list(fixed.glob(str(Path(*pattern.parts[signs:]))))
    except ValueError as error:
        raise UsageError(f"cannot use the pattern {pattern}: {error}") from error
    asked = any(part.startswith(".") for part in pattern.parts[signs:])
    shown = [one for one in matches if asked or not any(p.startswith(".") for p in one.relative_to(fixed).parts)]
    # What is reached in several ways gets the name that is nearest.
    shown.sort(key=lambda path: (path.is_dir(), path.is_symlink(), path))
    files = (path for match in shown for path in (_in_folder(match, recursive) if match.is_dir() else _shown([match])))
    return [Input.below(path, fixed) for path in files]


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
        inner = [path for path in _shown(paths) if recursive and path.is_dir() and not path.is_symlink()]
        deeper = [one for path in inner for one in _in_folder(path, recursive)]
        return [path for path in _shown(paths) if path not in inner] + deeper
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _shown(paths: Iterable[Path]) -> list[Path]:
    """What is neither hidden nor something of ours that is not yet done."""
    made = (".part", CHECKPOINT_ENDING)
    return [path for path in paths if path.suffix.lower() not in made and not path.name.startswith(".")]


def _passed_over(seen: Sequence[Path], taken: Collection[Path]) -> str:
    """A sentence on the files that are not taken, or nothing."""
    others = [path for path in seen if path not in taken]
    if not others:
        return ""
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    names = [f"{path.name} (a folder)" if path.is_dir() else path.name for path in others[:_NAMED]]
    heic = any(path.suffix.lower() in _HEIC for path in others)
    return f"passed over {len(others)} of {len(seen)} files: {', '.join(names)}{more}" + (
        "; HEIC is read where pillow-heif is installed: pip install pillow-heif" if heic else ""
    )
