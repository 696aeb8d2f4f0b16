"""Pictures in files and in memory."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from singan_toolkit.errors import PictureError, PictureNotWrittenError
from singan_toolkit.files import write_whole
from singan_toolkit.imaging.decoding import UNTAGGED, Tags, decode, exif_of
from singan_toolkit.imaging.encoding import encode
from singan_toolkit.imaging.formats import readable_endings
from singan_toolkit.imaging.profiles import from_srgb, srgb_values, to_srgb
from singan_toolkit.pyramid.geometry import Size

__all__ = [
    "WRITABLE",
    "Picture",
    "PictureError",
    "check_holds",
    "encode_picture",
    "picture_of",
    "read_picture",
    "readable_endings",
    "write_picture",
]

WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_NO_ALPHA = (".jpg", ".jpeg", ".bmp")
_SIXTEEN_BIT = (".png", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the user has it: grey or colour, with or without alpha, 8 or 16 bits, in the colours of its profile.

    Attributes:
        pixels: (H, W, C), uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not premultiplied).
        name: For messages.
        tags: Its ICC profile, resolution and EXIF.
    """

    pixels: np.ndarray
    name: str = "picture"
    tags: Tags = UNTAGGED

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return Size(*self.pixels.shape[:2])

    @property
    def white(self) -> int:
        """The value of full intensity: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    @property
    def grey(self) -> bool:
        """Whether the picture has one intensity instead of three colours."""
        return int(self.pixels.shape[2]) <= 2

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3), float32 in 0..1, sRGB, alpha left out; what sRGB cannot show is clipped."""
        return to_srgb(self.pixels[..., : 1 if self.grey else 3], self.tags.profile)

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W), float32 in 0..1, or None where the picture has none."""
        if self.pixels.shape[2] in (1, 3):
            return None
        return self.pixels[..., -1].astype(np.float32) / self.white

    def blank(self, size: tuple[int, int]) -> Picture:
        """A black picture of (height, width) ``size`` in this one's depth, greyness and profile, without alpha."""
        return replace(self, pixels=np.zeros((*size, 1 if self.grey else 3), self.pixels.dtype))

    def with_rgb(self, rgb: np.ndarray, weight: np.ndarray | None = None) -> Picture:
        """This picture with other colours, in its own depth, greyness, profile and alpha.

        Args:
            rgb: (H, W, 3), float in 0..1, sRGB; clipped.
            weight: (H, W), bool or in 0..1: how much of them each pixel takes. Where it is 0 a pixel stays bit for bit.
                All of them by default.
        """
        where = np.ones(self.size, bool) if weight is None else weight > 0
        channels = 1 if self.grey else 3
        new = from_srgb(rgb[where][:, None], self.tags.profile, self.grey)[:, 0] * self.white
        pixels = self.pixels.copy()
        if weight is not None and weight.dtype != bool:
            own = pixels[where, :channels].astype(np.float32)
            new = own + (new - own) * weight[where][:, None]
        pixels[where, :channels] = np.rint(new)
        return replace(self, pixels=pixels)

    def in_srgb(self) -> Picture:
        """This picture in sRGB, in its own depth, greyness and alpha."""
        if not self.tags.profile:
            return self
        channels = 1 if self.grey else 3
        pixels = self.pixels.copy()
        pixels[..., :channels] = srgb_values(pixels[..., :channels], self.tags.profile)[..., :channels]
        return replace(self, pixels=pixels, tags=replace(self.tags, profile=None))


def read_picture(source: object) -> Picture:
    """Read the first picture of a file (of an animation, the first frame), turned upright by its EXIF orientation.

    Which files those are, and what comes of them, is told by docs/pictures.md. A warning says that a file holds more.

    Args:
        source: A path; or a picture in memory, as ``picture_of`` takes it.

    Raises:
        PictureError: There is no such file, or it is not a picture of 8 or 16 bits that can be read without loss.
    """
    if not isinstance(source, (str, os.PathLike)):
        return picture_of(source)
    path = Path(source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read picture {path}: {error.strerror or error}") from error
    try:
        pixels, tags, number = decode(content, path.suffix)
    except PictureError as error:
        raise PictureError(f"cannot read {path} as a picture: {error}") from error
    if number > 1:
        warnings.warn(f"{path} holds {number} pictures, and the first is taken", stacklevel=2)
    return Picture(np.ascontiguousarray(pixels), path.name, tags)


def picture_of(value: object, name: str = "picture") -> Picture:
    """A picture in memory as a ``Picture``.

    Args:
        value: A Picture; a PIL image, whose profile, resolution and orientation count as in a file; or an array of
            (H, W) or (H, W, C), C as in ``Picture``: uint8, uint16, bool, or float in 0..1, which is kept in 8
            bits.
        name: For messages.

    Raises:
        PictureError: It is none of these.
    """
    if isinstance(value, Picture):
        return value
    if isinstance(value, Image.Image):
        return _of_image(value, name)
    if not isinstance(value, np.ndarray):
        raise PictureError(f"{name} is a {type(value).__name__}: give a path, an array, a PIL image or a Picture")
    pixels = value[..., None] if value.ndim == 2 else value
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or not pixels.size:
        raise PictureError(f"{name} is an array of shape {value.shape}: give (H, W), or (H, W, C) with C from 1 to 4")
    if pixels.dtype.kind in "bf":
        pixels = pixels.astype(np.float32)
        if not ((pixels > -1e-4) & (pixels < 1 + 1e-4)).all():
            raise PictureError(f"{name} is an array of {value.dtype} with values outside 0..1: scale it, or give uint8")
        pixels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"{name} is an array of {value.dtype}: give uint8, uint16, or float in 0..1")
    return Picture(np.ascontiguousarray(pixels), name)


def _of_image(image: Image.Image, name: str) -> Picture:
    name = Path(getattr(image, "filename", "") or name).name
    ending = ".tif" if image.mode == "CMYK" else ".png"
    buffer = BytesIO()
    told = {key: image.info[key] for key in ("dpi", "icc_profile") if image.info.get(key)}
    try:
        image.save(buffer, "TIFF" if ending == ".tif" else "PNG", exif=exif_of(image), compress_level=1, **told)
        pixels, tags, _ = decode(buffer.getvalue(), ending)
    except (OSError, ValueError) as error:
        raise PictureError(f"{name} is a PIL image of mode {image.mode}: {error}") from error
    return Picture(np.ascontiguousarray(pixels), name, tags)


def encode_picture(picture: Picture, extension: str) -> bytes:
    """A picture in a file format, with its profile, resolution and EXIF as far as the format has a place for them.

    Where it has none for the profile, the colours are brought to sRGB.

    Args:
        picture: What to encode.
        extension: With the dot; one of ``WRITABLE``.

    Raises:
        PictureError: The format is not known, or cannot hold the picture without loss of alpha or depth, or its size.
    """
    extension = extension.lower()
    if extension not in WRITABLE:
        raise PictureError(f"cannot write {extension or 'a file without an ending'}: use one of {', '.join(WRITABLE)}")
    check_holds(picture, extension)
    if extension == ".bmp" or (extension == ".webp" and picture.grey):
        picture = picture.in_srgb()
    try:
        return encode(picture.pixels, extension, picture.tags)
    except (ValueError, OSError) as error:
        raise PictureError(f"{extension} cannot hold {picture.name}: {error}; write .png instead") from error


def check_holds(picture: Picture, extension: str) -> None:
    """Find out whether a file format has room for a picture's alpha and depth.

    Args:
        picture: What is to be written or, before there is that, a picture of the same depth and with alpha if that has.
        extension: With the dot; one of ``WRITABLE``.

    Raises:
        PictureError: It has not.
    """
    extension = extension.lower()
    if picture.alpha is not None and extension in _NO_ALPHA:
        raise PictureError(f"{extension} cannot hold the transparency of {picture.name}: write .png instead")
    if picture.white > 255 and extension not in _SIXTEEN_BIT:
        raise PictureError(f"{extension} cannot hold the 16 bits of {picture.name}: write .png or .tif instead")


def write_picture(picture: Picture, path: Path | str) -> None:
    """Write a picture in the format of the file's ending, whole or not at all.

    Raises:
        PictureError: The format cannot hold the picture, or the file cannot be written.
    """
    path = Path(path)
    try:
        write_whole(path, encode_picture(picture, path.suffix))
    except OSError as error:
        raise PictureNotWrittenError(str(error)) from error
