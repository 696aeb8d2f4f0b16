"""Training: the loop over scales."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import singan_toolkit as st
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.pyramid.noise import Reconstruction
from singan_toolkit.pyramid.walk import reconstruct, walk
from singan_toolkit.training import clock
from singan_toolkit.training.bundles import retrain_scale, train_bundle
from singan_toolkit.training.events import (
    Progress,
    ScaleFinished,
    ScaleRestarted,
    ScaleStarted,
    TrainingStarted,
)
from singan_toolkit.training.settings import settings_of
from training_runs import Options, is_finite, of_kind, real_scales, rmse, same, train, with_and_without_reflection


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
    order = [
        (type(event), event.scale)
        for event in events[1:]
        if isinstance(event, (ScaleStarted, Progress, ScaleRestarted, ScaleFinished))
    ]
    assert len(order) == len(events) - 1
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
