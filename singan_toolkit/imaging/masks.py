"""Masks: which pixels a task may change, and how strongly."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from singan_toolkit.imaging.pictures import Picture, PictureError


def mask_of(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """The white part of a black and white picture.

    Args:
        picture: White where the object is; grey values count from one half on (so JPEG's noise does no harm).
        size: (height, width) that the mask must have.

    Returns:
        (H, W), bool.

    Raises:
        PictureError: The sizes differ, or nothing or everything is white.
    """
    if picture.size != size:
        raise PictureError(
            f"mask {picture.name} is {picture.size[1]}x{picture.size[0]} pixels, and its picture {size[1]}x{size[0]}: "
            "give a mask of the same size"
        )
    mask: np.ndarray = picture.rgb.mean(axis=2) >= 0.5
    if picture.alpha is not None:
        mask &= picture.alpha >= 0.5
    if not mask.any() or mask.all():
        raise PictureError(
            f"mask {picture.name} is all {'white' if mask.any() else 'black'}: paint the object white on black"
        )
    return mask


def feather(mask: np.ndarray, grow: float, fade: float) -> np.ndarray:
    """Dilate a mask and soften its edge (paper section 4.3 blends so).

    Args:
        mask: (H, W), bool.
        grow: Pixels by which the mask is dilated.
        fade: Pixels over which it then falls from 1 to 0.

    Returns:
        (H, W), float32 in 0..1: 1 on the dilated mask and exactly 0 from ``grow + fade`` pixels on.
    """
    distance = distance_transform_edt(~mask)
    ramp = np.clip((grow + fade - distance) / fade, 0, 1) if fade else distance <= grow
    weight: np.ndarray = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return weight
