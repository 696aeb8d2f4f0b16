"""Masks: what of a picture is marked, and soft edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from picture_files import quick
from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.masks import feather, mask_of
from singan_toolkit.imaging.pictures import Picture, read_picture


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
