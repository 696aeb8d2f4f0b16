"""Moving pictures in files."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np

from singan_toolkit.errors import PictureError, PictureNotWrittenError
from singan_toolkit.files import whole

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

    Beyond the frames themselves this takes the memory of a few of them; for ``.gif`` it goes over them twice.

    Raises:
        PictureError: The ending is not in ``CLIP_ENDINGS``, there are no frames, or the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in CLIP_ENDINGS:
        raise PictureError(f"cannot write a clip to {path}: use a file ending in one of {', '.join(CLIP_ENDINGS)}")
    if not len(clip.frames):
        raise PictureError(f"cannot write {path}: {clip.name} has no frames")
    height, width = clip.frames[0].shape[:2]
    fps = clip.fps if ending in _VIDEOS else min(clip.fps, _FASTEST_ANIMATION)
    even = (height % 2, width % 2) if ending in _VIDEOS else (0, 0)
    size = f"{width + even[1]}x{height + even[0]}"
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size, "-framerate", str(fps), "-i", "pipe:0"]
    frames = _Padded(clip.frames, even)
    try:
        with whole(path) as target, TemporaryDirectory() as folder:
            if ending == ".gif":
                palette = Path(folder, "palette.png")
                _ffmpeg(*raw, "-vf", "palettegen", str(palette), frames=frames)
                raw += ["-i", str(palette)]
            _ffmpeg(*raw, *_encoder(ending, clip.loops), "-y", str(target), frames=frames)
    except OSError as error:
        raise PictureNotWrittenError(str(error)) from error


@dataclass(frozen=True, eq=False)
class _Padded:
    """Frames whose last row, column or both are repeated."""

    frames: Iterable[np.ndarray]
    more: tuple[int, int]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (np.pad(frame, ((0, self.more[0]), (0, self.more[1]), (0, 0)), mode="edge") for frame in self.frames)


def _encoder(ending: str, loops: bool) -> list[str]:
    convert = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp"
    tag = "setparams=color_primaries=bt709:color_trc=bt709"
    tag_in_old_versions = "-colorspace bt709 -color_primaries bt709 -color_trc bt709"
    video = f"-vf {convert},{tag} {tag_in_old_versions} -pix_fmt yuv420p -crf 15"
    return {
        ".gif": f"-lavfi paletteuse=dither=bayer:bayer_scale=4 -loop {0 if loops else -1} -f gif",
        ".webp": f"-c:v libwebp_anim -quality 95 -loop {0 if loops else 1} -f webp",
        ".apng": f"-pred mixed -plays {0 if loops else 1} -f apng",
        ".mp4": f"{video} -c:v libx264 -movflags +faststart -f mp4",
        ".webm": f"{video} -c:v libvpx-vp9 -b:v 0 -cpu-used 3 -row-mt 1 -f webm",
    }[ending].split()


def _ffmpeg(*arguments: str, frames: Iterable[np.ndarray]) -> None:
    """Run the ffmpeg that imageio brings along, without a word on the terminal.

    Args:
        arguments: The arguments of its command line.
        frames: What it reads from its standard input, one at a time.

    Raises:
        OSError: It cannot be started or fails; the message is its first complaint.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    with TemporaryFile() as complaints:
        try:
            command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", *arguments]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints)
        except (OSError, RuntimeError) as error:
            raise OSError(f"ffmpeg cannot be started: {(str(error).splitlines() or ['no reason'])[0][:200]}") from error
        assert process.stdin
        try:
            with process, process.stdin:
                for frame in frames:
                    process.stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            pass  # it has ended, and says why
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            complaints.seek(0)
            complaint = complaints.read(4000).decode(errors="replace").strip().split("\n")[0].rpartition("] ")[2]
            if complaint.endswith(full := os.strerror(errno.ENOSPC)):
                raise OSError(errno.ENOSPC, full)
            raise OSError(f"ffmpeg failed: {complaint[:200] or process.returncode}")
