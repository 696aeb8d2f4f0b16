"""How far pictures are from having the same patches."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

DIRECTIONS_AT_ONCE = 32
PIXELS_AT_ONCE = 65_536
"""Pixels of the pictures that are measured together, about."""


def sliced_wasserstein_distances(
    real: Tensor, pictures: Tensor, patch: int = 7, directions: int = 256, levels: int = 4
) -> np.ndarray:
    """Sliced Wasserstein distance of each picture's patches to those of a real one (Rabin et al. 2011).

    Patches p of the one and q of the other, as vectors of 3 patch^2 values, are projected to random unit directions w
    and sorted: the mean over w and ranks i of |(w p)_(i) - (w q)_(i)| / patch, and of that the mean over levels, each
    half the size of the one before (Karras et al. 2018). It is 0 where both have the same patches, wherever they are.

    Args:
        real: (1, 3, H, W).
        pictures: (B, 3, h, w), on the same device; where the size is another, ranks are interpolated.
        patch: Side of the patches, in pixels.
        directions: Drawn, the same in every call.
        levels: At most; below the first, one that is less than two patches high or wide is left out.

    Returns:
        (B,), in the units of the pictures.

    Raises:
        ValueError: A picture is smaller than a patch.
    """
    if min(*real.shape[-2:], *pictures.shape[-2:]) < patch:
        raise ValueError(f"the picture is smaller than a patch of {patch} pixels")
    drawn = torch.randn(directions, 3, patch, patch, generator=torch.Generator().manual_seed(0))
    units = (drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None]).to(real.device)
    found = []
    for level in range(levels):
        if level and min(*real.shape[-2:], *pictures.shape[-2:]) < 2 * patch:
            break
        chunks = [_projected(real, pictures, chunk) for chunk in units.split(DIRECTIONS_AT_ONCE)]
        found.append(np.concatenate(chunks, axis=1).mean(axis=1) / patch)
        real, pictures = (
            F.interpolate(one, scale_factor=0.5, mode="bicubic", antialias=True) for one in (real, pictures)
        )
    distances: np.ndarray = np.mean(found, axis=0)
    return distances


def patch_misfits(real: Tensor, pictures: Tensor, patch: int = 7) -> np.ndarray:
    """How unlike any of a real picture's patches those of each picture are: most at seams.

    Args:
        real: (1, 3, H, W).
        pictures: (B, 3, h, w), on the same device.
        patch: Side of the patches, in pixels.

    Returns:
        (B,), the mean over a picture's patches of the mean squared difference to the nearest of the real one's.
    """
    keys = F.unfold(real, patch).mT
    misfits = [torch.cdist(F.unfold(one[None], patch).mT, keys).amin(2).square().mean() for one in pictures]
    return torch.stack(misfits).cpu().numpy() / keys.shape[-1]


def _projected(real: Tensor, pictures: Tensor, directions: Tensor) -> np.ndarray:
    """(B, directions): of each picture to the real one."""
    (expected,) = _ranked(real, directions)
    height, width = pictures.shape[-2:]
    patch = directions.shape[-1]
    patches = (height - patch + 1) * (width - patch + 1)
    if patches != expected.shape[-1]:
        expected = F.interpolate(torch.from_numpy(expected)[None], patches, mode="linear")[0].numpy()
    parts = torch.split(pictures, max(1, PIXELS_AT_ONCE // (height * width)))
    return np.concatenate([np.abs(_ranked(part, directions) - expected).mean(axis=-1) for part in parts])


def _ranked(pictures: Tensor, directions: Tensor) -> np.ndarray:
    """(B, directions, patches), in rising order. NumPy's sort is many times faster than torch's on a processor."""
    ranked: np.ndarray = np.sort(F.conv2d(pictures, directions).flatten(2).cpu().numpy())
    return ranked
