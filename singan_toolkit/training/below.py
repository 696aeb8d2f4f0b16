"""What the scales below the one in training have come to, and what that one is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from singan_toolkit.pyramid.architecture import MARGIN, PICTURE_CHANNELS
from singan_toolkit.pyramid.geometry import Geometry, Size
from singan_toolkit.pyramid.networks import Generator
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.patch_scale import PatchScale, patch_scales
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid, Scale, walk
from singan_toolkit.training.crops import ScaleData
from singan_toolkit.training.settings import Settings

LAYOUTS = 64
"""Samples of the scales of patches that networks above are trained on."""
CHUNK_PIXELS = 65_536

Change = Callable[[Tensor], Tensor]
"""From pictures, (B, 3, H, W) in about -1..1, to changed ones of the same shape."""


def unchanged(pictures: Tensor) -> Tensor:
    """The change that is none."""
    return pictures


class Below:
    """The scales that are done, coarsest first, and the pictures that the next one starts from.

    Args:
        real: (1, 3, H, W) in -1..1, of the size of the finest scale.
        geometry: Sizes of the scales.
        settings: How to train.
        seed: The seed of everything random.
        dtype: Type to convolve in.

    Attributes:
        scales: Those that are done.
        z_star: The reconstruction noise.
        reflect: The inputs of scales are continued by reflection over the sides.
        restores: Scales are trained to make changed copies of the training picture into the picture.
        samples: (P, 3, h, w): samples of the scales that are done, of the size of the last one.
        reconstruction: (1, 3, h, w): what they make of z*.
    """

    def __init__(self, real: Tensor, geometry: Geometry, settings: Settings, seed: int, dtype: torch.dtype) -> None:
        self.finest, self.geometry, self.settings, self.seed, self.dtype = real, geometry, settings, seed, dtype
        self.device = real.device
        self.scales: list[Scale | PatchScale] = []
        self.reflect, self.restores = settings.reflect, False
        self.margin = MARGIN if settings.noise_padding == "noise" else 0
        source = torch.Generator().manual_seed(self.seed_of("z*"))
        z_star = torch.randn((1, 1, *self._noise_size(0)), generator=source)
        # Without noise the patches are those of the training picture, in their places.
        self.z_star = (torch.zeros_like(z_star) if geometry.patch_scales else z_star).to(self.device)
        self.samples = torch.zeros((1, 3, *geometry.sizes[0]), device=self.device)
        self.reconstruction = torch.zeros_like(self.samples)

    @property
    def pyramid(self) -> Pyramid:
        """The scales that are done, as a pyramid that can walk."""
        return Pyramid(self.geometry, tuple(self.scales), self.z_star)

    @torch.no_grad()
    def lay_patches(self) -> None:
        """Do the scales of patches, which need no training: what they make is where the first network starts."""
        if not self.geometry.patch_scales:
            return
        sizes = self.geometry.sizes[: self.geometry.patch_scales]
        self.scales += patch_scales(self.finest, sizes)
        self.reconstruction = resize(self.finest, sizes[-1])
        if self.settings.pool_pixels:
            route = self.geometry.route()[: len(sizes)]
            self.samples = walk(self.pyramid, route, Gaussian(self.seed_of("pool")), samples=range(LAYOUTS))

    def take(
        self, generators: Sequence[Generator], amplitudes: Sequence[float], samples: Tensor, reconstruction: Tensor
    ) -> None:
        """Be where one is that has done the scales of patches and those of these generators.

        Args:
            generators: Without batch norm, on the device, coarsest first.
            amplitudes: The deviation of the noise of each.
            samples: Of the last of these scales.
            reconstruction: As it leaves that scale.
        """
        patches = self.geometry.patch_scales
        self.scales = [*patch_scales(self.finest, self.geometry.sizes[:patches])] if patches else []
        for n, (generator, amplitude) in enumerate(zip(generators, amplitudes, strict=True), start=patches):
            self.scales.append(Scale(generator, amplitude, n > 0 and self.reflect, n == 0))
        self.samples, self.reconstruction = samples, reconstruction

    def restore(self) -> None:
        """From here on have scales restore changed copies of the training picture."""
        self.samples, self.restores = self.reconstruction.expand(LAYOUTS, -1, -1, -1), True

    def material(self, change: Change, restored: bool) -> ScaleData:
        """What the next scale is trained on.

        Args:
            change: What is done to the pictures that come from below, or to copies of the training picture.
            restored: Whether the scale below was trained to restore such copies.
        """
        n = len(self.scales)
        size = self.geometry.sizes[n]
        real = resize(self.finest, size)
        zeros = torch.zeros_like(real)
        if n == 0:
            noise = self.z_star.expand(1, PICTURE_CHANNELS, -1, -1)
            return ScaleData(real, zeros, None, zeros, noise, noise_amplitude=1.0, coarsest=True)
        base = resize(self.reconstruction, size)
        base = base if self.restores else change(base)
        # Section 2.2: sigma_n is proportional to the RMSE between the upsampled reconstruction and the real scale.
        amplitude = self.settings.noise_amplitude * rmse(base, real)
        pool = resize(self.samples, size)
        if self.restores:  # half have been restored by the scale below, half are to be restored here
            copies = change(base.expand(len(pool), -1, -1, -1))
            pool = torch.cat([pool[::2], copies[::2]]) if restored else copies
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

    @torch.no_grad()
    def add(self, scale: Scale | PatchScale, data: ScaleData) -> None:
        """Take a scale that is done, and take the reconstruction and the pool of samples through it."""
        n = len(self.scales)
        self.scales.append(scale)
        height, width = self.geometry.sizes[n]
        self.reconstruction = scale.apply(data.reconstruction_base, data.reconstruction_noise)
        if n == len(self.geometry.sizes) - 1 or not (self.settings.pool_pixels or self.restores):
            return
        following = self.geometry.sizes[n + 1]
        wanted = max(8, min(256, self.settings.pool_pixels // (following[0] * following[1])))
        below = data.samples.expand(wanted, -1, -1, -1) if n == 0 else data.samples[:wanted]
        noise = torch.randn(
            (len(below), 1 if n == 0 else PICTURE_CHANNELS, *self._noise_size(n)),
            generator=torch.Generator(self.device).manual_seed(self.seed_of("pool", n)),
            device=self.device,
        )
        chunk = max(1, CHUNK_PIXELS // (height * width))
        chunks = zip(torch.split(below, chunk), torch.split(noise, chunk), strict=True)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            self.samples = torch.cat([scale.apply(picture, drawn) for picture, drawn in chunks])

    def seed_of(self, use: str, *place: int) -> int:
        """A seed of its own for each use, so that no two draw the same numbers."""
        words = [self.seed % 2**64, *use.encode(), *place]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _noise_size(self, n: int) -> Size:
        height, width = self.geometry.sizes[n]
        return Size(height + 2 * self.margin, width + 2 * self.margin)

    def _fresh(self, n: int, change: Change) -> Callable[[Sequence[int]], Tensor] | None:
        """Without a pool, what draws new samples of the scales below and brings them to this scale's size."""
        if self.settings.pool_pixels:
            return None
        below, route = self.pyramid, self.geometry.route()[:n]
        noise = Gaussian(self.seed_of("samples", n))

        def draw(numbers: Sequence[int]) -> Tensor:
            return change(resize(walk(below, route, noise, samples=numbers), self.geometry.sizes[n]))

        return draw


def rmse(picture: Tensor, real: Tensor) -> float:
    """Root mean square of the difference."""
    return (picture - real).square().mean().sqrt().item()
