"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A new, empty file to write to. It takes the place of ``path`` at the end, unless an exception is raised.

    So a reader sees the old content or the new, never a part. It lies beside the target and is flushed to the disk
    before it is renamed. Where ``path`` is a link, that stays one and the file that it leads to is replaced; a file
    that is there already keeps its mode. Missing folders are made.

    Raises:
        OSError: The file cannot be written, be it here or by what is done with it; the message names it. What stood
            at ``path`` is untouched.
    """
    try:
        target = Path(os.path.realpath(path))
        mode = target.lstat().st_mode if os.path.lexists(target) else None
        if mode is not None and not stat.S_ISREG(mode):
            raise OSError("a folder is there" if stat.S_ISDIR(mode) else "no ordinary file is there")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{secrets.token_hex(8)}.part"
        try:
            temporary.touch(exist_ok=False)
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode) | stat.S_IWUSR)
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise type(error)(f"cannot write {path}: {error.strerror or error}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; see ``whole``.

    Raises:
        OSError: It cannot be written; the message names it, and what stood there is untouched.
    """
    with whole(path) as temporary:
        temporary.write_bytes(content)
