"""Between pictures in 0..1 and the tensors in -1..1 that networks see."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from singan_toolkit.pyramid.resample import resize

if TYPE_CHECKING:
    from singan_toolkit.imaging.pictures import Picture

_PIXELS_AT_ONCE = 1 << 20


def to_tensor(rgb: np.ndarray) -> Tensor:
    """From (H, W, 3), float in 0..1 or uint8, to (1, 3, H, W), float32 in -1..1."""
    values = torch.from_numpy(np.array(rgb))
    values = values.float() / 255 if values.dtype == torch.uint8 else values.float()
    return values.permute(2, 0, 1)[None] * 2 - 1


def shrunk(picture: Picture, size: tuple[int, int]) -> Tensor:
    """A picture at another size, as ``resize`` gives it, in the memory of a part of the picture.

    Returns:
        (1, 3, height, width), float32 in about -1..1.
    """
    rows = max(1, _PIXELS_AT_ONCE // picture.size[1])
    strips = (replace(picture, pixels=picture.pixels[top : top + rows]) for top in range(0, picture.size[0], rows))
    narrow = [resize(to_tensor(strip.rgb), (strip.size[0], size[1])) for strip in strips]
    return resize(torch.cat(narrow, dim=2), size)


def to_rgb(tensor: Tensor) -> np.ndarray:
    """From one picture (3, H, W) in -1..1 to (H, W, 3), float32 in 0..1; clipped."""
    rgb: np.ndarray = ((tensor.detach().float().clamp(-1, 1) + 1) / 2).permute(1, 2, 0).cpu().numpy()
    return rgb


def to_values(tensor: Tensor) -> Tensor:
    """From -1..1 to 0..255, uint8; any shape."""
    values = tensor.detach().float().clamp(-1, 1).add_(1).div_(2).mul_(255).round_()  # in place: pictures may be large
    return values.to(torch.uint8)


def to_bytes(tensor: Tensor) -> np.ndarray:
    """From one picture (3, H, W) in -1..1 to (H, W, 3), uint8."""
    pixels: np.ndarray = to_values(tensor).permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
