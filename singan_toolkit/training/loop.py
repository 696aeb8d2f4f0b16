"""Training a pyramid, scale by scale, coarsest first."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from singan_toolkit.errors import TrainingError
from singan_toolkit.pyramid.architecture import channels_at
from singan_toolkit.pyramid.geometry import Geometry
from singan_toolkit.pyramid.networks import fold
from singan_toolkit.pyramid.walk import Pyramid, Scale
from singan_toolkit.training.below import Below, Change, rmse, unchanged
from singan_toolkit.training.clock import Clock
from singan_toolkit.training.crops import ScaleData
from singan_toolkit.training.events import (
    Event,
    Observer,
    Progress,
    ScaleFinished,
    ScaleRestarted,
    ScaleStarted,
    TrainingResumed,
    TrainingStarted,
    ignore,
)
from singan_toolkit.training.precision import pick_precision
from singan_toolkit.training.scale import Diverged, ScaleTraining
from singan_toolkit.training.settings import Settings

if TYPE_CHECKING:
    from singan_toolkit.training.checkpoint import Checkpoint

RETRIES = 3
COLLAPSED = 1.5
"""The error that a scale may leave in the reconstruction, over the error that it was given; with more it has collapsed.

Detail as strong as the picture's, but in other places, makes the error sqrt(2) times what it is without any detail.
Such a scale is of use, so the bound lies above that.
"""


class PyramidTraining:
    """The training of a pyramid, as events that follow each other. Who stops asking for them stops it.

    Between two events it rests: all that what follows depends on is in ``below`` (the scales that are done, and the
    pictures that come of them), ``current`` (the scale in training, None between two scales), ``attempt`` (how often
    that started again) and ``learned`` (the weights of the scale before it). ``histories`` holds, by scale, the mean
    losses of those that were trained here.

    Args:
        real: (1, 3, H, W) in -1..1, on the device to train on, of the size of the finest scale.
        geometry: Sizes of the scales.
        settings: How to train; ``precision`` may be ``auto``.
        seed: The seed of everything random.
        undoes: What all scales that a picture can enter and that have a network learn to undo: from copies of the
            training picture, (B, 3, H, W) in about -1..1, to changed ones, which are to come out as the picture.
    """

    def __init__(
        self, real: Tensor, geometry: Geometry, settings: Settings, seed: int, undoes: Change | None = None
    ) -> None:
        self.geometry, self.settings = geometry, settings
        self.device = real.device
        self.dtype = pick_precision(settings.precision, self.device)
        self.below = Below(real, geometry, settings, seed, self.dtype)
        self.patches, self.last = geometry.patch_scales, len(geometry.sizes) - 1
        self.first, self.changed_from = self.patches, max(1, self.patches)
        self.change, self.restores = undoes or unchanged, undoes is not None
        self.kept: Pyramid | None = None
        self.histories: dict[int, Tensor] = {}
        self.current: ScaleTraining | None = None
        self.attempt = 0
        self.learned: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None
        self._count()

    @classmethod
    def anew(
        cls,
        pyramid: Pyramid,
        real: Tensor,
        settings: Settings,
        scale: int,
        change: Change,
        restores: bool = False,
        seed: int = 0,
    ) -> PyramidTraining:
        """One scale of a pyramid, or all from it on, trained anew with pictures that are changed before they enter it.

        Args:
            pyramid: A trained pyramid; left as it is. It is trained on its device.
            real: (1, 3, H, W) in -1..1, of the size of the finest scale: the training picture.
            settings: How to train.
            scale: Which scale; not 0, and one that has a network.
            change: From (B, 3, H, W) in about -1..1 to the same.
            restores: False changes samples of the scales below, for one scale. True changes copies of the training
                picture, for that scale and those above it, and asks of each that they come out as the picture.
            seed: The same seed gives the same pyramid on the same machine with the same versions.
        """
        training = cls(real.to(pyramid.device), pyramid.geometry, settings, seed)
        training.kept, training.first, training.changed_from = pyramid, scale, scale
        training.change, training.restores = change, restores
        training.last = training.last if restores else scale
        training.below.z_star = pyramid.z_star
        training.below.reflect = pyramid.networks[scale - training.patches].reflect
        training._count()
        return training

    def _count(self) -> None:
        networks = len(self.geometry.sizes) - self.patches
        self.iterations = tuple(
            self.settings.iterations_at(n - self.patches, networks) if self.first <= n <= self.last else 0
            for n in range(len(self.geometry.sizes))
        )
        self.clock = Clock(self.geometry, self.settings, self.iterations)

    @property
    def pyramid(self) -> Pyramid:
        """The scales that are done, and above them those that were kept, on the CPU."""
        above = self.kept.scales[len(self.below.scales) :] if self.kept else ()
        return Pyramid(self.geometry, (*self.below.scales, *above), self.below.z_star).to("cpu")

    def run(self, observer: Observer = ignore, checkpoint: Checkpoint | None = None) -> None:
        """Train to the end.

        Args:
            observer: Told what happens; what it raises stops the training.
            checkpoint: Where the training goes on from, and where it is kept.

        Raises:
            TrainingError: A scale diverged even with ever smaller steps.
        """
        with closing(checkpoint.events(self) if checkpoint else self.events()) as events:
            for event in events:
                observer(event)

    def events(self) -> Generator[Event]:
        """Train, or go on with the scale that is in training, and tell what happens.

        Raises:
            TrainingError: A scale diverged even with ever smaller steps.
        """
        precision = str(self.dtype).removeprefix("torch.")
        yield TrainingStarted(self.geometry.sizes, self.iterations, str(self.device), precision)
        if self.current:
            yield TrainingResumed(len(self.below.scales), self.current.done)
        else:
            self.below.lay_patches()
        for n in range(len(self.below.scales), self.last + 1):
            data = self.current.data if self.current else self.material(n)
            if n < self.first and self.kept:
                self.below.add(self.kept.scales[n], data)
            else:
                yield from self._scale(n, data)

    def material(self, n: int) -> ScaleData:
        """What scale n is trained on, once those below it are done."""
        if self.restores and n == self.changed_from:
            self.below.restore()
        change = self.change if n >= self.changed_from else unchanged
        return self.below.material(change, restored=n > 0 and self.iterations[n - 1] > 0)

    def beginning(self, n: int, data: ScaleData) -> ScaleTraining:
        """The training of scale n before its first step, in its present attempt."""
        warm = self.learned and self.channels(n) == self.channels(n - 1)
        return ScaleTraining(
            self.settings,
            self.channels(n),
            data,
            self.iterations[n],
            self._learning_rate,
            self.dtype,
            seeds=(self.below.seed_of("weights", n, self.attempt), self.below.seed_of("steps", n, self.attempt)),
            warm_start=self.learned if warm and not self.attempt else None,  # which a retry may stumble over
        )

    @property
    def _learning_rate(self) -> float:
        return self.settings.learning_rate / (1 << 2 * self.attempt)

    def _scale(self, n: int, data: ScaleData) -> Iterator[Event]:
        started = time.monotonic()
        yield ScaleStarted(n, data.noise_amplitude)
        first = self.attempt if self.current else 0
        for self.attempt in range(first, RETRIES + 1):
            current = self.current = self.current or self.beginning(n, data)
            self.clock.start_scale(current.done)
            try:
                for losses in current.reports(self.clock.report_due):
                    yield Progress(n, current.done, losses, *self.clock.at(n, current.done))
                scale = Scale(fold(current.generator), data.noise_amplitude, data.reflect, data.coarsest)
                _check(scale, data, current.done)
                break
            except Diverged as diverged:
                self.current = None
                if self.attempt == RETRIES:
                    raise TrainingError(
                        f"scale {n} diverged {RETRIES + 1} times, last with learning_rate {self._learning_rate:.1e}: "
                        "train with a smaller learning_rate"
                    ) from diverged
                yield ScaleRestarted(n, diverged.iteration, self._learning_rate / 4)
        self.below.add(scale, data)
        self.histories[n] = current.history.cpu()
        self.learned, self.current = current.states(), None
        error = rmse(self.below.reconstruction, data.real)
        yield ScaleFinished(n, time.monotonic() - started, error)

    def channels(self, n: int) -> int:
        """How wide the convolutions of scale n are."""
        return channels_at(n - self.patches, self.settings.channels, self.settings.max_channels)


@torch.no_grad()
def _check(scale: Scale, data: ScaleData, iterations: int) -> None:
    """See that the scale brings the reconstruction no further from the picture, as one that collapsed does."""
    rebuilt = scale.apply(data.reconstruction_base, data.reconstruction_noise)
    admissible = max(rmse(data.reconstruction_base, data.real), 0.02)
    if not rmse(rebuilt, data.real) < COLLAPSED * admissible:
        raise Diverged(iterations)
