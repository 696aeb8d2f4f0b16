"""Retargeting: sizes and shapes, what keeps its size, and the two ways to start."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import singan_toolkit
from singan_toolkit import Bundle, Output, Picture, PictureError, Plan, TaskError, run
from singan_toolkit.imaging.pictures import read_picture, write_picture
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options

quick = settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

HEIGHT, WIDTH = 32, 40
"""Of the picture that the tiny bundle was trained on."""


def picture_of(output: Output) -> Picture:
    (result,) = output.results
    assert isinstance(result.picture, Picture)
    return result.picture


def planned(bundle: Bundle, scale: int = 1, seed: int = 0, **options: Any) -> Plan:
    task = installed_plugins().task("retarget")
    return task.plan(bundle, scale=scale, seed=seed, **task.prepare(bundle, **complete_options(task, options)))


def allowed(height: float, width: float) -> bool:
    """Clearly no longer than 4:1."""
    return max(height, width) <= 4 * min(height, width)


class TestSize:
    @quick
    @given(width=st.integers(25, 120), height=st.integers(25, 120))
    def test_is_the_width_and_the_height_that_are_asked_for(self, tiny_bundle: Bundle, width: int, height: int) -> None:
        assume(allowed(height, width))
        assert picture_of(run(tiny_bundle, "retarget", width=width, height=height)).size == (height, width)

    @quick
    @given(side=st.integers(25, 128), which=st.sampled_from(["width", "height"]))
    @example(128, "width")
    @example(128, "height")
    def test_of_one_side_keeps_the_other(self, tiny_bundle: Bundle, side: int, which: str) -> None:
        expected = (HEIGHT, side) if which == "width" else (side, WIDTH)
        assume(allowed(*expected))
        options: dict[str, Any] = {which: side}
        assert picture_of(run(tiny_bundle, "retarget", **options)).size == expected

    @quick
    @given(
        side=st.integers(25, 90),
        which=st.sampled_from(["width", "height"]),
        across=st.integers(1, 40),
        down=st.integers(1, 40),
    )
    def test_of_one_side_and_a_shape_follows_from_both(
        self, tiny_bundle: Bundle, side: int, which: str, across: int, down: int
    ) -> None:
        assume(allowed(down, across))
        options: dict[str, Any] = {which: side, "aspect": f"{across}:{down}"}
        size = picture_of(run(tiny_bundle, "retarget", **options)).size
        if which == "width":
            assert size[1] == side
            assert abs(size[0] - side * down / across) <= 0.5
        else:
            assert size[0] == side
            assert abs(size[1] - side * across / down) <= 0.5

    @quick
    @given(across=st.floats(0.5, 50).map(lambda x: round(x, 2)), down=st.floats(0.5, 50).map(lambda x: round(x, 1)))
    @example(4, 1)
    @example(1, 4)
    @example(16, 9)
    def test_of_a_shape_alone_keeps_the_number_of_pixels(self, tiny_bundle: Bundle, across: float, down: float) -> None:
        """But for the rounding of both sides to whole pixels."""
        assume(allowed(down, across))
        height, width = picture_of(run(tiny_bundle, "retarget", aspect=f"{across}:{down}")).size
        exact = math.sqrt(HEIGHT * WIDTH * down / across), math.sqrt(HEIGHT * WIDTH * across / down)
        assert abs(height - exact[0]) <= 1 + 0.5 * down / across
        assert abs(width - exact[1]) <= 1 + 0.5 * across / down
        assert abs(height * width - HEIGHT * WIDTH) <= height + width

    @pytest.mark.parametrize("options", [{"width": WIDTH}, {"height": HEIGHT}, {"aspect": "5:4"}])
    def test_may_be_what_it_was(self, tiny_bundle: Bundle, options: dict[str, Any]) -> None:
        assert picture_of(run(tiny_bundle, "retarget", **options)).size == (HEIGHT, WIDTH)

    @pytest.mark.parametrize("source", ["image", "noise"])
    @pytest.mark.parametrize(
        ("options", "size"),
        [
            ({"aspect": "4:1"}, (18, 72)),
            ({"aspect": "1:4"}, (72, 18)),
            ({"width": 160, "height": 40}, (40, 160)),
            ({"width": 30, "height": 120}, (120, 30)),
            ({"width": 128}, (32, 128)),
            ({"height": 160}, (160, 40)),
        ],
    )
    def test_may_be_four_times_as_long_as_wide(
        self, tiny_bundle: Bundle, options: dict[str, Any], size: tuple[int, int], source: str
    ) -> None:
        assert picture_of(run(tiny_bundle, "retarget", source=source, **options)).size == size

    @pytest.mark.parametrize(
        "options",
        [
            {"aspect": "5:1"},
            {"aspect": "1:5"},
            {"aspect": "4.5:1"},
            {"width": 200, "height": 40},
            {"width": 40, "height": 200},
            {"width": 150},
            {"height": 180},
            {"width": 200, "aspect": "5:1"},
            {"height": 200, "aspect": "1:5"},
        ],
    )
    def test_longer_than_that_is_refused(self, tiny_bundle: Bundle, options: dict[str, Any]) -> None:
        with pytest.raises(TaskError, match=r"\d+x\d+ pixels is longer than 4:1: give a shape from 1:4 to 4:1"):
            run(tiny_bundle, "retarget", **options)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        ratio=st.integers(6, 10**9),
        tall=st.booleans(),
        side=st.sampled_from([{}, {"width": 25}, {"width": 100}, {"height": 25}, {"height": 100}]),
    )
    @example(300, False, {"width": 100})
    @example(51, True, {"height": 25})
    @example(6000, False, {})
    def test_is_refused_however_much_longer(
        self, tiny_bundle: Bundle, ratio: int, tall: bool, side: dict[str, int]
    ) -> None:
        with pytest.raises(TaskError):
            planned(tiny_bundle, aspect=f"1:{ratio}" if tall else f"{ratio}:1", **side)

    @pytest.mark.parametrize(
        "aspect",
        ["16", "16-9", "16x9", ":", "16:", ":9", "0:1", "1:0", "-1:2", "1:2:3", "a:b", "1e3:1", "nan:1", " 1:2"],
    )
    def test_of_what_is_no_shape_is_refused(self, tiny_bundle: Bundle, aspect: str) -> None:
        with pytest.raises(TaskError, match=r"is not a shape like 16:9"):
            run(tiny_bundle, "retarget", aspect=aspect)

    @pytest.mark.parametrize(
        ("options", "part"),
        [
            ({}, "--width, --height, or --aspect"),
            ({"width": 50, "height": 50, "aspect": "1:1"}, "two of"),
            ({"width": 24}, "--width"),
            ({"height": 9000}, "--height"),
            ({"width": 50, "source": "nothing"}, "--from"),
        ],
    )
    def test_of_options_that_do_not_fit_is_refused(
        self, tiny_bundle: Bundle, options: dict[str, Any], part: str
    ) -> None:
        with pytest.raises(TaskError, match=part):
            run(tiny_bundle, "retarget", **options)


class TestWalk:
    def test_stretches_every_scale_and_so_keeps_the_size_of_things(self, tiny_bundle: Bundle) -> None:
        route = planned(tiny_bundle, scale=1, width=80).route
        sizes = tiny_bundle.geometry.sizes[1:]
        assert [step.scale for step in route] == [1, 2, 3, 4]
        assert [step.height for step in route] == [height for height, _ in sizes]
        assert [step.width for step in route] == [2 * width for _, width in sizes]

    def test_of_a_picture_twice_as_large_is_that_of_training_and_goes_on(self, tiny_bundle: Bundle) -> None:
        route = planned(tiny_bundle, scale=2, width=2 * WIDTH, height=2 * HEIGHT).route
        sizes = [(step.height, step.width) for step in route]
        assert sizes[:3] == list(tiny_bundle.geometry.sizes[2:])
        assert sizes[-1] == (2 * HEIGHT, 2 * WIDTH)
        assert {step.scale for step in route[3:]} == {4}
        assert len(route) == 3 + 3

    def test_of_a_picture_half_as_large_is_that_of_training(self, tiny_bundle: Bundle) -> None:
        route = planned(tiny_bundle, scale=2, width=30, height=25).route
        assert max(step.height for step in route) == HEIGHT or max(step.width for step in route) == WIDTH

    def test_starts_at_the_scale_that_is_asked_for(self, tiny_bundle: Bundle) -> None:
        assert planned(tiny_bundle, scale=3, width=80).route[0].scale == 3
        assert planned(tiny_bundle, width=80, source="noise").route[0].scale == 0

    def test_from_noise_asks_for_no_scale_in_a_shallow_pyramid_either(
        self, photo: Path, tiny_settings: dict[str, Any]
    ) -> None:
        shallow = singan_toolkit.train(
            photo, preset="draft", device="cpu", **{**tiny_settings, "max_size": 18, "iterations": 2}
        )
        assert len(shallow.geometry.sizes) == 2
        assert picture_of(run(shallow, "retarget", width=40, source="noise")).size[1] == 40

    @pytest.mark.parametrize("scale", [3, "auto", "all"])
    def test_from_noise_has_no_scale_to_choose(self, tiny_bundle: Bundle, scale: int | str) -> None:
        with pytest.raises(TaskError, match="--scale goes with --from image"):
            run(tiny_bundle, "retarget", width=80, source="noise", scale=scale)


def with_picture(bundle: Bundle, pixels: np.ndarray) -> Bundle:
    """The same generators, and another picture."""
    return Bundle(bundle.manifest, {**bundle.tensors, "picture": pixels})


class TestSource:
    def test_from_noise_does_not_depend_on_the_picture(self, tiny_bundle: Bundle) -> None:
        other = with_picture(tiny_bundle, 255 - tiny_bundle.picture)
        ours, theirs = (run(one, "retarget", width=80, source="noise").arrays for one in (tiny_bundle, other))
        np.testing.assert_array_equal(ours, theirs)

    def test_from_the_image_does(self, tiny_bundle: Bundle) -> None:
        other = with_picture(tiny_bundle, 255 - tiny_bundle.picture)
        ours, theirs = (picture_of(run(one, "retarget", width=80)).pixels for one in (tiny_bundle, other))
        assert np.abs(ours.astype(int) - theirs).mean() > 10

    def test_from_noise_begins_with_nothing_but_noise(self, tiny_bundle: Bundle) -> None:
        plan = planned(tiny_bundle, width=80, source="noise")
        assert plan.start is None
        noise = plan.noise(0, plan.route[0], [0])
        assert noise.shape == (1, 3, 12, 30)
        assert 0.7 < noise.std() < 1.3

    @pytest.mark.parametrize("source", ["image", "noise"])
    def test_every_seed_draws_another(self, tiny_bundle: Bundle, source: str) -> None:
        first, again, other = (
            picture_of(run(tiny_bundle, "retarget", width=60, source=source, seed=seed)).pixels for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    @pytest.mark.parametrize("options", [{"width": 100}, {"height": 70}, {"aspect": "1:1"}])
    def test_from_the_image_the_layout_stays(self, tiny_bundle: Bundle, options: dict[str, Any]) -> None:
        """Blue above, brown below: blueness, averaged over rows, follows the picture's."""

        def profile(pixels: np.ndarray) -> np.ndarray:
            blueness = (pixels[..., 2].astype(float) - pixels[..., 0]).mean(axis=1)
            resampled: np.ndarray = np.interp(np.linspace(0, 1, 20), np.linspace(0, 1, len(blueness)), blueness)
            return resampled

        result = picture_of(run(tiny_bundle, "retarget", scale=2, **options)).pixels
        assert np.corrcoef(profile(result), profile(tiny_bundle.picture))[0, 1] > 0.9

    def test_a_finer_scale_keeps_more_of_the_stretched_picture(self, tiny_bundle: Bundle) -> None:
        stretched = np.array(
            Image.fromarray(tiny_bundle.picture).resize((80, 32), Image.Resampling.BICUBIC), dtype=float
        )
        results = run(tiny_bundle, "retarget", width=80, scale="all").arrays
        distances = [np.abs(result - stretched).mean() for result in results]
        assert distances[-1] < distances[0]


@pytest.fixture(scope="module")
def grey_bundle(
    photo: Path, tiny_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, Path]:
    """A bundle trained, in a moment, on a grey picture of 16 bits, and that picture."""
    path = tmp_path_factory.mktemp("grey") / "grey.png"
    with Image.open(photo) as image:
        grey = np.asarray(image.convert("L"))[..., None].astype(np.uint16)
    write_picture(Picture(grey * 256 + np.random.default_rng(0).integers(0, 256, grey.shape, np.uint16)), path)
    few = dict(max_size=30, channels=4, max_channels=4, iterations=2, finest_iterations=2, pool_pixels=0)
    return singan_toolkit.train(path, preset="draft", device="cpu", **{**tiny_settings, **few}), path


class TestPicture:
    @pytest.mark.parametrize(
        ("options", "size"),
        [
            ({"width": 90}, (48, 90)),
            ({"height": 30}, (30, 60)),
            ({"width": 120, "height": 96}, (96, 120)),
            ({"aspect": "1:1"}, (54, 54)),
            ({"width": 45, "aspect": "1:2"}, (90, 45)),
        ],
    )
    def test_the_result_has_its_resolution(
        self, tiny_bundle: Bundle, photo: Path, options: dict[str, Any], size: tuple[int, int]
    ) -> None:
        result = picture_of(run(tiny_bundle, "retarget", picture=photo, **options))
        assert result.size == size
        assert result.pixels.dtype == np.uint8

    def test_the_result_has_its_16_bits(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        low_bits = np.random.default_rng(0).integers(0, 256, (48, 60, 3), np.uint16)
        write_picture(Picture(read_picture(photo).pixels.astype(np.uint16) * 256 + low_bits), tmp_path / "x.png")
        result = picture_of(run(tiny_bundle, "retarget", picture=tmp_path / "x.png", width=90)).pixels
        assert (result.shape, str(result.dtype)) == ((48, 90, 3), "uint16")
        assert (result % 257 != 0).mean() > 0.9, "not 8 bits in disguise"

    def test_the_result_has_its_greyness(self, grey_bundle: tuple[Bundle, Path]) -> None:
        bundle, path = grey_bundle
        result = picture_of(run(bundle, "retarget", picture=path, width=90)).pixels
        assert (result.shape, str(result.dtype)) == ((48, 90, 1), "uint16")

    def test_the_result_has_its_detail(self, tiny_bundle: Bundle, photo: Path, tmp_path: Path) -> None:
        """A fine pattern, which no pyramid of this size can hold, is in the result with it and not without."""

        def checkered(pixels: np.ndarray) -> float:
            grey = pixels.astype(float).mean(axis=2)
            return float(
                np.abs(grey - np.roll(grey, 1, 0) - np.roll(grey, 1, 1) + np.roll(grey, (1, 1), (0, 1))).mean()
            )

        with Image.open(photo) as image:
            large = np.array(image.resize((240, 192), Image.Resampling.BICUBIC)).astype(int)
        rows, columns = np.mgrid[:192, :240]
        large += (12 * (-1) ** (rows + columns))[..., None]
        write_picture(Picture(large.clip(0, 255).astype(np.uint8)), tmp_path / "x.png")
        result = picture_of(run(tiny_bundle, "retarget", picture=tmp_path / "x.png", width=360)).pixels
        without = picture_of(run(tiny_bundle, "retarget", width=360, height=192)).pixels
        assert result.shape == without.shape == (192, 360, 3)
        assert checkered(result) > 0.5 * checkered(large)
        assert checkered(without) < 0.25 * checkered(large)

    @pytest.mark.parametrize("change", [np.flipud, np.rot90, lambda pixels: 255 - pixels, lambda pixels: pixels[:30]])
    def test_of_another_one_is_refused(
        self, tiny_bundle: Bundle, photo: Path, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        write_picture(Picture(np.ascontiguousarray(change(read_picture(photo).pixels))), tmp_path / "x.png")
        with pytest.raises(PictureError, match=r"x\.png is not the picture that this bundle was trained on"):
            run(tiny_bundle, "retarget", picture=tmp_path / "x.png", width=90)
