"""From a picture's file to its pixels, and to what the file says beside them."""

from __future__ import annotations

import math
import os
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.formats import RAW, format_of, formats, why_unread
from singan_toolkit.imaging.png import essential
from singan_toolkit.imaging.profiles import fits, srgb_values, written
from singan_toolkit.imaging.tiff import deep_tiff

MAX_PIXELS = 178_956_970
"""Pixels that a picture may have: Pillow's own limit. Another is set by the environment: ``SINGAN_TK_MAX_PIXELS``."""
_KEPT_EXIF = {
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software),
    *(ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright),
    *(ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
}
_CONVERTED = ("CMYK", "LAB", "YCbCr", "HSV")
"""Modes whose colours become RGB."""
_SEVERAL = {"GIF", "PNG", "WEBP", "AVIF", "HEIF"}
"""Formats whose further pictures are meant to be seen, as layers and previews are not; TIFF is another."""
_SIZES = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)


@dataclass(frozen=True)
class Tags:
    """What a picture's file says beside its pixels, and what the file of a result made of it says too.

    Attributes:
        profile: ICC profile of the pixels' colours: of RGB, or of grey where they are grey. None for sRGB.
        dpi: Pixels per inch, horizontally and vertically.
        exif: EXIF block, without orientation, size and preview.
        origin: How the picture was made, as JSON in ASCII; written, and never read from what was given.
    """

    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    origin: str | None = None


UNTAGGED = Tags()


def decode(content: bytes, ending: str) -> tuple[np.ndarray, Tags, int]:
    """The first picture of a file, upright.

    Args:
        content: The whole file. Its format is told by its bytes.
        ending: The ending of the file's name, with the dot; for messages.

    Returns:
        (H, W, C), uint8 or uint16: C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not premultiplied). What the
        file says beside them. How many pictures, frames or pages it holds.

    Raises:
        PictureError: It is no picture of 8 or 16 bits that can be read without loss; the message is a clause on why.
    """
    if ending.lower() in RAW:  # many of which are TIFF, with a preview as their first picture
        raise PictureError(why_unread(b"raw", ending))
    if format_of(content) == "PNG":
        content = essential(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels, tags = _decoded(content)
            number = _number(content)
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        count = int((re.search(r"\d+", str(error)) or ["0"])[0])
        check_pixels(count)
        raise PictureError(f"it has {count:,} pixels, more than Pillow was set to let through") from error
    except UnidentifiedImageError as error:
        raise PictureError(why_unread(content, ending)) from error
    except MemoryError:
        raise
    except Exception as error:  # the decoders raise whatever they like at broken files
        name = format_of(content) or "picture"
        raise PictureError(f"it is a {name} file that is damaged, cut off or unusual ({_sentence(error)})") from error
    return *_with_usable_profile(pixels, tags), number


def exif_of(image: Image.Image) -> Image.Exif:
    """An image's EXIF; empty where it is damaged, as viewers show such pictures too.

    Raises:
        OSError: The image itself is damaged, which Pillow would not say a second time.
    """
    if image.format != "TIFF":  # which loading turns, and its EXIF then no longer says how
        image.load()
    with suppress(Exception):  # whatever a damaged block leads to
        return image.getexif()
    return Image.Exif()


def check_pixels(number: int) -> None:
    """Refuse a picture of too many pixels, before anything is allocated for them.

    Raises:
        PictureError: There are more than the limit, or the limit is no number.
    """
    limit = _limit()
    if number > limit:
        raise PictureError(
            f"it has {number:,} pixels, and {limit:,} at most are read: shrink it first, or set the environment "
            "variable SINGAN_TK_MAX_PIXELS to a larger number"
        )


def _limit() -> int:
    wanted = os.environ.get("SINGAN_TK_MAX_PIXELS", "")
    if not wanted:
        return MAX_PIXELS
    if not re.fullmatch(r"[1-9]\d{0,11}", wanted):
        raise PictureError(f"SINGAN_TK_MAX_PIXELS is {wanted[:40]!r}: give it a number of pixels")
    Image.MAX_IMAGE_PIXELS = int(wanted)  # else Pillow's limit would hold
    return int(wanted)


def _decoded(content: bytes) -> tuple[np.ndarray, Tags]:
    _limit()
    if format_of(content) == "TIFF" and (deep := deep_tiff(content, check_pixels)) is not None:
        exif = Image.Exif()
        exif.load_from_fp(BytesIO(content))
        ink = exif.get(ExifTags.Base.PhotometricInterpretation) == tifffile.PHOTOMETRIC.SEPARATED
        profile = None if ink else exif.get(ExifTags.Base.InterColorProfile)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        return _turned(deep, orientation), _tags(profile, _dpi_of_tiff(exif), exif, orientation)
    image = Image.open(BytesIO(content), formats=formats())
    check_pixels(image.width * image.height)
    _refuse_what_loses_depth(image, content)
    profile, dpi = image.info.get("icc_profile"), image.info.get("dpi")
    exif = exif_of(image)
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    image.load()  # turns TIFF
    if image.format == "PNG" and content[24] == 16:
        pixels: np.ndarray = imagecodecs.png_decode(content).reshape(image.height, image.width, -1)
    else:
        pixels = _values(image, profile)
    if image.format != "TIFF":
        pixels = _turned(pixels, orientation)
    if image.mode in _CONVERTED:  # their profile is not one of RGB, whatever it says
        profile = None
    return pixels, _tags(profile, dpi, exif, orientation)


def _number(content: bytes) -> int:
    """How many pictures, frames or pages a file holds; 1 where that cannot be told."""
    with suppress(Exception):  # the further ones may be damaged
        if format_of(content) == "TIFF":
            with tifffile.TiffFile(BytesIO(content)) as file:
                return sum(not page.is_reduced for page in file.pages)  # those are previews of others
        with Image.open(BytesIO(content), formats=formats()) as image:
            return int(getattr(image, "n_frames", 1)) if image.format in _SEVERAL else 1
    return 1


def _refuse_what_loses_depth(image: ImageFile.ImageFile, content: bytes) -> None:
    """Refuse what Pillow reads, but with fewer bits than the file has."""
    depth = 8
    if image.format == "PPM" and image.mode == "RGB" and image.tile:
        arguments = image.tile[0][3]
        depth = 16 if isinstance(arguments, tuple) and isinstance(arguments[-1], int) and arguments[-1] > 255 else 8
    elif image.format == "JPEG2000" and not image.mode.startswith("I") and (start := content.find(b"\xffO\xffQ")) >= 0:
        depth = 1 + (content[start + 42] & 0x7F)
    if depth > 8:
        raise PictureError(f"{image.format} of colours is read at 8 bits only, and this has more: convert it to PNG")


def _values(image: Image.Image, profile: bytes | None) -> np.ndarray:
    """(H, W, C), uint8 or uint16, of what Pillow read."""
    if image.mode == "CMYK" and profile and fits(profile, 4):
        return srgb_values(np.asarray(image), profile)
    if image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.upper())
    elif "transparency" in image.info or image.mode == "PA":
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    elif image.mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if image.mode.startswith("I"):  # 16-bit grey, of either byte order or as larger integers
        if not 0 <= pixels.min() <= pixels.max() <= 65535:
            raise PictureError("its values are neither of 8 nor of 16 bits: convert it first")
        pixels = pixels.astype(np.uint16)
    return pixels if pixels.ndim == 3 else pixels[..., None]


_TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def _turned(pixels: np.ndarray, orientation: object) -> np.ndarray:
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return np.ascontiguousarray(turn(pixels) if turn else pixels)


def _tags(profile: object, dpi: object, exif: Image.Exif, orientation: object) -> Tags:
    return Tags(
        profile if isinstance(profile, bytes) else None, _valid_dpi(dpi, orientation in (5, 6, 7, 8)), _kept(exif)
    )


def _dpi_of_tiff(exif: Image.Exif) -> tuple[float, float] | None:
    inches = {2: 1.0, 3: 2.54}.get(exif.get(ExifTags.Base.ResolutionUnit, 2))
    x, y = exif.get(ExifTags.Base.XResolution), exif.get(ExifTags.Base.YResolution)
    return (float(x) * inches, float(y) * inches) if inches and x and y else None


def _valid_dpi(dpi: object, turned: bool) -> tuple[float, float] | None:
    with suppress(TypeError, ValueError, ZeroDivisionError):
        x, y = (float(value) for value in dpi)  # type: ignore[attr-defined]
        if all(math.isfinite(value) and 1 <= value <= 65535 for value in (x, y)):
            return (y, x) if turned else (x, y)
    return None


def _kept(exif: Image.Exif) -> bytes | None:
    """What of an EXIF block holds for a result too; None where it cannot be read."""
    with suppress(Exception):  # whatever a damaged block leads to
        block = exif.get_ifd(ExifTags.IFD.Exif)
        for size in _SIZES:
            block.pop(size, None)
        for tag in set(exif) - _KEPT_EXIF:
            del exif[tag]
        if len(exif):
            return exif.tobytes()
    return None


def _with_usable_profile(pixels: np.ndarray, tags: Tags) -> tuple[np.ndarray, Tags]:
    """Pixels with a profile only where that is of their kind and leads back; if it does not, they become sRGB."""
    profile, colors = tags.profile, 1 if pixels.shape[2] <= 2 else 3
    if profile and not fits(profile, colors):
        profile = None
    if profile and not written(profile):
        srgb = srgb_values(pixels[..., :colors], profile)
        pixels, profile = np.dstack([srgb, pixels[..., colors:]]), None
    return pixels, Tags(profile, tags.dpi, tags.exif)


def _sentence(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
