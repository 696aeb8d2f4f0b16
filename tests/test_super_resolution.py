"""Super-resolution: sizes, steps, and a result that shrunk is the picture that was given."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import singan_tk_tasks.super_resolution
import singan_toolkit
from singan_toolkit import Bundle, Output, Picture, PictureError, Plan, TaskError, run
from singan_toolkit.imaging.pictures import read_picture, write_picture
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.constraints import BackProjection
from singan_toolkit.pyramid.geometry import Geometry, Size
from singan_toolkit.pyramid.walk import walk
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options

NOT_TRAINED_FOR_IT = "not trained with --for super-resolution"


def picture_of(output: Output) -> Picture:
    (result,) = output.results
    assert isinstance(result.picture, Picture)
    return result.picture


def planned(bundle: Bundle, **options: Any) -> Plan:
    task = installed_plugins().task("super-resolution")
    return task.plan(bundle, scale=0, seed=0, **task.prepare(bundle, **complete_options(task, options)))


def by_pillow(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3), any range, resized to (height, width) of ``size``: antialiased bicubic of another maker."""
    channels = [Image.fromarray(np.ascontiguousarray(channel, np.float32)) for channel in np.moveaxis(picture, 2, 0)]
    return np.stack([np.asarray(one.resize(size[::-1], Image.Resampling.BICUBIC)) for one in channels], axis=-1)


def misfit(large: np.ndarray, small: np.ndarray) -> float:
    """RMS difference of a large picture, shrunk, and a small one."""
    shrunk = by_pillow(large, (small.shape[0], small.shape[1]))
    return float(np.sqrt(np.mean((shrunk - small) ** 2)))


def enlarged(photo: Path, height: int, width: int) -> np.ndarray:
    with Image.open(photo) as image:
        return np.array(image.resize((width, height), Image.Resampling.BICUBIC))


class TestSize:
    @settings(max_examples=10, deadline=None)
    @given(factor=st.floats(1.1, 5))
    @example(1.1)
    @example(2.0)
    @example(math.pi)
    @example(16.0)
    def test_is_the_picture_s_times_the_factor(self, tiny_bundle: Bundle, factor: float) -> None:
        height, width = picture_of(run(tiny_bundle, "super-resolution", factor=factor)).size
        assert abs(height - 32 * factor) <= 0.5
        assert abs(width - 40 * factor) <= 0.5

    def test_is_four_times_the_picture_s_by_default(self, tiny_bundle: Bundle) -> None:
        picture = picture_of(run(tiny_bundle, "super-resolution"))
        assert picture.size == (128, 160)
        assert picture.pixels.dtype == np.uint8

    def test_is_that_of_the_picture_in_its_full_resolution(self, tiny_bundle: Bundle, photo: Path) -> None:
        assert picture_of(run(tiny_bundle, "super-resolution", picture=photo, factor=1.5)).size == (72, 90)

    @pytest.mark.parametrize("factor", [1, 1.05, 0, -2, 17, "large"])
    def test_of_a_factor_out_of_range_is_refused(self, tiny_bundle: Bundle, factor: Any) -> None:
        with pytest.raises(TaskError, match=r"super-resolution: .*--factor"):
            run(tiny_bundle, "super-resolution", factor=factor)

    def test_that_is_too_large_is_refused(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        write_picture(Picture(enlarged(photo, 480, 600)), tmp_path / "x.png")
        with pytest.raises(TaskError, match=r"16 times 600x480 is 9600x7680 pixels, more than 64 million: .*--factor"):
            run(tiny_bundle, "super-resolution", picture=tmp_path / "x.png", factor=16)

    def test_that_is_just_not_too_large_is_made(self, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(singan_tk_tasks.super_resolution, "MAX_PIXELS", 64 * 80)
        assert picture_of(run(tiny_bundle, "super-resolution", factor=2)).size == (64, 80)
        with pytest.raises(TaskError, match="smaller --factor"):
            run(tiny_bundle, "super-resolution", factor=2.05)


sizes = st.tuples(st.integers(10, 400), st.integers(10, 400))


class TestSteps:
    @given(size=sizes, factor=st.floats(1.1, 4), growth=st.floats(1.001, 20))
    def test_lead_from_the_picture_to_the_size_that_is_wanted(self, size: Size, factor: float, growth: float) -> None:
        wanted = round(size[0] * growth), round(size[1] * growth)
        assume(math.prod(wanted) > math.prod(size))
        steps = Geometry((Size(5, 5), Size(6, 6), Size(7, 7)), factor).upward(size, wanted)
        assert {step.scale for step in steps} == {2}
        assert (steps[-1].height, steps[-1].width) == wanted
        for before, after in pairwise([size, *((step.height, step.width) for step in steps)]):
            assert after[0] >= before[0]
            assert after[1] >= before[1]

    @given(size=sizes, factor=st.floats(1.1, 4), growth=st.floats(1.1, 20))
    def test_are_as_many_as_bring_their_ratio_next_to_the_factor(
        self, size: Size, factor: float, growth: float
    ) -> None:
        wanted = round(size[0] * growth), round(size[1] * growth)
        assume(min(wanted) > min(size))
        number = len(Geometry((Size(5, 5), Size(7, 7)), factor).upward(size, wanted))
        whole = math.sqrt(math.prod(wanted) / math.prod(size))

        def off(steps: int) -> float:
            return abs(steps - math.log(whole) / math.log(factor))

        assert number >= 1
        assert off(number) <= off(number + 1) + 1e-9
        if number > 1:
            assert off(number) <= off(number - 1) + 1e-9

    @given(size=st.integers(100, 300), factor=st.floats(1.2, 2), growth=st.floats(2, 16))
    def test_grow_equally(self, size: int, factor: float, growth: float) -> None:
        steps = Geometry((Size(5, 5), Size(7, 7)), factor).upward(
            (size, size), (round(size * growth), round(size * growth))
        )
        ratios = [after / before for before, after in pairwise([size, *(step.height for step in steps)])]
        assert max(ratios) / min(ratios) < 1 + 4 / size

    @pytest.mark.parametrize(
        ("growth", "number"), [(4 / 3, 1), ((4 / 3) ** 2, 2), ((4 / 3) ** 5, 5), (1.1, 1), (2, 2), (4, 5), (16, 10)]
    )
    def test_are_of_a_known_number(self, growth: float, number: int) -> None:
        steps = Geometry((Size(25, 25), Size(33, 33)), 4 / 3).upward(
            (243, 243), (round(243 * growth), round(243 * growth))
        )
        assert len(steps) == number

    @pytest.mark.parametrize("wanted", [(30, 40), (29, 40), (10, 12), (60, 20)])
    def test_lead_to_no_smaller_size(self, wanted: Size) -> None:
        assert Geometry((Size(5, 5), Size(7, 7)), 4 / 3).upward((30, 40), wanted) == ()

    def test_start_at_the_picture_itself(self, tiny_bundle: Bundle, photo: Path) -> None:
        plan = planned(tiny_bundle, picture=photo, factor=1.2)
        assert plan.start is not None
        np.testing.assert_allclose(plan.start.numpy(), to_tensor(read_picture(photo).rgb).numpy())
        assert [(step.scale, step.height, step.width) for step in plan.route] == [(4, 58, 72)]


class TestLowFrequencies:
    @pytest.mark.parametrize("factor", [1.5, 2, 2.5, 4, 7.3])
    def test_of_the_result_are_the_picture(self, tiny_bundle: Bundle, factor: float) -> None:
        """In levels of 255, as measured: 0.5 to 0.7 with the constraint, 3.5 to 6.1 without."""
        kept = misfit(picture_of(run(tiny_bundle, "super-resolution", factor=factor)).pixels, tiny_bundle.picture)
        plan = planned(tiny_bundle, factor=factor)
        free = walk(tiny_bundle.pyramid("cpu"), plan.route, plan.noise, plan.start)
        without = misfit((free[0].permute(1, 2, 0).numpy().clip(-1, 1) + 1) * 127.5, tiny_bundle.picture)
        assert kept < 1
        assert without > 3 * kept

    def test_are_kept_in_full_resolution_too(self, tiny_bundle: Bundle, photo: Path) -> None:
        large = picture_of(run(tiny_bundle, "super-resolution", picture=photo, factor=3)).pixels
        assert misfit(large, read_picture(photo).pixels) < 1

    def test_leave_room_for_detail(self, tiny_bundle: Bundle) -> None:
        large = picture_of(run(tiny_bundle, "super-resolution", factor=4)).pixels.astype(float)
        smooth = by_pillow(tiny_bundle.picture, (128, 160))
        assert np.sqrt(np.mean((large - smooth) ** 2)) > 2
        assert misfit(smooth, tiny_bundle.picture) > misfit(large, tiny_bundle.picture)


class TestBackProjection:
    @staticmethod
    def normal(height: int, width: int, seed: int) -> Tensor:
        return torch.randn((2, 3, height, width), generator=torch.Generator().manual_seed(seed)) / 3

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize("rounds", [0, 1, 2, 5])
    @pytest.mark.parametrize(("small", "large"), [((8, 10), (32, 40)), ((9, 7), (13, 20)), ((12, 12), (13, 13))])
    def test_is_the_published_iteration(self, small: Size, large: Size, rounds: int) -> None:
        low, guess = self.normal(*small, seed=0)[:1], self.normal(*large, seed=1)
        ours = BackProjection(low, rounds)(guess)
        assert ours.shape == guess.shape
        wanted = low[0].permute(1, 2, 0).numpy()
        for one, corrected in zip(guess, ours, strict=True):
            picture = one.permute(1, 2, 0).numpy()
            for _ in range(rounds):
                picture = picture + by_pillow(wanted - by_pillow(picture, small), large)
            np.testing.assert_allclose(corrected.permute(1, 2, 0).numpy(), picture, atol=1e-4)

    def test_comes_nearer_with_each_round(self) -> None:
        low, guess = self.normal(8, 10, seed=0)[:1], self.normal(32, 40, seed=1)[:1]
        wanted = low[0].permute(1, 2, 0).numpy()
        misfits = [misfit(BackProjection(low, n)(guess)[0].permute(1, 2, 0).numpy(), wanted) for n in range(6)]
        assert all(after < 0.7 * before for before, after in pairwise(misfits))

    def test_changes_nothing_in_what_fits_already(self) -> None:
        guess = self.normal(32, 40, seed=1)[:1]
        low = torch.nn.functional.interpolate(guess, (8, 10), mode="bicubic", antialias=True)
        torch.testing.assert_close(BackProjection(low)(guess), guess, atol=1e-5, rtol=0)

    def test_gives_the_picture_itself_at_its_own_size(self) -> None:
        low, guess = self.normal(8, 10, seed=0)[:1], self.normal(8, 10, seed=1)[:1]
        torch.testing.assert_close(BackProjection(low)(guess), low, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any]) -> Callable[..., Bundle]:
    """Train in a moment."""
    quick = dict(max_size=30, channels=4, max_channels=4, iterations=2, finest_iterations=2, pool_pixels=0)

    def call(picture: Path, leave_out: tuple[str, ...] = (), **options: Any) -> Bundle:
        changes = {name: value for name, value in {**tiny_settings, **quick}.items() if name not in leave_out}
        return singan_toolkit.train(picture, preset="draft", device="cpu", **changes, **options)

    return call


class TestPicture:
    def test_keeps_its_16_bits(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        low_bits = np.random.default_rng(0).integers(0, 256, (48, 60, 3), np.uint16)
        write_picture(Picture(read_picture(photo).pixels.astype(np.uint16) * 256 + low_bits), tmp_path / "x.png")
        result = picture_of(run(tiny_bundle, "super-resolution", picture=tmp_path / "x.png", factor=2)).pixels
        assert (result.shape, str(result.dtype)) == ((96, 120, 3), "uint16")
        assert (result % 257 != 0).mean() > 0.9, "not 8 bits in disguise"
        assert misfit(result / 257, read_picture(photo).pixels) < 1.5

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_keeps_its_greyness(self, train: Callable[..., Bundle], photo: Path, tmp_path: Path, dtype: Any) -> None:
        with Image.open(photo) as image:
            grey = np.array(image.convert("L"))[..., None].astype(dtype) * (np.iinfo(dtype).max // 255)
        write_picture(Picture(grey), tmp_path / "grey.png")
        bundle = train(tmp_path / "grey.png")
        result = picture_of(run(bundle, "super-resolution", picture=tmp_path / "grey.png", factor=2)).pixels
        assert result.shape == (96, 120, 1)
        assert result.dtype == dtype

    @pytest.mark.parametrize("quality", [60, 90])
    def test_may_be_a_jpeg(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, quality: int) -> None:
        Image.fromarray(enlarged(photo, 192, 240)).save(tmp_path / "x.jpg", quality=quality)
        assert picture_of(run(tiny_bundle, "super-resolution", picture=tmp_path / "x.jpg", factor=2)).size == (384, 480)

    @pytest.mark.parametrize(
        "change",
        [
            np.fliplr,
            np.flipud,
            np.rot90,
            lambda pixels: 255 - pixels,
            lambda pixels: np.full_like(pixels, 128),
            lambda pixels: pixels[:, :40],
            lambda pixels: pixels[::2],
        ],
    )
    def test_that_is_another_one_is_refused(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        write_picture(Picture(np.ascontiguousarray(change(read_picture(photo).pixels))), tmp_path / "x.png")
        with pytest.raises(PictureError, match=r"x\.png is not the picture that this bundle was trained on: .*train"):
            run(tiny_bundle, "super-resolution", picture=tmp_path / "x.png")

    def test_that_cannot_be_read_is_refused(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_text("no picture")
        with pytest.raises(PictureError, match=r"x\.png"):
            run(tiny_bundle, "super-resolution", picture=tmp_path / "x.png")


class TestNote:
    def test_tells_of_a_bundle_that_was_not_trained_for_it(self, tiny_bundle: Bundle) -> None:
        (note,) = run(tiny_bundle, "super-resolution", factor=1.1).notes
        assert note.startswith(f"{tiny_bundle.name} was {NOT_TRAINED_FOR_IT}: ")

    def test_is_not_given_where_it_was(self, train: Callable[..., Bundle], photo: Path) -> None:
        bundle = train(photo, leave_out=("min_size", "factor", "patches_to"), task="super-resolution")
        assert bundle.manifest.training.task == "super-resolution"
        assert run(bundle, "super-resolution", factor=1.1).notes == ()

    def test_is_given_where_its_settings_were_changed_again(self, train: Callable[..., Bundle], photo: Path) -> None:
        bundle = train(photo, leave_out=("min_size", "factor"), task="super-resolution", factor=1.5)
        (note,) = run(bundle, "super-resolution", factor=1.1).notes
        assert NOT_TRAINED_FOR_IT in note

    def test_is_not_given_by_a_task_that_needs_no_such_training(self, tiny_bundle: Bundle) -> None:
        assert run(tiny_bundle, "generate").notes == ()


def test_every_seed_gives_the_same(tiny_bundle: Bundle) -> None:
    one, other = (picture_of(run(tiny_bundle, "super-resolution", factor=2, seed=seed)).pixels for seed in (1, 2))
    np.testing.assert_array_equal(one, other)


def test_it_takes_no_injection_scale(tiny_bundle: Bundle) -> None:
    with pytest.raises(TaskError, match="no injection scale"):
        run(tiny_bundle, "super-resolution", scale=1)


@pytest.mark.parametrize(("factor", "size"), [(1.1125, (36, 45)), (1.140625, (37, 46)), (1.5, (48, 60))])
def test_sides_round_halves_up(tiny_bundle: Bundle, factor: float, size: tuple[int, int]) -> None:
    (pixels,) = run(tiny_bundle, "super-resolution", factor=factor).arrays
    assert pixels.shape[:2] == size
