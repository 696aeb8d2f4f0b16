"""Animation: the random walk, the clip that closes, and clips in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from torch import Tensor

from singan_toolkit import Bundle, Output, Plan, TaskError, run
from singan_toolkit.cli import cli
from singan_toolkit.imaging.tensors import to_bytes
from singan_toolkit.imaging.video import CLIP_ENDINGS, Clip
from singan_toolkit.pyramid.geometry import Step
from singan_toolkit.pyramid.noise import Gaussian, RandomWalk, Reconstruction
from singan_toolkit.pyramid.walk import reconstruct, walk
from singan_toolkit.tasks import runner
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

COARSEST, FINER = Step(0, 5, 6), Step(2, 7, 8)


def z_star_of(step: Step) -> Tensor:
    return torch.randn((1, 1, step.height, step.width), generator=torch.Generator().manual_seed(8))


def center_of(step: Step) -> np.ndarray:
    """(3, h, w): the noise that the walk is drawn back to, z* at the coarsest scale and none above."""
    if step.scale:
        return np.zeros((3, step.height, step.width))
    return np.repeat(z_star_of(step)[0].double().numpy(), 3, axis=0)


def pushes(seed: int, place: int, step: Step, frames: int) -> np.ndarray:
    """u: (frames, 3, h, w), the white noise that drives the walk."""
    return Gaussian(seed)(place, step, range(frames)).double().numpy()


def frames_of(walker: RandomWalk, place: int, step: Step) -> np.ndarray:
    return walker(place, step, range(walker.frames)).double().numpy()


steps = st.sampled_from([(0, COARSEST), (2, FINER)])


class TestRandomWalk:
    @quick
    @given(
        placed=steps, frames=st.integers(2, 15), alpha=st.floats(0, 1), beta=st.floats(0, 0.99), seed=st.integers(0, 99)
    )
    def test_once_is_the_recurrence_from_z_star(
        self, placed: tuple[int, Step], frames: int, alpha: float, beta: float, seed: int
    ) -> None:
        place, step = placed
        z_star, u = center_of(step), pushes(seed, place, step, frames)
        expected = [z_star]
        before = z_star
        for t in range(frames - 1):
            z = expected[-1]
            following = alpha * z_star + (1 - alpha) * (z + beta * (z - before) + (1 - beta) * u[t])
            before = z
            expected.append(following)
        walked = frames_of(RandomWalk(z_star_of(COARSEST), frames, False, alpha, beta, seed), place, step)
        np.testing.assert_allclose(walked, expected, atol=1e-4 * max(1, np.abs(expected).max()))

    @quick
    @given(
        placed=steps,
        frames=st.integers(2, 15),
        alpha=st.floats(0.02, 1),
        beta=st.floats(0, 0.99),
        seed=st.integers(0, 99),
    )
    def test_a_loop_is_the_recurrence_round_and_round(
        self, placed: tuple[int, Step], frames: int, alpha: float, beta: float, seed: int
    ) -> None:
        """The frame after the last is the first, with the same white noise as drives the walk that does not loop."""
        place, step = placed
        z_star, u = center_of(step), pushes(seed, place, step, frames)
        z = frames_of(RandomWalk(z_star_of(COARSEST), frames, True, alpha, beta, seed), place, step)
        for t in range(frames):
            pushed = z[t] + beta * (z[t] - z[t - 1]) + (1 - beta) * u[t]
            following = alpha * z_star + (1 - alpha) * pushed
            np.testing.assert_allclose(z[(t + 1) % frames], following, atol=1e-4 * max(1, np.abs(z).max()))

    @pytest.mark.parametrize("frames", [8, 9])
    def test_a_loop_comes_out_where_the_recurrence_settles(self, frames: int) -> None:
        """Driven for long by noise that repeats, the recurrence forgets where it began and repeats too."""
        alpha, beta = 0.3, 0.95
        u = pushes(4, 2, FINER, frames)
        z = before = np.full((3, 7, 8), 10.0)
        for turn in range(60):
            for t in range(frames):
                z, before = (1 - alpha) * (z + beta * (z - before) + (1 - beta) * u[t]), z
                if turn == 59 and t == frames - 1:
                    first = z
        walked = frames_of(RandomWalk(z_star_of(COARSEST), frames, True, alpha, beta, 4), 2, FINER)
        np.testing.assert_allclose(walked[0], first, atol=1e-5)

    @pytest.mark.parametrize("loops", [True, False])
    def test_a_frame_is_the_same_in_any_batch(self, loops: bool) -> None:
        walker = RandomWalk(z_star_of(COARSEST), 9, loops, 0.2, 0.8, 3)
        for place, step in ((0, COARSEST), (2, FINER)):
            together = walker(place, step, range(9))
            fresh = RandomWalk(z_star_of(COARSEST), 9, loops, 0.2, 0.8, 3)
            for samples in ([3], [8, 0], [5, 5]):
                assert torch.equal(fresh(place, step, samples), together[samples])

    def test_a_greater_beta_moves_more_smoothly(self) -> None:
        def roughness(beta: float) -> float:
            path = frames_of(RandomWalk(z_star_of(COARSEST), 40, True, 0.3, beta, 0), 2, FINER)
            speed = path - np.roll(path, 1, axis=0)
            return float((speed - np.roll(speed, 1, axis=0)).std() / path.std())

        assert roughness(0.9) < roughness(0.5) < roughness(0)

    def test_a_greater_alpha_stays_nearer(self) -> None:
        spreads = [
            frames_of(RandomWalk(z_star_of(COARSEST), 40, True, alpha, 0.9, 0), 2, FINER).std()
            for alpha in (0.1, 0.3, 0.8, 1)
        ]
        assert spreads[0] > spreads[1] > spreads[2] > spreads[3] == 0


def clip_of(output: Output) -> Clip:
    (result,) = output.results
    assert isinstance(result.picture, Clip)
    return result.picture


def planned(bundle: Bundle, **options: Any) -> Plan:
    task = installed_plugins().task("animate")
    return task.plan(bundle, scale=0, seed=0, **task.prepare(bundle, **complete_options(task, options)))


def leaps(frames: np.ndarray) -> np.ndarray:
    """RMS difference of each frame and the one before it; of the first and the last."""
    pixels = frames.astype(float)
    distances: np.ndarray = np.sqrt(((pixels - np.roll(pixels, 1, axis=0)) ** 2).mean(axis=(1, 2, 3)))
    return distances


class TestClip:
    def test_is_what_was_asked_for(self, tiny_bundle: Bundle) -> None:
        clip = clip_of(run(tiny_bundle, "animate", frames=5, fps=7.5, loop=False))
        assert (clip.frames.shape, str(clip.frames.dtype)) == ((5, 32, 40, 3), "uint8")
        assert (clip.fps, clip.loops) == (7.5, False)
        default = clip_of(run(tiny_bundle, "animate"))
        assert (len(default.frames), default.fps, default.loops) == (60, 12, True)

    @pytest.mark.parametrize("start_scale", [0, 2])
    def test_once_starts_at_the_reconstruction(self, tiny_bundle: Bundle, start_scale: int) -> None:
        frames = clip_of(run(tiny_bundle, "animate", frames=9, loop=False, start_scale=start_scale)).frames.astype(int)
        rebuilt = to_bytes(reconstruct(tiny_bundle.pyramid("cpu"))[0])
        assert np.abs(frames[0] - rebuilt).max() <= 1
        assert (frames[8] != frames[0]).any()

    def test_moves_from_frame_to_frame(self, tiny_bundle: Bundle) -> None:
        assert leaps(clip_of(run(tiny_bundle, "animate", frames=8)).frames).min() > 0.5

    def test_is_the_same_in_batches_of_any_size(self, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        together = clip_of(run(tiny_bundle, "animate", frames=7, seed=3)).frames.astype(int)
        for pixels in (1, 3 * 32 * 40):
            monkeypatch.setattr(runner, "BATCH_PIXELS", pixels)
            parted = clip_of(run(tiny_bundle, "animate", frames=7, seed=3)).frames
            assert np.abs(together - parted).max() <= 1

    def test_is_the_same_for_the_same_seed_only(self, tiny_bundle: Bundle) -> None:
        first, again, other = (clip_of(run(tiny_bundle, "animate", frames=4, seed=seed)).frames for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    @pytest.mark.parametrize("start_scale", [1, 2, 4])
    def test_below_the_start_scale_nothing_moves(self, tiny_bundle: Bundle, start_scale: int) -> None:
        plan = planned(tiny_bundle, frames=6, start_scale=start_scale)
        pyramid = tiny_bundle.pyramid("cpu")
        below = walk(pyramid, plan.route[:start_scale], plan.noise, samples=range(6))
        still = walk(pyramid, plan.route[:start_scale], Reconstruction(pyramid.z_star))
        torch.testing.assert_close(below, still.expand_as(below), atol=1e-5, rtol=0)
        above = walk(pyramid, plan.route[: start_scale + 1], plan.noise, samples=range(6))
        assert (above - above[:1]).abs().flatten(1).amax(1)[1:].min() > 1e-3

    def test_moves_less_from_a_higher_start_scale(self, tiny_bundle: Bundle) -> None:
        spread = [
            clip_of(run(tiny_bundle, "animate", frames=6, start_scale=start)).frames.std(axis=0).mean()
            for start in (0, 4)
        ]
        assert spread[0] > 2 * spread[1] > 0

    def test_of_alpha_1_stands_still(self, tiny_bundle: Bundle) -> None:
        frames = clip_of(run(tiny_bundle, "animate", frames=4, alpha=1)).frames.astype(int)
        rebuilt = to_bytes(reconstruct(tiny_bundle.pyramid("cpu"))[0])
        assert np.abs(frames - rebuilt).max() <= 1

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("loop", [True, False])
    def test_that_is_hardly_drawn_back_still_shows_the_picture(self, tiny_bundle: Bundle, loop: bool) -> None:
        frames = clip_of(run(tiny_bundle, "animate", frames=8, alpha=0.02, loop=loop)).frames
        assert (frames.std(axis=(1, 2)) > 5).all()
        assert leaps(frames)[1:].max() > 0.5
        assert np.abs(frames.mean(axis=0) - tiny_bundle.picture).mean() < 40

    @pytest.mark.parametrize(
        ("wrong", "part"),
        [
            ({"frames": 1}, "--frames"),
            ({"fps": 0}, "--fps"),
            ({"alpha": 1.1}, "--alpha"),
            ({"alpha": 0}, "--alpha"),
            ({"beta": 1}, "--beta"),
            ({"start_scale": 5}, r"no scale 5 .* 0 to 4"),
        ],
    )
    def test_of_wrong_values_is_refused(self, tiny_bundle: Bundle, wrong: dict[str, Any], part: str) -> None:
        with pytest.raises(TaskError, match=part):
            run(tiny_bundle, "animate", **wrong)

    def test_of_a_bundle_with_noise_over_its_sides_needs_no_note(
        self, tiny_bundle: Bundle, noise_padded_bundle: Bundle
    ) -> None:
        settings = noise_padded_bundle.manifest.training.settings | dict(
            installed_plugins().task("animate").profile.settings
        )
        training = noise_padded_bundle.manifest.training.model_copy(update=dict(settings=settings))
        manifest = noise_padded_bundle.manifest.model_copy(update=dict(training=training))
        output = run(replace(noise_padded_bundle, manifest=manifest), "animate", frames=4)
        assert clip_of(output).frames.shape == (4, 32, 40, 3)
        assert output.notes == ()
        (note,) = run(tiny_bundle, "animate", frames=2).notes
        assert "not trained with --for animate" in note

    def test_of_a_bundle_with_noise_over_its_sides_moves_there_too(self, noise_padded_bundle: Bundle) -> None:
        spread = clip_of(run(noise_padded_bundle, "animate", frames=12)).frames.std(axis=0).mean(axis=-1)
        sides = np.ones_like(spread, bool)
        sides[2:-2, 2:-2] = False
        assert spread[sides].mean() > 0.5 * spread[~sides].mean()


Animate = Callable[..., Result]


@pytest.fixture
def animate(tiny_bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Animate:
    """Run ``singan-tk run animate`` on the tiny bundle, in this process and in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, bundle: Path | str = tiny_bundle_path) -> Result:
        return CliRunner().invoke(cli, ["run", "animate", "-b", str(bundle), *arguments])

    return call


def decoded(path: Path | str) -> np.ndarray:
    """All frames of an animated picture, (T, H, W, 3), uint8."""
    with Image.open(path) as image:
        return np.array([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)])


def in_one_line(result: Result, parts: Sequence[str]) -> None:
    """Wrong usage, told in one sentence on stderr that has these parts."""
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    said = " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in said
    for part in parts:
        assert part in said


class TestFiles:
    @pytest.mark.parametrize("seed", ["0", "1", "2"])
    def test_a_clip_closes_when_it_loops(self, animate: Animate, seed: str) -> None:
        done = animate("--frames", "24", "--seed", seed, "-o", "x.apng")
        assert (done.exit_code, done.stdout) == (0, "x.apng\n")
        closing, *others = leaps(decoded("x.apng"))
        assert len(others) == 23
        assert closing <= max(others)

    def test_a_clip_does_not_close_when_it_runs_once(self, animate: Animate) -> None:
        assert animate("--frames", "12", "--once", "-o", "x.apng").exit_code == 0
        closing, *others = leaps(decoded("x.apng"))
        assert closing > max(others)

    def test_apng_holds_the_clip_itself(self, animate: Animate, tiny_bundle: Bundle) -> None:
        assert animate("--frames", "5", "--fps", "10", "--once", "-o", "x.apng").exit_code == 0
        np.testing.assert_array_equal(
            decoded("x.apng"), clip_of(run(tiny_bundle, "animate", frames=5, loop=False)).frames
        )
        with Image.open("x.apng") as image:
            assert (image.info["duration"], image.info["loop"]) == (100, 1)

    @pytest.mark.parametrize("name", ["x.mp4", "x.webm"])
    def test_videos_hold_all_frames(self, animate: Animate, tiny_bundle: Bundle, name: str) -> None:
        done = animate("--frames", "9", "--fps", "8", "-o", name)
        assert (done.exit_code, done.stdout) == (0, f"{name}\n")
        stream = imageio_ffmpeg.read_frames(name, pix_fmt="rgb24")
        about = next(stream)
        assert (about["size"], about["fps"]) == ((40, 32), 8)
        frames = np.array([np.frombuffer(frame, np.uint8).reshape(32, 40, 3) for frame in stream])
        expected = clip_of(run(tiny_bundle, "animate", frames=9)).frames
        assert frames.shape == expected.shape
        assert np.abs(frames.astype(int) - expected).mean() < 10

    def test_a_gif_is_written_by_default(self, animate: Animate) -> None:
        done = animate("--frames", "3")
        assert (done.exit_code, done.stdout) == (0, "photo-animate.gif\n")
        assert decoded("photo-animate.gif").shape == (3, 32, 40, 3)

    @pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.avi", "x.mov", "x.sgb"])
    def test_a_wrong_ending_is_refused_before_anything_is_opened(self, animate: Animate, name: str) -> None:
        in_one_line(animate("-o", name, bundle="there-is-none.sgb"), [name, *CLIP_ENDINGS])
        assert list(Path.cwd().iterdir()) == []

    def test_a_clip_s_ending_is_refused_for_pictures(self, animate: Animate, tiny_bundle_path: Path) -> None:
        for name in ("x.gif", "x.mp4"):
            done = CliRunner().invoke(cli, ["run", "generate", "-b", str(tiny_bundle_path), "-o", name])
            in_one_line(done, [name, ".png"])
        assert list(Path.cwd().iterdir()) == []

    def test_a_sheet_of_a_clip_is_refused(self, animate: Animate) -> None:
        in_one_line(animate("--frames", "2", "--sheet"), ["clips", "--sheet"])
        assert list(Path.cwd().iterdir()) == []

    @pytest.mark.parametrize(
        ("options", "part"),
        [
            (["--frames", "1"], "--frames"),
            (["--start-scale", "9"], "no scale 9"),
            (["--scale", "2"], "--scale"),
            (["--beta", "1"], "--beta"),
        ],
    )
    def test_wrong_options_are_refused(self, animate: Animate, options: list[str], part: str) -> None:
        in_one_line(animate(*options), [part])
        assert list(Path.cwd().iterdir()) == []
