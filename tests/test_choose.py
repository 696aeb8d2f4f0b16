"""Choosing the scale at which a task enters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from singan_toolkit import Plan
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.tasks.choose import Candidate, choose


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
