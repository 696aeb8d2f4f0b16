"""Training: one scale, and the loop over scales."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import singan_toolkit as st
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.pyramid.networks import fold
from singan_toolkit.pyramid.noise import Reconstruction
from singan_toolkit.pyramid.walk import Scale, reconstruct, walk
from singan_toolkit.training import clock
from singan_toolkit.training.crops import Batch, ScaleData
from singan_toolkit.training.events import (
    Event,
    Progress,
    ScaleFinished,
    ScaleRestarted,
    ScaleStarted,
    TrainingStarted,
)
from singan_toolkit.training.loop import TrainingError
from singan_toolkit.training.losses import adversarial_loss, critic_loss, gradient_penalty, reconstruction_loss
from singan_toolkit.training.scale import Diverged, ScaleTraining
from singan_toolkit.training.settings import Settings, settings_of
from singan_toolkit.training.slope import input_slope
from singan_toolkit.training.train import retrain_scale, train_bundle

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


# One scale

with_and_without_reflection = pytest.mark.parametrize("reflect", [False, True], ids=["zeros", "reflected"])


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

    training.run(note, always)
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
    scale_training(settings_of("draft", precision="float32"), 5).run(lambda *report: told.append(report), always)
    assert [done for done, _ in told] == [1, 2, 3, 4, 5]
    assert all(losses.keys() == {"discriminator", "generator", "reconstruction"} for _, losses in told)
    assert all(np.isfinite(list(losses.values())).all() for _, losses in told)


def test_only_the_end_is_reported_when_no_report_is_due() -> None:
    told: list[int] = []
    training = scale_training(settings_of("draft", precision="float32"), 7)
    training.run(lambda done, losses: told.append(done), lambda: False)
    assert told == [7]


@pytest.mark.parametrize("preset", ["draft", "paper"])
def test_training_a_scale_lowers_its_reconstruction_error(preset: str) -> None:
    settings = settings_of(preset, precision="float32", reconstruction=100, learning_rate=3e-3)
    told: list[float] = []
    training = scale_training(settings, 40 if preset == "draft" else 15)
    training.run(lambda done, losses: told.append(losses["reconstruction"]), always)
    assert np.mean(told[-3:]) < 0.5 * told[0]


def test_the_final_weights_are_an_average_of_those_passed_through() -> None:
    training = scale_training(settings_of("draft", weight_average=0.9, learning_rate=2e-3, precision="float32"), 30)
    passed = [[p.detach().clone() for p in training.generator.parameters()]]

    def note(done: int, losses: dict[str, float]) -> None:
        passed.append([p.detach().clone() for p in training.generator.parameters()])

    training.run(note, always)
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

    training.run(note, always)
    assert all(torch.equal(p.detach(), kept) for p, kept in zip(training.generator.parameters(), last, strict=True))


def test_settled_statistics_are_those_of_the_final_generator() -> None:
    training = scale_training(settings_of("paper", discriminator_steps=1, generator_steps=1), 6, amplitude=0.0)
    training.run(lambda done, losses: None, always)
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
    training.run(lambda done, losses: None, always)
    picture = torch.randn(2, 3, 30, 34, generator=torch.Generator().manual_seed(0))
    folded = fold(training.generator)(picture)
    torch.testing.assert_close(folded, training.generator.eval()(picture).detach(), atol=1e-5, rtol=0)


def test_the_critic_scores_the_real_picture_higher() -> None:
    settings = settings_of("draft", discriminator_steps=5, learning_rate=2e-3, precision="float32")
    told: list[float] = []
    training = scale_training(settings, 3)
    training.run(lambda done, losses: told.append(losses["discriminator"]), always)
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
    training.run(lambda done, losses: None, always)
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
        training.run(lambda done, losses: None, always)
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
    training.run(lambda done, losses: None, always)
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
    training.run(note, always)
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
    scale_training(settings, 4).run(lambda done, losses: None, always)
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
        scale_training(settings_of("draft", precision="float32"), 9).run(lambda done, losses: None, always)
    assert diverged.value.iteration == 4


# The loop over scales


def test_events_tell_the_training_in_order(photo: Path, tiny_settings: Options) -> None:
    bundle, events = train(photo, tiny_settings | dict(iterations=12, finest_iterations=6), seed=2)
    started, finished = events[0], events[-1]
    assert isinstance(started, TrainingStarted)
    assert isinstance(finished, ScaleFinished)
    assert started.sizes == bundle.geometry.sizes
    assert started.iterations[0] == 12
    assert started.iterations[-1] == 6
    assert (started.device, started.precision) == ("cpu", "float32")
    scales = range(len(started.sizes))
    order = [(type(event), event.scale) for event in events[1:] if not isinstance(event, TrainingStarted)]
    assert [key for key, _ in itertools.groupby(order)] == [
        (kind, n) for n in scales for kind in (ScaleStarted, Progress, ScaleFinished)
    ]
    for n, record in enumerate(bundle.manifest.scales):
        begun = of_kind(ScaleStarted, events)[n]
        assert begun.noise_amplitude == record.noise_amplitude
        progress = [event for event in of_kind(Progress, events) if event.scale == n]
        iterations = [event.iteration for event in progress]
        assert iterations == sorted(set(iterations))
        assert 1 <= iterations[0] <= iterations[-1] == started.iterations[n]
        assert all(np.isfinite(list(event.losses.values())).all() for event in progress)


def test_progress_rises_from_nothing_to_one(photo: Path, quick: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "REPORT_SECONDS", 0.0)
    _, events = train(photo, quick)
    progress = of_kind(Progress, events)
    assert len(progress) == sum(of_kind(TrainingStarted, events)[0].iterations)
    done = [event.done for event in progress]
    assert done == sorted(set(done))
    assert 0 < done[0] < 0.2
    assert done[-1] == 1
    assert all(0 <= event.seconds_left < 600 for event in progress)
    assert progress[-1].seconds_left == 0


def test_the_time_left_is_about_right(photo: Path, tiny_settings: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "REPORT_SECONDS", 0.0)
    _, events = train(photo, tiny_settings | dict(iterations=15, finest_iterations=15))
    seconds = sum(event.seconds for event in of_kind(ScaleFinished, events))
    late = [event for event in of_kind(Progress, events) if 0.4 < event.done < 0.9]
    guesses = np.median([event.seconds_left / (1 - event.done) for event in late])
    assert 0.2 * seconds < guesses < 5 * seconds


def test_noise_amplitudes_are_in_proportion_to_the_reconstructions_error(photo: Path, tiny_bundle: st.Bundle) -> None:
    pyramid = tiny_bundle.pyramid("cpu")
    route, reals = pyramid.geometry.route(), real_scales(photo, tiny_bundle)
    assert pyramid.scales[0].noise_amplitude == 1
    for n in range(1, len(route)):
        below = walk(pyramid, route[:n], Reconstruction(pyramid.z_star))
        upsampled = F.interpolate(below, pyramid.geometry.sizes[n], mode="bicubic", align_corners=False, antialias=True)
        expected = 0.1 * rmse(upsampled, reals[n])
        assert pyramid.scales[n].noise_amplitude == pytest.approx(expected, rel=1e-3)
        assert pyramid.scales[n].noise_amplitude > 0.001


def test_the_setting_noise_amplitude_is_its_factor(photo: Path, quick: Options) -> None:
    little, _ = train(photo, quick)
    much, _ = train(photo, quick | dict(noise_amplitude=0.2))
    ratio = much.manifest.scales[1].noise_amplitude / little.manifest.scales[1].noise_amplitude
    assert ratio == pytest.approx(2, rel=1e-4)


@with_and_without_reflection
@pytest.mark.parametrize("noise_padding", ["zeros", "noise"])
def test_the_told_error_is_that_of_the_reconstruction(
    photo: Path, quick: Options, noise_padding: str, reflect: bool
) -> None:
    bundle, events = train(photo, quick | dict(noise_padding=noise_padding, reflect=reflect))
    assert bundle.manifest.architecture.noise_padding == noise_padding
    assert bundle.manifest.architecture.picture_padding == ("reflect" if reflect else "zeros")
    pyramid, reals = bundle.pyramid("cpu"), real_scales(photo, bundle)
    route = pyramid.geometry.route()
    for event in of_kind(ScaleFinished, events):
        rebuilt = walk(pyramid, route[: event.scale + 1], Reconstruction(pyramid.z_star))
        assert event.reconstruction_rmse == pytest.approx(rmse(rebuilt, reals[event.scale]), rel=1e-3)


def test_the_bundle_keeps_the_picture_at_the_finest_size(photo: Path, tiny_bundle: st.Bundle) -> None:
    expected = Image.open(photo).resize((40, 32), Image.Resampling.BICUBIC)
    assert np.abs(tiny_bundle.picture.astype(int) - np.asarray(expected)).max() <= 1


def test_a_little_training_beats_the_upsampled_coarse_picture(photo: Path, tiny_settings: Options) -> None:
    options = dict(
        max_size=24, channels=16, max_channels=16, batch=1, crop=0, iterations=90, finest_iterations=110
    ) | dict(reconstruction=300, learning_rate=5e-3, weight_average=0.9)
    bundle, _ = train(photo, tiny_settings | options)
    reals = real_scales(photo, bundle)
    upsampled = F.interpolate(reals[0], bundle.geometry.finest, mode="bicubic", align_corners=False, antialias=True)
    assert rmse(reconstruct(bundle.pyramid("cpu")), reals[-1]) < rmse(upsampled, reals[-1])


@pytest.mark.parametrize("preset", ["draft", "paper"])
def test_the_same_seed_trains_the_same_pyramid(photo: Path, quick: Options, preset: str) -> None:
    torch.manual_seed(1)
    first, _ = train(photo, quick, preset, seed=4)
    torch.manual_seed(2)
    again, _ = train(photo, quick, preset, seed=4)
    other, _ = train(photo, quick, preset, seed=5)
    assert same(first, again)
    assert not np.array_equal(first.tensors["z_star"], other.tensors["z_star"])
    weight = "scales.0.convolutions.0.weight"
    assert np.abs(first.tensors[weight] - other.tensors[weight]).max() > 1e-3


@pytest.mark.parametrize("seed", [-3, 2**31, 2**62])
def test_any_whole_number_seeds_a_training(photo: Path, quick: Options, seed: int) -> None:
    bundle, _ = train(photo, quick | dict(iterations=1, finest_iterations=1), seed=seed)
    assert bundle.manifest.training.seed == seed
    assert is_finite(bundle)


def test_the_preset_paper_trains_and_folds_its_batch_norm(photo: Path, tiny_settings: Options, tmp_path: Path) -> None:
    options = dict(min_size=12, max_size=30, channels=8, max_channels=8, iterations=3, finest_iterations=3)
    bundle, events = train(photo, options, preset="paper")
    assert set(of_kind(TrainingStarted, events)[0].iterations) == {3}
    assert bundle.manifest.training.settings["normalize_generator"] is True
    assert not any("norm" in name or "running" in name for name in bundle.tensors)
    assert is_finite(bundle)
    bundle.save(tmp_path / "paper.sgb")
    told = of_kind(ScaleFinished, events)[-1].reconstruction_rmse
    rebuilt = reconstruct(st.load(tmp_path / "paper.sgb").pyramid("cpu"))
    assert rmse(rebuilt, real_scales(photo, bundle)[-1]) == pytest.approx(told, rel=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        dict(crop=11),
        dict(crop=0, batch=1),
        dict(pool_pixels=0),
        dict(pool_pixels=1),
        dict(discriminator_steps=2, generator_steps=2),
        dict(batch_pixels=1),
        dict(gradient_penalty_every=3),
        dict(channels=8, max_channels=4),
        dict(normalize_generator=True),
        dict(normalize_discriminator=True),
        dict(reflect=False),
        dict(patches_to=24),
        dict(patches_to=24, pool_pixels=0, noise_padding="noise"),
        dict(normalize_discriminator=True, precision="bfloat16"),
        dict(precision="bfloat16"),
        dict(noise_padding="noise"),
        dict(noise_padding="noise", crop=0, batch=1, pool_pixels=0),
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_every_way_of_training_ends_in_a_sound_pyramid(photo: Path, quick: Options, change: Options) -> None:
    bundle, events = train(photo, quick | change)
    assert is_finite(bundle)
    assert not of_kind(ScaleRestarted, events)
    assert of_kind(TrainingStarted, events)[0].precision == change.get("precision", "float32")


def test_channels_double_after_four_scales(photo: Path, tiny_settings: Options) -> None:
    bundle, _ = train(photo, tiny_settings | dict(max_channels=16, iterations=1, finest_iterations=1))
    assert [record.channels for record in bundle.manifest.scales] == [8, 8, 8, 8, 16]


def test_a_scale_starts_from_the_scale_below_where_the_widths_match(photo: Path, tiny_settings: Options) -> None:
    change = dict(max_channels=16, iterations=1, finest_iterations=1, learning_rate=1e-9)
    bundle, _ = train(photo, tiny_settings | change)
    weights = [bundle.tensors[f"scales.{n}.convolutions.0.weight"] for n in range(5)]
    for n in range(1, 4):
        np.testing.assert_allclose(weights[n], weights[0], atol=1e-6)
    assert np.abs(weights[4][:8] - weights[0]).max() > 1e-2


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_a_scale_trained_anew_keeps_the_padding_of_its_pyramid(photo: Path, quick: Options, padding: str) -> None:
    """Whatever the settings say: bundles of version 1 are padded with zeros where only their critic saw reflections."""
    bundle, _ = train(photo, quick | dict(reflect=padding == "reflect"))
    settings = bundle.manifest.training.settings | {"reflect": padding == "zeros"}
    training = bundle.manifest.training.model_copy(update={"settings": settings})
    misled = replace(bundle, manifest=bundle.manifest.model_copy(update={"training": training}))
    again = retrain_scale(misled, len(bundle.manifest.scales) - 1, torch.clone, device="cpu")
    assert again.manifest.architecture == bundle.manifest.architecture
    assert again.manifest.architecture.picture_padding == padding
    assert not same(again, bundle)


def test_a_bundle_is_named_after_its_picture(photo: Path, tiny_bundle: st.Bundle, quick: Options) -> None:
    assert tiny_bundle.name == "photo"
    settings = settings_of("draft", **quick | dict(iterations=1, finest_iterations=1))
    pixels = np.asarray(Image.open(photo))
    names = {"holiday.2024.jpeg": "holiday.2024", "scan": "scan", ".hidden": ".hidden"}
    for picture, name in names.items():
        assert train_bundle(Picture(pixels, picture), settings, preset="draft", device="cpu").name == name


def test_an_unknown_device_is_refused(photo: Path) -> None:
    with pytest.raises(ValueError, match="'abacus' cannot be used here"):
        st.train(photo, device="abacus")


# Divergence


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
