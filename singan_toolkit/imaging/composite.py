"""Putting a changed region back into a picture of any resolution."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.tensors import to_rgb, to_tensor
from singan_toolkit.pyramid.resample import resize

WINDOW = 5
"""Side of the window of the regression, in pixels of the small pictures."""
FLAT = 1e-4
"""A variance, of values in -1..1: a region with less is flat, and keeps its detail whatever became of it."""


def carry_up(rgb: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
    """Carry a change made at low resolution up to a picture of any resolution.

    The result is ``after``, enlarged, plus the fine detail of ``rgb`` that ``before`` is too small to hold. At each
    place that detail is multiplied by 0 to 1: by how closely ``after`` still follows the variation of ``before``, as
    the local regression of a guided filter tells it (He et al. 2013). So grain and edges stay where only the colour
    changed, and go where something was painted over. At equal size the result is ``after``.

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
    after = after.clamp(-1, 1)
    detail = to_tensor(rgb) - resize(before, size)
    return to_rgb((resize(after, size) + resize(_kept(before, after), size).clamp(0, 1) * detail)[0])


def _kept(before: Tensor, after: Tensor) -> Tensor:
    """The share of the detail of ``before`` that is still in ``after``: (1, 3, h, w) in 0..1; 1 on flat ground."""

    def mean(picture: Tensor) -> Tensor:
        return F.avg_pool2d(picture, WINDOW, 1, WINDOW // 2, count_include_pad=False)

    covariance = mean(before * after) - mean(before) * mean(after)
    variance = mean(before * before) - mean(before) ** 2
    return ((covariance + FLAT) / (variance + FLAT)).clamp(0, 1)


def blend(picture: Picture, rgb: np.ndarray, weight: np.ndarray, opaque: np.ndarray | None = None) -> Picture:
    """Lay other, opaque colours over a picture. Transparent ground gives no colour to the result.

    Args:
        picture: What stays where the weight is 0, bit for bit.
        rgb: (H, W, 3), float32 in 0..1, of the picture's size.
        weight: (H, W) in 0..1.
        opaque: (H, W), bool: where the ground becomes as opaque as what is laid over it; everywhere by default.
            Elsewhere it keeps its alpha.

    Returns:
        A picture of the same size, depth, greyness and profile; with alpha where it had some.
    """
    alpha = picture.alpha
    if alpha is None:
        return picture.with_rgb(rgb, weight)
    weight = weight.astype(np.float32)
    after = weight + alpha * (1 - weight)
    share = weight / np.maximum(after, 1e-6)
    if opaque is not None:
        after = np.where(opaque, after, alpha)
        share = np.where(opaque, share, weight)
    blended = picture.with_rgb(rgb, share)
    blended.pixels[..., -1] = np.rint(after * picture.white)
    return blended
