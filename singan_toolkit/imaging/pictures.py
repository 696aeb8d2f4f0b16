"""Pictures in files and in memory."""

from __future__ import annotations

import subprocess
import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from singan_toolkit.files import write_whole
from singan_toolkit.imaging.formats import PICTURE_ENDINGS, readable_endings

__all__ = [
    "PICTURE_ENDINGS",
    "WRITABLE",
    "Picture",
    "PictureError",
    "encode_picture",
    "ffmpeg",
    "read_picture",
    "readable_endings",
    "write_picture",
]

WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_TIFF = (".tif", ".tiff")
_NO_ALPHA = (".jpg", ".jpeg", ".bmp")
_SIXTEEN_BIT = (".png", *_TIFF)


class PictureError(ValueError):
    """A file is not a picture that can be used, or cannot be written; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the user has it: grey or colour, with or without alpha, 8 or 16 bits.

    Attributes:
        pixels: (H, W, C), uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not premultiplied).
        name: For messages.
    """

    pixels: np.ndarray
    name: str = "picture"

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
        """(H, W, 3), float32 in 0..1, alpha left out."""
        color = self.pixels[..., :1].repeat(3, axis=2) if self.grey else self.pixels[..., :3]
        return color.astype(np.float32) / self.white

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W), float32 in 0..1, or None where the picture has none."""
        if self.pixels.shape[2] in (1, 3):
            return None
        return self.pixels[..., -1].astype(np.float32) / self.white

    def blank(self, size: tuple[int, int]) -> Picture:
        """A black picture of (height, width) ``size`` in this one's depth and greyness, without alpha."""
        return replace(self, pixels=np.zeros((*size, 1 if self.grey else 3), self.pixels.dtype))

    def with_rgb(self, rgb: np.ndarray, where: np.ndarray | None = None) -> Picture:
        """This picture with other colours, in its own depth, greyness and alpha.

        Args:
            rgb: (H, W, 3), float in 0..1; clipped.
            where: (H, W) bool: the pixels to change; all others stay bit for bit. All by default.
        """
        color = rgb @ np.array([0.2125, 0.7154, 0.0721], rgb.dtype) if self.grey else rgb
        values = np.rint(np.clip(color, 0, 1) * self.white).astype(self.pixels.dtype).reshape(*self.size, -1)
        pixels = self.pixels.copy()
        channels = values.shape[2]
        if where is None:
            pixels[..., :channels] = values
        else:
            pixels[where, :channels] = values[where]
        return replace(self, pixels=pixels)


def read_picture(path: Path | str) -> Picture:
    """Read the first picture of a file, turned upright by its EXIF orientation.

    Raises:
        PictureError: There is no such file, or it is not a picture of 8 or 16 bits that can be read without loss.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read picture {path}: {error.strerror or error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            pixels = _decoded(content)
    except Image.DecompressionBombError as error:
        raise PictureError(f"cannot read {path} as a picture: it claims to have too many pixels") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"cannot read {path} as a picture: it is in no format that is known here") from error
    except Exception as error:  # the decoders raise whatever they like at broken files
        raise PictureError(f"cannot read {path} as a picture: {_sentence(error)}") from error
    return Picture(_normal_form(pixels, path), path.name)


def _decoded(content: bytes) -> np.ndarray:
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        with tifffile.TiffFile(BytesIO(content)) as file:
            page = file.pages.first
            if page.bitspersample == 16 and page.samplesperpixel > 1:
                return _deep_tiff(page)
    image: Image.Image = Image.open(BytesIO(content))
    if image.format == "PNG" and content[24] == 16 and (content[25] or "transparency" in image.info):
        return _deep_png(image, content)
    image = ImageOps.exif_transpose(image)
    if "transparency" in image.info or image.mode == "PA":
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    elif image.mode not in ("1", "L", "LA", "RGB", "RGBA", "F") and not image.mode.startswith("I"):
        image = image.convert("RGB")
    return np.asarray(image)


def _deep_tiff(page: Any) -> np.ndarray:
    """A TIFF page with 16 bits a sample, of which Pillow would hand over 8 and not say so."""
    plain = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB) and page.planarconfig == 1
    orientation = page.tags.get("Orientation")
    if not plain or (orientation and orientation.value != 1):
        raise ValueError("16-bit TIFF is read as upright grey or RGB only; convert it first")
    pixels: np.ndarray = page.asarray()
    return pixels


def _deep_png(image: Image.Image, content: bytes) -> np.ndarray:
    """A PNG with 16 bits a sample and more than one, of which Pillow would hand over 8 and not say so."""
    image.load()  # finds damage that ffmpeg passes over
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        raise ValueError("16-bit colour PNG is read upright only; turn it first")
    raw = ffmpeg("-f", "png_pipe", "-noautorotate", "-i", "pipe:0", "-frames:v", "1", "-f", "rawvideo", content=content)
    return np.frombuffer(raw, ">u2").reshape(image.height, image.width, -1).astype(np.uint16)


def encode_picture(picture: Picture, extension: str) -> bytes:
    """A picture in a file format.

    Args:
        picture: What to encode.
        extension: With the dot; one of ``WRITABLE``.

    Raises:
        PictureError: The format is not known, or cannot hold the picture without loss of alpha or depth.
        OSError: ffmpeg, which encodes 16-bit PNG, does not work.
    """
    extension = extension.lower()
    if extension not in WRITABLE:
        raise PictureError(f"cannot write {extension or 'a file without an ending'}: use one of {', '.join(WRITABLE)}")
    if picture.alpha is not None and extension in _NO_ALPHA:
        raise PictureError(f"{extension} cannot hold the transparency of {picture.name}: write .png instead")
    if picture.white > 255 and extension not in _SIXTEEN_BIT:
        raise PictureError(f"{extension} cannot hold the 16 bits of {picture.name}: write .png or .tif instead")
    if picture.white > 255 and extension == ".png" and picture.pixels.shape[2] > 1:
        return _encoded_deep_png(picture.pixels)
    pixels = picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels
    options: dict[str, Any] = {"plugin": "pillow", "extension": extension}
    if extension in _TIFF:
        options |= dict(
            plugin="tifffile",
            photometric="minisblack" if picture.grey else "rgb",
            planarconfig="contig",
            extrasamples=None if picture.alpha is None else ["unassalpha"],
        )
    elif extension == ".webp":
        options |= dict(lossless=True, exact=True)
    elif extension == ".png":
        options["compress_level"] = 4  # of photos as small as the default, 6, in half the time
    elif extension in _NO_ALPHA:
        options["quality"] = 95
    encoded: bytes = iio.imwrite("<bytes>", pixels, **options)
    return encoded


def _encoded_deep_png(pixels: np.ndarray) -> bytes:
    height, width, channels = pixels.shape
    layout = {2: "ya16be", 3: "rgb48be", 4: "rgba64be"}[channels]
    raw = ["-f", "rawvideo", "-pixel_format", layout, "-video_size", f"{width}x{height}", "-i", "pipe:0"]
    png = ["-vf", "setsar=1", "-c:v", "png", "-pred", "mixed", "-f", "image2pipe"]
    return ffmpeg(*raw, *png, content=pixels.astype(">u2").tobytes())


def write_picture(picture: Picture, path: Path | str) -> None:
    """Write a picture in the format of the file's ending, whole or not at all.

    Raises:
        PictureError: The format cannot hold the picture, or the file cannot be written.
    """
    path = Path(path)
    try:
        write_whole(path, encode_picture(picture, path.suffix))
    except OSError as error:
        raise PictureError(f"cannot write {path}: {error.strerror or error}") from error


def _normal_form(pixels: np.ndarray, path: Path) -> np.ndarray:
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 2 and pixels.min() >= 0 and pixels.max() <= 65535:
        pixels = pixels.astype(np.uint16)  # 16-bit grey, as some decoders hand it over
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise PictureError(
            f"cannot use picture {path}: its pixels are {pixels.dtype} of shape {pixels.shape}, "
            "not grey or RGB of 8 or 16 bits; convert it first"
        )
    return np.ascontiguousarray(pixels)


def ffmpeg(*arguments: str, content: bytes, to: Path | str = "pipe:1") -> bytes:
    """Run the ffmpeg that imageio brings along, without a word on the terminal.

    Args:
        arguments: All but the output.
        content: What it reads from its standard input.
        to: The output; a file that is not there yet, or by default the standard output, which is returned.

    Raises:
        OSError: It cannot be started or fails; the message is its first complaint.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", *arguments, str(to)]
        done = subprocess.run(command, input=content, capture_output=True)
    except (OSError, RuntimeError) as error:
        raise OSError(f"ffmpeg cannot be started: {_sentence(error)}") from error
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip().split("\n")[0].rpartition("] ")[2]
        raise OSError(f"ffmpeg failed: {complaint[:200] or done.returncode}")
    return done.stdout


def _sentence(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
