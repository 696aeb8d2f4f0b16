"""Pictures, and the files that are written of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from picture_files import deep_png_pixels, noise, quick
from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.pictures import WRITABLE, Picture, encode_picture, read_picture, write_picture
from singan_toolkit.imaging.tensors import to_bytes, to_rgb, to_tensor


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
