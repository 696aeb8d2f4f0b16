"""Pictures as a browser shows them, and what is painted on one as a file that a task takes."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import PictureError, UsageError
from singan_toolkit.imaging.masks import mask_of
from singan_toolkit.imaging.pictures import Picture, encode_picture, read_picture
from singan_toolkit.imaging.visible import VISIBLE
from singan_toolkit.studio.folder import Folder


def picture_at(path: Path) -> Picture:
    """A picture of the folder or, of a bundle, its training picture."""
    there = path.stat()
    return _picture_at(path, there.st_mtime_ns, there.st_size)


def shown(picture: Picture, longest: int = 0) -> bytes:
    """A PNG of 8 bits in sRGB, its longer side at most so long."""
    rgb = np.rint(picture.rgb * 255).astype(np.uint8)
    alpha = picture.alpha
    layers = rgb if alpha is None else np.dstack([rgb, np.rint(alpha * 255).astype(np.uint8)])
    return _png(layers, longest)


def cutout(picture: Picture, mask: Picture | None) -> bytes:
    """What of a picture would be pasted, as a PNG: the box of what is visible of it.

    Raises:
        PictureError: It has no transparency and no mask, or is all transparent.
    """
    alpha = picture.alpha if mask is None else mask_of(mask, picture.size).astype(np.float32)
    if alpha is None or not alpha.any() or alpha.min() == 1:
        raise PictureError(f"{picture.name} has no transparency: give a cut-out with alpha, or a mask")
    rows, columns = np.where(alpha >= VISIBLE * alpha.max())
    layers = np.dstack([picture.rgb, alpha])[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _png(np.rint(layers * 255).astype(np.uint8), 0)


def keep_painted(folder: Folder, kind: str, base: Picture, content: bytes) -> str:
    """Keep what was painted over a picture in the folder, and say under which name.

    Args:
        folder: Where.
        kind: ``mask``, white on black; ``layer``, colours on nothing; or ``picture``, which is laid over the base in
            its own depth and profile, so that what was not painted stays bit for bit.
        base: What it was painted over.
        content: A PNG of the base's size.

    Raises:
        UsageError: There is no such kind.
        PictureError: It is no picture of that size.
    """
    if kind not in ("mask", "layer", "picture"):
        raise UsageError(f"{kind} is nothing that is painted")
    try:
        layer = read_picture(Image.open(BytesIO(content), formats=["PNG"]))
    except OSError as error:
        raise PictureError("what was painted did not arrive as a PNG") from error
    if layer.size != base.size:
        raise PictureError(f"what was painted is {layer.size} pixels, and {base.name} {base.size}: paint it anew")
    if kind == "mask":
        mask_of(layer, base.size)
        content = encode_picture(Picture(np.rint(layer.rgb[..., :1] * 255).astype(np.uint8)), ".png")
    elif kind == "picture":
        alpha = np.ones(base.size, np.float32) if layer.alpha is None else layer.alpha
        content = encode_picture(base.with_rgb(layer.rgb, alpha), ".png")
    return folder.keep_painted("edit" if kind == "picture" else kind, content)


@lru_cache(maxsize=8)
def _picture_at(path: Path, modified: int, size: int) -> Picture:
    if path.suffix.lower() == ".sgb":
        return Picture(Bundle.load(path).picture, "the training picture")
    return read_picture(path)


def _png(layers: np.ndarray, longest: int) -> bytes:
    image = Image.fromarray(layers)
    if longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
