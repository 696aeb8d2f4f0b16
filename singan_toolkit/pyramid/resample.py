"""Resizing of pictures held as tensors."""

from __future__ import annotations

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
