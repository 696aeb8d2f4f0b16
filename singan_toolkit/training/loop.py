"""Training a pyramid, scale by scale, coarsest first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from singan_toolkit.errors import TrainingError as TrainingError
from singan_toolkit.pyramid.architecture import MARGIN, PICTURE_CHANNELS, channels_at
from singan_toolkit.pyramid.device import pick_device
from singan_toolkit.pyramid.geometry import Geometry, Size
from singan_toolkit.pyramid.networks import fold
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.patch_scale import PatchScale, patch_scales
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid, Scale, walk
from singan_toolkit.training.clock import Clock
from singan_toolkit.training.crops import ScaleData
from singan_toolkit.training.events import (
    Observer,
    Progress,
    ScaleFinished,
    ScaleRestarted,
    ScaleStarted,
    TrainingStarted,
    ignore,
)
from singan_toolkit.training.precision import pick_precision
from singan_toolkit.training.scale import Diverged, ScaleTraining
from singan_toolkit.training.settings import Settings

LAYOUTS = 64
"""Samples of the scales of patches that networks above are trained on."""
RETRIES = 3
COLLAPSED = 1.5
"""A scale has collapsed when it brings the reconstruction that many times as far from the picture as it was given it.

A scale that merely puts detail in other places than the picture has it makes the error sqrt(2) times what it is without
any detail, so a bound below that would refuse scales that are of use.
"""
CHUNK_PIXELS = 65_536


Change = Callable[[Tensor], Tensor]
"""From pictures, (B, 3, H, W) in about -1..1, to changed ones of the same shape."""


def train_pyramid(
    real: Tensor,
    geometry: Geometry,
    settings: Settings,
    seed: int = 0,
    device: str = "auto",
    observer: Observer = ignore,
    undoes: Change | None = None,
) -> Pyramid:
    """Train a pyramid on one picture.

    Args:
        real: (1, 3, H, W) in -1..1, of the size of the geometry's finest scale.
        geometry: Sizes of the scales.
        settings: How to train.
        seed: The same seed gives the same pyramid on the same machine with the same versions.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Told what happens.
        undoes: What all scales that a picture can enter and that have a network learn to undo: from copies of the
            training picture, (B, 3, H, W) in about -1..1, to changed ones, which are to come out as the picture.

    Returns:
        The trained pyramid, on the CPU.

    Raises:
        UnavailableError: The device is not here.
        TrainingError: A scale diverged even with ever smaller steps.
    """
    return _Training(real.to(pick_device(device)), geometry, settings, seed, observer).run(undoes)


def retrain_pyramid(
    pyramid: Pyramid,
    real: Tensor,
    settings: Settings,
    scale: int,
    change: Change,
    restores: bool = False,
    seed: int = 0,
    observer: Observer = ignore,
) -> Pyramid:
    """Train one scale of a pyramid anew, or all from it on, with pictures that are changed before they enter it.

    Args:
        pyramid: A trained pyramid; left as it is. It is trained on its device.
        real: (1, 3, H, W) in -1..1, of the size of the finest scale: the training picture.
        settings: How to train.
        scale: Which scale; not 0, and one that has a network.
        change: From (B, 3, H, W) in about -1..1 to the same.
        restores: False changes samples of the scales below, for one scale. True changes copies of the training picture,
            for that scale and those above it, and asks of each that they come out as the picture.
        seed: The same seed gives the same pyramid on the same machine with the same versions.
        observer: Told what happens.

    Returns:
        A pyramid with what is new, on the CPU.

    Raises:
        TrainingError: The scale diverged even with ever smaller steps.
    """
    return _Training(real.to(pyramid.device), pyramid.geometry, settings, seed, observer).run_again(
        pyramid, scale, change, restores
    )


def _unchanged(pictures: Tensor) -> Tensor:
    return pictures


class _Training:
    def __init__(self, real: Tensor, geometry: Geometry, settings: Settings, seed: int, observer: Observer) -> None:
        self.geometry, self.settings, self.seed, self.observer = geometry, settings, seed, observer
        self.device = real.device
        self.dtype = pick_precision(settings.precision, self.device)
        self.finest = real
        scales, self.patches = len(geometry.sizes), geometry.patch_scales
        self.iterations = tuple(
            0 if n < self.patches else settings.iterations_at(n - self.patches, scales - self.patches)
            for n in range(scales)
        )
        self.clock = Clock(geometry, settings, self.iterations)
        self.scales: list[Scale | PatchScale] = []
        self.reflect, self.restores = settings.reflect, False
        self.margin = MARGIN if settings.noise_padding == "noise" else 0
        z_star = torch.randn((1, 1, *self._noise_size(0)), generator=torch.Generator().manual_seed(self._seed("z*")))
        # Without noise the patches are those of the training picture, in their places.
        self.z_star = (torch.zeros_like(z_star) if self.patches else z_star).to(self.device)
        self.samples = torch.zeros((1, 3, *geometry.sizes[0]), device=self.device)
        self.reconstruction = torch.zeros_like(self.samples)

    def run(self, undoes: Change | None = None) -> Pyramid:
        self._tell_start()
        self._lay_patches()
        previous: ScaleTraining | None = None
        for n in range(self.patches, len(self.geometry.sizes)):
            if undoes and n == max(1, self.patches):
                self._restore_from_here()
            previous = self._one(n, self._data(n, undoes if undoes and n else _unchanged), previous)
        return Pyramid(self.geometry, tuple(self.scales), self.z_star).to("cpu")

    def run_again(self, pyramid: Pyramid, n: int, change: Change, restores: bool) -> Pyramid:
        """Train scale ``n`` of a pyramid anew, or all from it on."""
        last = len(self.iterations) - 1 if restores else n
        self.iterations = tuple(count if n <= scale <= last else 0 for scale, count in enumerate(self.iterations))
        self.clock = Clock(self.geometry, self.settings, self.iterations)
        self.z_star, self.reflect = pyramid.z_star, pyramid.networks[n - self.patches].reflect
        self._tell_start()
        self._lay_patches()
        for below in range(self.patches, n):
            data = self._data(below)
            self.scales.append(pyramid.scales[below])
            self._advance(below, data)
        if restores:
            self._restore_from_here()
        previous = self._one(n, self._data(n, change), previous=None)
        for above in range(n + 1, last + 1):
            previous = self._one(above, self._data(above, change), previous)
        scales = (*self.scales, *pyramid.scales[last + 1 :])
        return Pyramid(self.geometry, scales, self.z_star).to("cpu")

    def _restore_from_here(self) -> None:
        self.samples, self.restores = self.reconstruction.expand(LAYOUTS, -1, -1, -1), True

    @torch.no_grad()
    def _lay_patches(self) -> None:
        """The scales that need no training: what they make is where the first network starts."""
        if not self.patches:
            return
        sizes = self.geometry.sizes[: self.patches]
        self.scales += patch_scales(self.finest, sizes)
        self.reconstruction = resize(self.finest, sizes[-1])
        if self.settings.pool_pixels:
            below, route = (
                Pyramid(self.geometry, tuple(self.scales), self.z_star),
                self.geometry.route()[: self.patches],
            )
            self.samples = walk(below, route, Gaussian(self._seed("pool")), samples=range(LAYOUTS))

    def _tell_start(self) -> None:
        precision = str(self.dtype).split(".")[1]
        self.observer(TrainingStarted(self.geometry.sizes, self.iterations, str(self.device), precision))

    def _one(self, n: int, data: ScaleData, previous: ScaleTraining | None) -> ScaleTraining:
        started = time.monotonic()
        self.observer(ScaleStarted(n, data.noise_amplitude))
        training = self._train_scale(n, data, previous)
        self.scales.append(Scale(fold(training.generator), data.noise_amplitude, data.reflect, data.coarsest))
        self._advance(n, data)
        self.observer(ScaleFinished(n, time.monotonic() - started, _rmse(self.reconstruction, data.real)))
        return training

    def _data(self, n: int, change: Change = _unchanged) -> ScaleData:
        size = self.geometry.sizes[n]
        real = resize(self.finest, size)
        zeros = torch.zeros_like(real)
        if n == 0:
            noise = self.z_star.expand(1, PICTURE_CHANNELS, -1, -1)
            return ScaleData(real, zeros, None, zeros, noise, noise_amplitude=1.0, coarsest=True)
        base = resize(self.reconstruction, size)
        base = base if self.restores else change(base)
        # Section 2.2: sigma_n is proportional to the RMSE between the upsampled reconstruction and the real scale.
        amplitude = self.settings.noise_amplitude * _rmse(base, real)
        pool = resize(self.samples, size)
        if self.restores:  # half have been restored by the scale below, half are to be restored here
            copies = change(base.expand(len(pool), -1, -1, -1))
            pool = torch.cat([pool[::2], copies[::2]]) if self.iterations[n - 1] else copies
        else:
            pool = change(pool)
        silence = torch.zeros((1, PICTURE_CHANNELS, *self._noise_size(n)), device=self.device)
        return ScaleData(
            real,
            pool,
            None if self.restores else self._fresh(n, change),
            base,
            silence,
            amplitude,
            coarsest=False,
            reflect=self.reflect,
            restores=self.restores,
        )

    def _noise_size(self, n: int) -> Size:
        height, width = self.geometry.sizes[n]
        return height + 2 * self.margin, width + 2 * self.margin

    def _fresh(self, n: int, change: Change) -> Callable[[Sequence[int]], Tensor] | None:
        """Without a pool, what draws new samples of the scales below and brings them to this scale's size."""
        if self.settings.pool_pixels:
            return None
        below = Pyramid(self.geometry, tuple(self.scales), self.z_star)
        route, noise = self.geometry.route()[:n], Gaussian(self._seed("samples", n))

        def draw(numbers: Sequence[int]) -> Tensor:
            return change(resize(walk(below, route, noise, samples=numbers), self.geometry.sizes[n]))

        return draw

    def _seed(self, use: str, *place: int) -> int:
        """A seed of its own for each use, so that no two draw the same numbers."""
        words = [self.seed % 2**64, *use.encode(), *place]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _train_scale(self, n: int, data: ScaleData, previous: ScaleTraining | None) -> ScaleTraining:
        nth = n - self.patches
        channels = channels_at(nth, self.settings.channels, self.settings.max_channels)
        warm_start = None
        if previous and channels == channels_at(nth - 1, self.settings.channels, self.settings.max_channels):
            warm_start = previous.states()
        learning_rate = self.settings.learning_rate
        attempt = 0
        while True:
            self.clock.start_scale()
            training = ScaleTraining(
                self.settings,
                channels,
                data,
                self.iterations[n],
                learning_rate,
                self.dtype,
                seeds=(self._seed("weights", n, attempt), self._seed("steps", n, attempt)),
                warm_start=warm_start,
            )
            try:
                training.run(lambda done, losses: self._report(n, done, losses), self.clock.report_due)
                self._check(training, data, n)
                return training
            except Diverged as diverged:
                if attempt == RETRIES:
                    raise TrainingError(
                        f"scale {n} diverged {RETRIES + 1} times, last with learning_rate {learning_rate:.1e}: "
                        "train with a smaller learning_rate"
                    ) from diverged
                attempt += 1
                learning_rate /= 4
                warm_start = None  # which may be what it stumbles over
                self.observer(ScaleRestarted(n, diverged.iteration, learning_rate))

    @torch.no_grad()
    def _check(self, training: ScaleTraining, data: ScaleData, n: int) -> None:
        """See that the scale brings the reconstruction no further from the picture, as one that collapsed does."""
        scale = Scale(fold(training.generator), data.noise_amplitude, data.reflect, data.coarsest)
        rebuilt = scale.apply(data.reconstruction_base, data.reconstruction_noise)
        admissible = max(_rmse(data.reconstruction_base, data.real), 0.02)
        if not _rmse(rebuilt, data.real) < COLLAPSED * admissible:
            raise Diverged(self.iterations[n])

    def _report(self, n: int, done: int, losses: dict[str, float]) -> None:
        share, left = self.clock.at(n, done)
        self.observer(Progress(n, done, losses, share, left))

    @torch.no_grad()
    def _advance(self, n: int, data: ScaleData) -> None:
        """Take the reconstruction and the pool of samples through the scale that was just trained."""
        scale, (height, width) = self.scales[n], self.geometry.sizes[n]
        self.reconstruction = scale.apply(data.reconstruction_base, data.reconstruction_noise)
        if n == len(self.geometry.sizes) - 1 or not (self.settings.pool_pixels or self.restores):
            return
        following = self.geometry.sizes[n + 1]
        wanted = max(8, min(256, self.settings.pool_pixels // (following[0] * following[1])))
        below = data.samples.expand(wanted, -1, -1, -1) if n == 0 else data.samples[:wanted]
        noise = torch.randn(
            (len(below), 1 if n == 0 else PICTURE_CHANNELS, *self._noise_size(n)),
            generator=torch.Generator(self.device).manual_seed(self._seed("pool", n)),
            device=self.device,
        )
        chunk = max(1, CHUNK_PIXELS // (height * width))
        chunks = zip(torch.split(below, chunk), torch.split(noise, chunk), strict=True)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            self.samples = torch.cat([scale.apply(picture, drawn) for picture, drawn in chunks])


def _rmse(picture: Tensor, real: Tensor) -> float:
    return (picture - real).square().mean().sqrt().item()
