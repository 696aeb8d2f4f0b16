"""Write into pictures.md what each kind of picture file gives, by trying them: python docs/make_kinds.py."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms
from skimage.color import rgb2lab

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture

PAGE = Path(__file__).parent / "pictures.md"
MARK = "<!-- kinds -->\n"
NOT_EVERYWHERE = ("HEIC", "AVIF", "JPEG 2000")
"""Rows that depend on what is installed."""

COLORS = np.full((24, 32, 3), (90, 140, 60), np.uint8)
COLORS[:12, 16:], COLORS[12:, :16], COLORS[12:, 16:] = (200, 60, 50), (60, 70, 160), (220, 200, 90)
GREY = np.ascontiguousarray(COLORS[..., 1])
CLEAR = np.where(np.arange(32) < 8, 0, np.where(np.arange(32) < 20, 128, 255)).astype(np.uint8) + np.zeros_like(GREY)
DEEP, DEEP_GREY, DEEP_CLEAR = (values.astype(np.uint16) * 257 for values in (COLORS, GREY, CLEAR))
WIDE = imagecodecs.cms_profile("adobergb")
WIDE_GREY = imagecodecs.cms_profile("gray", gamma=1.8)

Writer = Callable[[Path], Any]


def lut_profile(space: bytes, kind: bytes) -> bytes:
    """An ICC profile by table, which leads from RGB or CMYK to Lab and not back."""
    channels = {b"RGB ": 3, b"CMYK": 4}[space]
    corners = np.stack(np.meshgrid(*[[0.1, 0.95]] * channels, indexing="ij"), -1).reshape(-1, channels)
    lab = rgb2lab(corners if channels == 3 else (1 - corners[:, :3]) * (1 - corners[:, 3:]), illuminant="D50")
    values: bytes = np.rint(lab * (2.55, 1, 1) + (0, 128, 128)).clip(0, 255).astype(np.uint8).tobytes()
    straight = bytes(range(256))
    unity = struct.pack(">9i", *(65536 * value for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1\0\0\0\0" + bytes([channels, 3, 2, 0]) + unity + straight * channels + values + straight * 3
    white = struct.pack(">3i", 63190, 65536, 54061)
    point, start = b"XYZ \0\0\0\0" + white, 128 + 4 + 2 * 12
    size = start + len(point) + len(table)
    head: bytes = struct.pack(">I4sI4s4s4s12x4s", size, b"lcms", 0x02400000, kind, space, b"Lab ", b"acsp")
    places = struct.pack(">I4sII", 2, b"wtpt", start, len(point))
    places += struct.pack(">4sII", b"A2B0", start + len(point), len(table))
    profile: bytes = (head.ljust(68, b"\0") + white).ljust(128, b"\0") + places + point + table
    return profile


def by_pillow(pixels: np.ndarray, mode: str = "", kind: str = "PNG", **options: Any) -> Writer:
    """A writer of these pixels, converted to a mode of Pillow's."""
    image = Image.fromarray(pixels)
    image = image.quantize(8) if mode == "P" else image.convert(mode or None)
    return lambda path: image.save(path, kind, **options)


def by_tifffile(pixels: np.ndarray, photometric: str = "rgb", **options: Any) -> Writer:
    """A writer of these pixels as they are."""
    return lambda path: tifffile.imwrite(path, pixels, photometric=photometric, metadata=None, **options)


def by_us(pixels: np.ndarray, ending: str = ".png") -> Writer:
    """A writer of these pixels with the toolkit itself."""

    def write(path: Path) -> None:
        write_picture(Picture(pixels), path.with_suffix(ending))
        path.with_suffix(ending).replace(path)

    return write


def bytes_of(content: bytes) -> Writer:
    """A writer of these bytes."""
    return lambda path: path.write_bytes(content)


def in_profile(profile: bytes) -> np.ndarray:
    """The colours as a profile writes them."""
    rgb = ImageCms.createProfile("sRGB")
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(COLORS), rgb, target, outputMode="RGB"))


def _premultiplied() -> np.ndarray:
    return np.dstack([np.rint(DEEP * (CLEAR / 255)[..., None]).astype(np.uint16), DEEP_CLEAR])


def _palette() -> tuple[np.ndarray, np.ndarray]:
    colors, indices = np.unique(DEEP.reshape(-1, 3), axis=0, return_inverse=True)
    table = np.zeros((3, 65536), np.uint16)
    table[:, : len(colors)] = colors.T
    return indices.reshape(GREY.shape).astype(np.uint16), table


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_chunk(kind: bytes, data: bytes, whole: bool = True) -> bytes:
    """A PNG with one more chunk after its header; one that is not whole has a wrong checksum."""
    file = io.BytesIO()
    Image.fromarray(COLORS).save(file, "PNG")
    chunk = _chunk(kind, data)
    return file.getvalue()[:33] + (chunk if whole else chunk[:-1] + bytes([chunk[-1] ^ 1])) + file.getvalue()[33:]


def _animated(kind: str) -> Writer:
    frames = [Image.fromarray(np.roll(COLORS, shift, 1)) for shift in range(3)]
    return lambda path: frames[0].save(path, kind, save_all=True, append_images=frames[1:], lossless=True)


def _with_preview(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(COLORS, photometric="rgb", metadata=None)
        file.write(COLORS[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)


TURNED = Image.Exif()
TURNED[0x112] = 6
_RGBA, _DEEP_RGBA = np.dstack([COLORS, CLEAR]), np.dstack([DEEP, DEEP_CLEAR])
_INDICES, _TABLE = _palette()
_INK = np.asarray(Image.fromarray(COLORS).convert("CMYK"))

_VAST = struct.pack(">IIBBBBB", 60_000, 60_000, 16, 2, 0, 0, 0)

KINDS: dict[str, Writer] = {
    "PNG, grey": by_pillow(GREY),
    "PNG, grey and alpha": by_pillow(np.dstack([GREY, CLEAR])),
    "PNG, RGB": by_pillow(COLORS),
    "PNG, RGB and alpha": by_pillow(_RGBA),
    "PNG, palette": by_pillow(COLORS, "P"),
    "PNG, 1 bit": by_pillow(GREY, "1"),
    "PNG, 16 bits, grey": by_us(DEEP_GREY[..., None]),
    "PNG, 16 bits, RGB": by_us(DEEP),
    "PNG, 16 bits, RGB and alpha": by_us(_DEEP_RGBA),
    "PNG, turned by EXIF": by_pillow(np.rot90(COLORS).copy(), exif=TURNED),
    "PNG, a profile of RGB": by_pillow(in_profile(WIDE), icc_profile=WIDE),
    "PNG, a profile of grey": by_pillow(GREY, icc_profile=WIDE_GREY),
    "PNG, a profile of another kind of colours": by_pillow(COLORS, icc_profile=WIDE_GREY),
    "PNG, a profile that leads one way": by_pillow(COLORS, icc_profile=lut_profile(b"RGB ", b"scnr")),
    "PNG, a damaged profile": by_pillow(COLORS, icc_profile=WIDE[:200]),
    "PNG, EXIF that is none": bytes_of(_with_chunk(b"eXIf", b"garbage-not-tiff")),
    "PNG, EXIF with a wrong checksum": bytes_of(_with_chunk(b"eXIf", TURNED.tobytes()[6:], whole=False)),
    "PNG, resolution that is cut off": bytes_of(_with_chunk(b"pHYs", b"\0\0\1")),
    "PNG, a text that unpacks to 3 MB": bytes_of(_with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))),
    "PNG, a profile that is none": bytes_of(_with_chunk(b"iCCP", b"junk")),
    "APNG, its first picture": by_pillow(COLORS, save_all=True, append_images=[Image.new("RGB", (32, 24))]),
    "JPEG": by_pillow(COLORS, kind="JPEG", quality=98, subsampling=0),
    "JPEG, grey": by_pillow(GREY, kind="JPEG", quality=98, subsampling=0),
    "JPEG, CMYK": by_pillow(COLORS, "CMYK", "JPEG", quality=98),
    "JPEG, CMYK, a profile": by_pillow(COLORS, "CMYK", "JPEG", quality=98, icc_profile=lut_profile(b"CMYK", b"prtr")),
    "JPEG, CMYK, a profile of RGB": by_pillow(COLORS, "CMYK", "JPEG", quality=98, icc_profile=WIDE),
    "TIFF, RGB": by_pillow(COLORS, kind="TIFF"),
    "TIFF, white is zero": by_tifffile(255 - GREY, "miniswhite"),
    "TIFF, CMYK": by_pillow(COLORS, "CMYK", "TIFF"),
    "TIFF, premultiplied alpha": by_tifffile((_premultiplied() // 257).astype(np.uint8), extrasamples=["assocalpha"]),
    "TIFF, a fourth sample of no meaning": by_tifffile(_RGBA, extrasamples=["unspecified"]),
    "TIFF, 16 bits, RGB, LZW": by_tifffile(DEEP, compression="lzw", predictor=True),
    "TIFF, 16 bits, RGB, planar": by_tifffile(DEEP.transpose(2, 0, 1), planarconfig="separate"),
    "TIFF, 16 bits, RGB, tiled": by_tifffile(DEEP, tile=(16, 16), compression="deflate"),
    "TIFF, 16 bits, RGB, turned": by_tifffile(np.rot90(DEEP), extratags=[(0x112, 3, 1, 6, True)]),
    "TIFF, 16 bits, RGB and alpha": by_tifffile(_DEEP_RGBA, extrasamples=["unassalpha"]),
    "TIFF, 16 bits, premultiplied alpha": by_tifffile(_premultiplied(), extrasamples=["assocalpha"]),
    "TIFF, 16 bits, a fourth sample of no meaning": by_tifffile(_DEEP_RGBA, extrasamples=["unspecified"]),
    "TIFF, 16 bits, white is zero": by_tifffile(65535 - DEEP_GREY, "miniswhite"),
    "TIFF, 16 bits, palette": by_tifffile(_INDICES, "palette", colormap=_TABLE),
    "TIFF, 16 bits, CMYK": by_tifffile(_INK.astype(np.uint16) * 257, "separated"),
    "TIFF, 16 bits, CMYK, a profile of RGB": by_tifffile(_INK.astype(np.uint16) * 257, "separated", iccprofile=WIDE),
    "TIFF, 16 bits, CIELab": by_tifffile(DEEP, "cielab"),
    "TIFF, 32 bits": by_tifffile(DEEP.astype(np.uint32)),
    "TIFF, floating point": by_tifffile(DEEP.astype(np.float32)),
    "TIFF, several pages, the first": by_tifffile(np.stack([COLORS, COLORS // 2])),
    "TIFF, with a preview": _with_preview,
    "TIFF, 16 bits, three pages": by_tifffile(np.stack([DEEP, DEEP // 2, DEEP // 3])),
    "WebP, lossless": by_pillow(COLORS, kind="WEBP", lossless=True),
    "WebP, an animation": _animated("WEBP"),
    "WebP, lossless, alpha": by_pillow(_RGBA, kind="WEBP", lossless=True, exact=True),
    "BMP": by_pillow(COLORS, kind="BMP"),
    "GIF, its first picture": by_pillow(COLORS, "P", "GIF", save_all=True, append_images=[Image.new("P", (32, 24))]),
    "AVIF": by_pillow(COLORS, kind="AVIF", quality=95, subsampling="4:4:4"),
    "HEIC, without pillow-heif": bytes_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)),
    "JPEG 2000": by_pillow(COLORS, kind="JPEG2000"),
    "PPM, RGB, 16 bits": bytes_of(b"P6 32 24 65535\n" + DEEP.astype(">u2").tobytes()),
    "PGM, 16 bits": bytes_of(b"P5 32 24 65535\n" + DEEP_GREY.astype(">u2").tobytes()),
    "TGA": by_pillow(COLORS, kind="TGA"),
    "QOI": by_pillow(COLORS, kind="QOI"),
    "ICO, the largest picture": by_pillow(COLORS, "RGBA", "ICO", sizes=[(32, 24)]),
    "OpenEXR": bytes_of(b"\x76\x2f\x31\x01" + bytes(60)),
    "JPEG XL": bytes_of(b"\xff\x0a" + bytes(60)),
    "SVG": bytes_of(b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    "PDF": bytes_of(b"%PDF-1.7\n"),
    "PostScript, EPS": bytes_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "a video": bytes_of(b"\0\0\0\x18ftypisom" + bytes(60)),
    "text": bytes_of(b"these are words\n"),
    "an empty file": bytes_of(b""),
    "a JPEG that is cut off": bytes_of(b"\xff\xd8\xff\xe0\0\x10JFIF"),
    "a PNG of 60,000x60,000": bytes_of(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", _VAST) + _chunk(b"IDAT", b"")),
}
"""Files of the same colours, as far as they can hold them."""


def what_comes(path: Path) -> str:
    """A cell of the table."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            picture = read_picture(path)
    except PictureError as error:
        return "refused: " + str(error).partition("as a picture: ")[2]
    words = ["grey" if picture.grey else "RGB", "alpha" if picture.alpha is not None else ""]
    kept = ", with its profile" if picture.tags.profile else ""
    warning = f", and a warning that it {str(told[0].message).partition(' ')[2]}" if told else ""
    return f"{' and '.join(filter(None, words))}, {8 if picture.white == 255 else 16} bits{kept}{warning}"


def with_table(page: str) -> str:
    """A page with the table of all kinds after the mark."""
    rows = ["| a file | gives |", "|---|---|"]
    with TemporaryDirectory() as folder:
        for kind, write in KINDS.items():
            path = Path(folder, "picture")
            try:
                write(path)
            except (KeyError, OSError):  # this Pillow cannot write it
                continue
            rows.append(f"| {kind} | {what_comes(path)} |")
    return page.split(MARK)[0] + MARK + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
