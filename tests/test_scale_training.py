"""Training one scale."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singan_toolkit.pyramid.networks import fold
from singan_toolkit.training.crops import Batch, ScaleData
from singan_toolkit.training.losses import adversarial_loss, critic_loss, gradient_penalty
from singan_toolkit.training.scale import Diverged, ScaleTraining
from singan_toolkit.training.settings import Settings, settings_of
from singan_toolkit.training.slope import input_slope
from training_runs import run_to_the_end, with_and_without_reflection


def scale_data(amplitude: float = 0.05) -> ScaleData:
    random = torch.Generator().manual_seed(6)
    coarse = torch.randn(1, 3, 5, 6, generator=random).tanh()
    real = F.interpolate(coarse, (20, 24), mode="bicubic")
    zeros = torch.zeros_like(real)
    return ScaleData(real, 0.7 * real, None, 0.5 * real, zeros, amplitude, coarsest=False)


def coarsest_data(height: int = 20, width: int = 24) -> ScaleData:
    real = scale_data().real[..., :height, :width].contiguous()
    zeros = torch.zeros_like(real)
    z_star = torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(7)).expand_as(real)
    return ScaleData(real, zeros, None, zeros, z_star, 1.0, coarsest=True)


def scale_training(
    settings: Settings, iterations: int, amplitude: float = 0.05, seed: int = 3, data: ScaleData | None = None
) -> ScaleTraining:
    return ScaleTraining(
        settings,
        channels=8,
        data=data or scale_data(amplitude),
        iterations=iterations,
        learning_rate=settings.learning_rate,
        dtype=torch.float32,
        seeds=(seed, seed + 1),
    )


def always() -> bool:
    return True


def learning_rates(settings: Settings, iterations: int) -> list[tuple[float, ...]]:
    training, rates = scale_training(settings, iterations), []

    def note(done: int, losses: dict[str, float]) -> None:
        optimizers = itertools.chain(*training.optimizers.values())
        rates.append(tuple(group["lr"] for optimizer in optimizers for group in optimizer.param_groups))

    run_to_the_end(training, note, always)
    return rates


def test_the_papers_step_size_falls_to_a_tenth_at_four_fifths() -> None:
    rates = learning_rates(settings_of("paper", discriminator_steps=1, generator_steps=1), 10)
    assert rates == [(5e-4, 5e-4)] * 8 + [pytest.approx((5e-5, 5e-5))] * 2


def test_a_linear_decay_falls_steadily_towards_nothing() -> None:
    settings = settings_of("draft", decay="linear", decay_at=0.5, learning_rate=1e-3, precision="float32")
    rates = [first for first, *others in learning_rates(settings, 20) if {*others} == {first}]
    assert len(rates) == 20
    assert rates[:11] == [1e-3] * 11
    np.testing.assert_allclose(np.diff(rates[10:]), -1e-4, rtol=1e-6)
    assert rates[-1] > 0


def test_a_report_tells_the_iterations_done_and_three_losses() -> None:
    told: list[tuple[int, dict[str, float]]] = []
    run_to_the_end(
        scale_training(settings_of("draft", precision="float32"), 5), lambda *report: told.append(report), always
    )
    assert [done for done, _ in told] == [1, 2, 3, 4, 5]
    assert all(losses.keys() == {"discriminator", "generator", "reconstruction"} for _, losses in told)
    assert all(np.isfinite(list(losses.values())).all() for _, losses in told)


def test_only_the_end_is_reported_when_no_report_is_due() -> None:
    told: list[int] = []
    training = scale_training(settings_of("draft", precision="float32"), 7)
    run_to_the_end(training, lambda done, losses: told.append(done), lambda: False)
    assert told == [7]


@pytest.mark.parametrize("preset", ["draft", "paper"])
def test_training_a_scale_lowers_its_reconstruction_error(preset: str) -> None:
    settings = settings_of(preset, precision="float32", reconstruction=100, learning_rate=3e-3)
    told: list[float] = []
    training = scale_training(settings, 40 if preset == "draft" else 15)
    run_to_the_end(training, lambda done, losses: told.append(losses["reconstruction"]), always)
    assert np.mean(told[-3:]) < 0.5 * told[0]


def test_the_final_weights_are_an_average_of_those_passed_through() -> None:
    training = scale_training(settings_of("draft", weight_average=0.9, learning_rate=2e-3, precision="float32"), 30)
    passed = [[p.detach().clone() for p in training.generator.parameters()]]

    def note(done: int, losses: dict[str, float]) -> None:
        passed.append([p.detach().clone() for p in training.generator.parameters()])

    run_to_the_end(training, note, always)
    for n, final in enumerate(training.generator.parameters()):
        trace = torch.stack([weights[n] for weights in passed])
        assert (final >= trace.amin(dim=0) - 1e-6).all()
        assert (final <= trace.amax(dim=0) + 1e-6).all()
        assert not torch.equal(final.detach(), trace[-1])
        late, early = ((final.detach() - trace[place]).norm() for place in (-5, 0))
        assert late < early


def test_without_an_average_the_last_weights_stay() -> None:
    training = scale_training(settings_of("draft", weight_average=0, precision="float32"), 4)
    last: list[Tensor] = []

    def note(done: int, losses: dict[str, float]) -> None:
        last[:] = [p.detach().clone() for p in training.generator.parameters()]

    run_to_the_end(training, note, always)
    assert all(torch.equal(p.detach(), kept) for p, kept in zip(training.generator.parameters(), last, strict=True))


def test_settled_statistics_are_those_of_the_final_generator() -> None:
    training = scale_training(settings_of("paper", discriminator_steps=1, generator_steps=1), 6, amplitude=0.0)
    run_to_the_end(training, lambda done, losses: None, always)
    data = training.data
    seen = F.pad(torch.cat([data.samples, data.reconstruction_base]), (5,) * 4)
    layers = [m for m in training.generator.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    first, norm = layers[0], layers[1]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        maps = F.conv2d(seen, first.weight, first.bias).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, maps.mean(dim=1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, maps.var(dim=1), atol=1e-6, rtol=1e-3)


def test_a_trained_generator_folds_into_the_same_function() -> None:
    training = scale_training(settings_of("paper"), 4)
    run_to_the_end(training, lambda done, losses: None, always)
    picture = torch.randn(2, 3, 30, 34, generator=torch.Generator().manual_seed(0))
    folded = fold(training.generator)(picture)
    torch.testing.assert_close(folded, training.generator.eval()(picture).detach(), atol=1e-5, rtol=0)


def test_the_critic_scores_the_real_picture_higher() -> None:
    settings = settings_of("draft", discriminator_steps=5, learning_rate=2e-3, precision="float32")
    told: list[float] = []
    training = scale_training(settings, 3)
    run_to_the_end(training, lambda done, losses: told.append(losses["discriminator"]), always)
    assert max(told) < 0
    assert told[1] < told[0]
    data = training.data
    with torch.no_grad():
        real, fake = (training.discriminator(picture).mean() for picture in (data.real, data.samples))
    assert real > fake


@pytest.mark.parametrize("reflect", [True, False], ids=["reflected", "bare"])
def test_the_critic_is_shown_pictures_continued_by_reflection(reflect: bool) -> None:
    settings = settings_of("draft", reflect=reflect, crop=0, gradient_penalty_every=1, precision="float32")
    training = scale_training(settings, 2)
    shown: list[Tensor] = []
    training.discriminator.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0].detach()))
    run_to_the_end(training, lambda done, losses: None, always)
    real = training.data.real[0].numpy()
    wanted = np.pad(real, ((0, 0), (5, 5), (5, 5)), mode="reflect") if reflect else real
    assert {tuple(pictures.shape[-2:]) for pictures in shown} == {wanted.shape[1:]}
    assert any(np.array_equal(picture.numpy(), wanted) for pictures in shown for picture in pictures)
    for pictures in shown:
        mirrored = np.pad(pictures[..., 5:-5, 5:-5].numpy(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect")
        assert np.allclose(pictures, mirrored, atol=1e-6) == reflect


def test_the_penalty_holds_the_critics_slopes_near_one() -> None:
    left = []
    for weight in (0, 100):
        settings = settings_of(
            "draft", gradient_penalty=weight, gradient_penalty_every=1, learning_rate=3e-3, precision="float32"
        )
        training = scale_training(settings, 60)
        run_to_the_end(training, lambda done, losses: None, always)
        mix = torch.full((1, 1, 1, 1), 0.5)
        slope_at = partial(input_slope, training.discriminator)
        penalty = gradient_penalty(slope_at, training.data.real, training.data.samples, mix)
        left.append(penalty.item())
    assert left[1] < 0.8 * left[0]


@pytest.mark.parametrize("coarsest", [False, True], ids=["finer", "coarsest"])
@pytest.mark.parametrize("normalize", [False, True], ids=["plain", "norm"])
@with_and_without_reflection
def test_one_step_of_each_network_follows_the_gradients_worked_out_by_hand(
    monkeypatch: pytest.MonkeyPatch, coarsest: bool, normalize: bool, reflect: bool
) -> None:
    """The critic's at its old weights; the generator's against the critic's new ones."""
    settings = settings_of(
        "fast",
        normalize_generator=normalize,
        normalize_discriminator=normalize,
        learning_rate=0.01,
        gradient_penalty=0.3,
        reconstruction=7,
        crop=14,
        reflect=reflect,
        precision="float32",
    )
    data = replace(coarsest_data() if coarsest else scale_data(), reflect=reflect and not coarsest)
    training = scale_training(settings, 1, data=data)
    generator, critic = deepcopy(training.generator), deepcopy(training.discriminator)
    batches, mixes, draw = [], [], training.cropper.draw

    def seen_draw() -> Batch:
        batches.append(draw())
        return batches[-1]

    def seen_penalty(slope_at: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
        mixes.append(mix)
        return gradient_penalty(slope_at, real, fake, mix)

    monkeypatch.setattr(training.cropper, "draw", seen_draw)
    monkeypatch.setattr("singan_toolkit.training.scale.gradient_penalty", seen_penalty)
    run_to_the_end(training, lambda done, losses: None, always)
    batch, (mix,) = batches[0], mixes

    def shown(picture: Tensor) -> Tensor:
        return nn.ReflectionPad2d(5)(picture) if reflect else picture

    fake = batch.base + generator(batch.noisy)
    between = (mix * shown(batch.real) + (1 - mix) * shown(fake)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = settings.gradient_penalty_every * 0.3 * (slope.square().sum(dim=1).sqrt() - 1).square().mean()
    criticism = critic(shown(fake.detach())).mean() - critic(shown(batch.real)).mean() + penalty
    assert_gradients(training.discriminator, criticism, critic)

    rebuilt = batch.reconstruction_base + generator(batch.reconstruction_noisy)
    likeness = 7 * (rebuilt - batch.real).square().mean()
    before, after = (likeness - one(shown(fake)).mean() for one in (critic, training.discriminator))
    assert_gradients(training.generator, after, generator)
    with pytest.raises(AssertionError):
        assert_gradients(training.generator, before, generator)


def assert_gradients(trained: nn.Module, loss: Tensor, network: nn.Module) -> None:
    """That a network was stepped by the gradients which a loss has by the weights of its copy from before the step."""
    found = [parameter.grad for parameter in trained.parameters()]
    expected = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, materialize_grads=True)
    size = max(float(gradient.abs().max()) for gradient in expected)
    assert size > 1e-3
    torch.testing.assert_close(found, list(expected), atol=1e-5 * size, rtol=1e-4)


def test_the_critic_alone_draws_the_fakes_towards_the_real_picture() -> None:
    data = scale_data()
    bright = ScaleData(**{**vars(data), "real": data.real * 0.3 + 0.6, "samples": torch.zeros_like(data.real)})
    settings = settings_of(
        "draft",
        reconstruction=0,
        discriminator_steps=3,
        learning_rate=5e-3,
        weight_average=0,
        precision="float32",
    )
    training = ScaleTraining(settings, 8, bright, 24, settings.learning_rate, torch.float32, seeds=(1, 2))
    means: list[float] = []

    @torch.no_grad()
    def note(*report: Any) -> None:
        means.append(training.generator(F.pad(bright.samples, (5,) * 4)).mean().item())

    note()
    run_to_the_end(training, note, always)
    assert abs(means[0]) < 0.1
    assert np.mean(means) > 0.2


@pytest.mark.parametrize(("preset", "steps"), [("paper", (3, 3)), ("draft", (1, 1))])
def test_steps_and_penalties_are_as_many_as_set(
    monkeypatch: pytest.MonkeyPatch, preset: str, steps: tuple[int, int]
) -> None:
    calls: dict[str, int] = {}

    def counted(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Any) -> Tensor:
            calls[function.__name__] = calls.get(function.__name__, 0) + 1
            return function(*arguments)

        return call

    for loss in (critic_loss, adversarial_loss, gradient_penalty):
        monkeypatch.setattr(f"singan_toolkit.training.scale.{loss.__name__}", counted(loss))
    settings = settings_of(preset, precision="float32")
    run_to_the_end(scale_training(settings, 4), lambda done, losses: None, always)
    penalties = -(-4 // settings.gradient_penalty_every) * steps[0]
    assert calls == {"critic_loss": 4 * steps[0], "adversarial_loss": 4 * steps[1], "gradient_penalty": penalties}


def test_a_scale_may_start_from_anothers_weights() -> None:
    settings = settings_of("paper", precision="float32")
    first, second = scale_training(settings, 1, seed=1), scale_training(settings, 1, seed=2)
    states = first.states()
    warm = ScaleTraining(settings, 8, scale_data(), 1, 1e-3, torch.float32, seeds=(2, 3), warm_start=states)
    for network, source, fresh in zip(
        (warm.generator, warm.discriminator),
        (first.generator, first.discriminator),
        (second.generator, second.discriminator),
        strict=True,
    ):
        state, expected = network.state_dict(), source.state_dict()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
        assert not torch.equal(state["layers.0.weight"], fresh.state_dict()["layers.0.weight"])
        with torch.no_grad():
            next(network.parameters()).zero_()
        assert next(source.parameters()).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_an_exploded_loss_ends_the_scale(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    calls = itertools.count(1)

    def explode(real: Tensor, fake: Tensor) -> Tensor:
        return critic_loss(real, fake) + (value if next(calls) >= 4 else 0)

    monkeypatch.setattr("singan_toolkit.training.scale.critic_loss", explode)
    with pytest.raises(Diverged) as diverged:
        run_to_the_end(scale_training(settings_of("draft", precision="float32"), 9), lambda done, losses: None, always)
    assert diverged.value.iteration == 4
