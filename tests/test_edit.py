"""Editing: where a picture was edited, what of it is redrawn, and what stays bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import distance_transform_edt

from singan_toolkit import Bundle, Output, Picture, PictureError, TaskError, run
from singan_toolkit.imaging.pictures import read_picture, write_picture

REACH = 0.05
"""Share of the longer side, from the edit, within which the mask's dilation and feather end."""


def pixels_of(output: Output) -> np.ndarray:
    (pixels,) = output.arrays
    return pixels


def scaled(photo: Path, height: int, width: int) -> np.ndarray:
    """The photo at another size: (height, width, 3), uint8."""
    with Image.open(photo) as image:
        return np.array(image.resize((width, height), Image.Resampling.BICUBIC))


def box(height: int, width: int, top: float, left: float, bottom: float, right: float) -> np.ndarray:
    """(height, width), bool: a rectangle, its sides given as shares of the picture."""
    rows, columns = np.mgrid[:height, :width]
    inside: np.ndarray = (
        (rows >= top * height) & (rows < bottom * height) & (columns >= left * width) & (columns < right * width)
    )
    return inside


def moved_block(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A part of the ground, copied into the sky, and where it lies there."""
    height, width = pixels.shape[:2]
    high, wide = height // 3, width // 3
    mask = np.zeros((height, width), bool)
    mask[height // 16 : height // 16 + high, width // 2 : width // 2 + wide] = True
    edited = pixels.copy()
    edited[mask] = pixels[-high:, :wide].reshape(-1, pixels.shape[2])
    return edited, mask


def painted_stroke(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A slanting stroke of one colour, and where it lies."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    line = 0.1 * height + 0.6 * height * columns / width
    mask = (np.abs(rows - line) < 0.06 * height) & (columns > 0.2 * width) & (columns < 0.8 * width)
    edited = pixels.copy()
    edited[mask] = 255, 0, 255
    return edited, mask


def kinds(pixels: np.ndarray, channels: int, dtype: Any) -> np.ndarray:
    """A picture of 8-bit RGB in another depth and with other channels; its alpha and its low bits vary."""
    random = np.random.default_rng(5)
    color = pixels[..., 1:2] if channels < 3 else pixels
    if channels in (2, 4):
        color = np.concatenate([color, random.integers(0, 256, (*color.shape[:2], 1), np.uint8)], axis=2)
    if dtype == np.uint8:
        return np.ascontiguousarray(color)
    deep: np.ndarray = color.astype(np.uint16) * 256 + random.integers(0, 256, color.shape, np.uint16)
    return deep


def written(pixels: np.ndarray, path: Path, **options: Any) -> Path:
    if path.suffix == ".jpg":
        Image.fromarray(pixels).save(path, **options)
    else:
        write_picture(Picture(pixels), path)
    return path


def mask_file(mask: np.ndarray, path: Path) -> Path:
    return written(mask[..., None].astype(np.uint8) * 255, path)


def beyond(mask: np.ndarray, pixels: float) -> np.ndarray:
    """Where no pixel of the mask is that near."""
    far: np.ndarray = distance_transform_edt(~mask) > pixels
    return far


class TestWhereItWasEdited:
    @pytest.mark.parametrize("edit", [moved_block, painted_stroke])
    @pytest.mark.parametrize("size", [(32, 40), (48, 60), (192, 240)])
    @pytest.mark.parametrize("with_picture", [False, True])
    def test_is_found(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, edit: Any, size: tuple[int, int], with_picture: bool
    ) -> None:
        original = tiny_bundle.picture if size == (32, 40) else scaled(photo, *size)
        edited, where = edit(original)
        options: dict[str, Any] = {"picture": written(original, tmp_path / "o.png")} if with_picture else {}
        result = pixels_of(
            run(tiny_bundle, "edit", edit=written(edited, tmp_path / "e.png"), scale=1, feather=0, **options)
        )
        changed = (result != edited).any(axis=-1)
        assert changed[where].mean() > 0.9
        slack = 0.02 * size[1] + 3.5 * (1 if with_picture else size[1] / 40)  # the mask's dilation, and its resolution
        assert not changed[beyond(where, slack)].any()

    def test_two_places_are_two(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        edited = tiny_bundle.picture.copy()
        where = box(32, 40, 0, 0, 0.2, 0.2) | box(32, 40, 0.75, 0.75, 1, 1)
        edited[where] = 255 - edited[where]
        result = pixels_of(run(tiny_bundle, "edit", edit=written(edited, tmp_path / "e.png"), scale=1))
        changed = (result != tiny_bundle.picture).any(axis=-1)
        assert changed[where].mean() > 0.9
        assert not changed[beyond(where, REACH * 40 + 2)].any()

    @pytest.mark.parametrize("quality", [75, 90, 95])
    @pytest.mark.parametrize("size", [(32, 40), (48, 60), (192, 240)])
    def test_noise_of_jpeg_does_not_count(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, quality: int, size: tuple[int, int]
    ) -> None:
        original = tiny_bundle.picture if size == (32, 40) else scaled(photo, *size)
        path = written(original, tmp_path / "same.jpg", quality=quality)
        with pytest.raises(TaskError, match=r"same\.jpg does not differ from the training picture: .*--mask"):
            run(tiny_bundle, "edit", edit=path)

    @pytest.mark.parametrize("quality", [75, 90, 95])
    def test_noise_of_jpeg_does_not_count_in_a_natural_picture(
        self, tiny_bundle: Bundle, tmp_path: Path, quality: int
    ) -> None:
        original = np.ascontiguousarray(skimage.data.rocket()[100:400, 200:500])
        picture = written(original, tmp_path / "o.png")
        path = written(original, tmp_path / "same.jpg", quality=quality)
        with pytest.raises(TaskError, match=r"same\.jpg does not differ"):
            run(tiny_bundle, "edit", edit=path, picture=picture)

    def test_single_pixels_do_not_count(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        edited = tiny_bundle.picture.copy()
        edited[3::7, 3::7] = 255 - edited[3::7, 3::7]
        with pytest.raises(TaskError, match="does not differ"):
            run(tiny_bundle, "edit", edit=written(edited, tmp_path / "e.png"))

    def test_another_resizing_does_not_count(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        with Image.open(photo) as image:
            image.resize((40, 32), Image.Resampling.LANCZOS).save(tmp_path / "e.png")
        with pytest.raises(TaskError, match="does not differ"):
            run(tiny_bundle, "edit", edit=tmp_path / "e.png")

    def test_jpeg_noise_does_not_hide_an_edit(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        original = scaled(photo, 192, 240)
        edited, where = moved_block(original)
        path = written(edited, tmp_path / "e.jpg", quality=80)
        result = pixels_of(run(tiny_bundle, "edit", edit=path, picture=written(original, tmp_path / "o.png"), scale=1))
        assert (result != original).any(axis=-1)[where].mean() > 0.9
        far = beyond(where, REACH * 240 + 6)
        np.testing.assert_array_equal(result[far], original[far])

    @pytest.mark.parametrize("size", [(32, 40), (48, 60)])
    def test_everywhere_is_refused(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, size: tuple[int, int]
    ) -> None:
        path = written(255 - scaled(photo, *size), tmp_path / "other.png")
        with pytest.raises(TaskError, match=r"other\.png differs from the training picture in \d+% .*--mask"):
            run(tiny_bundle, "edit", edit=path)

    def test_everywhere_is_taken_where_a_mask_is_given(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        inverted = 255 - scaled(photo, 48, 60)
        mask = box(48, 60, 0.3, 0.3, 0.6, 0.6)
        result = pixels_of(
            run(
                tiny_bundle,
                "edit",
                edit=written(inverted, tmp_path / "e.png"),
                mask=mask_file(mask, tmp_path / "m.png"),
            )
        )
        far = beyond(mask, REACH * 60)
        np.testing.assert_array_equal(result[far], inverted[far])
        assert (result[mask] != inverted[mask]).any(axis=-1).mean() > 0.9

    def test_is_where_the_mask_says_and_nowhere_else(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        edited = tiny_bundle.picture.copy()
        left, right = box(32, 40, 0.1, 0.1, 0.4, 0.3), box(32, 40, 0.1, 0.7, 0.4, 0.9)
        edited[left | right] = 215, 40, 215  # not at the ends of what a pixel can hold, where a change may not show
        mask = mask_file(left, tmp_path / "m.png")
        result = pixels_of(run(tiny_bundle, "edit", edit=written(edited, tmp_path / "e.png"), mask=mask, scale=1))
        assert (result[left] != edited[left]).any(axis=-1).mean() > 0.9
        far = beyond(left, REACH * 40)
        np.testing.assert_array_equal(result[far], tiny_bundle.picture[far])


class TestWhatStays:
    @pytest.mark.parametrize(
        ("size", "channels", "dtype"),
        [
            (size, channels, dtype)
            for size in [(48, 60), (32, 40), (90, 50)]
            for channels in (1, 2, 3, 4)
            for dtype in (np.uint8, np.uint16)
            if (size, channels, dtype) != ((32, 40), 3, np.uint8)  # of which the bundle has the original itself
        ],
    )
    def test_the_edited_picture_outside_the_mask(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, size: tuple[int, int], channels: int, dtype: Any
    ) -> None:
        edited = kinds(painted_stroke(scaled(photo, *size))[0], channels, dtype)
        mask = painted_stroke(scaled(photo, *size))[1]
        result = pixels_of(
            run(
                tiny_bundle,
                "edit",
                edit=written(edited, tmp_path / "e.tif"),
                mask=mask_file(mask, tmp_path / "m.png"),
                scale=1,
            )
        )
        assert (result.shape, result.dtype) == (edited.shape, edited.dtype)
        far = beyond(mask, REACH * max(size))
        assert far.mean() > 0.2
        np.testing.assert_array_equal(result[far], edited[far])
        if channels in (2, 4):
            assert (result[mask][:, -1] == np.iinfo(dtype).max).all()
        color = slice(0, 1 if channels < 3 else 3)
        assert (result[mask][:, color] != edited[mask][:, color]).any(axis=-1).mean() > 0.5

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_the_original_outside_the_mask_where_it_is_given(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, channels: int, dtype: Any
    ) -> None:
        rgb = scaled(photo, 96, 120)
        original = kinds(rgb, channels, dtype)
        colors = original[..., :1].repeat(3, axis=2) if channels < 3 else original[..., :3]
        edited, mask = painted_stroke((colors // (257 if dtype == np.uint16 else 1)).astype(np.uint8))
        result = pixels_of(
            run(
                tiny_bundle,
                "edit",
                edit=written(edited, tmp_path / "e.jpg", quality=85),
                picture=written(original, tmp_path / "o.tif"),
                mask=mask_file(mask, tmp_path / "m.png"),
                scale=1,
            )
        )
        assert (result.shape, result.dtype) == (original.shape, original.dtype)
        far = beyond(mask, REACH * 120)
        np.testing.assert_array_equal(result[far], original[far])
        if channels in (2, 4):
            assert (result[mask][:, -1] == np.iinfo(dtype).max).all()
        assert (result[mask] != original[mask]).any(axis=-1).mean() > 0.9

    def test_the_training_picture_outside_an_edit_of_its_size(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        edited, mask = painted_stroke(tiny_bundle.picture)
        path = written(edited, tmp_path / "e.jpg", quality=60)
        result = pixels_of(run(tiny_bundle, "edit", edit=path, mask=mask_file(mask, tmp_path / "m.png"), scale=1))
        far = beyond(mask, REACH * 40)
        assert (read_picture(path).pixels[far] != tiny_bundle.picture[far]).any(), "else this tests nothing"
        np.testing.assert_array_equal(result[far], tiny_bundle.picture[far])

    @pytest.mark.parametrize("with_picture", [False, True])
    def test_in_a_picture_of_3000_pixels(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, with_picture: bool
    ) -> None:
        original = scaled(photo, 500, 3000)
        edited, where = moved_block(original)
        options: dict[str, Any] = {"picture": written(original, tmp_path / "o.png")} if with_picture else {}
        result = pixels_of(run(tiny_bundle, "edit", edit=written(edited, tmp_path / "e.png"), **options))
        assert result.shape == (500, 3000, 3)
        slack = 4.0 if with_picture else 3.5 * 3000 / 40
        far = beyond(where, REACH * 3000 + slack)
        assert far.mean() > 0.3
        np.testing.assert_array_equal(result[far], original[far])
        assert (result[where] != edited[where]).any(axis=-1).mean() > 0.5

    @pytest.mark.parametrize("feather", [0, 2, 11])
    def test_beyond_the_feather_that_is_asked_for(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, feather: float
    ) -> None:
        edited, mask = painted_stroke(scaled(photo, 96, 120))
        result = pixels_of(
            run(
                tiny_bundle,
                "edit",
                edit=written(edited, tmp_path / "e.png"),
                mask=mask_file(mask, tmp_path / "m.png"),
                scale=1,
                feather=feather,
            )
        )
        changed = (result != edited).any(axis=-1)
        assert not changed[beyond(mask, 0.02 * 120 + feather)].any()
        assert changed[~beyond(mask, 0.02 * 120 + feather / 2)].mean() > 0.9

    def test_the_inputs_files(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        original = scaled(photo, 48, 60)
        paths = [written(original, tmp_path / "o.png"), written(moved_block(original)[0], tmp_path / "e.png")]
        before = [path.read_bytes() for path in paths]
        run(tiny_bundle, "edit", edit=paths[1], picture=paths[0])
        assert [path.read_bytes() for path in paths] == before
        assert sorted(tmp_path.iterdir()) == sorted(paths)


class TestResult:
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(height=st.integers(12, 90), width=st.integers(12, 90), scale=st.integers(1, 4))
    def test_has_the_size_of_the_edited_picture(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, height: int, width: int, scale: int
    ) -> None:
        edited = scaled(photo, height, width)
        mask = box(height, width, 0.3, 0.3, 0.7, 0.7)
        result = pixels_of(
            run(
                tiny_bundle,
                "edit",
                edit=written(edited, tmp_path / "e.png"),
                mask=mask_file(mask, tmp_path / "m.png"),
                scale=scale,
            )
        )
        assert result.shape == (height, width, 3)

    def test_is_drawn_from_the_edit_and_not_from_what_it_covers(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        edited = tiny_bundle.picture.copy()
        where = box(32, 40, 0.1, 0.55, 0.5, 0.95)
        edited[where] = 110, 95, 50
        result = pixels_of(run(tiny_bundle, "edit", edit=written(edited, tmp_path / "e.png"), scale=4)).astype(float)
        to_edit, to_original = (
            np.abs(result[where] - pixels[where]).mean() for pixels in (edited, tiny_bundle.picture)
        )
        assert to_edit < 0.5 * to_original

    def test_is_redrawn_more_at_a_coarser_scale(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        edited = scaled(photo, 32, 40)
        where = box(32, 40, 0.1, 0.5, 0.6, 0.9)
        edited[where] = np.where(np.arange(40) // 2 % 2, 255, 0)[None, :, None].repeat(32, 0).repeat(3, 2)[where]
        mask = mask_file(where, tmp_path / "m.png")
        results = run(tiny_bundle, "edit", edit=written(edited, tmp_path / "e.png"), mask=mask, scale="all").arrays
        kept = [np.abs(result[where].astype(int) - edited[where]).mean() for result in results]
        assert kept[0] > 1.5 * kept[-1]

    def test_is_the_same_for_the_same_seed_only(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        path = written(moved_block(tiny_bundle.picture)[0], tmp_path / "e.png")
        first, again, other = (pixels_of(run(tiny_bundle, "edit", edit=path, scale=1, seed=seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


class TestRefused:
    def test_an_original_of_another_size(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        edited = written(scaled(photo, 48, 60), tmp_path / "e.png")
        original = written(scaled(photo, 96, 120), tmp_path / "o.png")
        with pytest.raises(TaskError, match=r"o\.png is 120x96 pixels and e\.png 60x48: .*size of the edited"):
            run(tiny_bundle, "edit", edit=edited, picture=original)

    def test_a_mask_of_another_size(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        edited = written(scaled(photo, 48, 60), tmp_path / "e.png")
        mask = mask_file(box(32, 40, 0.3, 0.3, 0.6, 0.6), tmp_path / "m.png")
        with pytest.raises(PictureError, match=r"m\.png is 40x32 pixels.* 60x48"):
            run(tiny_bundle, "edit", edit=edited, mask=mask)

    @pytest.mark.parametrize("role", ["edit", "mask", "picture"])
    def test_a_file_that_is_no_picture(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, role: str) -> None:
        (tmp_path / "broken.png").write_text("no picture")
        options: dict[str, Any] = {"edit": photo, role: tmp_path / "broken.png"}
        with pytest.raises(PictureError, match=r"broken\.png"):
            run(tiny_bundle, "edit", **options)

    def test_no_edit(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(TaskError, match="--edit"):
            run(tiny_bundle, "edit")
