"""PNG without the extras that would have Pillow refuse, when they are damaged, what every viewer shows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_START = 8
_LENGTHS = {b"pHYs": 9, b"acTL": 8, b"fcTL": 26}
_TRANSPARENT = {b"\0": 2, b"\2": 6}
"""Length of what is transparent, by the kind of colours: grey, RGB."""
_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Texts that may say how the picture is turned."""


def essential(content: bytes) -> bytes:
    """A PNG file without the chunks that say nothing of how it looks, and without those that are damaged.

    The pixels' own chunks stay as they are, damaged or not.

    Args:
        content: The whole file.
    """
    return content[:_START] + b"".join(chunk for chunk in _chunks(content) if _matters(chunk, content))


def _chunks(content: bytes) -> Iterator[bytes]:
    start = _START
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        yield content[start:end]
        start = end


def _matters(chunk: bytes, content: bytes) -> bool:
    kind, data = chunk[4:8], chunk[8:-4]
    if not kind[:1].islower():
        return True
    if zlib.crc32(kind + data) != int.from_bytes(chunk[-4:], "big"):
        return False
    if kind == b"tRNS":
        return len(data) == _TRANSPARENT.get(content[25:26], len(data))
    if kind == b"iCCP":
        return data.partition(b"\0")[2][:1] == b"\0"  # the one way of compression
    if kind in (b"tEXt", b"zTXt", b"iTXt"):
        return data.startswith(_TEXTS)
    return kind in (b"eXIf", b"fdAT") or len(data) == _LENGTHS.get(kind)
