"""Scales that diverge while they are trained, and start again."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import singan_toolkit as st
from singan_toolkit.errors import TrainingError
from singan_toolkit.pyramid.walk import Scale
from singan_toolkit.training import clock
from singan_toolkit.training.events import Event, ScaleFinished, ScaleRestarted, ScaleStarted
from singan_toolkit.training.losses import critic_loss, reconstruction_loss
from singan_toolkit.training.settings import settings_of
from training_runs import Options, is_finite, of_kind, real_scales, rmse, same, train, with_and_without_reflection


class Explosions:
    """A critic's loss that explodes in one scale, for as many attempts as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scale_number: int, attempts: int, value: float) -> None:
        self.scale_number, self.attempts, self.value = scale_number, attempts, value
        self.now = self.calls = 0
        self.events: list[Event] = []
        self.lasting = True
        monkeypatch.setattr("singan_toolkit.training.scale.critic_loss", self.loss)

    def observe(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ScaleStarted):
            self.now, self.calls = event.scale, 0
        elif isinstance(event, ScaleRestarted):
            self.calls = 0

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        self.calls += 1
        due = self.calls >= 3 if self.lasting else self.calls == 3
        exploded = due and self.now == self.scale_number and len(of_kind(ScaleRestarted, self.events)) < self.attempts
        return critic_loss(real, fake) + (self.value if exploded else 0)


@pytest.fixture
def explosions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Explosions]:
    return lambda *arguments: Explosions(monkeypatch, *arguments)


@pytest.mark.parametrize("value", [float("nan"), 1e9])
def test_a_diverged_scale_starts_again_with_smaller_steps(
    photo: Path, quick: Options, explosions: Callable[..., Explosions], value: float
) -> None:
    trouble = explosions(1, 2, value)
    bundle = st.train(photo, preset="draft", device="cpu", observer=trouble.observe, **quick)
    restarts = of_kind(ScaleRestarted, trouble.events)
    assert [event.scale for event in restarts] == [1, 1]
    assert settings_of("draft").learning_rate > restarts[0].learning_rate > restarts[1].learning_rate > 0
    assert is_finite(bundle)
    untroubled, _ = train(photo, quick)
    coarsest = [name for name in bundle.tensors if name.startswith("scales.0.")]
    assert all(np.array_equal(bundle.tensors[name], untroubled.tensors[name]) for name in coarsest)
    assert not same(bundle, untroubled)


def test_a_scale_that_always_diverges_ends_training_with_advice(
    photo: Path, quick: Options, explosions: Callable[..., Explosions]
) -> None:
    trouble = explosions(1, 1000, float("nan"))
    with pytest.raises(TrainingError, match=r"^scale 1 diverged .* smaller learning_rate") as error:
        st.train(photo, preset="draft", device="cpu", observer=trouble.observe, **quick)
    assert len(str(error.value).splitlines()) == 1
    rates = [event.learning_rate for event in of_kind(ScaleRestarted, trouble.events)]
    assert rates
    assert all(small < large for large, small in itertools.pairwise(rates))
    assert f"{rates[-1]:.1e}" in str(error.value)


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize(("times", "restarts"), [(1.4, 0), (1.6, 1)])
def test_a_scale_that_only_spoils_what_it_was_given_starts_again(
    photo: Path, quick: Options, monkeypatch: pytest.MonkeyPatch, where: int, times: float, restarts: int
) -> None:
    """Sound losses and weights, but the reconstruction is that many times as far from the picture as before the scale.

    Up to sqrt(2) times is no collapse: so far away is detail that is as strong as the picture's, but lies elsewhere.
    """
    reals = real_scales(photo, train(photo, quick | dict(iterations=1, finest_iterations=1))[0])
    events: list[Event] = []
    given: list[float] = []
    apply = Scale.apply

    def spoilt(scale: Scale, picture: Tensor, noise: Tensor) -> Tensor:
        if of_kind(ScaleStarted, events)[-1].scale != where or of_kind(ScaleRestarted, events):
            return apply(scale, picture, noise)
        given.append(rmse(picture[:1], reals[where]))
        return reals[where] + times * (picture - reals[where])

    monkeypatch.setattr(Scale, "apply", spoilt)
    st.train(photo, preset="draft", device="cpu", observer=events.append, **quick)
    assert [event.scale for event in of_kind(ScaleRestarted, events)] == [where] * restarts
    assert given[0] > 0.1, "far above the least error that is minded"
    if not restarts:
        handed_on = of_kind(ScaleFinished, events)[where].reconstruction_rmse
        assert handed_on == pytest.approx(times * given[0], rel=1e-3)


@with_and_without_reflection
def test_a_scale_is_checked_by_what_is_then_handed_on(
    photo: Path, quick: Options, monkeypatch: pytest.MonkeyPatch, reflect: bool
) -> None:
    rebuilt: list[Tensor] = []
    apply = Scale.apply

    def noted(scale: Scale, picture: Tensor, noise: Tensor) -> Tensor:
        result = apply(scale, picture, noise)
        rebuilt.extend([result] if len(picture) == 1 else [])
        return result

    monkeypatch.setattr(Scale, "apply", noted)
    bundle, _ = train(photo, quick | dict(reflect=reflect))
    assert len(rebuilt) == 2 * len(bundle.manifest.scales)
    assert all(torch.equal(checked, kept) for checked, kept in zip(rebuilt[::2], rebuilt[1::2], strict=True))


@pytest.mark.parametrize("preset", ["draft", "paper"])
def test_an_absurd_learning_rate_never_ends_in_nan(photo: Path, quick: Options, preset: str) -> None:
    events: list[Event] = []
    bundle = None
    options = quick | dict(learning_rate=1.0, iterations=12, finest_iterations=12, gradient_penalty=1000)
    with contextlib.suppress(TrainingError):
        bundle = st.train(photo, preset=preset, device="cpu", observer=events.append, **options)
    assert bundle is None or is_finite(bundle)
    rates = [event.learning_rate for event in of_kind(ScaleRestarted, events)]
    assert rates or preset == "paper"
    assert all(rate < 1 for rate in rates)


@pytest.mark.parametrize("where", [0, 2])
def test_a_last_step_that_ruins_the_weights_is_noticed(
    photo: Path, quick: Options, monkeypatch: pytest.MonkeyPatch, where: int
) -> None:
    events: list[Event] = []

    def steep(reconstruction: Tensor, real: Tensor) -> Tensor:
        """At one scale, until it starts again: a sound value with a gradient of NaN."""
        loss = reconstruction_loss(reconstruction, real)
        if of_kind(ScaleRestarted, events) or of_kind(ScaleStarted, events)[-1].scale != where:
            return loss
        return loss + (reconstruction - reconstruction).sum().sqrt()

    monkeypatch.setattr("singan_toolkit.training.scale.reconstruction_loss", steep)
    options = quick | dict(iterations=1, finest_iterations=1)
    bundle = st.train(photo, preset="draft", device="cpu", observer=events.append, **options)
    assert [event.scale for event in of_kind(ScaleRestarted, events)] == [where]
    assert is_finite(bundle)


@pytest.mark.parametrize("pool_pixels", [0, 10_000])
@pytest.mark.parametrize("lasting", [True, False], ids=["lasting", "passing"])
def test_what_is_trained_does_not_depend_on_the_clock(
    photo: Path,
    quick: Options,
    explosions: Callable[..., Explosions],
    monkeypatch: pytest.MonkeyPatch,
    lasting: bool,
    pool_pixels: int,
) -> None:
    """Losses are read a few times a second; a divergence is noticed sooner or later, and must end the same way."""
    trained = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(clock, "REPORT_SECONDS", seconds)
        trouble = explosions(1, 1, 1e9)
        trouble.lasting = lasting
        options = quick | dict(pool_pixels=pool_pixels, batch=8, iterations=8, finest_iterations=8)
        trained.append(st.train(photo, preset="draft", device="cpu", observer=trouble.observe, **options))
    assert same(*trained)
