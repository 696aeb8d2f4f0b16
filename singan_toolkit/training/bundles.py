"""From a picture to a bundle."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from singan_toolkit.bundle import Bundle
from singan_toolkit.bundle.manifest import LossRecord, training_record
from singan_toolkit.errors import BundleError, InputError, PictureError, UsageError
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.tensors import shrunk, to_bytes, to_tensor
from singan_toolkit.pyramid.architecture import channels_at
from singan_toolkit.pyramid.device import pick_device
from singan_toolkit.pyramid.geometry import Geometry
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid
from singan_toolkit.training.below import Change
from singan_toolkit.training.checkpoint import Checkpoint
from singan_toolkit.training.events import Observer, ignore
from singan_toolkit.training.loop import PyramidTraining
from singan_toolkit.training.precision import settled
from singan_toolkit.training.presets import DEFAULT_PRESET, OFFICIAL, PRESETS
from singan_toolkit.training.scale import LOSSES
from singan_toolkit.training.settings import Settings

MOST_STEPS = 120_000
"""The most steps by which a scale is trained anew on a bundle's word: ten times as many as preset ``paper`` has."""
MOST_VALUES = 1 << 27
"""The most values of one layer in one such step: half a gigabyte of them."""


def train_bundle(
    picture: Picture,
    settings: Settings,
    *,
    preset: str,
    task: str | None = None,
    seed: int = 0,
    device: str = "auto",
    observer: Observer = ignore,
    undoes: Change | None = None,
    checkpoint: Path | None = None,
    partial: bool = False,
) -> Bundle:
    """Train a pyramid on a picture and bundle it with the picture.

    Args:
        picture: Grey pictures are trained as RGB.
        settings: How to train.
        preset: Name of the preset that the settings came from, for the record.
        task: Name of the task whose profile they hold, for the record.
        seed: The seed of everything random.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Told what happens.
        undoes: What the networks learn to undo, if anything; see ``PyramidTraining``.
        checkpoint: A file to keep the training in while it goes on. Where it holds one of the same picture and
            settings that was stopped, that is gone on with, to the same bundle. It stays when training has ended.
        partial: Train no more, and bundle the scales that are done in the checkpoint: a smaller picture's pyramid.

    Raises:
        PictureError: The picture is too small, too thin, too large or partly transparent.
        UsageError: The seed is no number of 64 bits, or no scale is done that could be bundled.
        UnavailableError: The device is not here.
        TrainingError: A scale diverged even with ever smaller steps.
    """
    if not -(1 << 63) <= seed < 1 << 64:
        raise UsageError("the seed must be a number of 64 bits")
    if picture.alpha is not None and (clear := float((picture.alpha < 1).mean())) > 0:
        raise PictureError(
            f"{picture.name} is transparent in {clear:.0%} of its pixels, and a pyramid learns colours only: "
            "lay it on a background first"
        )
    try:
        geometry = Geometry.of_picture(
            *picture.size, settings.min_size, settings.max_size, settings.factor, settings.patches_to
        )
    except InputError as error:
        raise PictureError(f"cannot train on {picture.name}: {error}") from error
    chosen, real = pick_device(device), shrunk(picture, geometry.finest)
    kept = None
    if checkpoint:
        asked = [picture.name, preset, task, seed, chosen.type, settings.model_dump(exclude={"precision"})]
        job = hashlib.sha256(json.dumps(asked).encode() + real.numpy().tobytes()).hexdigest()
        kept = Checkpoint(checkpoint, job, settings.precision)
        if kept.place:
            settings = settings.model_copy(update={"precision": kept.place.precision})
    settings = settled(settings, chosen)
    training = PyramidTraining(real.to(chosen), geometry, settings, seed, undoes=undoes)
    if partial:
        pyramid = _of_what_is_done(kept, training)
        real = resize(real, pyramid.geometry.finest)
    else:
        training.run(observer, kept)
        pyramid = training.pyramid
    record = training_record(
        picture=picture.name.encode(errors="backslashreplace").decode(),  # names may hold bytes that are no text
        preset=preset,
        settings=settings.model_dump(),
        seed=seed,
        task=task,
        losses=_losses(training, [None] * len(pyramid.networks)),
    )
    return Bundle.of_pyramid(pyramid, to_bytes(real[0]), record, name=Path(picture.name).stem)


def _losses(training: PyramidTraining, before: Sequence[LossRecord | None]) -> list[LossRecord | None]:
    """What is recorded of each network's losses: those of this training, else what was known before."""
    found = list(before)
    for scale, history in training.histories.items():
        columns = [[float(f"{value:.5g}") for value in column] for column in history.T.tolist()]
        found[scale - training.patches] = LossRecord.model_validate(dict(zip(LOSSES, columns, strict=True)))
    return found


def _of_what_is_done(checkpoint: Checkpoint | None, training: PyramidTraining) -> Pyramid:
    """The scales that are done in a checkpoint, as the pyramid of a smaller picture."""
    if not checkpoint or not checkpoint.resume(training) or not training.below.pyramid.networks:
        why = f": {checkpoint.problem}" if checkpoint and checkpoint.problem else ""
        raise UsageError(f"{checkpoint.path if checkpoint else 'no checkpoint'} holds no scale that is done{why}")
    whole, scales = training.geometry, training.below.pyramid.to("cpu").scales
    geometry = Geometry(whole.sizes[: len(scales)], whole.factor, whole.patch_scales)
    return Pyramid(geometry, scales, training.below.z_star.cpu())


def retrain_scale(
    bundle: Bundle,
    scale: int,
    change: Change,
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
            the picture itself; where it was trained with preset ``paper`` or by the official code, with the settings of
            the default preset.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Told what happens.

    Raises:
        BundleError: The bundle's settings are not valid, or ask for more work than is done on a file's word.
        TrainingError: The scale diverged even with ever smaller steps.
    """
    record = bundle.manifest.training
    # Settings that later versions gave up had no part in what is trained anew.
    kept = {name: record.settings[name] for name in Settings.model_fields if name in record.settings}
    if restores and record.preset in ("paper", OFFICIAL):  # hours of it would restore no better
        kept = dict(PRESETS[DEFAULT_PRESET]) | {
            name: kept[name] for name in ("precision", "noise_padding") if name in kept
        }
    training = PyramidTraining.anew(
        bundle.pyramid(device),
        to_tensor(bundle.picture),
        _admitted(bundle, kept),
        scale,
        change,
        restores,
        record.seed,
    )
    training.run(observer)
    losses = _losses(training, record.losses or [None] * len(training.pyramid.networks))
    new = record.model_copy(update=dict(parent=bundle.manifest.digest, losses=losses))
    return Bundle.of_pyramid(training.pyramid, bundle.picture, new, name=bundle.name)


def _admitted(bundle: Bundle, kept: dict[str, Any]) -> Settings:
    """The settings of a file that anyone may have made, if they ask for no more than training can take."""
    try:
        settings = Settings.model_validate(kept)
    except ValidationError as error:
        problem = error.errors()[0]
        raise BundleError(
            f"{bundle.name} cannot be trained anew: of its settings {problem['loc'][0]} is wrong: {problem['msg']}"
        ) from None
    networks = len(bundle.geometry.sizes) - bundle.geometry.patch_scales
    steps = max(settings.iterations, settings.finest_iterations) * (
        settings.discriminator_steps + settings.generator_steps
    )
    values = math.prod(settings.batch_at(*bundle.geometry.finest)) * channels_at(
        networks - 1, settings.channels, settings.max_channels
    )
    for what, asked, most in (
        ("steps", steps, MOST_STEPS),
        ("values a step and layer", values, MOST_VALUES),
        ("pixels of samples", settings.pool_pixels, MOST_VALUES),
    ):
        if asked > most:
            raise BundleError(
                f"{bundle.name} is not trained anew: its settings ask for {asked:,} {what}, and at most {most:,} are "
                "taken on a file's word; use it as it is, or train its picture with other settings"
            )
    return settings
