"""Which files are pictures, and which of them can be read here."""

from __future__ import annotations

import importlib.util

from PIL import Image, features

_READ = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heics", ".heif", ".heifs", ".hif"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TGA": (".tga",),
    "PSD": (".psd",),
    "PCX": (".pcx",),
    "ICO": (".ico",),
    "QOI": (".qoi",),
}
"""Formats by the names that Pillow has for them, and their files' endings. Nothing else reaches a decoder: some of
Pillow's run other programs, and some take any file for theirs."""

_NOT_READ = {
    *(".svg", ".svgz", ".pdf", ".eps", ".ps", ".ai", ".cdr", ".wmf", ".emf", ".psb", ".xcf", ".kra", ".ora", ".clip"),
    *(".jxl", ".jxr", ".hdr", ".exr", ".pfm", ".dds", ".sgi", ".bpg", ".djvu", ".icns"),
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".srw"),
    *(".3fr", ".fff", ".iiq", ".x3f"),
}

PICTURE_ENDINGS = frozenset(_NOT_READ.union(*_READ.values()))
"""Endings, in lower case and with the dot, that pictures are known by, be they readable here or not."""


def formats() -> list[str]:
    """Names, as Pillow's, of the formats that are read here: HEIF where pillow-heif is installed, and others where the
    installed Pillow was built with them."""
    missing = {name for name, feature in _BUILT_IN.items() if not features.check(feature)}
    if importlib.util.find_spec("pillow_heif"):
        if "HEIF" not in Image.OPEN:
            import pillow_heif

            pillow_heif.register_heif_opener()
    else:
        missing.add("HEIF")
    return [name for name in _READ if name not in missing]


_BUILT_IN = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000", "JPEG": "jpg"}


def readable_endings() -> frozenset[str]:
    """Endings, in lower case and with the dot, of the pictures that can be read here."""
    return frozenset(ending for name in formats() for ending in _READ[name])
