"""Contact sheets: several pictures on one, each with a label."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from singan_toolkit.imaging.pictures import Picture

_GAP = 8
_PAPER = (250, 250, 248)
_INK = (40, 40, 40)


def contact_sheet(pictures: Sequence[Picture], labels: Sequence[str], columns: int = 0, cell: int = 320) -> Picture:
    """Lay pictures out in a grid.

    Args:
        pictures: What to show; each is shrunk to fit its cell, never enlarged. Transparency shows the paper.
        labels: One for each, under it.
        columns: Pictures in a row; by default as many as make the sheet about square.
        cell: Largest side of a picture on the sheet, in pixels.

    Returns:
        One RGB picture of 8 bits.
    """
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    tiles = [_tile(picture, cell) for picture in pictures]
    width = max(tile.width for tile in tiles) + _GAP
    font = ImageFont.load_default(size=13)
    height = max(tile.height for tile in tiles) + _GAP + (18 if any(labels) else 0)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        x, y = _GAP + place % columns * width, _GAP + place // columns * height
        sheet.paste(tile, (x, y))
        draw.text((x, y + tile.height + 1), label, _INK, font)
    return Picture(np.asarray(sheet), "contact sheet")


def _tile(picture: Picture, cell: int) -> Image.Image:
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is not None:
        rgb = rgb * alpha[..., None] + np.array(_PAPER, np.float32) / 255 * (1 - alpha[..., None])
    image = Image.fromarray(np.rint(rgb * 255).astype(np.uint8))
    image.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    return image
