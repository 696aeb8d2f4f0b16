"""Which files are pictures, which of them can be read here, and what those are that cannot."""

from __future__ import annotations

import importlib.util
import logging

from PIL import Image, features

for library in ("PIL", "tifffile", "imagecodecs"):  # whose warnings would end up on the terminal
    logging.getLogger(library).addHandler(logging.NullHandler())

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
"""Formats by the names that Pillow has for them, and their files' endings. No other reaches a decoder: some of Pillow's
start other programs."""
_BUILT_IN = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
RAW = {
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".srw"),
    *(".3fr", ".fff", ".iiq", ".x3f"),
}
_CONVERT = "convert it to PNG, JPEG, TIFF or WebP"
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"\0\0\0\x0cjP  ": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"8BPS": "PSD",
    b"qoif": "QOI",
}
_STRANGE = {
    b"%PDF": "a PDF document",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1a\x45\xdf\xa3": "a video",
    b"\0\0\x01\xba": "a video",
    b"\0\0\x01\xb3": "a video",
    b"FLV": "a video",
    b"ID3": "a sound recording",
    b"OggS": "a sound recording or a video",
    b"fLaC": "a sound recording",
    b"\x76\x2f\x31\x01": "OpenEXR, of floating point values",
    b"#?RADIANCE": "Radiance HDR, of floating point values",
    b"PF\n": "a portable float map, of floating point values",
    b"Pf\n": "a portable float map, of floating point values",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"gimp xcf": "a GIMP project",
    b"DDS ": "a DirectDraw surface",
    b"FUJIFILMCCD-RAW": "a camera's raw file",
}


def formats() -> list[str]:
    """Names, as Pillow's, of the formats that are read here.

    These are what the installed Pillow was built with, and HEIF where pillow-heif is installed.
    """
    missing = {name for name, feature in _BUILT_IN.items() if not features.check(feature)}
    if not importlib.util.find_spec("pillow_heif"):
        missing.add("HEIF")
    elif "HEIF" not in Image.OPEN:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in _READ if name not in missing]


def readable_endings() -> frozenset[str]:
    """Endings, in lower case and with the dot, of the pictures that can be read here."""
    return frozenset(ending for name in formats() for ending in _READ[name])


def format_of(content: bytes) -> str:
    """The format of ``_READ`` that a file's first bytes say it has, or an empty string."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp":
        brands = {content[start : start + 4] for start in (8, *range(16, min(64, len(content)), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"} else ""
    return next((name for start, name in _MAGIC.items() if content.startswith(start)), "")


def why_unread(content: bytes, ending: str) -> str:
    """A clause on why no decoder takes a file: what it seems to be, and what can be done.

    Args:
        content: The whole file.
        ending: The ending of the file's name, with the dot.
    """
    if not content:
        return "it is empty"
    name = format_of(content)
    if name == "HEIF" and name not in formats():
        return "it is HEIC, which is read where pillow-heif is installed: pip install pillow-heif, or convert it"
    if name and name not in formats():
        return f"it is {name}, which the installed Pillow was built without: install another, or {_CONVERT}"
    if ending.lower() in RAW:
        return f"it is a camera's raw file: {_CONVERT}"
    if name:
        return f"it is a {name} file that is damaged or cut off"
    kind = next((kind for start, kind in _STRANGE.items() if content.startswith(start)), "")
    if content[4:8] == b"ftyp":
        kind = "a camera's raw file" if content[8:12] == b"crx " else "a video"
    elif content[:4] == b"RIFF":
        kind = "a video" if content[8:12] == b"AVI " else "a sound recording"
    elif content[8:9] == b"{" and b"singan_toolkit" in content[:1_000_000]:
        return "it is a bundle, and no picture"
    elif not kind:
        kind = _kind_of_text(content[:4096])
    if kind == "SVG" or kind.startswith(("a PDF", "PostScript")):
        return f"it is {kind}, which has no pixels of its own: export it as PNG first"
    if kind.endswith("no picture"):
        return f"it is {kind}"
    if kind:
        return f"it is {kind}, which is not read: {_CONVERT}"
    return f"it is in no format that is read here: {_CONVERT}"


def _kind_of_text(start: bytes) -> str:
    try:
        text = start.decode("utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "strict").lower()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4 or error.start == 0:  # else a character was cut in two
            return ""
        text = start[: error.start].decode().lower()
    if any(character < " " and character not in "\t\r\n\f" for character in text):
        return ""
    if "<svg" in text:
        return "SVG"
    return "a web page, and no picture" if "<html" in text or "<!doctype html" in text else "text, and no picture"
