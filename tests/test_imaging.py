"""Pictures, masks, pasting, compositing and contact sheets."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from scipy.ndimage import gaussian_filter

from singan_toolkit.imaging.composite import blend, carry_up
from singan_toolkit.imaging.decoding import Tags
from singan_toolkit.imaging.masks import feather, mask_of
from singan_toolkit.imaging.paste import paste
from singan_toolkit.imaging.pictures import (
    PICTURE_ENDINGS,
    WRITABLE,
    Picture,
    PictureError,
    encode_picture,
    read_picture,
    readable_endings,
    write_picture,
)
from singan_toolkit.imaging.sheet import contact_sheet
from singan_toolkit.imaging.tensors import to_bytes, to_rgb, to_tensor
from singan_toolkit.pyramid.resample import resize

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def noise(height: int, width: int, channels: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def blocks() -> np.ndarray:
    """Four flat colours of 16x24 pixels each, which JPEG keeps nearly; no turn or flip maps them onto themselves."""
    picture = np.empty((32, 48, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:] = (220, 30, 30), (30, 200, 40)
    picture[16:, :24], picture[16:, 24:] = (40, 40, 210), (230, 220, 60)
    return picture


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, color_type: int, rows: bytes, extra: bytes = b"", interlaced: bool = False
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def deep_png(pixels: np.ndarray, extra: bytes = b"", interlaced: bool = False) -> bytes:
    """(H, W, C), uint16, as a PNG without filters."""
    passes = [pixels[y::rows, x::columns] for y, x, rows, columns in ADAM7] if interlaced else [pixels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    height, width, channels = pixels.shape
    return png(width, height, 16, COLOR_TYPES[channels], rows, extra, interlaced)


def deep_png_pixels(content: bytes) -> np.ndarray:
    """(H, W, C), uint16, of a PNG of 16 bits that is not interlaced."""
    chunks, start = dict[bytes, bytes](), 8
    while start < len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        chunks[kind] = chunks.get(kind, b"") + content[start + 8 : start + 8 + length]
        start += length + 12
    width, height, depth, color_type, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, rest) == (16, [0, 0, 0])
    step = 2 * {kind: channels for channels, kind in COLOR_TYPES.items()}[color_type]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + step * width).astype(int)
    values = np.zeros((height + 1, step + step * width), int)
    for row, line in enumerate(lines, 1):
        for column, value in enumerate(line[1:], step):
            left, up, corner = values[row, column - step], values[row - 1, column], values[row - 1, column - step]
            paeth = min((left, up, corner), key=lambda near: abs(left + up - corner - near))
            predicted = (0, left, up, (left + up) // 2, paeth)[line[0]]
            values[row, column] = (value + predicted) % 256
    return values[1:, step:].astype(np.uint8).view(">u2").reshape(height, width, -1).astype(np.uint16)


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("ending", "channels", "dtype"),
        [
            *[(".png", channels, dtype) for channels in (1, 2, 3, 4) for dtype in (np.uint8, np.uint16)],
            *[(".webp", channels, np.uint8) for channels in (3, 4)],
            *[(".tif", channels, dtype) for channels in (1, 2, 3, 4) for dtype in (np.uint8, np.uint16)],
            (".tiff", 3, np.uint16),
            *[(".bmp", channels, np.uint8) for channels in (1, 3)],
            (".PNG", 3, np.uint8),
            (".TIF", 4, np.uint16),
        ],
    )
    def test_lossless(self, tmp_path: Path, ending: str, channels: int, dtype: Any) -> None:
        pixels = noise(9, 13, channels, dtype)
        write_picture(Picture(pixels), tmp_path / f"x{ending}")
        back = read_picture(tmp_path / f"x{ending}")
        assert back.pixels.dtype == dtype
        np.testing.assert_array_equal(back.pixels, pixels)
        assert back.name == f"x{ending}"

    @pytest.mark.parametrize("ending", [".png", ".tif"])
    @pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
    def test_other_programs_read_it(self, tmp_path: Path, ending: str, channels: int, mode: str) -> None:
        pixels = noise(9, 13, channels)
        write_picture(Picture(pixels), tmp_path / f"x{ending}")
        with Image.open(tmp_path / f"x{ending}") as image:
            assert (image.mode, image.size) == (mode, (13, 9))
            np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize(("height", "width"), [(9, 13), (1, 1), (40, 30)])
    def test_sixteen_bit_png_by_hand(self, tmp_path: Path, height: int, width: int, channels: int) -> None:
        pixels = noise(height, width, channels, np.uint16) // np.arange(1, width + 1, dtype=np.uint16)[:, None]
        write_picture(Picture(pixels), tmp_path / "x.png")
        np.testing.assert_array_equal(deep_png_pixels((tmp_path / "x.png").read_bytes()), pixels)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_a_tiff_has_one_page_of_known_samples(self, tmp_path: Path, channels: int, dtype: Any) -> None:
        write_picture(Picture(noise(9, 13, channels, dtype)), tmp_path / "x.tif")
        with tifffile.TiffFile(tmp_path / "x.tif") as file:
            assert len(file.pages) == 1
            page = file.pages.first
            assert page.shape[:2] == (9, 13)
            assert page.photometric == (tifffile.PHOTOMETRIC.MINISBLACK if channels < 3 else tifffile.PHOTOMETRIC.RGB)
            assert page.extrasamples == ((tifffile.EXTRASAMPLE.UNASSALPHA,) if channels in (2, 4) else ())

    @pytest.mark.parametrize("channels", [1, 2])
    def test_grey_webp_comes_back_as_equal_colours(self, tmp_path: Path, channels: int) -> None:
        picture = Picture(noise(9, 13, channels))
        write_picture(picture, tmp_path / "x.webp")
        back = read_picture(tmp_path / "x.webp")
        np.testing.assert_array_equal(back.rgb, picture.rgb)
        assert (back.alpha is None) == (picture.alpha is None)

    @pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".JPG"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_jpeg_is_close(self, tmp_path: Path, ending: str, channels: int) -> None:
        rows, columns = np.mgrid[:32, :40]
        pixels = np.stack([rows * 7, columns * 6, 250 - rows * 3], axis=-1).astype(np.uint8)[..., :channels]
        write_picture(Picture(pixels), tmp_path / f"x{ending}")
        back = read_picture(tmp_path / f"x{ending}").pixels
        assert back.shape == pixels.shape
        assert np.abs(back.astype(int) - pixels).mean() < 2
        assert np.abs(back.astype(int) - pixels).max() < 16


def picture_or_refusal(path: Path) -> Picture | str:
    try:
        return read_picture(path)
    except PictureError as error:
        return str(error)


class TestReading:
    def test_palette(self, tmp_path: Path) -> None:
        image = Image.fromarray(blocks()).quantize(8)
        image.save(tmp_path / "x.png")
        np.testing.assert_array_equal(read_picture(tmp_path / "x.png").pixels, np.asarray(image.convert("RGB")))

    @pytest.mark.parametrize("ending", ["png", "gif"])
    def test_transparent_palette_entry_is_alpha(self, tmp_path: Path, ending: str) -> None:
        indices = np.zeros((6, 8), np.uint8)
        indices[2:4, 3:6] = 1
        image = Image.fromarray(indices, "P")
        image.putpalette([0, 0, 0, 250, 20, 20])
        image.save(tmp_path / f"x.{ending}", transparency=0)
        picture = read_picture(tmp_path / f"x.{ending}")
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, indices)
        np.testing.assert_array_equal(picture.pixels[2, 3, :3], (250, 20, 20))

    def test_transparent_colour_is_alpha(self, tmp_path: Path) -> None:
        pixels = blocks()
        Image.fromarray(pixels).save(tmp_path / "x.png", transparency=(220, 30, 30))
        picture = read_picture(tmp_path / "x.png")
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, (pixels != (220, 30, 30)).any(axis=2))

    def test_one_bit(self, tmp_path: Path) -> None:
        bits = np.random.default_rng(0).random((9, 13)) > 0.5
        Image.fromarray(bits).save(tmp_path / "x.png")
        np.testing.assert_array_equal(read_picture(tmp_path / "x.png").pixels[..., 0], bits * 255)

    def test_sixteen_bit_grey_png(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(png(2, 2, 16, 0, b"\0\x01\x02\xff\xff\0\x00\x00\x80\x01"))
        picture = read_picture(tmp_path / "x.png")
        assert picture.white == 65535
        assert picture.pixels[..., 0].tolist() == [[0x0102, 0xFFFF], [0, 0x8001]]

    @pytest.mark.parametrize("interlaced", [False, True])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize(("height", "width"), [(11, 13), (1, 1), (70, 90)])
    def test_sixteen_bit_png(self, tmp_path: Path, height: int, width: int, channels: int, interlaced: bool) -> None:
        pixels = noise(height, width, channels, np.uint16)
        (tmp_path / "x.png").write_bytes(deep_png(pixels, interlaced=interlaced))
        picture = read_picture(tmp_path / "x.png")
        assert picture.white == 65535
        np.testing.assert_array_equal(picture.pixels, pixels)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_transparent_colour_of_sixteen_bits_is_alpha(self, tmp_path: Path, channels: int) -> None:
        pixels = noise(11, 13, channels, np.uint16)
        pixels[3:6, 2:9] = pixels[0, 0]
        pixels[4, 4] ^= 1
        (tmp_path / "x.png").write_bytes(deep_png(pixels, png_chunk(b"tRNS", pixels[0, 0].astype(">u2").tobytes())))
        picture = read_picture(tmp_path / "x.png")
        np.testing.assert_array_equal(picture.pixels[..., :-1], pixels)
        np.testing.assert_array_equal(picture.alpha, (pixels != pixels[0, 0]).any(axis=2))

    @pytest.mark.parametrize(
        "extra",
        [
            png_chunk(b"gAMA", struct.pack(">I", 100_000)),
            png_chunk(b"cICP", bytes([9, 16, 0, 1])),
            png_chunk(b"sBIT", bytes([12, 12, 12])),
            png_chunk(b"bKGD", bytes(6)),
        ],
    )
    def test_no_colour_management_of_sixteen_bits(self, tmp_path: Path, extra: bytes) -> None:
        pixels = noise(11, 13, 3, np.uint16)
        (tmp_path / "x.png").write_bytes(deep_png(pixels, extra))
        np.testing.assert_array_equal(read_picture(tmp_path / "x.png").pixels, pixels)

    @pytest.mark.parametrize(
        ("orientation", "upright"),
        [
            (1, lambda stored: stored),
            (2, np.fliplr),
            (3, lambda stored: np.rot90(stored, 2)),
            (4, np.flipud),
            (5, lambda stored: stored.transpose(1, 0, 2)),
            (6, lambda stored: np.rot90(stored, -1)),
            (7, lambda stored: np.rot90(stored, 2).transpose(1, 0, 2)),
            (8, np.rot90),
        ],
    )
    @pytest.mark.parametrize("kind", ["jpg", "tif", "png", "webp", "deep png", "deep tif"])
    def test_exif_orientation(
        self, tmp_path: Path, kind: str, orientation: int, upright: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        exif = Image.Exif()
        exif[0x112] = orientation
        path = tmp_path / f"x.{kind[-4:].strip()}"
        stored = blocks() if "deep" not in kind else blocks().astype(np.uint16) * 257
        if kind == "deep png":
            extra = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
            path.write_bytes(deep_png(stored, extra))
        elif kind == "deep tif":
            tifffile.imwrite(path, stored, photometric="rgb", extratags=[(0x112, 3, 1, orientation, True)])
        else:
            options: dict[str, Any] = dict(quality=95, subsampling=0) if kind == "jpg" else dict(lossless=True)
            Image.fromarray(stored).save(path, exif=exif, dpi=(300, 200), **options)
        picture = read_picture(path)
        expected = upright(stored)
        assert picture.pixels.shape == expected.shape
        assert np.abs(picture.pixels / picture.white - expected / picture.white).max() < 20 / 255
        if kind in ("jpg", "tif", "png"):
            assert picture.tags.dpi == pytest.approx((200, 300) if orientation > 4 else (300, 200), rel=1e-3)

    @pytest.mark.parametrize(
        ("kind", "ending"),
        [
            ("CMYK", "jpg"),
            ("CMYK", "tif"),
            ("LAB", "tif"),
            ("P", "tif"),
            ("miniswhite", "tif"),
            ("planes", "tif"),
            ("LA", "tif"),
        ],
    )
    def test_other_colour_models_are_converted_or_refused(self, tmp_path: Path, kind: str, ending: str) -> None:
        path = tmp_path / f"x.{ending}"
        expected = blocks()
        if kind == "miniswhite":
            expected = noise(9, 13, 1).repeat(3, axis=2)
            tifffile.imwrite(path, 255 - expected[..., 0], photometric="miniswhite")
        elif kind == "planes":
            tifffile.imwrite(path, expected.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
        elif kind == "LA":
            expected = noise(9, 13, 1).repeat(3, axis=2)
            Image.fromarray(expected).convert("LA").save(path)
        else:
            image = Image.fromarray(expected)
            (image.quantize(8) if kind == "P" else image.convert(kind)).save(path)
        outcome = picture_or_refusal(path)
        if isinstance(outcome, str):
            assert path.name in outcome
        else:
            assert outcome.alpha is None or outcome.alpha.min() == 1
            assert np.abs(outcome.rgb * 255 - expected).max() < 12

    @pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
    def test_compressed_tiff(self, tmp_path: Path, compression: str) -> None:
        pixels = noise(9, 13, 3)
        Image.fromarray(pixels).save(tmp_path / "x.tif", compression=compression)
        np.testing.assert_array_equal(read_picture(tmp_path / "x.tif").pixels, pixels)

    @pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
    def test_first_of_several_pictures(self, tmp_path: Path, ending: str) -> None:
        first, second = (Image.new("RGB", (10, 8), color) for color in ((250, 0, 0), (0, 0, 250)))
        options: dict[str, Any] = dict(lossless=True) if ending == "webp" else {}
        first.save(tmp_path / f"x.{ending}", save_all=True, append_images=[second], **options)
        pixels = read_picture(tmp_path / f"x.{ending}").pixels
        assert pixels.shape == (8, 10, 3)
        assert (pixels == (250, 0, 0)).all()

    def test_the_ending_of_a_file_does_not_matter(self, tmp_path: Path) -> None:
        pixels = noise(9, 13, 3)
        Image.fromarray(pixels).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(tmp_path / "x.tif")
        np.testing.assert_array_equal(read_picture(tmp_path / "x.tif").pixels, pixels)

    def test_text_path(self, tmp_path: Path) -> None:
        Image.fromarray(blocks()).save(tmp_path / "x.png")
        np.testing.assert_array_equal(read_picture(str(tmp_path / "x.png")).pixels, blocks())


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
        assert ".heic" in PICTURE_ENDINGS

    def test_a_raw_file_by_its_ending(self, tmp_path: Path) -> None:
        (tmp_path / "x.NEF").write_bytes(b"MM\0*" + bytes(60))
        with pytest.raises(PictureError):
            read_picture(tmp_path / "x.NEF")

    def test_a_bundle(self, tiny_bundle_path: Path) -> None:
        with pytest.raises(PictureError, match="it is a bundle"):
            read_picture(tiny_bundle_path)

    def test_endings(self) -> None:
        assert set(WRITABLE) <= readable_endings() <= PICTURE_ENDINGS
        assert not {".eps", ".svg", ".pdf", ".nef"} & readable_endings()
        assert {".eps", ".svg", ".nef", ".heic", ".avif"} <= PICTURE_ENDINGS

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


class TestWriting:
    @pytest.mark.parametrize("name", ["x.gif", "x.txt", "x", "x.png.bak"])
    def test_unknown_ending(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(PictureError, match=r"\.png"):
            write_picture(Picture(noise(4, 5, 3)), tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("ending", "channels", "dtype"),
        [
            *[(ending, channels, np.uint8) for ending in (".jpg", ".jpeg", ".JPG", ".bmp") for channels in (2, 4)],
            *[(ending, channels, np.uint16) for ending in (".jpg", ".webp", ".bmp") for channels in (1, 3)],
        ],
    )
    def test_a_format_that_cannot_hold_it(self, tmp_path: Path, ending: str, channels: int, dtype: Any) -> None:
        target = tmp_path / f"x{ending}"
        target.write_bytes(b"old")
        with pytest.raises(PictureError, match=r"moon.*write \.(png|tif)"):
            write_picture(Picture(noise(4, 5, channels, dtype), "moon"), target)
        assert target.read_bytes() == b"old"

    @pytest.mark.parametrize("ending", WRITABLE)
    def test_encoded_bytes_are_the_file(self, tmp_path: Path, ending: str) -> None:
        picture = Picture(noise(4, 5, 3))
        write_picture(picture, tmp_path / f"x{ending}")
        assert (tmp_path / f"x{ending}").read_bytes() == encode_picture(picture, ending)

    def test_failure_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target = tmp_path / "x.png"
        target.write_bytes(b"old")

        def disk_full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", disk_full)
        with pytest.raises(PictureError, match=r"x\.png.*[Nn]o space left"):
            write_picture(Picture(noise(4, 5, 3)), target)
        assert target.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [target]

    def test_replaces_and_makes_folders(self, tmp_path: Path) -> None:
        target = tmp_path / "a" / "b" / "x.png"
        for seed in (0, 1):
            write_picture(Picture(noise(4, 5, 3, seed=seed)), target)
            np.testing.assert_array_equal(read_picture(target).pixels, noise(4, 5, 3, seed=seed))

    def test_permissions_are_the_usual_ones(self, tmp_path: Path) -> None:
        (tmp_path / "plain").touch()
        write_picture(Picture(noise(4, 5, 3)), tmp_path / "x.png")
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "x.png")]
        assert modes[0] == modes[1]

    def test_parent_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(PictureError, match=r"x\.png"):
            write_picture(Picture(noise(4, 5, 3)), tmp_path / "file" / "x.png")
        assert (tmp_path / "file").read_bytes() == b"old"


class TestPicture:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_views(self, channels: int, dtype: Any) -> None:
        pixels = noise(4, 5, channels, dtype)
        picture = Picture(pixels)
        assert picture.size == (4, 5)
        assert picture.grey == (channels < 3)
        colors = pixels[..., [0, 0, 0]] if channels < 3 else pixels[..., :3]
        np.testing.assert_allclose(picture.rgb, colors / picture.white, rtol=1e-6)
        if channels in (1, 3):
            assert picture.alpha is None
        else:
            assert picture.alpha is not None
            np.testing.assert_allclose(picture.alpha, pixels[..., -1] / picture.white, rtol=1e-6)

    @quick
    @given(st.integers(0, 2**32), st.sampled_from([np.uint8, np.uint16]), st.integers(1, 4))
    def test_its_own_colours_change_nothing(self, seed: int, dtype: Any, channels: int) -> None:
        picture = Picture(noise(5, 4, channels, dtype, seed), "x")
        again = picture.with_rgb(picture.rgb)
        np.testing.assert_array_equal(again.pixels, picture.pixels)
        assert again.pixels.dtype == dtype
        assert again.name == "x"

    def test_colours_change_only_where_asked(self) -> None:
        pixels = noise(4, 5, 4)
        where = np.zeros((4, 5), bool)
        where[1, 2] = True
        changed = Picture(pixels).with_rgb(np.full((4, 5, 3), 1.7, np.float32), where).pixels
        np.testing.assert_array_equal(changed[1, 2], [255, 255, 255, pixels[1, 2, 3]])
        np.testing.assert_array_equal(changed[~where], pixels[~where])

    def test_grey_takes_the_luminance(self) -> None:
        green = np.zeros((1, 1, 3), np.float32)
        green[..., 1] = 1
        changed = Picture(np.zeros((1, 1, 1), np.uint8)).with_rgb(green).pixels
        assert changed.shape == (1, 1, 1)
        assert 150 < changed.item() < 190

    def test_tensors_and_back(self) -> None:
        pixels = noise(4, 5, 3)
        assert to_tensor(pixels).shape == (1, 3, 4, 5)
        assert to_tensor(np.array([[[0, 128, 255]]], np.uint8)).flatten().tolist() == pytest.approx(
            [-1, 1 / 255, 1], abs=1e-6
        )
        np.testing.assert_array_equal(to_bytes(to_tensor(pixels)[0]), pixels)
        np.testing.assert_array_equal(to_bytes(to_tensor(Picture(pixels).rgb)[0]), pixels)
        assert to_rgb(torch.full((3, 1, 1), 3.0)).max() == 1


class TestMask:
    def test_white_is_the_object(self) -> None:
        pixels = np.zeros((4, 6, 1), np.uint8)
        pixels[1:3, 2:5] = 255
        mask = mask_of(Picture(pixels), (4, 6))
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, pixels[..., 0] > 0)

    def test_jpeg_noise(self, tmp_path: Path) -> None:
        pixels = np.zeros((40, 56, 3), np.uint8)
        pixels[9:27, 13:43] = 255
        Image.fromarray(pixels).save(tmp_path / "mask.jpg", quality=70)
        picture = read_picture(tmp_path / "mask.jpg")
        assert len(np.unique(picture.pixels)) > 2
        np.testing.assert_array_equal(mask_of(picture, (40, 56)), pixels[..., 0] > 0)

    @pytest.mark.parametrize(("dtype", "half"), [(np.uint8, 128), (np.uint16, 32768)])
    def test_grey_counts_from_one_half(self, dtype: Any, half: int) -> None:
        white = np.iinfo(dtype).max
        pixels = np.array([[[0], [0], [0], [half - 1], [half], [white]]], dtype)
        assert mask_of(Picture(pixels), (1, 6)).tolist() == [[False] * 4 + [True] * 2]

    def test_transparent_white_does_not_count(self) -> None:
        pixels = np.full((1, 3, 4), 255, np.uint8)
        pixels[0, 1, 3] = 0
        assert mask_of(Picture(pixels), (1, 3)).tolist() == [[True, False, True]]

    @pytest.mark.parametrize("ending", ["png", "jpg", "palette", "webp"])
    @pytest.mark.parametrize(
        ("ground", "stroke"),
        [
            ((0, 0, 0), (255, 0, 0)),
            ((0, 0, 0), (0, 200, 0)),
            ((0, 0, 0), (128, 0, 0)),
            ((0, 0, 0), (255, 255, 255)),
            ((255, 255, 255), (230, 20, 20)),
            ((255, 255, 255), (0, 0, 255)),
            (None, (0, 0, 0)),
            (None, (255, 255, 255)),
            (None, (255, 0, 0)),
            (None, (90, 90, 90)),
        ],
    )
    def test_the_stroke_is_what_is_marked(self, tmp_path: Path, ground: Any, stroke: Any, ending: str) -> None:
        where = np.zeros((60, 90), bool)
        where[20:30, 40:55] = True
        if ground is None:
            pixels = np.where(where[..., None], np.array([*stroke, 255], np.uint8), np.zeros(4, np.uint8))
        else:
            pixels = np.where(where[..., None], np.array(stroke, np.uint8), np.array(ground, np.uint8))
        image = Image.fromarray(pixels)
        if ending == "palette":
            image = image.quantize(8)
        path = tmp_path / ("m.png" if ending == "palette" or ground is None else f"m.{ending}")
        image.save(path)
        assert (mask_of(read_picture(path), (60, 90)) != where).sum() <= 10

    @pytest.mark.parametrize("spread", [1, 3, 8])
    @pytest.mark.parametrize("shaped_by_alpha", [False, True])
    def test_a_soft_brush_counts_from_one_half(self, spread: float, shaped_by_alpha: bool) -> None:
        where = np.zeros((90, 120))
        where[30:60, 40:80] = 1
        soft = np.rint(gaussian_filter(where, spread) * 255).astype(np.uint8)[..., None]
        pixels = np.concatenate([np.zeros_like(soft), soft], axis=2) if shaped_by_alpha else soft
        np.testing.assert_array_equal(mask_of(Picture(pixels), (90, 120)), soft[..., 0] >= 128)

    @pytest.mark.parametrize(
        ("pixels", "found"),
        [
            (np.kron([[0, 85], [0, 0]], np.ones((9, 9)))[..., None], "grey, brightest 85 of 255"),
            (np.kron([[0, 1], [0, 0]], np.ones((9, 9)))[..., None], "grey, brightest 1 of 255"),
            (np.kron([[255, 180], [255, 255]], np.ones((9, 9)))[..., None], "grey, darkest 180 of 255"),
            (np.kron([[128, 128], [128, 255]], np.ones((9, 9)))[..., None], "grey, darkest 128 of 255"),
            (np.pad(np.zeros((5, 5, 1)), ((9, 9), (9, 9), (0, 0)), constant_values=255), "looks inverted: 9"),
            (np.stack([np.zeros((9, 9)), np.eye(9) * 76], axis=2), "alpha, whose largest value is 76"),
            (skimage.data.astronaut()[::4, ::4], "looks like a photo"),
            (skimage.data.camera()[::4, ::4, None], "looks like a photo"),
            (
                np.dstack([skimage.data.astronaut()[::4, ::4], np.tri(128) * 255]),
                "where its alpha shows .* like a photo",
            ),
            (skimage.data.brick()[::4, ::4, None], "is grey, .* in most places"),
            (np.repeat(np.array([[[0] * 3, [255] * 3, [255, 0, 0]]]), 9, axis=0), "black, white and colours"),
        ],
    )
    def test_what_is_not_plain_is_told(self, pixels: np.ndarray, found: str) -> None:
        picture = Picture(pixels.astype(np.uint8), "m.png")
        with pytest.raises(PictureError, match=rf"^mask m\.png.*{found}"):
            mask_of(picture, picture.size)

    def test_one_black_corner_lets_a_frame_pass(self) -> None:
        frame = np.pad(np.zeros((9, 9, 1), np.uint8), ((9, 9), (9, 9), (0, 0)), constant_values=255)
        frame[0, 0] = 0
        assert mask_of(Picture(frame), (27, 27)).sum() == 27 * 27 - 82

    def test_size_differs(self) -> None:
        pixels = np.zeros((4, 6, 1), np.uint8)
        pixels[0] = 255
        with pytest.raises(PictureError, match=r"m\.png is 6x4 .* 4x6"):
            mask_of(Picture(pixels, "m.png"), (6, 4))

    @pytest.mark.parametrize(("value", "word"), [(0, "black"), (255, "white")])
    def test_of_one_colour(self, value: int, word: str) -> None:
        with pytest.raises(PictureError, match=rf"m\.png is all {word}"):
            mask_of(Picture(np.full((4, 6, 1), value, np.uint8), "m.png"), (4, 6))


def distances(mask: np.ndarray) -> np.ndarray:
    """Of every pixel to the nearest in the mask, by trying all."""
    places = [(row, column) for row, column in np.ndindex(mask.shape) if mask[row, column]]
    return np.array(
        [
            [min(np.sqrt((row - r) ** 2 + (column - c) ** 2) for r, c in places) for column in range(mask.shape[1])]
            for row in range(mask.shape[0])
        ]
    )


class TestFeather:
    @quick
    @given(
        bits=st.integers(1, 8).flatmap(
            lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=8)
        ),
        grow=st.sampled_from([0.0, 0.5, 1.0, 1.7, 3.0]),
        fade=st.sampled_from([0.0, 0.5, 1.0, 2.3, 4.0]),
    )
    def test_against_all_distances(self, bits: list[list[bool]], grow: float, fade: float) -> None:
        mask = np.array(bits)
        assume(mask.any())
        weight = feather(mask, grow, fade)
        distance = distances(mask)
        assert weight.dtype == np.float32
        assert (weight[distance <= grow] == 1).all()
        assert (weight[distance > grow + fade] == 0).all()
        between = (distance > grow + 0.01) & (distance < grow + fade - 0.01)
        assert ((weight[between] > 0) & (weight[between] < 1)).all()
        outwards = weight.ravel()[np.argsort(distance, axis=None, kind="stable")]
        assert (np.diff(outwards) <= 1e-6).all()


def cutout(height: int = 2, width: int = 4, color: tuple[int, int, int] = (200, 100, 50)) -> Picture:
    """An opaque rectangle in a transparent frame one pixel wide."""
    pixels = np.zeros((height + 2, width + 2, 4), np.uint8)
    pixels[1:-1, 1:-1] = (*color, 255)
    return Picture(pixels, "cutout.png")


def background(height: int = 20, width: int = 30) -> Picture:
    return Picture(noise(height, width, 3, seed=5) // 2, "background.png")


class TestPaste:
    @pytest.mark.parametrize(
        ("at", "top", "left"),
        [
            ("center", 9, 13),
            ("top", 0, 13),
            ("bottom", 18, 13),
            ("left", 9, 0),
            ("right", 9, 26),
            ("top-left", 0, 0),
            ("top-right", 0, 26),
            ("bottom-left", 18, 0),
            ("bottom-right", 18, 26),
            ("7,3", 3, 7),
            ("0,0", 0, 0),
            ("0%,0%", 0, 0),
            ("100%,100%", 18, 26),
            ("50%,100%", 18, 13),
            ("10%,50%", 9, 3),
            ("12.5%,0%", 0, 3),
            ("-2,-1", -1, -2),
            ("29,19", 19, 29),
        ],
    )
    def test_place(self, at: str, top: int, left: int) -> None:
        pasted = paste(background(), cutout(), at=at)
        where = np.zeros((20, 30), bool)
        where[max(top, 0) : top + 2, max(left, 0) : left + 4] = True
        np.testing.assert_array_equal(pasted.mask, where)
        assert (pasted.picture.pixels[where] == (200, 100, 50)).all()
        np.testing.assert_array_equal(pasted.picture.pixels[~where], background().pixels[~where])
        assert pasted.note == ""

    def test_partly_outside_shows_the_right_part(self) -> None:
        pixels = np.zeros((3, 4, 4), np.uint8)
        pixels[:2, :3] = noise(2, 3, 4, seed=1)
        pixels[:2, :3, 3] = 255
        pasted = paste(background(), Picture(pixels), at="-1,-1")
        np.testing.assert_array_equal(pasted.picture.pixels[0, :2], pixels[1, 1:3, :3])

    @pytest.mark.parametrize("at", ["30,0", "0,20", "-4,0", "0,-2", "500,500"])
    def test_fully_outside(self, at: str) -> None:
        with pytest.raises(PictureError, match=r"cutout\.png.*outside.*background\.png.*30x20"):
            paste(background(), cutout(), at=at)

    def test_only_a_transparent_corner_inside(self) -> None:
        pixels = np.zeros((6, 6, 4), np.uint8)
        pixels[0, 5] = pixels[5, 0] = 255
        with pytest.raises(PictureError, match="outside"):
            paste(background(), Picture(pixels, "cutout.png"), at="-5,-5")

    @pytest.mark.parametrize(
        ("size", "height", "width"),
        [("", 2, 4), ("8x6", 6, 8), ("8", 4, 8), ("8px", 4, 8), ("50%", 5, 10), ("100%", 10, 20), ("2x1", 1, 2)],
    )
    def test_size(self, size: str, height: int, width: int) -> None:
        pasted = paste(background(), cutout(), at="top-left", size=size)
        expected = np.zeros((20, 30), bool)
        expected[:height, :width] = True
        np.testing.assert_array_equal(pasted.mask, expected)
        assert (pasted.picture.pixels[expected] == (200, 100, 50)).all()

    def test_larger_than_the_background(self) -> None:
        pasted = paste(background(20, 30), cutout(30, 60), at="top-left")
        rows, columns = np.where(pasted.mask)
        assert 5 <= columns.max() + 1 <= 8
        assert 2 <= rows.max() + 1 <= 4
        assert "cutout.png" in pasted.note
        assert "%" in pasted.note

    @pytest.mark.parametrize("at", ["nowhere", "", "1;2", "a,b", "10%", "middle-left"])
    def test_bad_place(self, at: str) -> None:
        with pytest.raises(ValueError, match="center"):
            paste(background(), cutout(), at=at)

    @pytest.mark.parametrize("size", ["huge", "-5", "5x", "x5", "0x4", "4x0", "1000", "1000%"])
    def test_bad_size(self, size: str) -> None:
        with pytest.raises(ValueError, match="size"):
            paste(background(), cutout(), size=size)

    def test_alpha(self) -> None:
        alphas = np.array([[0, 1, 64, 127, 128, 254, 255]])
        colors = noise(1, 7, 3, seed=2)
        below = background(1, 7)
        pasted = paste(below, Picture(np.concatenate([colors, alphas[..., None].astype(np.uint8)], axis=2)), at="0,0")
        # The first two pixels are not seen and cropped away, so the third lies on the background's first.
        share = alphas[0, 2:, None] / 255
        expected = colors[0, 2:] * share + below.pixels[0, :5] * (1 - share)
        assert np.abs(pasted.picture.pixels[0, :5] - expected).max() < 0.501
        np.testing.assert_array_equal(pasted.picture.pixels[0, 5:], below.pixels[0, 5:])
        assert pasted.mask.tolist() == [[False, False, True, True, True, False, False]]

    def test_a_faint_object_leaves_a_mask(self) -> None:
        faint = cutout().pixels.copy()
        faint[..., 3] //= 3
        pasted = paste(background(), Picture(faint), at="3,4")
        assert pasted.mask[4:6, 3:7].all()

    @pytest.mark.parametrize(
        ("dtype", "channels", "expected"),
        [(np.uint16, 3, [65535] * 3), (np.uint8, 1, [255]), (np.uint16, 2, [65535] * 2), (np.uint8, 4, [255] * 4)],
    )
    def test_keeps_the_background_s_kind(self, dtype: Any, channels: int, expected: list[int]) -> None:
        pixels = np.full((5, 6, channels), 7, dtype)
        pasted = paste(Picture(pixels), cutout(color=(255, 255, 255)), at="1,1").picture.pixels
        assert pasted.dtype == dtype
        assert pasted[1, 1].tolist() == expected
        np.testing.assert_array_equal(pasted[0], pixels[0])

    def test_resizing_draws_no_halo_of_hidden_colours(self) -> None:
        rows, columns = np.mgrid[:12, :12]
        pixels = np.empty((12, 12, 4), np.uint8)
        pixels[...] = (0, 255, 0, 0)
        pixels[np.hypot(rows - 5.5, columns - 5.5) < 5] = (255, 0, 0, 255)
        black = Picture(np.zeros((20, 20, 3), np.uint8))
        for size in ("7", "17"):
            pasted = paste(black, Picture(pixels), size=size).picture.pixels
            assert pasted[..., 0].max() == 255
            assert pasted[..., 1].max() == 0

    def test_a_mask_stands_for_alpha(self) -> None:
        opaque = Picture(noise(4, 6, 3, seed=3), "opaque.png")
        mask = np.zeros((4, 6), bool)
        mask[1:3, 2:5] = True
        pasted = paste(background(), opaque, mask, at="0,0")
        np.testing.assert_array_equal(pasted.picture.pixels[:2, :3], opaque.pixels[1:3, 2:5])
        assert pasted.mask.sum() == 6

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_no_transparency(self, channels: int) -> None:
        with pytest.raises(PictureError, match=r"opaque\.png has no transparency"):
            paste(background(), Picture(np.full((4, 6, channels), 255, np.uint8), "opaque.png"))

    def test_fully_transparent(self) -> None:
        with pytest.raises(PictureError, match=r"clear\.png is fully transparent"):
            paste(background(), Picture(np.zeros((4, 6, 4), np.uint8), "clear.png"))


@st.composite
def changes(draw: st.DrawFn, same_size: bool = False) -> tuple[Picture, torch.Tensor, torch.Tensor, np.ndarray]:
    """A picture, the small picture before and after, and a weight of zeros, ones and what is between."""
    height, width = draw(st.integers(4, 14)), draw(st.integers(4, 14))
    small = (height, width)
    if not same_size and draw(st.booleans()):
        small = draw(st.integers(2, height)), draw(st.integers(2, width))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    pixels = noise(height, width, draw(st.integers(1, 4)), draw(st.sampled_from([np.uint8, np.uint16])))
    before, after = (torch.from_numpy(random.uniform(-1.2, 1.2, (1, 3, *small)).astype(np.float32)) for _ in range(2))
    weight = random.choice(np.array([0, 0, 1e-7, 0.3, 1], np.float32), (height, width))
    return Picture(pixels, "x"), before.clamp(-1, 1), after, weight


def carry_over(picture: Picture, before: torch.Tensor, after: torch.Tensor, weight: np.ndarray) -> Picture:
    """Carry a change up and lay it in, as edit and harmonize do."""
    return blend(picture, carry_up(picture.rgb, before, after), weight, np.zeros(picture.size, bool))


class TestCarryOver:
    @quick
    @given(changes())
    def test_outside_nothing_changes(self, change: tuple[Picture, torch.Tensor, torch.Tensor, np.ndarray]) -> None:
        picture, before, after, weight = change
        original = picture.pixels.copy()
        carried = carry_over(picture, before, after, weight)
        assert carried.pixels.dtype == original.dtype
        assert carried.pixels.shape == original.shape
        np.testing.assert_array_equal(carried.pixels[weight == 0], original[weight == 0])
        if original.shape[2] in (2, 4):
            np.testing.assert_array_equal(carried.pixels[..., -1], original[..., -1])
        np.testing.assert_array_equal(picture.pixels, original)

    @quick
    @given(changes(same_size=True))
    def test_inside_at_equal_size_it_is_after(
        self, change: tuple[Picture, torch.Tensor, torch.Tensor, np.ndarray]
    ) -> None:
        picture, before, after, weight = change
        carried = carry_over(picture, before, after, weight)
        wanted = Picture(np.zeros_like(picture.pixels)).with_rgb(to_rgb(after[0])).pixels
        color = slice(0, 1 if picture.grey else 3)
        inside = weight == 1
        difference = carried.pixels[inside, color].astype(int) - wanted[inside, color]
        assert np.abs(difference).max(initial=0) <= 1

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_a_change_is_added_and_detail_stays(self, channels: int, dtype: Any) -> None:
        white = np.iinfo(dtype).max
        pixels = (noise(12, 18, channels, dtype) // 2 + white // 8).astype(dtype)
        before = torch.zeros((1, 3, 4, 6))
        weight = np.zeros((12, 18), np.float32)
        weight[2:9, 3:12] = 1
        weight[9:11, 3:12] = 0.5
        carried = carry_over(Picture(pixels), before, before + 0.2, weight).pixels
        color = slice(0, 1 if channels < 3 else 3)
        expected = pixels[..., color] + 0.1 * white * weight[..., None]
        assert np.abs(carried[..., color] - expected).max() < 1

    @quick
    @given(changes())
    def test_no_change_changes_nothing(self, change: tuple[Picture, torch.Tensor, torch.Tensor, np.ndarray]) -> None:
        picture, before, _, weight = change
        assume(tuple(before.shape[-2:]) != picture.size)
        np.testing.assert_array_equal(carry_over(picture, before, before, weight).pixels, picture.pixels)

    def test_detail_of_what_was_painted_over_goes_and_that_of_what_was_recoloured_stays(self) -> None:
        coarse = torch.rand((1, 3, 24, 24), generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
        rgb = to_rgb(resize(coarse, (96, 96))[0])
        rgb[::2] = np.clip(rgb[::2] + 0.1, 0, 1)  # detail that 24 pixels cannot hold
        before = resize(to_tensor(rgb), (24, 24))
        other = torch.rand((1, 3, 24, 24), generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8

        def stripes(after: torch.Tensor) -> float:
            carried = carry_up(rgb, before, after)
            return float(np.abs(np.diff(carried, n=2, axis=0)).mean())

        smooth = float(np.abs(np.diff(to_rgb(resize(other, (96, 96))[0]), n=2, axis=0)).mean())
        assert stripes(before * 0.9) > 0.8 * stripes(before)
        assert stripes(other) - smooth < 0.4 * (stripes(before) - smooth)


def shows(sheet: Picture, pixels: np.ndarray) -> bool:
    """Whether a picture lies somewhere on a sheet, pixel for pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet.pixels, pixels.shape)
    return bool((windows == pixels).all(axis=(-3, -2, -1)).any())


class TestSheet:
    @pytest.mark.parametrize("number", [1, 2, 3, 5])
    def test_shows_all(self, number: int) -> None:
        pictures = [Picture(noise(10, 14, 3, seed=seed)) for seed in range(number)]
        sheet = contact_sheet(pictures, [""] * number)
        assert sheet.pixels.dtype == np.uint8
        assert sheet.pixels.shape[2] == 3
        assert all(shows(sheet, picture.pixels) for picture in pictures)
        assert not shows(sheet, noise(10, 14, 3, seed=99))

    def test_size(self) -> None:
        pictures = [Picture(noise(10, 14, 3))] * 6
        shapes = {columns: contact_sheet(pictures, [""] * 6, columns).size for columns in (1, 2, 6)}
        assert shapes[1][0] > 60 > shapes[1][1] > 14
        assert shapes[6][1] > 84 > shapes[6][0] > 10
        assert 30 < shapes[2][0] < shapes[1][0]
        assert 28 < shapes[2][1] < shapes[6][1]

    def test_large_pictures_are_shrunk_and_small_ones_stay(self) -> None:
        small = Picture(noise(10, 14, 3))
        height, width = contact_sheet([Picture(noise(100, 300, 3)), small], ["", ""], columns=1, cell=30).size
        assert width < 60
        assert height < 80
        assert shows(contact_sheet([Picture(noise(100, 300, 3)), small], ["", ""], cell=30), small.pixels)

    def test_grey_and_deep_pictures(self) -> None:
        grey, deep = noise(10, 14, 1), noise(10, 14, 3, np.uint16)
        sheet = contact_sheet([Picture(grey), Picture(deep)], ["", ""])
        assert shows(sheet, grey.repeat(3, axis=2))
        assert shows(sheet, np.rint(deep / 257).astype(np.uint8))

    def test_transparency_shows_the_paper(self) -> None:
        clear = np.zeros((10, 14, 4), np.uint8)
        sheet = contact_sheet([Picture(clear)], [""])
        assert sheet.pixels.min() > 200
        clear[..., 3] = 255
        assert contact_sheet([Picture(clear)], [""]).pixels.min() == 0

    def test_labels_are_drawn_beside_the_pictures(self) -> None:
        white = np.full((20, 60, 3), 255, np.uint8)
        plain, labelled = (contact_sheet([Picture(white)] * 2, labels) for labels in (["", ""], ["scale 1", "scale 2"]))
        assert plain.pixels.min() > 200
        assert labelled.pixels.min() < 100
        assert labelled.size[0] > plain.size[0]
        assert shows(labelled, white)
