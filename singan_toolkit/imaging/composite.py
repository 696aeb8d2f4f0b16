"""Putting a changed region back into a picture of any resolution."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.tensors import to_rgb, to_tensor
from singan_toolkit.pyramid.resample import resize


def carry_over(picture: Picture, before: Tensor, after: Tensor, weight: np.ndarray) -> Picture:
    """Carry a change made at low resolution into a picture, within a weight.

    What is added is the difference of ``after`` and ``before``, enlarged; so detail that the small pictures cannot hold
    stays. At equal size the result inside is ``after``.

    Args:
        picture: The picture at its full resolution.
        before: (1, 3, h, w) in -1..1: the picture at the resolution of the change.
        after: (1, 3, h, w) in about -1..1: the same, changed.
        weight: (H, W) in 0..1, of the picture's size. Where it is 0 the picture stays bit for bit.

    Returns:
        A picture of the same size, depth, greyness and alpha.
    """
    if tuple(before.shape[-2:]) == picture.size:
        changed = to_rgb(after[0])
    else:
        change = resize(after.clamp(-1, 1) - before, picture.size)
        changed = to_rgb((to_tensor(picture.rgb) + change)[0])
    rgb = picture.rgb
    rgb += (changed - rgb) * weight[..., None]
    return picture.with_rgb(rgb, weight > 0)
