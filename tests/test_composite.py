"""Carrying a change of a small picture up into its large original, and laying it in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from picture_files import noise, quick
from singan_toolkit.imaging.composite import blend, carry_up
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.tensors import to_rgb, to_tensor
from singan_toolkit.pyramid.resample import resize


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
