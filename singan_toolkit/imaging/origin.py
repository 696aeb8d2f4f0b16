"""What a picture's file says of how it was made: JSON beside the pixels, in a place of each format's own.

In PNG it is a text chunk, in JPEG a comment, in WebP and TIFF an attribute in XMP; BMP has no place for it.
"""

from __future__ import annotations

import html
import json
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from singan_toolkit.imaging.formats import format_of

KEY = "singan-toolkit"
MAX_BYTES = 60_000
"""Of the text, as ASCII; what is longer is not written. A comment in JPEG has 65,533 bytes at most."""
_MAX_FILE = 1 << 30
_XMP = re.compile(rb'singan-toolkit:origin="([^"]*)"')
_XMP_TAG = 700


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
        start = file.read(64)
        if path.stat().st_size > _MAX_FILE or not (name := format_of(start)):
            return None
        content = start + (file.read() if name == "PNG" else b"")
    try:
        text = _of_png(content) if name == "PNG" else _of_others(path, name)
        found = json.loads(text) if text and len(text) <= MAX_BYTES else None
    except Exception:  # whatever a strange file leads to
        return None
    return found if isinstance(found, dict) else None


def _of_png(content: bytes) -> bytes:
    place = 8
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"iTXt" and content[place + 8 :].startswith(KEY.encode() + b"\0\0"):
            return content[place + 8 + len(KEY) + 5 : end - 4]
        place = end
    return b""


def _of_others(path: Path, name: str) -> bytes:
    if name not in ("JPEG", "WEBP", "TIFF"):
        return b""
    with Image.open(BytesIO(path.read_bytes()), formats=[name]) as image:
        if name == "JPEG":
            comment = image.info.get("comment", b"")
            start = f"{KEY} ".encode()
            return bytes(comment[len(start) :]) if comment.startswith(start) else b""
        packet = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(_XMP_TAG, b"")
    found = _XMP.search(bytes(packet))
    return html.unescape(found[1].decode("ascii")).encode("ascii") if found else b""
