"""Resizing of pictures held as tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bicubic resizing, differentiable; the picture itself where the size is already right.

    Args:
        picture: (B, C, H, W), any range.
        size: (height, width) wanted, in pixels.

    Returns:
        (B, C, height, width), in a range that may exceed the input's a little: bicubic overshoots at edges.
    """
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return F.interpolate(picture, size, mode="bicubic", align_corners=False, antialias=True)


def enlarged_officially(picture: Tensor, size: tuple[int, int], factor: float) -> Tensor:
    """Enlarging between scales as the official code does it, for networks that were trained on what that gives.

    The picture is clipped and rounded down to whole levels of 255. Then both sides grow by exactly the factor, whatever
    the size: bicubic, continued by its mirror image at the bottom and the right alone; what is too much there is cut
    off.

    Args:
        picture: (B, C, H, W) in about -1..1.
        size: (height, width) wanted, in pixels; about the factor times the picture's.
        factor: At least 1.

    Returns:
        (B, C, height, width) in -1..1. Where the factor gives less than the size, the result is resized to it.
    """
    levels = ((picture + 1) / 2).clamp(0, 1).mul(255).floor()
    for side, wanted in zip((-2, -1), size, strict=True):
        levels = _grown(levels, side, min(wanted, math.ceil(levels.shape[side] * factor)), factor)
    return resize((levels / 255 * 2 - 1).clamp(-1, 1), size)


def _grown(picture: Tensor, side: int, size: int, factor: float) -> Tensor:
    """A picture whose side, -2 or -1, grows by the factor; the first pixels of what that gives, as many as ``size``."""
    had = picture.shape[side]
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / factor - 0.5
    before, past = place.floor().long(), place - place.floor()
    near, far = torch.stack([past, 1 - past]), torch.stack([1 + past, 2 - past])
    near, far = 1.5 * near**3 - 2.5 * near**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2
    shown = torch.stack([before - 1, before, before + 1, before + 2])
    weights = torch.stack([far[0], near[0], near[1], far[1]]) * (shown >= 0)
    weights = (weights / weights.sum(0)).to(picture).unsqueeze(-1)
    shown = torch.where(shown < had, shown, 2 * had - 1 - shown).clamp(0, had - 1).to(picture.device)
    lines = (picture.index_select(side, one).movedim(side, -2) * w for one, w in zip(shown, weights, strict=True))
    return sum(lines, start=torch.zeros(())).movedim(-2, side)
