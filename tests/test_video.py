"""Clips in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence

from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.video import CLIP_ENDINGS, Clip, write_clip

ANIMATIONS = (".gif", ".webp", ".apng")
VIDEOS = (".mp4", ".webm")


def waves(frames: int = 6, height: int = 31, width: int = 45) -> np.ndarray:
    """Soft colours that move, and differ in every frame."""
    time, rows, columns = np.mgrid[:frames, :height, :width]
    angles = [rows / 9 + time, columns / 7 - time / 2, (rows + columns) / 11 + time / 3]
    pixels: np.ndarray = np.rint(128 + 90 * np.sin(np.stack(angles, axis=-1))).astype(np.uint8)
    return pixels


def animation(path: Path) -> tuple[np.ndarray, list[float], int | None]:
    """Frames, how many milliseconds each of them lasts, and how often they repeat: 0 for ever, None for once."""
    with Image.open(path) as image:
        frames = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
        return np.array([pixels for pixels, _ in frames]), [time for _, time in frames], image.info.get("loop")


def video(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Frames, from the stored planes by the formulas of BT.709, and what the container says."""
    stream = imageio_ffmpeg.read_frames(str(path), pix_fmt="yuv420p", bits_per_pixel=12)
    about = next(stream)
    width, height = about["size"]
    frames = []
    for planes in stream:
        values = np.frombuffer(planes, np.uint8).astype(np.float32)
        luma = (values[: width * height].reshape(height, width) - 16) / 219
        small = (values[width * height :].reshape(2, height // 2, width // 2) - 128) / 224
        blue, red = (np.asarray(Image.fromarray(plane).resize((width, height))) for plane in small)
        frames.append(np.stack([luma + 1.5748 * red, luma - 0.18733 * blue - 0.46813 * red, luma + 1.8556 * blue], -1))
    return np.clip(np.array(frames) * 255, 0, 255), about


def difference(decoded: np.ndarray, frames: np.ndarray) -> float:
    assert decoded.shape == frames.shape
    return float(np.sqrt(np.mean((decoded.astype(float) - frames) ** 2)))


class TestAnimations:
    @pytest.mark.parametrize(("ending", "most"), [(".gif", 10), (".webp", 2.5), (".apng", 0), (".GIF", 10)])
    def test_pixels(self, tmp_path: Path, ending: str, most: float) -> None:
        write_clip(Clip(waves(), 10), tmp_path / f"x{ending}")
        frames, times, _ = animation(tmp_path / f"x{ending}")
        assert difference(frames, waves()) <= most
        assert times == [100] * 6

    @pytest.mark.parametrize(("fps", "shortest", "longest"), [(7, 140, 150), (24, 40, 50), (30, 30, 40), (60, 20, 20)])
    def test_gif_keeps_time(self, tmp_path: Path, fps: float, shortest: float, longest: float) -> None:
        write_clip(Clip(waves(20, 8, 8), fps), tmp_path / "x.gif")
        frames, times, _ = animation(tmp_path / "x.gif")
        assert len(frames) == 20
        assert (min(times), max(times)) == (shortest, longest)
        assert sum(times) == pytest.approx(20 * max(1000 / fps, 20), abs=10)

    @pytest.mark.parametrize("ending", [".webp", ".apng"])
    @pytest.mark.parametrize(("fps", "milliseconds"), [(7, 1000 / 7), (23.976, 41.7), (100, 20)])
    def test_time(self, tmp_path: Path, ending: str, fps: float, milliseconds: float) -> None:
        write_clip(Clip(waves(20, 8, 8), fps), tmp_path / f"x{ending}")
        frames, times, _ = animation(tmp_path / f"x{ending}")
        assert len(frames) == 20
        assert times == pytest.approx([milliseconds] * 20, abs=1)
        assert sum(times) == pytest.approx(20 * milliseconds, abs=2)

    @pytest.mark.parametrize(("ending", "once"), [(".gif", None), (".webp", 1), (".apng", 1)])
    def test_repeats_only_where_asked(self, tmp_path: Path, ending: str, once: int | None) -> None:
        for loops, expected in ((True, 0), (False, once)):
            write_clip(Clip(waves(), 10, loops), tmp_path / f"x{ending}")
            assert animation(tmp_path / f"x{ending}")[2] == expected

    def test_what_stands_still_does_not_flicker_in_a_gif(self, tmp_path: Path) -> None:
        frames = waves(8, 40, 60)
        frames[:, 10:, :30] = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
        write_clip(Clip(frames, 10), tmp_path / "x.gif")
        still = animation(tmp_path / "x.gif")[0][:, 10:, :30]
        assert (still == still[0]).all()


class TestVideos:
    @pytest.mark.parametrize(("ending", "codec"), [(".mp4", "h264"), (".webm", "vp9"), (".MP4", "h264")])
    @pytest.mark.parametrize(("height", "width"), [(32, 44), (31, 45), (1, 1)])
    def test_pixels(self, tmp_path: Path, ending: str, codec: str, height: int, width: int) -> None:
        frames = waves(6, height, width)
        write_clip(Clip(frames, 12.5), tmp_path / f"x{ending}")
        decoded, about = video(tmp_path / f"x{ending}")
        even = frames[:, [*range(height), height - 1][: height + height % 2]]
        even = even[:, :, [*range(width), width - 1][: width + width % 2]]
        assert difference(decoded, even) < 4
        assert (about["codec"], about["fps"]) == (codec, 12.5)
        assert about["pix_fmt"].startswith("yuv420p(tv, bt709")

    @pytest.mark.parametrize("ending", VIDEOS)
    @pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (200, 30, 60), (20, 180, 90), (30, 40, 220)])
    def test_colours(self, tmp_path: Path, ending: str, color: tuple[int, int, int]) -> None:
        frames = np.full((2, 16, 16, 3), color, np.uint8)
        write_clip(Clip(frames, 10), tmp_path / f"x{ending}")
        assert np.abs(video(tmp_path / f"x{ending}")[0] - frames).max() < 3

    def test_mp4_plays_while_it_is_loaded(self, tmp_path: Path) -> None:
        write_clip(Clip(waves(), 10), tmp_path / "x.mp4")
        content = (tmp_path / "x.mp4").read_bytes()
        assert 0 < content.find(b"moov") < content.find(b"mdat")


class TestWriting:
    @pytest.mark.parametrize("ending", CLIP_ENDINGS)
    def test_replaces_and_makes_folders(self, tmp_path: Path, ending: str) -> None:
        target = tmp_path / "a" / f"x %d{ending}"
        for seconds in (3, 1):
            write_clip(Clip(waves(2 * seconds), 2), str(target))
            decoded = animation(target)[0] if ending in ANIMATIONS else video(target)[0]
            assert len(decoded) == 2 * seconds
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("ending", CLIP_ENDINGS)
    def test_one_frame(self, tmp_path: Path, ending: str) -> None:
        write_clip(Clip(waves(1), 10), tmp_path / f"x{ending}")
        if ending in VIDEOS:
            assert len(video(tmp_path / f"x{ending}")[0]) == 1
        else:
            with Image.open(tmp_path / f"x{ending}") as image:
                assert difference(np.asarray(image.convert("RGB"))[None], waves(1)) < 6

    @pytest.mark.parametrize("name", ["x.avi", "x.png", "x", "x.mp4.bak"])
    def test_unknown_ending(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(PictureError, match=rf"{name}: .*\.gif, \.mp4"):
            write_clip(Clip(waves(), 10), tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("ending", CLIP_ENDINGS)
    @pytest.mark.parametrize(("frames", "height", "reason"), [(0, 8, "clip has no frames"), (2, 0, "ffmpeg failed: ")])
    def test_failure_leaves_the_old_file(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], ending: str, frames: int, height: int, reason: str
    ) -> None:
        target = tmp_path / f"x{ending}"
        target.write_bytes(b"old")
        with pytest.raises(PictureError, match=rf"x\{ending}.*{reason}") as caught:
            write_clip(Clip(waves(frames, height, 8), 10), target)
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == [target]
        assert target.read_bytes() == b"old"
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("ending", CLIP_ENDINGS)
    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
        target = tmp_path / f"x{ending}"
        target.write_bytes(b"old")

        def disk_full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", disk_full)
        with pytest.raises(PictureError, match=rf"x\{ending}.*[Nn]o space left"):
            write_clip(Clip(waves(), 10), target)
        assert list(tmp_path.iterdir()) == [target]
        assert target.read_bytes() == b"old"

    def test_no_ffmpeg(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "missing"))
        with pytest.raises(PictureError, match=r"x\.mp4: ffmpeg cannot be started.*missing"):
            write_clip(Clip(waves(), 10), tmp_path / "x.mp4")
        assert list(tmp_path.iterdir()) == []

    def test_parent_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(PictureError, match=r"x\.gif"):
            write_clip(Clip(waves(), 10), tmp_path / "file" / "x.gif")
        assert (tmp_path / "file").read_bytes() == b"old"
