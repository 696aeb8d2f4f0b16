"""From a picture to a bundle."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from singan_toolkit.bundle import Bundle, training_record
from singan_toolkit.imaging.pictures import Picture, PictureError
from singan_toolkit.imaging.tensors import shrunk, to_bytes, to_tensor
from singan_toolkit.pyramid.geometry import Geometry
from singan_toolkit.training.events import Event, Observer, TrainingStarted, ignore
from singan_toolkit.training.loop import retrain_pyramid, train_pyramid
from singan_toolkit.training.presets import DEFAULT_PRESET, PRESETS
from singan_toolkit.training.settings import Settings


def train_bundle(
    picture: Picture,
    settings: Settings,
    *,
    preset: str,
    task: str | None = None,
    seed: int = 0,
    device: str = "auto",
    observer: Observer = ignore,
) -> Bundle:
    """Train a pyramid on a picture and bundle it with the picture.

    Args:
        picture: Grey pictures are trained as RGB.
        settings: How to train.
        preset: Name of the preset that the settings came from, for the record.
        task: Name of the task whose profile they hold, for the record.
        seed: Of everything random.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Told what happens.

    Raises:
        PictureError: The picture is too small, too thin or partly transparent.
        ValueError: The device is not here.
        TrainingError: A scale diverged even with ever smaller steps.
    """
    if picture.alpha is not None and (clear := float((picture.alpha < 1).mean())) > 0:
        raise PictureError(
            f"{picture.name} is transparent in {clear:.0%} of its pixels, and a pyramid learns colours only: "
            "lay it on a background first"
        )
    try:
        geometry = Geometry.of_picture(
            *picture.size, settings.min_size, settings.max_size, settings.factor, settings.patches_to
        )
    except ValueError as error:
        raise PictureError(f"cannot train on {picture.name}: {error}") from error
    started = time.monotonic()
    precision = ""

    def observe(event: Event) -> None:
        nonlocal precision
        if isinstance(event, TrainingStarted):
            precision = event.precision
        observer(event)

    real = shrunk(picture, geometry.finest)
    pyramid = train_pyramid(real, geometry, settings, seed, device, observe)
    record = training_record(
        picture=picture.name,
        preset=preset,
        settings=settings.model_dump() | {"precision": precision},
        seed=seed,
        task=task,
        seconds=round(time.monotonic() - started, 3),
    )
    return Bundle.of_pyramid(pyramid, to_bytes(real[0]), record, name=Path(picture.name).stem)


def retrain_scale(
    bundle: Bundle,
    scale: int,
    change: Callable[[Tensor], Tensor],
    restores: bool = False,
    device: str = "auto",
    observer: Observer = ignore,
) -> Bundle:
    """A bundle with scales trained anew, with the bundle's own settings and seed, on changed pictures.

    Args:
        bundle: What was trained.
        scale: Which scale; not 0, which no picture enters, and one that has a network.
        change: From the pictures that come from the scales below, (B, 3, H, W) in about -1..1, to those that the scale
            is trained to start from.
        restores: Whether all scales from that one on are trained, on changed copies of the training picture, to give
            the picture itself; of a bundle of preset ``paper`` with the settings of the default preset.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Told what happens.

    Raises:
        TrainingError: The scale diverged even with ever smaller steps.
    """
    started = time.monotonic()
    record = bundle.manifest.training
    # Settings that later versions gave up had no part in what is trained anew.
    kept = {name: record.settings[name] for name in Settings.model_fields if name in record.settings}
    if restores and record.preset == "paper":  # hours of it would restore no better
        kept = dict(PRESETS[DEFAULT_PRESET]) | {
            name: kept[name] for name in ("precision", "noise_padding") if name in kept
        }
    pyramid = retrain_pyramid(
        bundle.pyramid(device),
        to_tensor(bundle.picture),
        Settings.model_validate(kept),
        scale,
        change,
        restores,
        record.seed,
        observer,
    )
    seconds = round(time.monotonic() - started, 3)
    new = record.model_copy(update=dict(parent=bundle.manifest.digest, seconds=seconds))
    return Bundle.of_pyramid(pyramid, bundle.picture, new, name=bundle.name)
