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
from singan_toolkit.pyramid.resample import resize

SHARE = 0.005
"""How little a patch of the picture must be missed to be worth no preference (alpha of Granot et al., section 3.2)."""
FAITHFUL_SHARE = 0.1
"""The same where a user's picture is to be kept to: what it lacks is hardly missed, so what was taken out stays out."""
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
REACH = (0.2, 0.55)
"""Deviation of the displacement of places down and along, as a share of the picture's height and width."""
TOGETHER = 0.9
"""How far all that a column holds moves along together, and all that a row holds down.

Things stand on the ground and end in the sky: moved whole columns at a time they stay whole.
"""
GRAVITY = 3.0
"""By how much the coarsest scale's patches miss one that lies a picture's height above or below, for each value.

So hills stay above the water that they stand at, wherever along it they are. Not above the coarsest scale, where users'
pictures enter: what they laid elsewhere is to stay there.
"""
DIRECTIONS = 48
"""The directions in which patches are compared."""
ENTRIES = 1 << 22
"""The most values of a table of distances that is held at once."""


@dataclass(frozen=True, eq=False)
class PatchScale:
    """One scale that rebuilds pictures from the training picture's patches (Granot et al., "Drop the GAN", 2022).

    Attributes:
        picture: (1, 3, H, W) in -1..1, the training picture at this scale.
        below: The same at the scale below; None at the coarsest, which starts from the training picture, displaced.
        rounds: Times that a picture is rebuilt.
        noise_amplitude: Deviation of the noise that is added to the coarsest scale's picture; 0 above it.
        gravity: What ``GRAVITY`` says; 0 above the coarsest scale.
        centre: What ``CENTRE`` says.
    """

    picture: Tensor
    below: Tensor | None = None
    rounds: int = ROUNDS
    noise_amplitude: float = NOISE
    share: float = SHARE
    gravity: float = GRAVITY
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
            picture = displaced(resize(self.picture, size), self._shift(noise)) + self.noise_amplitude * noise
        if min(picture.shape[-2:]) < PATCH:
            return picture
        together = max(1, ENTRIES // (_count(picture.shape) * len(self._values)))
        return torch.cat([self._rebuilt(part) for part in torch.split(picture, together)])

    def _shift(self, noise: Tensor) -> Tensor:
        """How far the noise moves the cells of a grid, which are as large in pictures of any size."""
        rows, columns = (
            max(2, round(CELLS * new / old)) for new, old in zip(noise.shape[-2:], self.picture.shape[-2:], strict=True)
        )
        down, along = cell_means(noise[:, :2], (rows, columns)).unbind(1)
        return torch.stack([REACH[0] * in_lines(down, 2, TOGETHER), REACH[1] * in_lines(along, 1, TOGETHER)], 1)

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
        # In float32 LAPACK does not always find those of a picture of one colour.
        basis: Tensor = torch.linalg.eigh(spread.double()).eigenvectors[:, -DIRECTIONS:].to(centred)
        return basis

    def _rebuilt(self, picture: Tensor) -> Tensor:
        size, weight = picture.shape[-2:], _weight(self.centre, picture.device)
        heights, found_at = (
            _heights(self.picture, self.gravity),
            _heights(picture, self.gravity).expand(len(picture), -1, -1),
        )
        keys = torch.cat([self._blurred @ self._basis, heights], -1)
        share = F.fold(weight[:, None].expand(-1, _count(size))[None], size, PATCH)
        for _ in range(self.rounds):
            nearest = nearest_patches(torch.cat([_patches(picture) @ self._basis, found_at], -1), keys, self.share)
            found = self._values[nearest] * weight.repeat(PICTURE_CHANNELS)
            picture = F.fold(found.mT, size, PATCH) / share
            keys = torch.cat([self._values @ self._basis, heights], -1)
        return picture


def patch_scales(picture: Tensor, sizes: Sequence[tuple[int, int]], noise_amplitude: float = NOISE) -> list[PatchScale]:
    """The coarsest scales of a pyramid, made of patches.

    Args:
        picture: (1, 3, H, W) in -1..1, the training picture at its finest scale.
        sizes: The sizes of the scales, coarsest first.
        noise_amplitude: The noise amplitude of the coarsest.
    """
    reals = [resize(picture, size) for size in sizes]
    scales = [PatchScale(real, noise_amplitude=noise_amplitude) for real in reals[:1]]
    for n, (below, real) in enumerate(pairwise(reals), start=1):
        centre = LAST_CENTRE if n == len(reals) - 1 else CENTRE
        scales.append(PatchScale(real, below, max(1, ROUNDS >> n), noise_amplitude=0.0, gravity=0.0, centre=centre))
    return scales


def cell_means(noise: Tensor, cells: tuple[int, int]) -> Tensor:
    """The low frequencies of noise.

    Args:
        noise: (B, C, h, w) of unit deviation.
        cells: Rows and columns of the grid that the noise is divided into.

    Returns:
        (B, C, rows, columns), of unit deviation again.
    """
    return F.adaptive_avg_pool2d(noise, cells) * math.sqrt(math.prod(noise.shape[-2:]) / math.prod(cells))


def in_lines(noise: Tensor, dim: int, together: float) -> Tensor:
    """Noise of which the lines along one dimension have more in common, or less.

    Args:
        noise: Noise of unit deviation, its values independent.
        dim: The dimension along which the lines run; at least two values long.
        together: 0..1: of what is as deviating as before, the share that a whole line has in common.

    Returns:
        Noise of the same shape, of unit deviation.
    """
    count, common = noise.shape[dim], noise.mean(dim, keepdim=True)
    own = (noise - common) * math.sqrt(count / (count - 1))
    return together * common * math.sqrt(count) + math.sqrt(1 - together**2) * own


def displaced(picture: Tensor, shift: Tensor) -> Tensor:
    """The picture with its places moved smoothly.

    Places never leave the picture: at a side they move along it only, so that what is cut off by a side stays there.

    Args:
        picture: (1, 3, H, W).
        shift: (B, 2, rows, columns), on a grid over the picture: how far down, as a share of the height, and how far
            along, as a share of the width, the place lies that is seen here.

    Returns:
        (B, 3, H, W).
    """
    size = picture.shape[-2], picture.shape[-1]
    by_rows, by_columns = F.interpolate(shift, size, mode="bicubic", align_corners=True).unbind(1)
    down, along = (torch.linspace(0, 1, side, device=picture.device) for side in size)
    y = (down[:, None] + by_rows * (4 * down * (1 - down)).sqrt()[:, None]).clamp(0, 1)
    x = (along + by_columns * (4 * along * (1 - along)).sqrt()).clamp(0, 1)
    grid = torch.stack([x, y], -1) * 2 - 1
    return F.grid_sample(picture.expand(len(shift), -1, -1, -1), grid, padding_mode="border", align_corners=True)


def nearest_patches(queries: Tensor, keys: Tensor, share: float = SHARE) -> Tensor:
    """For each query the key that is nearest, with a preference for keys that no query is near to.

    Squared distances d_ij are divided by alpha + min_l d_lj (Granot et al. 2022, equation (2)), so that every part of
    the picture finds its place, and none is used over and over.

    Args:
        queries: (B, Q, D): of each picture, which shares its preferences with no other.
        keys: (K, D).
        share: alpha, for each value of a patch: the larger, the weaker the preference.

    Returns:
        (B, Q), numbers of keys.
    """
    norms, alpha = keys.square().sum(1), share * PICTURE_CHANNELS * PATCH**2
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
    """The search along the last dimension. NumPy's is several times faster than torch's on a processor."""
    return torch.from_numpy(table.numpy().argmin(-1)) if table.device.type == "cpu" else table.argmin(-1)


def _patches(pictures: Tensor) -> Tensor:
    """(B, N, 3 * 49), all patches of pictures of (B, 3, H, W)."""
    return F.unfold(pictures, PATCH).mT.contiguous()


def _heights(pictures: Tensor, gravity: float) -> Tensor:
    """(N, 1), where in the picture each of its patches lies, as a direction to compare patches in."""
    height, width = (side - PATCH + 1 for side in pictures.shape[-2:])
    down = (torch.arange(height, device=pictures.device) + PATCH // 2) / (pictures.shape[-2] - 1)
    return (down * math.sqrt(gravity * PICTURE_CHANNELS * PATCH**2))[:, None].expand(-1, width).reshape(-1, 1)


def _count(size: torch.Size) -> int:
    return (size[-2] - PATCH + 1) * (size[-1] - PATCH + 1)


def _weight(centre: float, device: torch.device) -> Tensor:
    """(49,), Gaussian about the centre."""
    along = torch.arange(PATCH, device=device) - (PATCH - 1) / 2
    bell = torch.exp(-(along**2) / (2 * centre**2))
    return (bell[:, None] * bell[None]).flatten()
