"""Training goes on step by step, and stops where nobody asks for more."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch

import singan_toolkit as st
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.geometry import Geometry
from singan_toolkit.training import clock
from singan_toolkit.training.events import Progress, ScaleFinished, ScaleStarted
from singan_toolkit.training.loop import PyramidTraining
from singan_toolkit.training.settings import settings_of


@pytest.fixture
def training(tiny_bundle: st.Bundle, tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> PyramidTraining:
    monkeypatch.setattr(clock, "REPORT_SECONDS", 0.0)
    settings = settings_of("draft", **tiny_settings | dict(iterations=5, finest_iterations=4, max_size=20))
    geometry = Geometry.of_picture(16, 20, min_size=12, max_size=20)
    real = torch.nn.functional.interpolate(to_tensor(tiny_bundle.picture), geometry.finest)
    return PyramidTraining(real, geometry, settings, seed=3)


def test_a_training_rests_between_events(training: PyramidTraining) -> None:
    events = training.events()
    begun = list(islice(events, 4))
    assert [type(event) for event in begun[1:]] == [ScaleStarted, Progress, Progress]
    assert training.current
    assert training.current.done == 2
    assert training.below.scales == []
    torch.rand(7)  # somebody else draws meanwhile
    list(events)
    assert len(training.below.scales) == len(training.geometry.sizes)
    whole = PyramidTraining(training.below.finest, training.geometry, training.settings, seed=3)
    whole.run()
    for one, other in zip(training.pyramid.networks, whole.pyramid.networks, strict=True):
        for values, expected in zip(one.generator.parameters(), other.generator.parameters(), strict=True):
            assert torch.equal(values, expected)


def test_stopped_it_holds_the_scales_that_are_done(training: PyramidTraining) -> None:
    for event in training.events():
        if isinstance(event, ScaleFinished) and event.scale == 1:
            break
    assert len(training.pyramid.scales) == 2
