"""The training picture as the user has it, at its own resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.pictures import Picture, read_picture
from singan_toolkit.imaging.tensors import shrunk, to_rgb

_LIKE = 0.06
"""RMS difference up to which a shrunk picture is taken for the training picture: what another resizing or JPEG does."""


def read_original(source: object, trained: np.ndarray) -> Picture:
    """Read the picture that a bundle was trained on.

    Args:
        source: Its file, or the picture as ``read_picture`` takes it.
        trained: (h, w, 3), uint8: the picture as the bundle holds it.

    Raises:
        PictureError: The file cannot be read, is partly transparent, or shows another picture.
    """
    picture = read_picture(source)
    if picture.alpha is not None and picture.alpha.min() < 1:
        raise PictureError(
            f"{picture.name} is partly transparent, so it is not the picture that this bundle was trained on: "
            "give that one"
        )
    name = source if isinstance(source, (str, Path)) else picture.name
    small = to_rgb(shrunk(picture, (trained.shape[0], trained.shape[1]))[0])
    shape = picture.size[1] / picture.size[0] / (trained.shape[1] / trained.shape[0])
    if abs(shape - 1) > 0.05 or np.sqrt(np.mean((small - trained / 255.0) ** 2)) > _LIKE:
        raise PictureError(
            f"{name} is not the picture that this bundle was trained on: give that one, or train a bundle on {name}"
        )
    return picture
