"""Moving pictures in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from singan_toolkit.files import write_whole
from singan_toolkit.imaging.pictures import PictureError, ffmpeg

CLIP_ENDINGS = (".gif", ".mp4", ".webm", ".webp", ".apng")
_VIDEOS = (".mp4", ".webm")
_FASTEST_ANIMATION = 50  # frames per second; browsers slow down what is faster


@dataclass(frozen=True, eq=False)
class Clip:
    """A moving picture.

    Attributes:
        frames: (T, H, W, 3), uint8, RGB.
        fps: Frames per second, above 0.
        loops: Whether players should repeat it; MP4 and WebM have no word for that.
        name: For messages.
    """

    frames: np.ndarray
    fps: float
    loops: bool = True
    name: str = "clip"


def write_clip(clip: Clip, path: Path | str) -> None:
    """Write a clip in the format of the file's ending, whole or not at all. Missing folders are made.

    ``.apng`` is lossless; ``.webp``, ``.mp4`` (H.264) and ``.webm`` (VP9) nearly look it; ``.gif`` has 255 colours, the
    same ones in all frames, so that what stands still does not flicker. Video has even sizes: there an odd height or
    width is made even by repeating the last row or column. ``.gif``, ``.webp`` and ``.apng`` run at 50 frames per
    second at most, and the times of GIF frames are rounded to 10 ms such that their sum is right. In ``.webp``, equal
    frames in a row become one that lasts as long.

    Raises:
        PictureError: The ending is not in ``CLIP_ENDINGS``, there are no frames, or the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in CLIP_ENDINGS:
        raise PictureError(f"cannot write a clip to {path}: use a file ending in one of {', '.join(CLIP_ENDINGS)}")
    frames, fps = clip.frames, clip.fps
    if not len(frames):
        raise PictureError(f"cannot write {path}: {clip.name} has no frames")
    if ending in _VIDEOS:
        frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    else:
        fps = min(fps, _FASTEST_ANIMATION)
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size, "-framerate", str(fps), "-i", "pipe:0"]
    try:
        with TemporaryDirectory() as folder:
            encoded = Path(folder, f"clip{ending}")
            ffmpeg(*raw, *_encoder(ending, clip.loops), content=frames.tobytes(), to=encoded)
            write_whole(path, encoded.read_bytes())
    except OSError as error:
        raise PictureError(f"cannot write {path}: {error.strerror or error}") from error


def _encoder(ending: str, loops: bool) -> list[str]:
    one_palette = "split[a][b];[a]palettegen[palette];[b][palette]paletteuse=dither=bayer:bayer_scale=4"
    convert = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp"
    tag = "setparams=color_primaries=bt709:color_trc=bt709"
    tag_in_old_versions = "-colorspace bt709 -color_primaries bt709 -color_trc bt709"
    video = f"-vf {convert},{tag} {tag_in_old_versions} -pix_fmt yuv420p -crf 15"
    return {
        ".gif": f"-vf {one_palette} -loop {0 if loops else -1}",
        ".webp": f"-c:v libwebp_anim -quality 95 -loop {0 if loops else 1}",
        ".apng": f"-pred mixed -plays {0 if loops else 1}",
        ".mp4": f"{video} -c:v libx264 -movflags +faststart",
        ".webm": f"{video} -c:v libvpx-vp9 -b:v 0 -cpu-used 3 -row-mt 1",
    }[ending].split()
