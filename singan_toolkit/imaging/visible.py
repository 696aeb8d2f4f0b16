"""What of a picture can be seen: what lies under no opacity is not given."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.tensors import to_rgb, to_tensor

VISIBLE = 1 / 8
"""Alpha, of the largest, from which on something is seen; fainter haze around a cut-out is not part of it."""
RELAXATIONS = 30
"""Relaxations at every size. What error they leave is smooth, and far smaller than what is left to a walk."""
NEUTRAL = 2 / 255
"""Difference of a pixel's colours up to which it is grey: what rounding and JPEG leave."""


def visible_rgb(picture: Picture) -> np.ndarray:
    """A picture's colours; where it is all but transparent, what goes on smoothly from the visible ones around.

    Returns:
        (H, W, 3), float32 in 0..1.

    Raises:
        PictureError: Nothing of the picture is visible.
    """
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is None:
        return rgb
    if not alpha.any():
        raise PictureError(f"{picture.name} is fully transparent: there is nothing to see in it")
    hidden = alpha < VISIBLE * alpha.max()
    if not hidden.any():
        return rgb
    rgb[hidden] = 0
    return to_rgb(smoothed(to_tensor(rgb), torch.from_numpy(hidden))[0])


def as_seen_by(trained: np.ndarray, picture: Picture) -> np.ndarray:
    """What of a picture is shown to networks: its ``visible_rgb``, grey where all that they know is grey.

    Args:
        trained: The picture that they were trained on: (H, W, 3), uint8, as of ``Bundle.picture``.
        picture: What is shown to them.

    Returns:
        (H, W, 3), float32 in 0..1.
    """
    rgb = visible_rgb(picture)
    return rgb.mean(axis=2, keepdims=True).repeat(3, axis=2) if is_grey(trained) else rgb


def is_grey(rgb: np.ndarray) -> bool:
    """Whether a picture, (H, W, 3) in 0..1 or uint8, has no colour."""
    white = 255 if rgb.dtype == np.uint8 else 1
    return bool((rgb.max(axis=2) - rgb.min(axis=2)).max() <= NEUTRAL * white)


def smoothed(values: Tensor, hole: Tensor) -> Tensor:
    """Go on smoothly into a hole: Laplace's equation, solved at half the size, enlarged and relaxed.

    Args:
        values: (B, C, H, W); what they are in the hole has no influence.
        hole: (H, W), bool.

    Returns:
        (B, C, H, W), within the range of the values around the hole.
    """
    if not hole.any() or hole.all():
        return values
    known = (~hole).float()
    half = (math.ceil(hole.shape[0] / 2), math.ceil(hole.shape[1] / 2))
    share = F.adaptive_avg_pool2d(known[None], half)[0]
    below = F.adaptive_avg_pool2d(values * known, half) / share.clamp(min=1e-6)
    smooth = F.interpolate(smoothed(below, share == 0), hole.shape, mode="bilinear", align_corners=False)
    smooth = torch.where(hole, smooth, values)
    for _ in range(RELAXATIONS):
        framed = F.pad(smooth, [1] * 4, mode="replicate")
        around = framed[..., :-2, 1:-1] + framed[..., 2:, 1:-1] + framed[..., 1:-1, :-2] + framed[..., 1:-1, 2:]
        smooth = torch.where(hole, around / 4, smooth)
    return smooth
