"""Masks: which pixels a task may change, and how strongly."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.pyramid.geometry import Size

_GIVE = "paint the object white on black"
_TINT = 0.25
"""Difference of a pixel's colours, in 0..1, from which on it is a colour and no grey."""
_NEAR = 0.07
"""Difference from a plain colour, in 0..1, up to which a pixel has it: what JPEG leaves."""


def mask_of(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """What is marked in a mask: the white of black and white, else a coloured stroke, else an opaque shape.

    White on black, a colour on black or on white, and one or more colours on nothing are taken; edges may be soft, and
    count from one half on.

    Args:
        picture: The mask, of a few plain colours.
        size: (height, width) that it must have.

    Returns:
        (H, W), bool.

    Raises:
        PictureError: The sizes differ; nothing or everything is marked; nothing tells what is meant, as in a photo; or
            all but an inner part is marked, as where black and white are swapped. The sentence says what was found.
    """
    if picture.size != size:
        raise PictureError(
            f"mask {picture.name} is {picture.size} pixels, and its picture {Size(*size)}: give a mask of the same size"
        )
    shape, alpha = np.ones(size, bool), picture.alpha
    if alpha is not None and alpha.min() < 0.5:
        shape = alpha >= 0.5
        if not shape.any():
            raise PictureError(
                f"mask {picture.name} has its shape in its alpha, whose largest value is {alpha.max() * 255:.0f} of "
                "255: paint it fully opaque"
            )
    colors = picture.rgb[shape]
    name = picture.name if shape.all() else f"{picture.name}, where its alpha shows anything,"
    mask = np.zeros(size, bool)
    mask[shape] = (not shape.all() and _alike(colors)) or _marked(colors, name)
    if not mask.any() or mask.all():
        raise PictureError(f"mask {name} is all {'white' if mask.any() else 'black'}: {_GIVE}")
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if rim.all() and mask.mean() > 0.5:
        raise PictureError(
            f"mask {picture.name} looks inverted: {mask.mean():.0%} of it is marked, all around what is not. Swap "
            "black and white or, if it is meant so, leave one corner black"
        )
    return mask


def _alike(colors: np.ndarray) -> bool:
    """Whether pixels, (N, 3) in 0..1, have one colour but for some noise."""
    return bool(np.ptp(np.quantile(colors, (0.01, 0.99), axis=0), axis=0).max() < 0.25)


def _marked(colors: np.ndarray, name: str) -> np.ndarray:
    """Which pixels of a mask, (N, 3) in 0..1, are marked: (N,), bool."""
    light, dark = colors.max(axis=1), colors.min(axis=1)
    colored = light - dark >= max((light - dark).max() / 2, _TINT)
    between = (light > 0.15) & (light < 0.85) & ~colored
    values = np.rint(255 * np.array([light.max(), dark.min(), np.median(light)])).astype(int)
    if light.max() < 0.5 and values[0] and not colored.any():
        raise PictureError(f"mask {name} is grey, brightest {values[0]} of 255: {_GIVE}")
    if dark.min() >= 0.5 and values[1] < 255 and not colored.any():
        raise PictureError(f"mask {name} is grey, darkest {values[1]} of 255: {_GIVE}")
    if not _plain(colors):
        raise PictureError(f"mask {name} looks like a photo, for it has many colours or greys: {_GIVE}")
    if between.mean() > 0.4:
        raise PictureError(f"mask {name} is grey, {values[2]} of 255 in most places: {_GIVE}")
    if colored.any() and (light < 0.25).any() and (dark > 0.75).any():
        raise PictureError(f"mask {name} has black, white and colours, so what is marked cannot be told: {_GIVE}")
    marked: np.ndarray = colored if colored.any() else light >= 0.5
    return marked


def _plain(colors: np.ndarray) -> bool:
    """Whether most pixels, (N, 3) in 0..1, have one of the two commonest colours."""
    steps = np.rint(colors * 15).astype(np.int64) @ np.array([256, 16, 1])
    rest = np.ones(len(colors), bool)
    for _ in range(2):
        if rest.any():
            commonest = np.bincount(steps[rest]).argmax()
            peak = np.median(colors[rest & (steps == commonest)], axis=0)
            rest &= np.abs(colors - peak).max(axis=1) > _NEAR
    return bool(rest.mean() < 0.4)


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
