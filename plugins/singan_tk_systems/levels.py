"""What both have in common: a picture at several sizes, and its coarsest one with noise, which samples start from."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.resample import resize


def levels(picture: np.ndarray, coarsest: int, factor: float) -> list[Tensor]:
    """The picture at sizes that grow by about one factor.

    Args:
        picture: (H, W, 3), uint8.
        coarsest: Shorter side of the first, in pixels; a picture that is no larger has one level.
        factor: By which sides grow from one to the next, about: so that the last is the picture itself.

    Returns:
        Each (1, 3, h, w) in -1..1, the picture itself last.
    """
    whole = to_tensor(picture)
    shorter = min(picture.shape[:2])
    steps = max(0, round(math.log(shorter / coarsest) / math.log(factor)))
    sizes = [
        tuple(round(side * (coarsest / shorter) ** (1 - step / steps)) for side in picture.shape[:2])
        for step in range(steps)
    ]
    return [*(resize(whole, (height, width)) for height, width in sizes), whole]


def grey_noise(like: Tensor, seed: int) -> Tensor:
    """(1, 1, H, W), of unit deviation: both authors' code adds the same noise to all colours."""
    return torch.randn(1, 1, *like.shape[-2:], generator=torch.Generator().manual_seed(seed))
