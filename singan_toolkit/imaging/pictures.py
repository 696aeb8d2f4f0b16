"""Pictures in files and in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from singan_toolkit.files import write_whole
from singan_toolkit.imaging.decoding import UNTAGGED, Tags, decode
from singan_toolkit.imaging.encoding import encode
from singan_toolkit.imaging.formats import PICTURE_ENDINGS, PictureError, readable_endings
from singan_toolkit.imaging.profiles import from_srgb, srgb_values, to_srgb

__all__ = [
    "PICTURE_ENDINGS",
    "WRITABLE",
    "Picture",
    "PictureError",
    "check_holds",
    "encode_picture",
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
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

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


def read_picture(path: Path | str) -> Picture:
    """Read the first picture of a file (of an animation, the first frame), turned upright by its EXIF orientation.

    Which files those are, and what comes of them, is told by docs/pictures.md.

    Raises:
        PictureError: There is no such file, or it is not a picture of 8 or 16 bits that can be read without loss.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read picture {path}: {error.strerror or error}") from error
    try:
        pixels, tags = decode(content, path.suffix)
    except PictureError as error:
        raise PictureError(f"cannot read {path} as a picture: {error}") from error
    return Picture(np.ascontiguousarray(pixels), path.name, tags)


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
        raise PictureError(str(error)) from error
