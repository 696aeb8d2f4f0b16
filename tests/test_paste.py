"""Turning and mirroring a cut-out while it is pasted."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.paste import Pasted, paste
from singan_toolkit.imaging.pictures import Picture


def black(height: int = 60, width: int = 80) -> Picture:
    return Picture(np.zeros((height, width, 3), np.uint8), "background.png")


def patchwork(height: int = 8, width: int = 14) -> Picture:
    """Random colours and alphas; no turn or flip maps it onto itself."""
    random = np.random.default_rng(0)
    return Picture(random.integers(1, 256, (height, width, 4), np.uint8), "cutout.png")


def disc(radius: float = 12, hidden: tuple[int, int, int] = (0, 0, 0)) -> Picture:
    rows, columns = np.mgrid[:31, :31] - 15
    pixels = np.empty((31, 31, 4), np.uint8)
    pixels[...] = (*hidden, 0)
    pixels[np.hypot(rows, columns) < radius] = (255, 0, 0, 255)
    return Picture(pixels, "disc.png")


def slab(height: int, width: int) -> Picture:
    """An opaque red rectangle; its transparent frame is green."""
    pixels = np.full((height + 2, width + 2, 4), (0, 255, 0, 0), np.uint8)
    pixels[1:-1, 1:-1] = (255, 0, 0, 255)
    return Picture(pixels, "slab.png")


def same(one: Pasted, other: Pasted) -> None:
    np.testing.assert_array_equal(one.picture.pixels, other.picture.pixels)
    np.testing.assert_array_equal(one.mask, other.mask)


class TestFlip:
    @pytest.mark.parametrize(
        ("flip", "reference"),
        [("", np.array), ("horizontal", np.fliplr), ("vertical", np.flipud), ("both", lambda x: np.rot90(x, 2))],
    )
    @pytest.mark.parametrize("size", ["", "21", "5x9"])
    def test_is_the_flipped_cutout(self, flip: str, reference: Callable[[np.ndarray], np.ndarray], size: str) -> None:
        pasted = paste(black(), patchwork(), at="3,4", size=size, flip=flip)
        expected = paste(black(), Picture(reference(patchwork().pixels)), at="3,4", size=size)
        difference = pasted.picture.pixels.astype(int) - expected.picture.pixels
        assert np.abs(difference).max() <= (1 if size else 0)
        np.testing.assert_array_equal(pasted.mask, expected.mask)

    def test_about_the_object_and_not_its_frame(self) -> None:
        framed = np.zeros((20, 30, 4), np.uint8)
        framed[1:9, 2:16] = patchwork().pixels
        same(paste(black(), Picture(framed), flip="both"), paste(black(), patchwork(), flip="both"))

    def test_mask_goes_along(self) -> None:
        opaque = Picture(patchwork().pixels[..., :3])
        mask = np.zeros((8, 14), bool)
        mask[2, 3:9] = mask[2:7, 3] = True
        pasted = paste(black(), opaque, mask, at="0,0", flip="horizontal")
        np.testing.assert_array_equal(pasted.mask[:5, :6], np.fliplr(mask[2:7, 3:9]))

    @pytest.mark.parametrize("flip", ["sideways", "Horizontal", "h", "none"])
    def test_unknown(self, flip: str) -> None:
        with pytest.raises(ValueError, match=rf"flip '{flip}'.*horizontal, vertical, both"):
            paste(black(), patchwork(), flip=flip)


class TestQuarterTurns:
    @pytest.mark.parametrize(
        ("rotate", "turns"), [(0, 0), (90, 1), (180, 2), (270, 3), (360, 0), (-90, 3), (450, 1), (-720, 0), (90.0, 1)]
    )
    def test_are_exact(self, rotate: float, turns: int) -> None:
        expected = Picture(np.rot90(patchwork().pixels, turns))
        same(paste(black(), patchwork(), at="20%,70%", rotate=rotate), paste(black(), expected, at="20%,70%"))

    def test_four_of_them_are_none(self) -> None:
        object_ = patchwork().pixels.copy()
        object_[..., 3] = 255
        object_[0, 0, 3] = 0
        mask, pixels = object_[..., 3] > 0, object_[..., :3]
        for _ in range(4):
            pasted = paste(black(20, 20), Picture(pixels), mask, rotate=90)
            mask, pixels = pasted.mask, pasted.picture.pixels
        assert mask.sum() == 8 * 14 - 1
        np.testing.assert_array_equal(pixels[mask], object_[object_[..., 3] > 0, :3])

    def test_size_is_that_before_the_turn(self) -> None:
        pasted = paste(black(), slab(4, 8), at="0,0", size="20x10", rotate=90)
        expected = np.zeros((60, 80), bool)
        expected[:20, :10] = True
        np.testing.assert_array_equal(pasted.mask, expected)

    def test_flip_comes_before(self) -> None:
        expected = Picture(np.rot90(np.fliplr(patchwork().pixels)))
        same(paste(black(), patchwork(), rotate=90, flip="horizontal"), paste(black(), expected))


class TestTurns:
    @pytest.mark.parametrize("rotate", [45, 10, -73, 200.5])
    def test_a_disc_stays_one(self, rotate: float) -> None:
        straight, turned = paste(black(), disc()), paste(black(), disc(), rotate=rotate)
        rows, columns = np.mgrid[:60, :80].astype(float)
        reds = [pasted.picture.pixels[..., 0] / 255 for pasted in (straight, turned)]
        middles = [((rows * red).sum() / red.sum(), (columns * red).sum() / red.sum()) for red in reds]
        assert middles[1] == pytest.approx(middles[0], abs=1.2)  # to a pixel, for boxes of odd and of even size
        distance = np.hypot(rows - middles[1][0], columns - middles[1][1])
        assert reds[1][distance < 10.5].min() > 0.98
        assert reds[1][distance > 13.5].max() == 0

    @pytest.mark.parametrize("rotate", [1, 30, 45, 89.5, 135, -60])
    def test_area_and_shape(self, rotate: float) -> None:
        pasted = paste(black(), slab(12, 30), rotate=rotate)
        covered = pasted.picture.pixels[..., 0] / 255
        assert covered.sum() == pytest.approx(360, rel=0.02)
        assert pasted.mask.sum() == pytest.approx(360, rel=0.04)
        rows, columns = np.where(pasted.mask)
        spread = np.linalg.eigvalsh(np.cov(columns, rows))
        assert np.sqrt(12 * spread) == pytest.approx([12, 30], rel=0.03)

    def test_counter_clockwise(self) -> None:
        rows, columns = np.where(paste(black(), slab(4, 40), rotate=30).mask)
        slope = np.polyfit(columns, rows, 1)[0]
        assert slope == pytest.approx(-math.tan(math.radians(30)), rel=0.03)  # rows count downwards

    @pytest.mark.parametrize("rotate", [0, 15, 45, 100])
    def test_edges_are_smooth(self, rotate: float) -> None:
        red = paste(black(), slab(12, 30), rotate=rotate).picture.pixels[..., 0]
        assert red.max() == 255
        assert bool(((red > 0) & (red < 255)).any()) == (rotate > 0)

    @pytest.mark.parametrize("hidden", [(0, 255, 0), (0, 0, 0)])
    def test_no_halo_of_hidden_colours(self, hidden: tuple[int, int, int]) -> None:
        assert paste(black(), disc(hidden=hidden), rotate=15).picture.pixels[..., 1].max() == 0
        yellow = Picture(np.full((60, 80, 3), (255, 255, 0), np.uint8))
        pixels = paste(yellow, disc(hidden=hidden), rotate=15).picture.pixels
        assert pixels[..., 0].min() == 255
        assert pixels[..., 1].min() == 0

    @pytest.mark.parametrize("rotate", [20, 45, 290])
    def test_back_again(self, rotate: float) -> None:
        """There and back, a smooth object is nearly what it was."""
        rows, columns = np.mgrid[:40, :40] / 40
        pixels = np.stack([200 * rows + 30, 200 * columns + 30, 255 - 200 * rows], axis=-1).astype(np.uint8)
        mask = np.hypot(rows - 0.4875, columns - 0.4875) < 0.45
        there = paste(black(), Picture(pixels), mask, rotate=rotate)
        back = paste(black(), there.picture, there.mask, rotate=-rotate).picture.pixels
        straight = paste(black(), Picture(pixels), mask).picture.pixels
        middle = np.hypot(*(np.mgrid[:60, :80] - np.array([29.5, 39.5])[:, None, None])) < 14
        assert np.abs(back[middle].astype(int) - straight[middle]).max() < 16

    def test_at_places_the_grown_box(self) -> None:
        pasted = paste(black(), slab(20, 20), at="top-left", rotate=45)
        rows, columns = np.where(pasted.mask)
        assert rows.min() <= 1
        assert columns.min() <= 1
        assert rows.max() == pytest.approx(20 * math.sqrt(2), abs=2)
        assert not pasted.mask[:9, :9].all()

    def test_only_an_empty_corner_inside(self) -> None:
        with pytest.raises(PictureError, match=r"slab\.png.*outside"):
            paste(black(), slab(30, 30), at="77,57", rotate=45)

    @pytest.mark.parametrize("rotate", [math.nan, math.inf])
    def test_no_angle(self, rotate: float) -> None:
        with pytest.raises(ValueError, match="rotate"):
            paste(black(), patchwork(), rotate=rotate)

    def test_the_background_stays_where_nothing_lies(self) -> None:
        below = Picture(np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8))
        pasted = paste(below, disc(hidden=(0, 255, 0)), rotate=33)
        far = np.hypot(*(np.mgrid[:60, :80] - np.array([29.5, 39.5])[:, None, None])) > 15
        np.testing.assert_array_equal(pasted.picture.pixels[far], below.pixels[far])
        assert pasted.mask.any()
