"""A scale without a network: pictures are rebuilt from patches of the training picture.

A network that sees 11x11 pixels of noise cannot know what lies elsewhere, so things that span a large part of a picture
melt where such networks draw them. Where pixels are few, nearest neighbours are cheap and keep things whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.pyramid.architecture import MARGIN, PATCH, PICTURE_CHANNELS
from singan_toolkit.pyramid.geometry import Size
from singan_toolkit.pyramid.resample import resize

SHARE = 0.005
"""How little a patch of the picture must be missed to be worth no preference (alpha of Granot et al., section 3.2)."""
CENTRE, LAST_CENTRE = 1.75, 0.9
"""Deviation, in pixels, of the weight that a pixel of a patch has about the patch's centre; and at the last scale.

Where neighbouring patches disagree their mean is blurred. Above the last scale no patches follow to mend that.
"""
ROUNDS = 10
"""Times that the coarsest scale rebuilds a picture; each scale above it half as often, and at least once."""
NOISE = 0.5
"""Deviation of the noise that the coarsest scale adds to its displaced picture."""
CELLS = 4
"""Cells of the displacement's grid along a side of the training picture."""
REACH = 0.22
"""Deviation of the displacement, as a share of a side."""
DIRECTIONS = 48
"""In which patches are compared."""
ENTRIES = 1 << 22
"""Of a table of distances held at once."""


@dataclass(frozen=True, eq=False)
class PatchScale:
    """One scale that rebuilds pictures from the training picture's patches (Granot et al., "Drop the GAN", 2022).

    Attributes:
        picture: (1, 3, H, W) in -1..1, the training picture at this scale.
        below: The same at the scale below; None at the coarsest, which starts from the training picture, displaced.
        rounds: Times that a picture is rebuilt.
        noise_amplitude: Deviation of the noise that is added to the coarsest scale's picture; 0 above it.
        centre: As :data:`CENTRE`.
    """

    picture: Tensor
    below: Tensor | None = None
    rounds: int = ROUNDS
    noise_amplitude: float = NOISE
    centre: float = CENTRE

    def to(self, device: torch.device | str) -> PatchScale:
        """This scale on another device."""
        below = None if self.below is None else self.below.to(device)
        return replace(self, picture=self.picture.to(device), below=below)

    def apply(self, picture: Tensor, noise: Tensor) -> Tensor:
        """Rebuild pictures from the training picture's patches.

        Args:
            picture: (B, 3, H, W) in about -1..1: the upsampled result of the scale below. The coarsest scale takes the
                training picture instead, displaced by the noise.
            noise: (B, 3, H, W) of unit deviation, or (B, 3, H + 10, W + 10), whose margin is left out; zeros are none.

        Returns:
            (B, 3, H, W) in -1..1. What is less than a patch high or wide cannot be rebuilt and stays as it is.
        """
        if noise.shape != picture.shape:
            noise = noise[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        if self.below is None:
            size = (picture.shape[-2], picture.shape[-1])
            picture = displaced(resize(self.picture, size), noise, self._cells(size)) + self.noise_amplitude * noise
        if min(picture.shape[-2:]) < PATCH:
            return picture
        together = max(1, ENTRIES // (_count(picture.shape) * len(self._values)))
        return torch.cat([self._rebuilt(part) for part in torch.split(picture, together)])

    def _cells(self, size: tuple[int, int]) -> tuple[int, int]:
        """Cells of the displacement's grid: as large in a picture of another size."""
        rows, columns = (
            max(2, round(CELLS * new / old)) for new, old in zip(size, self.picture.shape[-2:], strict=True)
        )
        return rows, columns

    @cached_property
    def _values(self) -> Tensor:
        return _patches(self.picture)[0]

    @cached_property
    def _blurred(self) -> Tensor:
        """What the patches look like in what comes from the scale below."""
        if self.below is None:
            return self._values
        return _patches(resize(self.below, (self.picture.shape[-2], self.picture.shape[-1])))[0]

    @cached_property
    def _basis(self) -> Tensor:
        """(3 * 49, D), the directions in which the picture's patches vary most: distances along them cost a third."""
        centred = self._values - self._values.mean(0)
        spread = (centred.T @ centred).cpu()  # some devices have no eigenvectors, and all are to have the same
        basis: Tensor = torch.linalg.eigh(spread).eigenvectors[:, -DIRECTIONS:].to(centred.device)
        return basis

    def _rebuilt(self, picture: Tensor) -> Tensor:
        size, weight, keys = picture.shape[-2:], _weight(self.centre, picture.device), self._blurred @ self._basis
        share = F.fold(weight[:, None].expand(-1, _count(size))[None], size, PATCH)
        for _ in range(self.rounds):
            nearest = nearest_patches(_patches(picture) @ self._basis, keys)
            found = self._values[nearest] * weight.repeat(PICTURE_CHANNELS)
            picture = F.fold(found.mT, size, PATCH) / share
            keys = self._values @ self._basis
        return picture


def patch_scales(picture: Tensor, sizes: Sequence[Size], noise_amplitude: float = NOISE) -> list[PatchScale]:
    """The coarsest scales of a pyramid, made of patches.

    Args:
        picture: (1, 3, H, W) in -1..1, the training picture at its finest scale.
        sizes: Of the scales, coarsest first.
        noise_amplitude: Of the coarsest.
    """
    reals = [resize(picture, size) for size in sizes]
    scales = [PatchScale(real, noise_amplitude=noise_amplitude) for real in reals[:1]]
    for n, (below, real) in enumerate(pairwise(reals), start=1):
        centre = LAST_CENTRE if n == len(reals) - 1 else CENTRE
        scales.append(PatchScale(real, below, max(1, ROUNDS >> n), noise_amplitude=0.0, centre=centre))
    return scales


def displaced(picture: Tensor, noise: Tensor, cells: tuple[int, int]) -> Tensor:
    """The picture with its places moved smoothly, as the noise's low frequencies say.

    Places never leave the picture: at a side they move along it only, so that what is cut off by a side stays there.

    Args:
        picture: (1, 3, H, W).
        noise: (B, 3, h, w) of unit deviation; the first channel moves along the rows, the second along the columns.
        cells: Rows and columns of the grid on which the displacement is drawn.

    Returns:
        (B, 3, H, W).
    """
    height, width = picture.shape[-2:]
    means = F.adaptive_avg_pool2d(noise[:, :2], cells) * math.sqrt(math.prod(noise.shape[-2:]) / math.prod(cells))
    shift = REACH * F.interpolate(means, (height, width), mode="bicubic", align_corners=True)
    down, along = (torch.linspace(0, 1, side, device=picture.device) for side in (height, width))
    x = (along + shift[:, 0] * (4 * along * (1 - along)).sqrt()).clamp(0, 1)
    y = (down[:, None] + shift[:, 1] * (4 * down * (1 - down)).sqrt()[:, None]).clamp(0, 1)
    grid = torch.stack([x, y], -1) * 2 - 1
    return F.grid_sample(picture.expand(len(noise), -1, -1, -1), grid, padding_mode="border", align_corners=True)


def nearest_patches(queries: Tensor, keys: Tensor) -> Tensor:
    """For each query the key that is nearest, with a preference for keys that no query is near to.

    Squared distances d_ij are divided by alpha + min_l d_lj (Granot et al. 2022, equation (2)), so that every part of
    the picture finds its place, and none is used over and over.

    Args:
        queries: (B, Q, D): of each picture, which shares its preferences with no other.
        keys: (K, D).

    Returns:
        (B, Q), numbers of keys.
    """
    norms, alpha = keys.square().sum(1), SHARE * PICTURE_CHANNELS * PATCH**2
    parts = torch.split(queries, max(1, ENTRIES // (len(queries) * len(keys))), dim=1)

    def distances(part: Tensor) -> Tensor:
        table = (part @ keys.T).mul_(-2).add_(norms)
        return table.add_(part.square().sum(2, keepdim=True)).clamp_(min=0)

    if len(parts) == 1:
        table = distances(queries)
        return _least(table.div_(alpha + table.amin(1, keepdim=True)))
    missed = torch.stack([distances(part).amin(1) for part in parts]).amin(0)[:, None]
    return torch.cat([_least(distances(part).div_(alpha + missed)) for part in parts], dim=1)


def _least(table: Tensor) -> Tensor:
    """Along the last dimension. NumPy's search is several times faster than torch's on a processor."""
    return torch.from_numpy(table.numpy().argmin(-1)) if table.device.type == "cpu" else table.argmin(-1)


def _patches(pictures: Tensor) -> Tensor:
    """(B, N, 3 * 49), all patches of pictures of (B, 3, H, W)."""
    return F.unfold(pictures, PATCH).mT.contiguous()


def _count(size: torch.Size) -> int:
    return (size[-2] - PATCH + 1) * (size[-1] - PATCH + 1)


def _weight(centre: float, device: torch.device) -> Tensor:
    """(49,), Gaussian about the centre."""
    along = torch.arange(PATCH, device=device) - (PATCH - 1) / 2
    bell = torch.exp(-(along**2) / (2 * centre**2))
    return (bell[:, None] * bell[None]).flatten()
