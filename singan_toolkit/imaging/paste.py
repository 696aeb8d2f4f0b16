"""Pasting a cut-out into a picture: where, how large, and what mask it leaves."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from skimage.transform import resize as resize_array
from skimage.transform import rotate as rotate_array

from singan_toolkit.errors import PictureError, UsageError
from singan_toolkit.imaging.composite import blend
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.visible import VISIBLE
from singan_toolkit.pyramid.geometry import Size, nearest

_NAMES = {
    "center": (0.5, 0.5),
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
    "top-left": (0.0, 0.0),
    "top-right": (1.0, 0.0),
    "bottom-left": (0.0, 1.0),
    "bottom-right": (1.0, 1.0),
}
_FLIPS = {"": (), "horizontal": (1,), "vertical": (0,), "both": (0, 1)}
_TOO_LARGE = 1 / 3


@dataclass(frozen=True, eq=False)
class Pasted:
    """A pasted picture.

    Attributes:
        picture: The background with the object on it, in the background's depth and greyness; opaque where either is.
        mask: (H, W), bool: where the object is.
        note: What was decided for the user, or an empty string.
    """

    picture: Picture
    mask: np.ndarray
    note: str = ""


def paste(
    background: Picture,
    cutout: Picture,
    mask: np.ndarray | None = None,
    at: str = "center",
    size: str = "",
    rotate: float = 0,
    flip: str = "",
) -> Pasted:
    """Lay a cut-out on a background.

    The object is what is visibly opaque: its box, which is what gets the size and the place, holds all pixels from an
    eighth of its largest alpha on. What is fainter outside the box is left out.

    Args:
        background: What to paste on. Where it is transparent the result is as opaque as the cut-out.
        cutout: The object.
        mask: (H, W) of the cut-out, bool; its alpha by default.
        at: Where: ``center``, ``top-left`` and the like; ``X,Y`` in pixels of the background, of the cut-out's top left
            corner; or ``X%,Y%``, at which that share of the cut-out lies on that share of the background (0%,0% is top
            left, 100%,100% bottom right).
        size: ``WxH`` in pixels, ``N`` pixels on the longer side, or ``N%`` of the background's shorter side. By default
            the cut-out's own size, or a third of the background where it does not fit.
        rotate: Degrees, counter-clockwise, by which the object of that size is turned about the center of its box. The
            box grows to hold it, and is what ``at`` places. Multiples of 90 are exact.
        flip: ``horizontal``, which swaps left and right, ``vertical`` or ``both``; done before all else.

    Raises:
        PictureError: The cut-out has neither alpha nor mask, or lies outside the background.
        UsageError: ``at``, ``size``, ``rotate`` or ``flip`` cannot be understood.
    """
    if flip not in _FLIPS:
        raise UsageError(f"flip {flip!r} is none of {', '.join(filter(None, _FLIPS))}")
    if not math.isfinite(rotate):
        raise UsageError(f"rotate {rotate} is no number of degrees")
    alpha = cutout.alpha if mask is None else mask.astype(np.float32)
    if alpha is None or alpha.min() == 1:
        raise PictureError(
            f"{cutout.name} has no transparency, so its own background would be pasted along: "
            "give a cut-out with alpha, or a mask"
        )
    if not alpha.any():
        raise PictureError(f"{cutout.name} is fully transparent: there is nothing to paste")
    rows, columns = np.where(alpha >= VISIBLE * alpha.max())
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    # Premultiplied, lest the colours of transparent pixels bleed into the object.
    layers = np.flip(np.dstack([cutout.rgb * alpha[..., None], alpha])[box], _FLIPS[flip])
    wanted, note = _size(size, layers.shape[:2], background.size, cutout.name)
    if wanted != layers.shape[:2]:
        layers = resize_array(layers, wanted, order=1, anti_aliasing=True)
    turns, rest = divmod(rotate, 90)
    layers = np.rot90(layers, int(turns % 4))
    if rest:
        layers = rotate_array(layers, rest, resize=True)
    high, wide = layers.shape[:2]
    top, left = _corner(at, (high, wide), background.size)
    height, width = background.size
    inside = slice(max(top, 0), min(top + high, height)), slice(max(left, 0), min(left + wide, width))
    if inside[0].start >= inside[0].stop or inside[1].start >= inside[1].stop:
        raise PictureError(f"at {at} {cutout.name} lies outside {background.name}, which is {background.size} pixels")
    part = slice(inside[0].start - top, inside[0].stop - top), slice(inside[1].start - left, inside[1].stop - left)
    laid, color = np.zeros(background.size, np.float32), np.zeros((*background.size, 3), np.float32)
    laid[inside] = layers[part][..., 3].clip(0, 1)
    color[inside] = layers[part][..., :3] / np.maximum(layers[part][..., 3:], 1e-6)
    if not laid.any():
        raise PictureError(f"at {at} all but transparent parts of {cutout.name} lie outside {background.name}")
    return Pasted(blend(background, color, laid), laid >= 0.5 * min(laid.max(), 1), note)


def _size(text: str, own: tuple[int, ...], background: tuple[int, int], name: str) -> tuple[tuple[int, int], str]:
    if not text:
        if own[0] <= background[0] and own[1] <= background[1]:
            return (own[0], own[1]), ""
        share = _TOO_LARGE * min(background) / max(own)
        return _scaled(own, share), f"{name} is larger than the picture and was pasted at {share:.0%} of its size"
    if match := re.fullmatch(r"(\d+)x(\d+)", text):
        wanted = int(match[2]), int(match[1])
    elif match := re.fullmatch(r"(\d+)(?:px)?", text):
        wanted = _scaled(own, int(match[1]) / max(own))
    elif match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text):
        wanted = _scaled(own, float(match[1]) / 100 * min(background) / max(own))
    else:
        raise UsageError(f"size {text!r} is neither 120, 120x80 nor 40%")
    if min(wanted) < 1 or max(wanted) > 4 * max(background):
        raise UsageError(f"size {text!r} makes {name} {Size(*wanted)} pixels")
    return wanted, ""


def _scaled(own: tuple[int, ...], share: float) -> tuple[int, int]:
    return max(1, nearest(own[0] * share)), max(1, nearest(own[1] * share))


def _corner(at: str, size: tuple[int, int], background: tuple[int, int]) -> tuple[int, int]:
    if match := re.fullmatch(r"(-?\d+),(-?\d+)", at):
        return int(match[2]), int(match[1])
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)%,(\d+(?:\.\d+)?)%", at):
        x, y = float(match[1]) / 100, float(match[2]) / 100
    elif at in _NAMES:
        x, y = _NAMES[at]
    else:
        raise UsageError(f"position {at!r} is neither X,Y nor X%,Y% nor one of {', '.join(_NAMES)}")
    return nearest(y * (background[0] - size[0])), nearest(x * (background[1] - size[1]))
