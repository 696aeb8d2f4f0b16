"""What is transparent is not given; what networks made is opaque; what a grey picture gives is grey."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singan_toolkit import Bundle, Picture, PictureError, TaskError, run, train
from singan_toolkit.imaging.composite import blend
from singan_toolkit.imaging.original import read_original
from singan_toolkit.imaging.paste import paste
from singan_toolkit.imaging.visible import visible_rgb


def hiding(pixels: np.ndarray, hidden: np.ndarray, color: Any) -> Picture:
    """A picture with an alpha of 0 in some places, over that colour."""
    alpha = np.where(hidden, 0, 255).astype(np.uint8)[..., None]
    return Picture(np.concatenate([np.where(hidden[..., None], np.uint8(color), pixels), alpha], axis=2), "hiding.png")


def middle(size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[size[0] // 3 : size[0] // 2 + 2, size[1] // 3 : size[1] // 2 + 2] = True
    return mask


class TestVisible:
    def test_goes_on_smoothly_within_the_range_around(self) -> None:
        pixels = np.random.default_rng(0).integers(100, 140, (20, 26, 3), np.uint8)
        hidden = middle((20, 26))
        rgb = visible_rgb(hiding(pixels, hidden, (255, 0, 255)))
        np.testing.assert_allclose(rgb[~hidden], pixels[~hidden] / 255, atol=1e-6)
        assert rgb[hidden].min() >= 100 / 255 - 1e-3
        assert rgb[hidden].max() <= 139 / 255 + 1e-3

    def test_nothing(self) -> None:
        with pytest.raises(PictureError, match="fully transparent"):
            visible_rgb(Picture(np.zeros((4, 5, 4), np.uint8)))


@pytest.mark.usefixtures("with_inpaint")
class TestHiddenColours:
    @pytest.mark.parametrize("task", ["paint2image", "edit", "background", "composite", "inpaint"])
    def test_have_no_part(self, tiny_bundle: Bundle, task: str) -> None:
        hidden = middle((32, 40))
        mask = np.roll(hidden, 10, axis=1)
        disc = np.full((8, 8, 4), (200, 60, 40, 255), np.uint8)
        disc[0] = 0
        results = []
        for color in [(0, 0, 0), (255, 255, 255), (0, 255, 0)]:
            picture = hiding(tiny_bundle.picture, hidden, color)
            hows: dict[str, dict[str, Any]] = {
                "paint2image": dict(paint=picture),
                "edit": dict(edit=picture),
                "background": dict(paste=disc, background=picture, at="12,10", adapt=False),
                "composite": dict(composite=picture, mask=mask, adapt=False),
                "inpaint": dict(picture=picture, mask=mask),
            }
            how = hows[task]
            name = task if task in ("paint2image", "edit", "inpaint") else "harmonize"
            (pixels,) = run(tiny_bundle, name, scale=2, **how).arrays
            results.append(np.where(pixels[..., -1:] == 0, 0, pixels) if pixels.shape[2] == 4 else pixels)
        np.testing.assert_array_equal(results[0], results[1])
        np.testing.assert_array_equal(results[0], results[2])

    @pytest.mark.parametrize("color", [(0, 0, 0), (255, 0, 255), None])
    @pytest.mark.parametrize("with_picture", [False, True])
    def test_what_was_erased_is_edited_and_opaque(
        self, tiny_bundle: Bundle, color: tuple[int, int, int] | None, with_picture: bool
    ) -> None:
        hidden = middle((32, 40))
        kept = tiny_bundle.picture
        edited = hiding(kept, hidden, kept if color is None else color)
        original: dict[str, Any] = dict(picture=kept) if with_picture else {}
        (pixels,) = run(tiny_bundle, "edit", edit=edited, scale=3, **original).arrays
        if pixels.shape[2] == 4:
            assert (pixels[..., 3] == 255).all()
        around = kept[4:-8, 8:-8].reshape(-1, 3).astype(int)
        assert pixels[hidden][:, :3].mean() > around.mean() - 60

    @pytest.mark.parametrize("rim", [1, 60, 128, 254])
    def test_an_edit_leaves_no_rim(self, tiny_bundle: Bundle, rim: int) -> None:
        block = middle((32, 40))
        pixels = np.concatenate([tiny_bundle.picture, np.full((32, 40, 1), 255, np.uint8)], axis=2)
        pixels[block] = (220, 60, 40, rim)
        pixels[1:-1, 1:-1][block[1:-1, 1:-1] & block[2:, 2:] & block[:-2, :-2]] = (220, 60, 40, 255)
        (result,) = run(tiny_bundle, "edit", edit=pixels, scale=3).arrays
        assert (result[..., 3] == 255).all()

    def test_a_layer_alone_is_no_edit(self, tiny_bundle: Bundle) -> None:
        layer = hiding(tiny_bundle.picture, ~middle((32, 40)), (0, 0, 0))
        with pytest.raises(TaskError, match=r"transparent in 9\d% .*whole picture"):
            run(tiny_bundle, "edit", edit=layer)

    def test_a_transparent_picture_is_no_training_picture(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(PictureError, match="partly transparent"):
            read_original(hiding(tiny_bundle.picture, middle((32, 40)), (0, 0, 0)), tiny_bundle.picture)


class TestBlend:
    @settings(max_examples=40, deadline=None)
    @given(alpha=st.integers(0, 255), weight=st.floats(0, 1), own=st.integers(0, 255), new=st.integers(0, 255))
    def test_is_what_is_seen_on_any_ground(self, alpha: int, weight: float, own: int, new: int) -> None:
        below = Picture(np.array([[[own, alpha]]], np.uint16) * 257)
        laid = blend(below, np.full((1, 1, 3), new / 255, np.float32), np.array([[weight]]))
        value, opacity = laid.pixels[0, 0] / 65535
        for ground in (0, 1):
            seen = ground + (own / 255 - ground) * alpha / 255
            expected = seen + (new / 255 - seen) * weight
            assert abs(ground + (value - ground) * opacity - expected) < 1e-3


class TestCutOut:
    @settings(max_examples=25, deadline=None)
    @given(
        haze=st.integers(0, 31),
        height=st.integers(4, 20),
        width=st.integers(4, 20),
        at=st.sampled_from(["center", "100%,100%", "3,4"]),
    )
    def test_haze_counts_neither_for_size_nor_for_place(self, haze: int, height: int, width: int, at: str) -> None:
        pixels = np.full((40, 50, 4), (250, 250, 250, haze), np.uint8)
        pixels[5 : 5 + height, 9 : 9 + width] = (220, 60, 40, 255)
        clean = np.where(pixels[..., 3:] == 255, pixels, 0)
        ground = Picture(np.full((60, 70, 3), 90, np.uint8))
        one, other = (paste(ground, Picture(each), at=at, size="50%") for each in (pixels, clean.astype(np.uint8)))
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.picture.pixels, other.picture.pixels)

    def test_on_nothing_it_is_as_opaque_as_it_is(self) -> None:
        cutout = np.zeros((3, 7, 4), np.uint8)
        cutout[1, 1:6] = [(200, 100, 50, alpha) for alpha in (255, 200, 128, 64, 255)]
        pasted = paste(Picture(np.full((5, 9, 4), (0, 255, 0, 0), np.uint8)), Picture(cutout), at="2,2").picture
        np.testing.assert_array_equal(pasted.pixels[2, 2:7], cutout[1, 1:6])
        assert (pasted.pixels[..., 3] > 0).sum() == 5


@pytest.fixture(scope="module")
def grey_bundle(tiny_bundle: Bundle, tiny_settings: dict[str, Any]) -> Bundle:
    return train(tiny_bundle.picture[..., 1], preset="draft", device="cpu", **tiny_settings)


@pytest.mark.usefixtures("with_inpaint")
class TestGrey:
    @pytest.mark.parametrize(
        ("task", "how"),
        [
            ("generate", {}),
            ("retarget", dict(width=60)),
            ("animate", dict(frames=2)),
            ("super-resolution", dict(factor=2)),
            ("paint2image", dict(paint=np.full((48, 60, 3), (200, 30, 60), np.uint8), scale=2)),
        ],
    )
    def test_gives_grey(self, grey_bundle: Bundle, task: str, how: dict[str, Any]) -> None:
        (pixels,) = run(grey_bundle, task, **how).arrays
        assert np.ptp(pixels.astype(int), axis=-1).max() == 0

    @pytest.mark.parametrize("size", [(32, 40), (64, 80)])
    def test_in_a_coloured_picture_the_change_is_grey(self, grey_bundle: Bundle, size: tuple[int, int]) -> None:
        picture = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
        mask = middle(size)
        for task, how in (
            ("harmonize", dict(composite=picture, adapt=False)),
            ("inpaint", dict(picture=picture)),
        ):
            (pixels,) = run(grey_bundle, task, mask=mask, **how).arrays
            assert np.ptp(pixels[mask].astype(int), axis=-1).max() == 0
            np.testing.assert_array_equal(pixels[0], picture[0])
