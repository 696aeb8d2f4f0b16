"""Paint to image: sizes, the palette, and a scale trained anew on quantized pictures and kept."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.cluster.vq import kmeans2
from scipy.spatial import KDTree
from torch import Tensor

import singan_toolkit
from command_line import SCRIPT
from singan_toolkit import Bundle, BundleError, Output, Picture, Plan, run
from singan_toolkit.imaging.palette import Palette
from singan_toolkit.imaging.pictures import read_picture, write_picture
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options
from singan_toolkit.training.bundles import retrain_scale
from singan_toolkit.training.events import Event, ScaleFinished, TrainingStarted

GREY_SKY_AND_SOIL = [(120, 160, 210), (110, 90, 50), (235, 60, 50)]


def pixels_of(output: Output) -> np.ndarray:
    (pixels,) = output.arrays
    return pixels


def painting(height: int, width: int) -> np.ndarray:
    """Three flat regions, (height, width, 3), uint8."""
    rows, columns = np.mgrid[:height, :width]
    region = np.where(rows * 2 > height, 1, 0)
    region[np.hypot(rows / height - 0.3, columns / width - 0.6) < 0.2] = 2
    return np.array(GREY_SKY_AND_SOIL, np.uint8)[region]


def painted(path: Path, height: int = 32, width: int = 40) -> Path:
    write_picture(Picture(painting(height, width)), path)
    return path


def planned(bundle: Bundle, scale: int, **options: Any) -> Plan:
    task = installed_plugins().task("paint2image")
    return task.plan(bundle, scale=scale, seed=0, **task.prepare(bundle, **complete_options(task, options)))


def colors_in(picture: Tensor) -> np.ndarray:
    """(N, 3): the colours of (B, 3, H, W), each once."""
    colors: np.ndarray = np.unique(picture.permute(0, 2, 3, 1).reshape(-1, 3).numpy(), axis=0)
    return colors


class TestSize:
    @pytest.mark.parametrize(
        ("height", "width"),
        [(32, 40), (16, 20), (7, 9), (1, 1), (33, 41), (64, 80), (40, 32), (20, 120), (300, 375), (613, 97)],
    )
    def test_is_the_painting_s(self, tiny_bundle: Bundle, tmp_path: Path, height: int, width: int) -> None:
        result = pixels_of(run(tiny_bundle, "paint2image", paint=painted(tmp_path / "p.png", height, width)))
        assert result.shape == (height, width, 3)
        assert result.dtype == np.uint8

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(height=st.integers(2, 130), width=st.integers(2, 130), scale=st.integers(1, 4))
    def test_is_the_painting_s_at_every_scale(
        self, tiny_bundle: Bundle, tmp_path: Path, height: int, width: int, scale: int
    ) -> None:
        path = painted(tmp_path / "p.png", height, width)
        assert pixels_of(run(tiny_bundle, "paint2image", paint=path, scale=scale)).shape == (height, width, 3)

    @pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (4, np.uint8), (3, np.uint16)])
    def test_any_kind_of_painting_is_taken(
        self, tiny_bundle: Bundle, tmp_path: Path, channels: int, dtype: Any
    ) -> None:
        pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (30, 50, channels), dtype)
        write_picture(Picture(pixels), tmp_path / "p.tif")
        assert pixels_of(run(tiny_bundle, "paint2image", paint=tmp_path / "p.tif")).shape == (30, 50, 3)

    def test_a_much_larger_painting_is_walked_up_to_its_size(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        route = planned(tiny_bundle, 2, paint=painted(tmp_path / "p.png", 256, 320)).route
        assert [step.scale for step in route][:4] == [2, 3, 4, 4]
        assert {step.scale for step in route[4:]} == {4}
        assert (route[-1].height, route[-1].width) == (256, 320)
        ratios = [after.width / before.width for before, after in pairwise(route)]
        assert all(1.1 < ratio < 1.5 for ratio in ratios)

    def test_a_small_painting_is_walked_at_the_size_of_training(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        route = planned(tiny_bundle, 2, paint=painted(tmp_path / "p.png", 8, 10)).route
        assert [(step.height, step.width) for step in route] == list(tiny_bundle.geometry.sizes[2:])


class TestResult:
    def test_follows_the_painting_more_at_a_finer_scale(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        results = run(tiny_bundle, "paint2image", paint=painted(tmp_path / "p.png"), scale="all").arrays
        distance = [np.abs(result.astype(float) - painting(32, 40)).mean() for result in results]
        assert distance[-1] < distance[0]
        assert distance[-1] < 25

    def test_is_the_same_for_the_same_seed_only(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        path = painted(tmp_path / "p.png")
        first, again, other = (pixels_of(run(tiny_bundle, "paint2image", paint=path, seed=seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


@dataclass(frozen=True)
class Quantized:
    """One run with ``quantize`` and what it left."""

    bundle: Bundle
    path: Path
    scale: int
    paint: Path
    events: Sequence[Event]
    result: np.ndarray

    @property
    def kept(self) -> Path:
        return self.path.with_name(f"art.quantized-{self.scale}.sgb")


@pytest.fixture(scope="module")
def quantized(tiny_bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    """A first run with ``quantize`` on a copy of the tiny bundle."""
    folder = tmp_path_factory.mktemp("quantized")
    path = folder / "art.sgb"
    path.write_bytes(tiny_bundle_path.read_bytes())
    bundle = Bundle.load(path)
    events: list[Event] = []
    paint = painted(tmp_path_factory.mktemp("painting") / "p.png", 40, 50)
    result = pixels_of(run(bundle, "paint2image", paint=paint, quantize=True, scale=2, observer=events.append))
    return Quantized(bundle, path, 2, paint, events, result)


class TestQuantize:
    @pytest.mark.parametrize("scale", [1, 3])
    @pytest.mark.parametrize("size", [(32, 40), (200, 90)])
    def test_the_walk_starts_from_palette_colours_only(
        self, tiny_bundle: Bundle, tmp_path: Path, scale: int, size: tuple[int, int]
    ) -> None:
        plan = planned(tiny_bundle, scale, paint=painted(tmp_path / "p.png", *size), quantize=True)
        assert plan.start is not None
        assert tuple(plan.start.shape[-2:]) == (plan.route[0].height, plan.route[0].width), "it is not resized again"
        assert plan.route[0].scale == scale
        palette = Palette.of_picture(tiny_bundle.picture, 5).colors.numpy()
        found = colors_in(plan.start)
        assert 2 <= len(found) <= 5
        assert (found[:, None] == palette[None]).all(axis=-1).any(axis=1).all()

    def test_the_scale_is_trained_on_the_same_colours(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        retraining = planned(tiny_bundle, 2, paint=painted(tmp_path / "p.png"), quantize=True).retraining
        assert retraining is not None
        assert retraining.scale == 2
        noise = torch.randn((3, 3, 20, 25), generator=torch.Generator().manual_seed(0))
        palette = Palette.of_picture(tiny_bundle.picture, 5).colors.numpy()
        np.testing.assert_array_equal(colors_in(retraining.change(noise)), np.unique(palette, axis=0))

    def test_without_it_nothing_is_trained(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        assert planned(tiny_bundle, 2, paint=painted(tmp_path / "p.png")).retraining is None

    def test_only_its_scale_is_trained(self, quantized: Quantized) -> None:
        started = [event for event in quantized.events if isinstance(event, TrainingStarted)]
        assert [[n for n, count in enumerate(event.iterations) if count] for event in started] == [[quantized.scale]]
        finished = [event.scale for event in quantized.events if isinstance(event, ScaleFinished)]
        assert finished == [quantized.scale]

    def test_the_new_bundle_is_kept_beside_the_bundle(self, quantized: Quantized) -> None:
        assert sorted(quantized.path.parent.iterdir()) == sorted([quantized.path, quantized.kept])

    def test_the_new_bundle_differs_in_that_scale_only(self, quantized: Quantized) -> None:
        parent, kept = quantized.bundle, Bundle.load(quantized.kept)
        assert parent.tensors.keys() == kept.tensors.keys()
        changed = {name for name, values in parent.tensors.items() if not np.array_equal(values, kept.tensors[name])}
        assert changed == {name for name in parent.tensors if name.startswith(f"scales.{quantized.scale}.")}
        assert kept.geometry == parent.geometry
        assert kept.manifest.architecture == parent.manifest.architecture
        for n, (before, after) in enumerate(zip(parent.manifest.scales, kept.manifest.scales, strict=True)):
            assert (before == after) == (n != quantized.scale)
            assert (before.height, before.width, before.channels) == (after.height, after.width, after.channels)

    def test_the_new_bundle_records_where_it_came_from(self, quantized: Quantized) -> None:
        before, after = quantized.bundle.manifest.training, Bundle.load(quantized.kept).manifest.training
        assert before.parent is None
        assert after.parent == quantized.bundle.manifest.digest
        assert after.model_copy(update=dict(parent=None, losses=before.losses)) == before

    def test_the_second_run_trains_nothing_and_gives_the_same(self, quantized: Quantized) -> None:
        before = quantized.kept.stat().st_mtime_ns, quantized.kept.read_bytes()
        events: list[Event] = []
        again = run(
            Bundle.load(quantized.path),
            "paint2image",
            paint=quantized.paint,
            quantize=True,
            scale=quantized.scale,
            observer=events.append,
        )
        assert events == []
        assert (quantized.kept.stat().st_mtime_ns, quantized.kept.read_bytes()) == before
        np.testing.assert_array_equal(pixels_of(again), quantized.result)

    def test_the_kept_bundle_is_what_is_walked(self, quantized: Quantized, tmp_path: Path) -> None:
        path = tmp_path / "art.sgb"
        path.write_bytes(quantized.path.read_bytes())
        kept = Bundle.load(quantized.kept)
        name = f"scales.{quantized.scale}.convolutions.4.bias"
        other = Bundle(kept.manifest, {**kept.tensors, name: kept.tensors[name] + 0.5})
        other.save(tmp_path / quantized.kept.name)
        options: dict[str, Any] = dict(paint=quantized.paint, quantize=True, scale=quantized.scale)
        result = pixels_of(run(Bundle.load(path), "paint2image", **options))
        assert np.abs(result.astype(int) - quantized.result).mean() > 10

    def test_it_changes_the_result(self, quantized: Quantized) -> None:
        plain = pixels_of(run(quantized.bundle, "paint2image", paint=quantized.paint, scale=quantized.scale))
        assert plain.shape == quantized.result.shape
        assert (plain != quantized.result).any()

    def test_what_was_made_of_the_bundle_before_is_made_again(
        self, quantized: Quantized, noise_padded_bundle: Bundle, tmp_path: Path
    ) -> None:
        (tmp_path / quantized.kept.name).write_bytes(quantized.kept.read_bytes())
        path = tmp_path / "art.sgb"
        noise_padded_bundle.save(path)
        options: dict[str, Any] = dict(paint=quantized.paint, quantize=True, scale=quantized.scale)
        run(Bundle.load(path), "paint2image", **options)
        again = Bundle.load(tmp_path / quantized.kept.name)
        assert again.manifest.training.parent == Bundle.load(path).manifest.digest

    def test_somebody_s_own_bundle_is_not_replaced(self, quantized: Quantized, tmp_path: Path) -> None:
        own, path = tmp_path / quantized.kept.name, tmp_path / "art.sgb"
        for one in (own, path):
            one.write_bytes(quantized.path.read_bytes())
        options: dict[str, Any] = dict(paint=quantized.paint, quantize=True, scale=quantized.scale)
        with pytest.raises(BundleError, match=r"art\.quantized-2\.sgb is no bundle made from .*art\.sgb.*: rename it"):
            run(Bundle.load(path), "paint2image", **options)
        assert own.read_bytes() == quantized.path.read_bytes()

    def test_a_damaged_kept_bundle_is_refused(self, quantized: Quantized, tmp_path: Path) -> None:
        path = tmp_path / "art.sgb"
        path.write_bytes(quantized.path.read_bytes())
        (tmp_path / quantized.kept.name).write_bytes(quantized.kept.read_bytes()[:-9])
        options: dict[str, Any] = dict(paint=quantized.paint, quantize=True, scale=quantized.scale)
        with pytest.raises(BundleError, match=r"art\.quantized-2\.sgb"):
            run(Bundle.load(path), "paint2image", **options)

    def test_a_bundle_without_a_file_is_trained_in_memory(
        self, quantized: Quantized, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        before = sorted(quantized.path.parent.iterdir())
        events: list[Event] = []
        unsaved = replace(quantized.bundle, path=None)
        result = run(
            unsaved,
            "paint2image",
            paint=quantized.paint,
            quantize=True,
            scale=quantized.scale,
            observer=events.append,
        )
        assert any(isinstance(event, ScaleFinished) for event in events)
        np.testing.assert_array_equal(pixels_of(result), quantized.result)
        assert list(tmp_path.iterdir()) == []
        assert sorted(quantized.path.parent.iterdir()) == before

    @pytest.mark.slow
    def test_info_shows_the_kept_bundle(self, quantized: Quantized) -> None:
        done = subprocess.run([SCRIPT, "info", quantized.kept], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
        sizes = [(int(height), int(width)) for _, width, height, *_ in rows]
        assert tuple(sizes) == quantized.bundle.geometry.sizes


# Training one scale anew


Train = Callable[..., Bundle]


@pytest.fixture(scope="module")
def small(photo: Path, tiny_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train, in a moment, on a picture that is not resized for it; the fifth scale has more channels than the first."""
    pixels = read_picture(photo).pixels[20:40, 10:34]
    path = tmp_path_factory.mktemp("small") / "small.png"
    write_picture(Picture(np.ascontiguousarray(pixels)), path)
    quick = dict(factor=1.15, max_size=24, channels=4, max_channels=8, iterations=3, finest_iterations=3, crop=0)

    def train(**changes: Any) -> Bundle:
        return singan_toolkit.train(path, preset="draft", seed=4, device="cpu", **{**tiny_settings, **quick, **changes})

    return train


@pytest.mark.parametrize("noise_padding", ["zeros", "noise"])
@pytest.mark.parametrize("pool_pixels", [0, 20_000])
def test_a_scale_trained_anew_on_the_same_pictures_is_the_scale(
    small: Train, pool_pixels: int, noise_padding: str
) -> None:
    """Where no scale hands its weights on, training anew with what entered before comes to the same."""
    bundle = small(pool_pixels=pool_pixels, noise_padding=noise_padding)
    scale = [one.channels for one in bundle.manifest.scales].index(8)
    assert scale > 0
    seen = []

    def same(picture: Tensor) -> Tensor:
        seen.append(tuple(picture.shape))
        return picture

    again = retrain_scale(bundle, scale, same, device="cpu")
    assert seen
    assert {shape[1:] for shape in seen} == {(3, *bundle.geometry.sizes[scale])}
    assert max(shape[0] for shape in seen) > 1, "the samples are changed as well as the reconstruction"
    assert again.manifest.scales == bundle.manifest.scales
    for name, values in bundle.tensors.items():
        np.testing.assert_allclose(again.tensors[name], values, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("pool_pixels", [0, 20_000])
def test_a_scale_trained_anew_on_other_pictures_is_another(small: Train, pool_pixels: int) -> None:
    bundle = small(pool_pixels=pool_pixels)
    before = {name: values.copy() for name, values in bundle.tensors.items()}
    other = retrain_scale(bundle, 2, lambda picture: -picture, device="cpu")
    changed = {name for name, values in bundle.tensors.items() if not np.array_equal(values, other.tensors[name])}
    assert changed == {name for name in before if name.startswith("scales.2.")}
    assert other.manifest.scales[2].noise_amplitude > bundle.manifest.scales[2].noise_amplitude
    for name, values in bundle.tensors.items():
        np.testing.assert_array_equal(values, before[name], "the bundle itself stays as it was")


def test_every_scale_may_be_quantized_at_once(small: Train, tmp_path: Path) -> None:
    small(max_size=24, factor=2, pool_pixels=0).save(tmp_path / "s.sgb")
    bundle = Bundle.load(tmp_path / "s.sgb")
    top = len(bundle.geometry.sizes) - 1
    (tmp_path / "p").mkdir()
    output = run(bundle, "paint2image", paint=painted(tmp_path / "p" / "p.png"), quantize=True, scale="all")
    assert [result.label for result in output.results] == [f"scale {n}" for n in range(1, top + 1)]
    assert {path.name for path in tmp_path.glob("*.sgb")} == {
        "s.sgb",
        *(f"s.quantized-{n}.sgb" for n in range(1, top + 1)),
    }


# The palette


@settings(max_examples=60, deadline=None)
@given(
    colors=arrays.arrays(np.float32, st.tuples(st.integers(1, 7), st.just(3)), elements=st.floats(-1, 1, width=32)),
    picture=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 2), st.just(3), st.integers(1, 5), st.integers(1, 5)),
        elements=st.floats(-1.25, 1.25, width=32),
    ),
)
def test_every_pixel_gets_its_nearest_colour(colors: np.ndarray, picture: np.ndarray) -> None:
    quantized = Palette(torch.from_numpy(colors)).quantize(torch.from_numpy(picture)).numpy()
    assert quantized.shape == picture.shape
    pixels, drawn = (values.transpose(0, 2, 3, 1).reshape(-1, 3) for values in (picture, quantized))
    assert (drawn[:, None] == colors[None]).all(axis=-1).any(axis=1).all()
    nearest, _ = KDTree(colors).query(pixels)
    np.testing.assert_allclose(np.linalg.norm(drawn - pixels, axis=1), nearest, atol=1e-3)


def blotches(colors: Sequence[Sequence[int]], shares: Sequence[float], spread: float) -> np.ndarray:
    """(40, 50, 3), uint8: pixels scattered around some colours."""
    random = np.random.default_rng(3)
    which = random.choice(len(colors), (40, 50), p=shares)
    values = np.array(colors)[which] + random.normal(0, spread, (40, 50, 3))
    pixels: np.ndarray = np.clip(values.round(), 0, 255).astype(np.uint8)
    return pixels


MAIN = [(30, 40, 60), (200, 60, 50), (90, 180, 80), (240, 230, 200), (60, 90, 220)]


@pytest.mark.parametrize("shares", [[0.2] * 5, [0.4, 0.3, 0.15, 0.1, 0.05]])
def test_the_palette_holds_the_main_colours(shares: list[float]) -> None:
    found = (Palette.of_picture(blotches(MAIN, shares, 6), 5).colors.numpy() + 1) * 127.5
    distances = np.linalg.norm(found[:, None] - np.array(MAIN)[None], axis=-1)
    assert distances.min(axis=0).max() < 4
    assert distances.min(axis=1).max() < 4


def test_the_palette_is_about_as_good_as_the_best_of_many(tiny_bundle: Bundle) -> None:
    """Mean squared distance of the pixels to their colour, against k-means from many starts."""
    pixels = tiny_bundle.picture.reshape(-1, 3) / 127.5 - 1
    errors = []
    for seed in range(10):
        centers, _ = kmeans2(pixels, 5, minit="++", iter=50, seed=np.random.default_rng(seed))
        errors.append((KDTree(centers).query(pixels)[0] ** 2).mean())
    colors = Palette.of_picture(tiny_bundle.picture, 5).colors.numpy()
    assert (KDTree(colors).query(pixels)[0] ** 2).mean() < 1.5 * min(errors)


def test_the_palette_is_the_same_every_time(tiny_bundle: Bundle) -> None:
    first = Palette.of_picture(tiny_bundle.picture, 5).colors
    np.random.seed(1)
    torch.manual_seed(1)
    following = np.random.RandomState(1).uniform()
    assert torch.equal(Palette.of_picture(tiny_bundle.picture, 5).colors, first)
    assert np.random.uniform() == following, "the global random state is left alone"
    assert len(np.unique(first.numpy(), axis=0)) == 5


@settings(max_examples=40, deadline=None)
@given(
    colors=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=5, unique=True),
    more=st.integers(0, 3),
)
@pytest.mark.filterwarnings("error")
def test_a_picture_of_few_colours_keeps_them(colors: list[tuple[int, int, int]], more: int) -> None:
    rows, columns = np.mgrid[:6, :7]
    pixels = np.array(colors, np.uint8)[(rows * 7 + columns) ** 2 // 9 % len(colors)]
    palette = Palette.of_picture(pixels, len(colors) + more)
    assert len(palette.colors) <= len(colors)
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(palette.quantize(picture), picture, atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None)
@given(
    pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))),
    number=st.integers(1, 6),
)
@pytest.mark.filterwarnings("error")
def test_a_palette_has_as_many_colours_as_asked_or_as_there_are(pixels: np.ndarray, number: int) -> None:
    colors = Palette.of_picture(pixels, number).colors
    assert len(colors) == min(number, len(np.unique(pixels.reshape(-1, 3), axis=0)))
    assert colors.dtype == torch.float32
    assert colors.abs().max() <= 1
