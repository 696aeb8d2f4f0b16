"""From pixels to a picture's file, with what the file is to say beside them."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import imagecodecs
import imageio.v3 as iio
import numpy as np
import tifffile
from PIL import ExifTags, Image

from singan_toolkit.imaging.decoding import Tags
from singan_toolkit.imaging.origin import XMP_TAG, jpeg_comment, png_chunk, xmp

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
_FORMATS |= {".tif": "TIFF", ".tiff": "TIFF"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4},  # of photos as small as the default, 6, in half the time
    "JPEG": {"quality": 95},
    "WEBP": {"lossless": True, "exact": True},
}
_MOST_EXIF_OF_JPEG = 65533


def encode(pixels: np.ndarray, ending: str, tags: Tags) -> bytes:
    """A picture's file.

    Args:
        pixels: (H, W, 1 to 4), uint8 or, for PNG and TIFF, uint16.
        ending: One of the endings that are written, in lower case.
        tags: What the format has a place for is written.
    """
    name = _FORMATS[ending]
    if pixels.dtype == np.uint16:
        return _deep_png(pixels, tags) if name == "PNG" else _deep_tiff(pixels, tags)
    options = _OPTIONS.get(name, {}) | {"icc_profile": tags.profile, "dpi": tags.dpi, "exif": tags.exif}
    if name == "JPEG" and len(tags.exif or b"") > _MOST_EXIF_OF_JPEG:
        del options["exif"]
    if tags.origin and name == "JPEG":
        options["comment"] = jpeg_comment(tags.origin)
    elif tags.origin and name == "WEBP":
        options["xmp"] = xmp(tags.origin)
    elif tags.origin and name == "TIFF":
        options["tiffinfo"] = {XMP_TAG: xmp(tags.origin)}
    plain = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    given = {key: value for key, value in options.items() if value is not None}
    encoded: bytes = iio.imwrite("<bytes>", plain, plugin="pillow", extension=ending, **given)
    return _with_chunk(encoded, png_chunk(tags.origin)) if tags.origin and name == "PNG" else encoded


def _with_chunk(png: bytes, chunk: bytes) -> bytes:
    head = 8 + 25  # signature and IHDR
    return png[:head] + chunk + png[head:]


def _deep_png(pixels: np.ndarray, tags: Tags) -> bytes:
    encoded = imagecodecs.png_encode(pixels[..., 0] if pixels.shape[2] == 1 else pixels, level=4)
    chunks = []
    if tags.profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(tags.profile)))
    if tags.dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in tags.dpi), 1)))
    if tags.exif:
        chunks.append((b"eXIf", tags.exif.removeprefix(b"Exif\0\0")))
    packed = (struct.pack(">I", len(data)) + kind + data for kind, data in chunks)
    checks = (struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    extra = b"".join(chunk + check for chunk, check in zip(packed, checks, strict=True))
    return _with_chunk(bytes(encoded), (png_chunk(tags.origin) if tags.origin else b"") + extra)


def _deep_tiff(pixels: np.ndarray, tags: Tags) -> bytes:
    buffer, grey = BytesIO(), pixels.shape[2] <= 2
    tifffile.imwrite(
        buffer,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        photometric="minisblack" if grey else "rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if pixels.shape[2] in (2, 4) else None,
        iccprofile=tags.profile,
        resolution=tags.dpi,
        resolutionunit="INCH" if tags.dpi else None,
        metadata=None,
        software=False,
        extratags=_texts(tags.exif) + _packet(tags.origin),
    )
    return buffer.getvalue()


def _packet(origin: str | None) -> list[tuple[int, int, int, bytes, bool]]:
    packet = xmp(origin) if origin else b""
    return [(XMP_TAG, 1, len(packet), packet, True)] if packet else []


def _texts(exif: bytes | None) -> list[tuple[int, int, int, bytes, bool]]:
    """The texts of an EXIF block as tags for tifffile, which can write no block inside a file."""
    block = Image.Exif()
    block.load(exif or b"")
    blocks = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
    texts = {tag: str(value).encode() + b"\0" for tag, value in sorted(block.items()) if tag not in blocks}
    return [(tag, 2, len(text), text, True) for tag, text in texts.items()]
