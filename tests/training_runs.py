"""Trainings of a moment, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import singan_toolkit as st
from singan_toolkit.training.events import Event
from singan_toolkit.training.scale import ScaleTraining

Options = dict[str, Any]


@pytest.fixture(scope="module")
def quick(tiny_settings: Options) -> Options:
    """Settings that train three scales in a tenth of a second."""
    return tiny_settings | dict(max_size=20, iterations=6, finest_iterations=4)


def train(photo: Path, options: Options, preset: str = "draft", seed: int = 0) -> tuple[st.Bundle, list[Event]]:
    events: list[Event] = []
    return st.train(photo, preset=preset, seed=seed, device="cpu", observer=events.append, **options), events


def of_kind(kind: type[Any], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def is_finite(bundle: st.Bundle) -> bool:
    return all(np.isfinite(array).all() for array in bundle.tensors.values())


def same(first: st.Bundle, second: st.Bundle) -> bool:
    assert first.tensors.keys() == second.tensors.keys()
    return first.manifest.scales == second.manifest.scales and all(
        np.array_equal(array, second.tensors[name]) for name, array in first.tensors.items()
    )


def real_scales(photo: Path, bundle: st.Bundle) -> list[Tensor]:
    """The training picture at the size of each scale, made from the file alone."""

    def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(picture, size, mode="bicubic", align_corners=False, antialias=True)

    pixels = np.asarray(Image.open(photo)).astype(np.float32)
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    finest = resized(picture, bundle.geometry.finest)
    return [resized(finest, size) for size in bundle.geometry.sizes]


def rmse(first: Tensor, second: Tensor) -> float:
    return float((first - second).square().mean().sqrt())


with_and_without_reflection = pytest.mark.parametrize("reflect", [False, True], ids=["zeros", "reflected"])


def run_to_the_end(
    training: ScaleTraining, report: Callable[[int, dict[str, float]], object], due: Callable[[], bool]
) -> None:
    """Train a scale, and pass on the number of iterations done and the losses at each report."""
    for losses in training.reports(due):
        report(training.done, losses)
