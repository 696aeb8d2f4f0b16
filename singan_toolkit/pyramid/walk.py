"""The walk: the one way in which a trained pyramid makes a picture. Every task is a route for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from singan_toolkit.pyramid.architecture import MARGIN, PICTURE_CHANNELS
from singan_toolkit.pyramid.constraints import Constraint
from singan_toolkit.pyramid.geometry import Geometry, Step
from singan_toolkit.pyramid.networks import Generator, with_noise
from singan_toolkit.pyramid.noise import NoiseSource, Reconstruction
from singan_toolkit.pyramid.patch_scale import FAITHFUL_SHARE, PatchScale
from singan_toolkit.pyramid.resample import enlarged_officially, resize

TILE = 256
"""Side of what goes through a generator at once, in pixels; of pictures that are smaller, several do.

More would be slower: the C library's allocator gives memory of 32 MB and more back each time and takes it anew.
"""


@dataclass(frozen=True)
class Scale:
    """One trained scale.

    Attributes:
        generator: Its generator, batch norm folded away.
        noise_amplitude: sigma_n, the deviation of the noise that it was trained with.
        reflect: Its input is continued by reflection over the sides; otherwise with zeros.
        grey_noise: It takes the first channel of its noise for all three, as the coarsest scale of the official code.
        official_enlarging: What the scale below made reaches it as in the official code; see
            ``enlarged_officially``.
    """

    generator: Generator
    noise_amplitude: float
    reflect: bool = False
    grey_noise: bool = False
    official_enlarging: bool = False

    def to(self, device: torch.device | str) -> Scale:
        """A copy of this scale on another device."""
        return replace(self, generator=deepcopy(self.generator).to(device))

    def apply(self, picture: Tensor, noise: Tensor) -> Tensor:
        """The paper's equation (5): picture + psi(amplitude * noise + picture).

        Large pictures go through in tiles, so memory is bounded; an output pixel sees 11x11 input pixels, so the tiles
        overlap by 10 and the result is the same.

        Args:
            picture: (B, 3, H, W) in about -1..1: the upsampled result of the scale below, or zeros.
            noise: (B, 3, H, W), or (B, 3, H + 10, W + 10) with noise padding; unit deviation.

        Returns:
            (B, 3, H, W) in about -1..1, as precise as ``picture``. It is computed in the precision of the weights.
        """
        samples, _, height, width = picture.shape
        together = max(1, TILE**2 // (height * width))
        precision = next(self.generator.parameters()).dtype
        noise = noise[:, :1].expand(-1, PICTURE_CHANNELS, -1, -1) if self.grey_noise else noise
        padded = with_noise(picture, noise, self.noise_amplitude, self.reflect)
        result = torch.empty_like(picture, memory_format=torch.contiguous_format)
        for first, rows, columns in product(range(0, samples, together), _tiles(height), _tiles(width)):
            part = slice(first, first + together)
            seen = padded[part, :, rows.start : rows.stop + 2 * MARGIN, columns.start : columns.stop + 2 * MARGIN]
            residual = self.generator(seen.to(precision, memory_format=torch.channels_last))
            result[part, :, rows, columns] = picture[part, :, rows, columns] + residual
        return result


@dataclass(frozen=True)
class Pyramid:
    """A trained pyramid, coarsest scale first, on one device.

    Attributes:
        geometry: Sizes of its scales.
        scales: The coarsest may rebuild pictures from patches; the others have generators.
        z_star: The reconstruction noise, (1, 1, h, w) with the size of scale 0, or 10 pixels more both ways where it
            was trained with noise padding.
    """

    geometry: Geometry
    scales: tuple[Scale | PatchScale, ...]
    z_star: Tensor

    @property
    def noise_margin(self) -> int:
        """Pixels by which the noise reaches over the picture on each side: 0, or 5 with noise padding."""
        return (self.z_star.shape[-2] - self.geometry.sizes[0][0]) // 2

    @property
    def networks(self) -> tuple[Scale, ...]:
        """The scales that have a generator; any others lie below them."""
        return tuple(scale for scale in self.scales if isinstance(scale, Scale))

    @property
    def device(self) -> torch.device:
        return self.z_star.device

    def to(self, device: torch.device | str) -> Pyramid:
        """This pyramid if it is on that device, else a copy there."""
        if torch.device(device) == self.device:
            return self
        return Pyramid(self.geometry, tuple(scale.to(device) for scale in self.scales), self.z_star.to(device))

    def faithful(self) -> Pyramid:
        """This pyramid with patches that keep to what enters them: what a user's picture lacks is not brought back."""
        scales = (
            replace(scale, share=FAITHFUL_SHARE) if isinstance(scale, PatchScale) else scale for scale in self.scales
        )
        return replace(self, scales=tuple(scales))

    def hastened(self) -> Pyramid:
        """This pyramid, or one that is up to twice as fast, where the processor has units for bfloat16 (Intel's AMX).

        Its finest scales, those of at least half the finest one's area, then convolve in bfloat16. They take most of
        the time, and no scale above magnifies what they round off: few pixels change by more than one level of 255. A
        pixel's value depends on nothing but the pixels around it here too, on no batch nor tile.
        """
        matrix_units = getattr(torch.cpu, "_is_amx_tile_supported", None)
        if self.device.type != "cpu" or not matrix_units or not matrix_units():
            return self
        least = math.prod(self.geometry.finest) / 2
        return replace(
            self,
            scales=tuple(
                replace(scale, generator=deepcopy(scale.generator).bfloat16())
                if isinstance(scale, Scale) and math.prod(size) >= least
                else scale
                for scale, size in zip(self.scales, self.geometry.sizes, strict=True)
            ),
        )


def _tiles(size: int) -> list[slice]:
    """Where tiles lie along a side: all of one length, for kernels may round otherwise at other sizes."""
    number = math.ceil(size / TILE)
    length = math.ceil(size / number)
    starts = (min(n * length, size - length) for n in range(number))
    return [slice(start, start + length) for start in starts]


@torch.no_grad()
def walk(
    pyramid: Pyramid,
    route: Sequence[Step],
    noise: NoiseSource,
    start: Tensor | None = None,
    samples: Sequence[int] = (0,),
    constraint: Constraint | None = None,
) -> Tensor:
    """Take a picture along a route through the pyramid.

    Args:
        pyramid: A trained pyramid.
        route: Steps; the picture is brought to a step's size, then its scale's generator is run. Sizes are free.
        noise: Where each step's noise comes from.
        start: (1 or B, 3, h, w) in -1..1, any size, on any device: what enters at the first step. Zeros by default.
        samples: Numbers of the samples to draw, B of them, as one batch.
        constraint: What every step must keep; see ``singan_toolkit.pyramid.constraints``.

    Returns:
        (B, 3, H, W) in about -1..1, on the pyramid's device; H and W are the last step's. The same samples give the
        same pictures, whatever batch they are drawn in (up to rounding).

    Raises:
        ValueError: The route is empty or names a scale that the pyramid lacks, there are no samples, or ``start`` holds
            neither one picture nor one for each.
    """
    if not route:
        raise ValueError("a route needs at least one step")
    if not len(samples):
        raise ValueError("a walk needs at least one sample")
    if start is not None and len(start) not in (1, len(samples)):
        raise ValueError(f"{len(start)} start pictures do not fit {len(samples)} samples")
    for step in route:
        if not 0 <= step.scale < len(pyramid.scales):
            raise ValueError(f"there is no scale {step.scale}: this pyramid has scales 0 to {len(pyramid.scales) - 1}")
    device, margin = pyramid.device, pyramid.noise_margin
    shape = (len(samples), PICTURE_CHANNELS, route[0].height, route[0].width)
    if start is None:
        picture = torch.zeros(shape, device=device)
    else:
        picture = resize(start.to(device, torch.float32), shape[-2:]).expand(shape)
    for place, step in enumerate(route):
        scale, size = pyramid.scales[step.scale], (step.height, step.width)
        rises = place > 0 and step.scale == route[place - 1].scale + 1
        if rises and isinstance(scale, Scale) and scale.official_enlarging:
            picture = enlarged_officially(picture, size, pyramid.geometry.factor)
        else:
            picture = resize(picture, size)
        noised = replace(step, height=step.height + 2 * margin, width=step.width + 2 * margin)
        picture = scale.apply(picture, noise(place, noised, samples).to(device))
        if constraint:
            picture = constraint(picture)
    return picture


def reconstruct(pyramid: Pyramid) -> Tensor:
    """The training picture as the pyramid remembers it, from z*: (1, 3, H, W) in about -1..1 (paper section 2.2)."""
    return walk(pyramid, pyramid.geometry.route(), Reconstruction(pyramid.z_star))
