"""TIFF of 16 bits a sample, of which Pillow would hand over 8 and not say so."""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import tifffile

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.profiles import fits, srgb_values

_KIND = tifffile.PHOTOMETRIC
_COLORS = {_KIND.MINISWHITE: 1, _KIND.MINISBLACK: 1, _KIND.PALETTE: 1, _KIND.RGB: 3, _KIND.SEPARATED: 4}
_COMPRESSIONS = {1, 5, 8, 32773, 32946, 34925, 50000}  # none, LZW, Deflate, PackBits, Deflate, LZMA, Zstandard


def deep_tiff(content: bytes, check_pixels: Callable[[int], None]) -> np.ndarray | None:
    """The first page of a TIFF, as it is stored, not turned upright.

    Args:
        content: The whole file.
        check_pixels: Refuses a number of pixels that is too large.

    Returns:
        (H, W, C), uint16: grey or RGB, with alpha or without; None for 8 bits and fewer, which are Pillow's.

    Raises:
        PictureError: It is of a kind that cannot be read without loss; the message is a clause on why.
    """
    with tifffile.TiffFile(BytesIO(content)) as file:
        page: Any = file.pages.first
        bits, sample = page.bitspersample, page.sampleformat
        if not all(type(number) is int for number in (page.imagewidth, page.imagelength, page.samplesperpixel, bits)):
            raise PictureError("it is a TIFF file that is damaged: its size is not one number")
        check_pixels(page.imagewidth * page.imagelength)
        if sample == tifffile.SAMPLEFORMAT.IEEEFP:
            raise PictureError(f"it is a TIFF of {bits}-bit floating point values: convert it to 8 or 16 bits first")
        if sample != tifffile.SAMPLEFORMAT.UINT or bits not in (1, 2, 4, 8, 16):
            raise PictureError(f"it is a TIFF of {bits}-bit values that are not read: convert it to 8 or 16 bits first")
        if bits < 16:
            return None
        _check(page, len(content), check_pixels)
        stored = page.asarray().reshape(page.shaped)[:, 0]  # planes, height, width, samples
        pixels = stored.transpose(1, 2, 0, 3).reshape(page.imagelength, page.imagewidth, -1).astype(np.uint16)
        return _straight(page, pixels)


def _check(page: Any, size: int, check_pixels: Callable[[int], None]) -> None:
    """Refuse what cannot be read, and what would take more memory than its pixels."""
    kind = page.photometric
    if kind not in _COLORS or page.samplesperpixel < _COLORS[kind]:
        name = getattr(kind, "name", kind)
        raise PictureError(f"16-bit TIFF is read as grey, palette, RGB or CMYK, and this is {name}: convert it first")
    if page.compression not in _COMPRESSIONS:
        name = getattr(page.compression, "name", page.compression)
        raise PictureError(f"16-bit TIFF is read plain or compressed by LZW, Deflate and the like, not by {name}")
    check_pixels(page.imagewidth * page.imagelength * page.samplesperpixel // 8)
    check_pixels(math.prod(page.chunks) // 8)
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(pieces) != math.prod(page.chunked) or any(length <= 0 or start + length > size for start, length in pieces):
        raise PictureError("it is a TIFF file that is cut off: parts of its picture are missing")


def _straight(page: Any, pixels: np.ndarray) -> np.ndarray:
    """The colours that are meant, and the first further sample where it is alpha."""
    count = _COLORS[page.photometric]
    color, more = pixels[..., :count], pixels[..., count : count + 1]
    extra = page.extrasamples[0] if page.extrasamples else tifffile.EXTRASAMPLE.UNASSALPHA
    if extra == tifffile.EXTRASAMPLE.UNSPECIFIED:
        more = more[..., :0]
    elif extra == tifffile.EXTRASAMPLE.ASSOCALPHA and more.shape[2]:
        shares = np.maximum(more, 1) / np.float64(65535)
        color = np.rint(np.minimum(color / shares, 65535)).astype(np.uint16) * (more > 0)
    if page.photometric == _KIND.MINISWHITE:
        color = 65535 - color
    elif page.photometric == _KIND.PALETTE:
        color = page.colormap.T[color[..., 0]].astype(np.uint16)
    elif page.photometric == _KIND.SEPARATED:
        profile = page.tags.get(34675)
        if profile and fits(profile.value, 4):
            return np.concatenate([srgb_values(color, profile.value), more], axis=2)
        ink = color.astype(np.float64) / 65535
        color = np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * 65535).astype(np.uint16)
    return np.concatenate([color, more], axis=2)
