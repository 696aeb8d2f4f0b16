"""Pictures and files of pictures that the tests of imaging share."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.pictures import Picture, read_picture

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def noise(height: int, width: int, channels: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def blocks() -> np.ndarray:
    """Four flat colours of 16x24 pixels each, which JPEG keeps nearly; no turn or flip maps them onto themselves."""
    picture = np.empty((32, 48, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:] = (220, 30, 30), (30, 200, 40)
    picture[16:, :24], picture[16:, 24:] = (40, 40, 210), (230, 220, 60)
    return picture


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, color_type: int, rows: bytes, extra: bytes = b"", interlaced: bool = False
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def deep_png(pixels: np.ndarray, extra: bytes = b"", interlaced: bool = False) -> bytes:
    """(H, W, C), uint16, as a PNG without filters."""
    passes = [pixels[y::rows, x::columns] for y, x, rows, columns in ADAM7] if interlaced else [pixels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    height, width, channels = pixels.shape
    return png(width, height, 16, COLOR_TYPES[channels], rows, extra, interlaced)


def deep_png_pixels(content: bytes) -> np.ndarray:
    """(H, W, C), uint16, of a PNG of 16 bits that is not interlaced."""
    chunks, start = dict[bytes, bytes](), 8
    while start < len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        chunks[kind] = chunks.get(kind, b"") + content[start + 8 : start + 8 + length]
        start += length + 12
    width, height, depth, color_type, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, rest) == (16, [0, 0, 0])
    step = 2 * {kind: channels for channels, kind in COLOR_TYPES.items()}[color_type]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + step * width).astype(int)
    values = np.zeros((height + 1, step + step * width), int)
    for row, line in enumerate(lines, 1):
        for column, value in enumerate(line[1:], step):
            left, up, corner = values[row, column - step], values[row - 1, column], values[row - 1, column - step]
            paeth = min((left, up, corner), key=lambda near: abs(left + up - corner - near))
            predicted = (0, left, up, (left + up) // 2, paeth)[line[0]]
            values[row, column] = (value + predicted) % 256
    return values[1:, step:].astype(np.uint8).view(">u2").reshape(height, width, -1).astype(np.uint16)


def picture_or_refusal(path: Path) -> Picture | str:
    try:
        return read_picture(path)
    except PictureError as error:
        return str(error)
