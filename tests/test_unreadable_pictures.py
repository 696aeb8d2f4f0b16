"""Files that are no picture, are damaged, too large or made to do harm."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from picture_files import deep_png, noise, picture_or_refusal, png, quick
from singan_toolkit.imaging.decoding import Tags
from singan_toolkit.imaging.pictures import (
    WRITABLE,
    Picture,
    PictureError,
    read_picture,
    readable_endings,
    write_picture,
)


def cut_off(ending: str) -> Callable[[Path], bytes]:
    def content(folder: Path) -> bytes:
        write_picture(Picture(noise(30, 30, 3)), folder / f"whole{ending}")
        return (folder / f"whole{ending}").read_bytes()[:-400]

    return content


def float_tiff(folder: Path) -> bytes:
    tifffile.imwrite(folder / "float", np.zeros((5, 6), np.float32))
    return (folder / "float").read_bytes()


def flipped_deep_png(_: Path) -> bytes:
    content = bytearray(deep_png(noise(30, 30, 2, np.uint16)))
    content[200] ^= 1
    return bytes(content)


BROKEN: dict[str, Callable[[Path], bytes]] = {
    "empty.png": lambda _: b"",
    "empty.jpg": lambda _: b"",
    "empty.tif": lambda _: b"",
    "text.png": lambda _: b"these are words\nand more words\n",
    "text.tif": lambda _: b"these are words\nand more words\n",
    "magic.png": lambda _: b"\x89PNG\r\n\x1a\n",
    "cut.png": cut_off(".png"),
    "cut.jpg": cut_off(".jpg"),
    "cut.tif": cut_off(".tif"),
    "cut.webp": cut_off(".webp"),
    "deep-cut.png": lambda _: deep_png(noise(30, 30, 3, np.uint16))[:-400],
    "deep-cut-late.png": lambda _: deep_png(noise(30, 30, 3, np.uint16))[:-40],
    "deep-half-row.png": lambda _: png(4, 4, 16, 2, (b"\0" + bytes(24)) * 3 + bytes(12)),
    "deep-filter.png": lambda _: png(4, 4, 16, 6, (b"\7" + bytes(32)) * 4),
    "deep-no-rows.png": lambda _: png(4, 4, 16, 4, b""),
    "deep-flipped.png": flipped_deep_png,
    "deep-vast.png": lambda _: png(60_000, 60_000, 16, 2, b"\0"),
    "large.png": lambda _: png(10_000, 9_000, 1, 0, b"\0"),
    "huge.png": lambda _: png(60_000, 60_000, 1, 0, b"\0"),
    "vast.png": lambda _: png(2**31 - 1, 2**31 - 1, 8, 2, b"\0"),
    "float.tif": float_tiff,
}


class TestUnreadable:
    @pytest.mark.parametrize("name", list(BROKEN))
    def test_one_sentence_with_the_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(BROKEN[name](tmp_path))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            refusal = picture_or_refusal(tmp_path / name)
        assert isinstance(refusal, str)
        assert name in refusal
        assert "\n" not in refusal
        assert [str(warning.message) for warning in warned] == []

    @pytest.mark.parametrize("name", ["empty.png", "text.tif", "cut.jpg", "huge.png"])
    def test_no_words_of_the_decoders(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(BROKEN[name](tmp_path))
        with pytest.raises(PictureError) as caught:
            read_picture(tmp_path / name)
        assert not {"plugin", "uri", "unknown"} & set(str(caught.value).replace(".", " ").split())

    @pytest.mark.parametrize("name", ["missing.png", "missing.tif"])
    def test_missing(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(PictureError, match=rf"{name}.*[Nn]o such file"):
            read_picture(tmp_path / name)

    def test_folder(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").mkdir()
        with pytest.raises(PictureError, match=r"x\.png.*directory"):
            read_picture(tmp_path / "x.png")


REASONS = {
    "empty": (b"", "it is empty"),
    "text": (b"these are words\n", "it is text"),
    "unicode": ("Wörter, mehr Wörter".encode("utf-16"), "it is text"),
    "page": (b"<!DOCTYPE html><html>", "a web page"),
    "svg": (b'<?xml version="1.0"?><svg/>', "SVG"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "PostScript"),
    "video": (b"\0\0\0\x18ftypisom" + bytes(60), "a video"),
    "film": (b"\x1a\x45\xdf\xa3" + bytes(60), "a video"),
    "avi": (b"RIFF\0\0\0\0AVI LIST" + bytes(60), "a video"),
    "raw": (b"\0\0\0\x18ftypcrx " + bytes(60), "raw file"),
    "zip": (b"PK\x03\x04" + bytes(60), "a ZIP archive"),
    "jxl": (b"\xff\x0a" + bytes(60), "JPEG XL"),
    "exr": (b"\x76\x2f\x31\x01" + bytes(60), "floating point"),
    "nothing known": (bytes(range(128, 200)), "in no format"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0", "PNG file that is damaged or cut off"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG file that is damaged"),
}


class TestReasons:
    @pytest.mark.parametrize("kind", list(REASONS))
    def test_what_the_file_is_is_told(self, tmp_path: Path, kind: str) -> None:
        content, reason = REASONS[kind]
        (tmp_path / "x.png").write_bytes(content)
        with pytest.raises(PictureError, match=rf"^cannot read {tmp_path}/x\.png as a picture: [^\n]*{reason}"):
            read_picture(tmp_path / "x.png")

    def test_heic_without_its_reader(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        (tmp_path / "x.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))
        with pytest.raises(PictureError, match=r"HEIC.*pip install pillow-heif"):
            read_picture(tmp_path / "x.jpg")
        assert ".heic" not in readable_endings()

    def test_a_raw_file_by_its_ending(self, tmp_path: Path) -> None:
        (tmp_path / "x.NEF").write_bytes(b"MM\0*" + bytes(60))
        with pytest.raises(PictureError):
            read_picture(tmp_path / "x.NEF")

    def test_a_bundle(self, tiny_bundle_path: Path) -> None:
        with pytest.raises(PictureError, match="it is a bundle"):
            read_picture(tiny_bundle_path)

    def test_endings(self) -> None:
        assert set(WRITABLE) <= readable_endings()
        assert not {".eps", ".svg", ".pdf", ".nef"} & readable_endings()

    def test_nothing_is_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ghostscript, which Pillow would start."""
        (tmp_path / "x.png").write_bytes(REASONS["eps"][0])
        monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
        with pytest.raises(PictureError):
            read_picture(tmp_path / "x.png")


def vast_tiff(folder: Path, dtype: Any) -> bytes:
    """Of 60,000x60,000 pixels, as it says."""
    tifffile.imwrite(folder / "small", np.zeros((5, 6, 3), dtype), photometric="rgb")
    with tifffile.TiffFile(folder / "small", mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages.first.tags[name].overwrite(60_000)
    return (folder / "small").read_bytes()


class TestLimits:
    @pytest.mark.parametrize("kind", ["png", "deep png", "tif", "deep tif"])
    def test_too_many_pixels_are_refused_with_their_number(self, tmp_path: Path, kind: str) -> None:
        content = {
            "png": lambda: png(60_000, 60_000, 8, 2, b"\0"),
            "deep png": lambda: png(60_000, 60_000, 16, 2, b"\0"),
            "tif": lambda: vast_tiff(tmp_path, np.uint8),
            "deep tif": lambda: vast_tiff(tmp_path, np.uint16),
        }[kind]()
        (tmp_path / "x").write_bytes(content)
        tracemalloc.start()
        with pytest.raises(PictureError, match=r"3,600,000,000 pixels, and 178,956,970 .*SINGAN_TK_MAX_PIXELS"):
            read_picture(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 50e6
        tracemalloc.stop()

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("ending", [".png", ".tif"])
    def test_another_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any, ending: str) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        write_picture(Picture(noise(9, 13, 3, dtype)), tmp_path / f"x{ending}")
        monkeypatch.setenv("SINGAN_TK_MAX_PIXELS", "116")
        with pytest.raises(PictureError, match=r"117 pixels, and 116 at most"):
            read_picture(tmp_path / f"x{ending}")
        monkeypatch.setenv("SINGAN_TK_MAX_PIXELS", "117")
        assert read_picture(tmp_path / f"x{ending}").size == (9, 13)

    def test_a_higher_limit_than_pillows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
        write_picture(Picture(noise(9, 13, 3)), tmp_path / "x.png")
        with pytest.raises(PictureError):
            read_picture(tmp_path / "x.png")
        monkeypatch.setenv("SINGAN_TK_MAX_PIXELS", "200")
        assert read_picture(tmp_path / "x.png").size == (9, 13)

    @pytest.mark.parametrize("value", ["many", "-5", "0", "9" * 5000])
    def test_no_limit_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        write_picture(Picture(noise(9, 13, 3)), tmp_path / "x.png")
        monkeypatch.setenv("SINGAN_TK_MAX_PIXELS", value)
        with pytest.raises(PictureError, match=r"SINGAN_TK_MAX_PIXELS is .*: give it a number"):
            read_picture(tmp_path / "x.png")


class TestHostile:
    @pytest.mark.parametrize("kind", ["deep.tif", "planar.tif", "deep.png", "profile.png", "plain.tif"])
    @quick
    @given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
    def test_changed_bytes(
        self, tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[int, int]], at_the_end: bool
    ) -> None:
        path = tmp_path_factory.mktemp("hostile") / kind
        pixels = noise(12, 10, 3, np.uint8 if kind[0] == "p" and kind != "planar.tif" else np.uint16)
        if kind == "planar.tif":
            tifffile.imwrite(path, pixels.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
        else:
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
            write_picture(Picture(pixels, tags=Tags(profile, (72.0, 72.0))), path)
        content = bytearray(path.read_bytes())
        for place, value in changes:
            content[(-1 - place if at_the_end else place) % len(content)] = value
        path.write_bytes(content)
        outcome = picture_or_refusal(path)
        if isinstance(outcome, str):
            assert "\n" not in outcome
        else:
            assert outcome.pixels.nbytes < 20e6

    @pytest.mark.parametrize("options", [{}, {"rowsperstrip": 4}, {"compression": "zlib"}, {"tile": (16, 16)}])
    def test_a_deep_tiff_that_is_cut_off(self, tmp_path: Path, options: dict[str, Any]) -> None:
        tifffile.imwrite(tmp_path / "x.tif", noise(40, 50, 3, np.uint16), photometric="rgb", **options)
        content = (tmp_path / "x.tif").read_bytes()
        (tmp_path / "x.tif").write_bytes(content[:-100])
        assert "cut off" in str(picture_or_refusal(tmp_path / "x.tif"))

    def test_a_deep_tiff_with_fewer_strips_than_it_has_rows_for(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "x.tif", noise(40, 50, 3, np.uint16), photometric="rgb", rowsperstrip=4)
        with tifffile.TiffFile(tmp_path / "x.tif", mode="r+b") as file:
            file.pages.first.tags["ImageLength"].overwrite(400)
        assert "cut off" in str(picture_or_refusal(tmp_path / "x.tif"))

    def test_no_words_on_the_terminal(self, tmp_path: Path) -> None:
        """Nor in its logs, where nobody asked for them."""
        (tmp_path / "x.png").write_bytes(deep_png(noise(11, 13, 3, np.uint16), interlaced=True))
        (tmp_path / "x.tif").write_bytes(vast_tiff(tmp_path, np.uint16))
        code = "import sys; from singan_toolkit.imaging.pictures import *; read_picture(sys.argv[1])"
        code += "\ntry: read_picture(sys.argv[2])\nexcept PictureError: pass"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "x.png"), str(tmp_path / "x.tif")],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
