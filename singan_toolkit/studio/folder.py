"""The folder that a studio works in: which files of it are meant, and what is put into it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from singan_toolkit.batch.inputs import BUNDLE_ENDING
from singan_toolkit.batch.results import free_path
from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import UsageError
from singan_toolkit.files import write_whole
from singan_toolkit.imaging.origin import read_origin
from singan_toolkit.imaging.pictures import read_picture, readable_endings
from singan_toolkit.imaging.video import CLIP_ENDINGS

MADE = Path(".singan-tk", "studio")
"""Where, in the folder, what was painted is kept, so that a command line can name it."""
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|(data|file|blob|javascript|about):")


class Folder:
    """A folder and nothing outside of it.

    Attributes:
        path: The folder, with no links in its path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve(strict=True)

    def file(self, name: object) -> Path:
        """The file of that name, which is a path below the folder with slashes.

        Raises:
            UsageError: It is an address, is hidden, lies outside of the folder, also through links, or is not there.
        """
        if not isinstance(name, str) or not name or "\0" in name:
            raise UsageError("the name of a file is missing")
        if _ADDRESS.match(name):
            raise UsageError(f"{name} is an address, and the studio fetches nothing: give a file of its folder")
        given = Path(name)
        if (
            given.is_absolute()
            or ".." in given.parts
            or not (path := self.path / given).resolve().is_relative_to(self.path)
        ):
            raise UsageError(f"{name} lies outside the studio's folder: give a file of the folder")
        if any(part.startswith(".") for part in given.parts) and given.parent != MADE:
            raise UsageError(f"{name} is hidden: give another file of the folder")
        try:
            if path.is_file():
                return path
        except OSError as error:
            raise UsageError(f"cannot use {name}: {error.strerror or error}") from error
        raise UsageError(f"there is no file {name} in the studio's folder")

    def name_of(self, path: Path) -> str:
        """The name of one of its files, as ``file`` takes it."""
        return path.relative_to(self.path).as_posix()

    def entries(self) -> list[dict[str, Any]]:
        """Its pictures, clips and bundles, and those in folders inside, newest first."""
        found = [_entry(self, path) for path in self._shown(self.path, 1)]
        return sorted((one for one in found if one), key=lambda one: (-one["modified"], one["name"]))

    def accept(self, name: str, content: bytes) -> str:
        """Put a picture or a bundle into the folder that is one, and say under which name.

        Raises:
            UsageError: The name is none of a picture or a bundle.
            ToolkitError: It is no picture or bundle that can be used; nothing is written.
        """
        ending = Path(name).suffix.lower()
        if Path(name).name != name or name.startswith(".") or _ADDRESS.match(name):
            raise UsageError(f"{name} is no name of a file: give one without folders")
        if ending != BUNDLE_ENDING and ending not in readable_endings():
            raise UsageError(f"{name} is neither a picture nor a bundle by its name: give a file such as photo.jpg")
        check(name, content)
        there = self.path / name
        if there.is_file() and there.read_bytes() == content:
            return name
        path = free_path(there.with_suffix(""), there.suffix)
        write_whole(path, content)
        return path.name

    def keep_painted(self, kind: str, content: bytes) -> str:
        """Keep what was painted, a PNG, under a name made of what it holds.

        Raises:
            UsageError: The place for that is a link to elsewhere.
        """
        path = self.path / MADE / f"{kind}-{hashlib.sha256(content).hexdigest()[:10]}.png"
        if not path.parent.resolve().is_relative_to(self.path):
            raise UsageError(f"{MADE} leads out of the studio's folder: make it a folder of its own")
        if not path.exists():
            write_whole(path, content)
        return self.name_of(path)

    def _shown(self, folder: Path, depth: int) -> Iterator[Path]:
        for path in folder.iterdir():
            if path.name.startswith(".") or not path.resolve().is_relative_to(self.path):
                continue
            if path.is_dir() and depth and not path.is_symlink():
                yield from self._shown(path, depth - 1)
            elif path.is_file():
                yield path


def check(name: str, content: bytes) -> None:
    """Find out that a picture or a bundle can be read.

    Raises:
        ToolkitError: It cannot.
    """
    with TemporaryDirectory() as temporary:
        path = Path(temporary, name)
        path.write_bytes(content)
        try:
            if path.suffix.lower() == BUNDLE_ENDING:
                Bundle.load(path)
            else:
                read_picture(path)
        except ValueError as error:
            raise type(error)(str(error).replace(str(path), name)) from error


def _entry(folder: Folder, path: Path) -> dict[str, Any] | None:
    ending = path.suffix.lower()
    is_clip = ending in CLIP_ENDINGS and ending != ".webp"
    if ending != BUNDLE_ENDING and not is_clip and ending not in readable_endings():
        return None
    there = path.stat()
    kind = "bundle" if ending == BUNDLE_ENDING else "clip" if is_clip else "picture"
    origin = _origin(path, there.st_mtime_ns, there.st_size) if kind == "picture" else None
    return {"name": folder.name_of(path), "kind": kind, "modified": there.st_mtime, "origin": origin}


@lru_cache(maxsize=4096)
def _origin(path: Path, modified: int, size: int) -> dict[str, Any] | None:
    try:
        return read_origin(path)
    except OSError:
        return None
