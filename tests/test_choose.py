"""Choosing the scale at which a task enters, and the likeness by which it is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from singan_toolkit import Plan
from singan_toolkit.imaging.pictures import read_picture
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.tasks.choose import Candidate, choose, texture_distance


class TestChoose:
    """The first candidate is patched from the training picture, the last is what was given, the second nearly both."""

    @staticmethod
    def candidates(focus: torch.Tensor | None = None) -> tuple[list[Candidate], np.ndarray]:
        random = np.random.default_rng(0)
        rows, columns = np.mgrid[:48, :48]
        layout = np.where(columns < 24, 60, 190) + 20 * np.sin(rows * 0.8)
        real = np.repeat(layout[..., None], 3, axis=2).round()
        all_light, fine, coarse = (
            to_tensor(picture.clip(0, 255).astype(np.uint8))
            for picture in (
                np.repeat(real[:, -1:], 48, axis=1),
                real + random.normal(0, 3, real.shape),
                real + random.normal(0, 25, real.shape),
            )
        )
        plan = Plan((), Gaussian(), given=coarse, focus=focus)
        results = [all_light, fine, coarse]
        return [Candidate(n, plan, result) for n, result in enumerate(results, 1)], real.astype(np.uint8)

    @pytest.mark.parametrize("order", [1, -1])
    def test_like_the_training_picture_and_like_what_was_given(self, order: int) -> None:
        candidates, real = self.candidates()
        chosen, why = choose(candidates[::order], real, default=1)
        assert chosen.scale == 2
        assert why.startswith("chose scale 2,")

    def test_only_the_focus_counts(self) -> None:
        focus = torch.zeros(48, 48, dtype=torch.bool)
        focus[16:32, 4:14] = True
        candidates, real = self.candidates(focus)
        candidates[1].walked[..., 26:] = -1
        assert choose(candidates, real, default=1)[0].scale == 2

    @pytest.mark.parametrize("default", [1, 2, 3])
    @pytest.mark.parametrize("focused", [True, False])
    def test_where_no_scale_gains_anything_it_is_the_default_and_says_so(self, default: int, focused: bool) -> None:
        candidates, real = self.candidates(torch.ones(48, 48, dtype=torch.bool) if focused else None)
        noise = torch.randn(candidates[0].walked.shape, generator=torch.Generator().manual_seed(0))
        worse = [
            Candidate(n, replace(candidates[0].plan, given=to_tensor(real)), to_tensor(real) + 0.2 * n * noise)
            for n in (1, 2, 3)
        ]
        chosen, why = choose(worse, real, default)
        assert chosen.scale == default
        assert why.startswith(f"chose scale {default}, the default")
        assert "no scale" in why


def distance(picture: np.ndarray, real: np.ndarray) -> float:
    """Texture distance of pictures in 0..1."""
    return texture_distance(*(to_tensor(one.astype(np.float32).clip(0, 1)) for one in (picture, real)))


def textured(seed: int, height: int = 60, width: int = 76) -> np.ndarray:
    """(height, width, 3) in 0..1: coloured noise, fine above and coarse below."""
    random = np.random.default_rng(seed)
    fine, coarse = (gaussian_filter(random.normal(size=(height, width, 3)), (sigma, sigma, 0)) for sigma in (0.6, 2))
    above = np.arange(height)[:, None, None] < height // 2
    pixels: np.ndarray = 0.5 + 0.15 * np.where(above, fine / fine.std(), coarse / coarse.std())
    return pixels


class TestTextureDistance:
    @pytest.fixture(params=["photo", "noise"])
    def real(self, request: pytest.FixtureRequest, photo: Path) -> np.ndarray:
        return read_picture(photo).rgb if request.param == "photo" else textured(0)

    def test_of_a_picture_to_itself_is_about_nothing(self, real: np.ndarray) -> None:
        assert 0 < distance(real, real) < 1e-3

    def test_grows_with_blur(self, real: np.ndarray) -> None:
        """And so with a picture's flatness, up to one colour."""
        blurred = [gaussian_filter(real, (sigma, sigma, 0)) for sigma in (0, 0.4, 0.7, 1, 1.5, 2.5, 4, 8)]
        distances = [distance(one, real) for one in [*blurred, np.full_like(real, real.mean())]]
        assert (np.diff(distances) > 0).all(), distances
        assert distances[-1] > 0.5

    def test_grows_with_noise(self, real: np.ndarray) -> None:
        noise = np.random.default_rng(1).normal(size=real.shape)
        distances = [distance(real + amount * noise, real) for amount in (0, 0.02, 0.05, 0.1, 0.2)]
        assert (np.diff(distances) > 0).all(), distances

    def test_of_another_sample_of_the_same_texture_is_small(self) -> None:
        real = textured(0)
        same, other = distance(textured(1, 90, 50), real), distance(gaussian_filter(textured(1), (1, 1, 0)), real)
        assert same < 0.5 * other

    @pytest.mark.parametrize("change", [np.flipud, lambda pixels: np.roll(pixels, (9, 13), (0, 1))])
    def test_heeds_no_place(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        real = textured(0)
        moved = distance(np.ascontiguousarray(change(real)), real)
        assert moved < 0.5 * distance(gaussian_filter(real, (1, 1, 0)), real)

    def test_does_not_touch_the_global_random_state(self) -> None:
        state = torch.get_rng_state()
        distance(textured(0), textured(1))
        assert torch.equal(torch.get_rng_state(), state)
