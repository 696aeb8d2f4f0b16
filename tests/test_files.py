"""Writing over what is there: links, modes, and what is no ordinary file. Pictures, clips and bundles alike."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from singan_toolkit import Bundle
from singan_toolkit.files import write_whole
from singan_toolkit.imaging.pictures import Picture, write_picture
from singan_toolkit.imaging.video import Clip, write_clip

Write = Callable[[Path], None]


@pytest.fixture(params=["x.png", "x.gif", "x.sgb"])
def target(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> tuple[str, Write]:
    """The name of a file, and what writes it."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    writers: dict[str, Write] = {
        "x.png": lambda path: write_picture(Picture(pixels), path),
        "x.gif": lambda path: write_clip(Clip(np.stack([pixels, pixels + 200]), 10), path),
        "x.sgb": tiny_bundle.save,
    }
    return request.param, writers[request.param]


def test_a_link_stays_a_link(tmp_path: Path, target: tuple[str, Write]) -> None:
    name, write = target
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "real").write_bytes(b"old")
    (tmp_path / "middle").symlink_to(Path("store", "real"))
    (tmp_path / name).symlink_to("middle")
    write(tmp_path / name)
    assert (tmp_path / name).readlink() == Path("middle")
    assert (tmp_path / "middle").is_symlink()
    assert (tmp_path / "store" / "real").stat().st_size > 30
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["real"]


def test_a_link_to_nothing_makes_what_it_leads_to(tmp_path: Path, target: tuple[str, Write]) -> None:
    name, write = target
    (tmp_path / name).symlink_to(Path("store", "real"))
    write(tmp_path / name)
    assert (tmp_path / name).is_symlink()
    assert (tmp_path / "store" / "real").is_file()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o777])
def test_a_file_keeps_its_mode(tmp_path: Path, target: tuple[str, Write], mode: int) -> None:
    name, write = target
    (tmp_path / name).write_bytes(b"old")
    (tmp_path / name).chmod(mode)
    write(tmp_path / name)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_a_new_file_has_the_usual_mode(tmp_path: Path, target: tuple[str, Write]) -> None:
    name, write = target
    write(tmp_path / name)
    (tmp_path / "plain").touch()
    assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_no_ordinary_file_is_left_alone(tmp_path: Path, target: tuple[str, Write]) -> None:
    name, write = target
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for place in ("folder", "pipe", "a"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to(place)
        with pytest.raises((OSError, ValueError), match=rf"^cannot write {tmp_path / name}: [^\n]+$"):
            write(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_full_disk_is_told_with_the_path(
    tmp_path: Path, target: tuple[str, Write], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, write = target
    (tmp_path / name).write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((OSError, ValueError)) as caught:
        write(tmp_path / name)
    assert str(caught.value) == f"cannot write {tmp_path / name}: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_the_kind_of_the_error_stays(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="cannot write"):
        write_whole(tmp_path / "file" / "x", b"")
