"""Pictures as other programs write them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from picture_files import blocks, deep_png, noise, png, png_chunk
from singan_toolkit.imaging.pictures import read_picture


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
    def test_other_colour_models_are_converted(self, tmp_path: Path, kind: str, ending: str) -> None:
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
        picture = read_picture(path)
        assert picture.alpha is None or picture.alpha.min() == 1
        assert np.abs(picture.rgb * 255 - expected).max() < 12

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
        with pytest.warns(UserWarning, match=rf"x\.{ending} holds 2 pictures, and the first is taken"):
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
