"""Patch nearest neighbours (Granot, Feinstein, Shocher, Bagon, Irani, "Drop the GAN", CVPR 2022), from the paper."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_tk_systems.levels import grey_noise, levels
from singan_toolkit.imaging.tensors import to_bytes
from singan_toolkit.pyramid.patch_scale import nearest_patches
from singan_toolkit.pyramid.resample import resize

PATCH, COARSEST, FACTOR, ROUNDS, ALPHA = 7, 14, 4 / 3, 10, 0.005
"""As in the authors' code: side of patches and shorter side of the coarsest level in pixels, the factor between levels,
rounds at each, and alpha of equation (2)."""


def prepare(picture: np.ndarray) -> Callable[[float, int], np.ndarray]:
    """What draws samples of patches of the picture.

    Args:
        picture: (H, W, 3), uint8.

    Returns:
        A function of the deviation of the noise at the coarsest level, in the picture's range of -1..1, and a seed. The
        authors' deviation is 0.75 in a range of 0..1, which is 1.5 here.
    """
    reals = levels(picture, COARSEST, FACTOR)

    def draw(strength: float, seed: int) -> np.ndarray:
        sample = reals[0] + strength * grey_noise(reals[0], seed)
        sample = _rebuilt(sample, reals[0], reals[0])
        for below, real in pairwise(reals):
            size = (real.shape[-2], real.shape[-1])
            sample = _rebuilt(resize(sample, size), real, resize(below, size))
        drawn: np.ndarray = to_bytes(sample[0])
        return drawn

    return draw


def _rebuilt(sample: Tensor, real: Tensor, blurred: Tensor) -> Tensor:
    """The sample made of the real picture's patches, found first by what they look like in the blurred one."""
    values, keys = _patches(real)[0], _patches(blurred)[0]
    count = F.fold(torch.ones_like(values).mT[None], real.shape[-2:], PATCH)
    for _ in range(ROUNDS):
        nearest = nearest_patches(_patches(sample), keys, ALPHA)
        sample = F.fold(values[nearest].mT, real.shape[-2:], PATCH) / count
        keys = values
    return sample


def _patches(picture: Tensor) -> Tensor:
    return F.unfold(picture, PATCH).mT.contiguous()
