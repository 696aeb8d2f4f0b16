"""Putting a changed region back into a picture of any resolution."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.tensors import to_rgb, to_tensor
from singan_toolkit.pyramid.resample import resize


def carry_up(rgb: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
    """Carry a change made at low resolution up to a picture of any resolution.

    What is added is the difference of ``after`` and ``before``, enlarged; so detail that the small pictures cannot hold
    stays. At equal size the result is ``after``.

    Args:
        rgb: (H, W, 3), float32 in 0..1: the picture at its full resolution.
        before: (1, 3, h, w) in -1..1: the picture at the resolution of the change.
        after: (1, 3, h, w) in about -1..1: the same, changed.

    Returns:
        (H, W, 3), float32 in 0..1.
    """
    size = rgb.shape[0], rgb.shape[1]
    if tuple(before.shape[-2:]) == size:
        return to_rgb(after[0])
    return to_rgb((to_tensor(rgb) + resize(after.clamp(-1, 1) - before, size))[0])


def blend(picture: Picture, rgb: np.ndarray, weight: np.ndarray) -> Picture:
    """Lay other colours over a picture.

    Args:
        picture: What stays where the weight is 0, bit for bit.
        rgb: (H, W, 3), float32 in 0..1, of the picture's size.
        weight: (H, W) in 0..1.

    Returns:
        A picture of the same size, depth, greyness and alpha.
    """
    below = picture.rgb
    return picture.with_rgb(below + (rgb - below) * weight[..., None], weight > 0)
