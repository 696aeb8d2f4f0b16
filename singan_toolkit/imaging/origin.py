"""What a picture's file says of how it was made: JSON beside the pixels, in a place of each format's own.

In PNG it is a text chunk, in JPEG a comment, in WebP and TIFF an attribute in XMP; BMP has no place for it.
"""

from __future__ import annotations

import html
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from singan_toolkit.imaging.formats import format_of

KEY = "singan-toolkit"
MAX_BYTES = 60_000
"""Of the text, as ASCII; what is longer is not written. A comment in JPEG has 65,533 bytes at most."""
_MOST_CHUNKS = 1000
_XMP = re.compile(rb'singan-toolkit:origin="([^"]*)"')
XMP_TAG = 700


def png_chunk(text: str) -> bytes:
    """The chunk of a PNG that holds the text, which is ASCII."""
    data = b"iTXt" + KEY.encode() + b"\0\0\0\0\0" + text.encode("ascii")
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def xmp(text: str) -> bytes:
    """An XMP packet that holds the text, which is ASCII."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:singan-toolkit="urn:singan-toolkit" '
        f'singan-toolkit:origin="{html.escape(text)}"/></rdf:RDF></x:xmpmeta>'
    ).encode("ascii")


def jpeg_comment(text: str) -> bytes:
    """The comment of a JPEG that holds the text, which is ASCII."""
    return f"{KEY} {text}".encode("ascii")


def read_origin(path: Path) -> dict[str, Any] | None:
    """What a picture's file says of how it was made, or None where it says nothing that can be read.

    It is whatever somebody wrote there: nothing in it is to be believed, run or shown as anything but text.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        name = format_of(file.read(64))
        try:
            text = _of_png(file) if name == "PNG" else _of_others(file, name)
            found = json.loads(text) if text and len(text) <= MAX_BYTES else None
        except Exception:  # whatever a strange file leads to
            return None
    return found if isinstance(found, dict) else None


def _of_png(file: BinaryIO) -> bytes:
    """The text of the chunk, which lies before the pixels: no more than that is read."""
    place, head = 8, f"{KEY}\0\0\0\0\0".encode()
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if kind in (b"", b"IDAT"):
            break
        if kind == b"iTXt" and length <= MAX_BYTES + len(head) and (data := file.read(length)).startswith(head):
            return data[len(head) :]
        place += 12 + length
    return b""


def _of_others(file: BinaryIO, name: str) -> bytes:
    if name not in ("JPEG", "WEBP", "TIFF"):
        return b""
    with Image.open(file, formats=[name]) as image:
        if name == "JPEG":
            comment = image.info.get("comment", b"")
            start = f"{KEY} ".encode()
            return bytes(comment[len(start) :]) if comment.startswith(start) else b""
        packet = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(XMP_TAG, b"")
    found = _XMP.search(bytes(packet))
    return html.unescape(found[1].decode("ascii")).encode("ascii") if found else b""
