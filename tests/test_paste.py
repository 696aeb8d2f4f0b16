"""Pasting a cut-out: where, how large, with what edge, turned and mirrored."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from picture_files import noise
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
