"""``singan-tk evaluate --suite``: the systems that ship, the comparison, and how it is told."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import singan_toolkit as st
from command_line import Call, Done, assert_one_sentence, objects
from singan_tk_systems import gpdm, gpnn
from singan_tk_systems.levels import levels
from singan_toolkit.evaluation.evaluate import Evaluation
from singan_toolkit.evaluation.report import means_table
from singan_toolkit.evaluation.suite import NOVELTY, Entry, means, shrunk_to, suite_pictures
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.measures.samples import novelty, patch_distances
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.system import System, problem_with_system
from test_plugins import install

QUICK = ["structure", "novelty"]
STRANGER = """
import numpy as np
from singan_toolkit import System, hookimpl


def rolled(picture, seed):
    return lambda strength, seed: np.roll(picture, int(strength), axis=1)


def refuses(picture, seed):
    raise ValueError("no luck today")


def narrow(picture, seed):
    return lambda strength, seed: picture[:, 1:]


def moody(picture, seed):
    if picture.mean() < 100:
        raise MemoryError
    return rolled(picture, seed)


@hookimpl
def singan_systems():
    return [
        System("rolled", (1, 9, 30), rolled),
        System("refuses", (1,), refuses),
        System("narrow", (1,), narrow),
        System("moody", (9,), moody),
        System("gpnn", (1,), rolled),
    ]
"""


@pytest.fixture
def real(photo: Path) -> np.ndarray:
    return np.asarray(read_picture(photo).pixels)


class TestNearestNeighbours:
    @pytest.mark.parametrize("strength", [4, 8, 12])
    def test_one_level_is_the_papers_formula_written_out(self, strength: float) -> None:
        """Equation (2) of Granot et al. with loops over patches, in float64."""
        coarse = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((17, 14), Image.Resampling.BICUBIC))
        places = [(y, x) for y in range(8) for x in range(11)]

        def patches(image: np.ndarray) -> np.ndarray:
            return np.stack([image[y : y + 7, x : x + 7] for y, x in places])

        noise = torch.randn(1, 1, 14, 17, generator=torch.Generator().manual_seed(5))[0, 0].numpy()
        values = patches(picture / 127.5 - 1)
        sample = picture / 127.5 - 1 + strength * noise[..., None].astype(np.float64)
        for _ in range(10):
            distances = ((patches(sample)[:, None] - values[None]) ** 2).mean(axis=(2, 3, 4))
            nearest = (distances / (0.005 + distances.min(axis=0))).argmin(axis=1)
            total, count = np.zeros_like(sample), np.zeros_like(sample)
            for (y, x), number in zip(places, nearest, strict=True):
                total[y : y + 7, x : x + 7] += values[number]
                count[y : y + 7, x : x + 7] += 1
            sample = total / count
        drawn = gpnn.prepare(picture)(strength, 5)
        assert np.abs(drawn - (sample + 1) * 127.5).max() < 0.51
        assert novelty(picture, drawn) > 0.1

    def test_without_noise_it_is_the_picture(self, real: np.ndarray) -> None:
        assert np.array_equal(gpnn.prepare(real)(0.0, 1), real)


class TestPatchDistributions:
    def test_a_sample_has_the_picture_s_patches_elsewhere(self, real: np.ndarray) -> None:
        small = np.ascontiguousarray(real[:30, 10:45])
        drawn = gpdm.prepare(small)(1.5, 3)
        start = levels(small, 28, 1 / 0.85)[0]
        noise = np.random.default_rng(0).normal(0, 1.5 * 127.5, start.shape[-2:])[..., None]
        noisy = np.clip(small[: start.shape[-2], : start.shape[-1]] + noise, 0, 255).astype(np.uint8)
        assert patch_distances(small, [drawn])[0] < patch_distances(small, [noisy])[0] / 5
        assert novelty(small, drawn) > 0.2

    def test_the_step_goes_down_the_distance_of_sorted_projections(self) -> None:
        """What is learned in one step is against the gradient that autograd finds through sorting itself."""
        picture = np.random.default_rng(2).integers(0, 256, (20, 22, 3), np.uint8)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gpdm, "STEPS", 1)
            drawn = gpdm.prepare(picture)(0.2, 4)
        real = levels(picture, 28, 1 / 0.85)[-1]
        noise = torch.randn(1, 1, 20, 22, generator=torch.Generator().manual_seed(4))
        sample = (real + 0.2 * noise).requires_grad_()
        directions = torch.randn(256, 3, 7, 7, generator=torch.Generator().manual_seed(4))
        directions /= directions.std(dim=(1, 2, 3), keepdim=True)

        def projected(image: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.unfold(image, 7)[0].T @ directions.flatten(1).T

        loss = (projected(sample).sort(dim=0).values - projected(real).sort(dim=0).values).square().mean()
        (gradient,) = torch.autograd.grad(loss, sample)
        moved = (sample.detach() - 0.05 * gradient.sign()).clamp(
            -1, 1
        )  # Adam's first step is its rate, whatever the size
        expected = ((moved[0] + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.quantile(np.abs(drawn - expected), 0.99) < 0.6


def test_levels_grow_from_the_coarsest_to_the_picture(real: np.ndarray) -> None:
    sizes = [tuple(one.shape[-2:]) for one in levels(real, 14, 4 / 3)]
    assert sizes[0] == (14, 18)
    assert sizes[-1] == real.shape[:2] == (48, 60)
    assert all(1.2 < after[0] / before[0] < 1.5 for before, after in pairwise(sizes))
    assert [tuple(one.shape[-2:]) for one in levels(real[:10], 14, 4 / 3)] == [(10, 60)]


@pytest.mark.parametrize("name", ["gpnn", "gpdm"])
def test_the_same_seed_draws_the_same(name: str, real: np.ndarray) -> None:
    small = np.ascontiguousarray(real[:30, :30])
    system = installed_plugins().systems[name]
    one, same, other = (system.prepare(small, 0)(system.strengths[1], seed) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def nothing(picture: np.ndarray, seed: int) -> Callable[[float, int], np.ndarray]:
    raise AssertionError


class TestHook:
    @pytest.mark.parametrize(
        ("system", "words"),
        [
            ("x", "is not a singan_toolkit.System"),
            (System("Bad Name", (1,), nothing), "needs a name of lower case words"),
            (System("none", (), nothing), "one strength or more"),
            (System("text", ("a",), nothing), "each a number"),  # type: ignore[arg-type]
            (System("idle", (1,), None), "needs a function"),  # type: ignore[arg-type]
        ],
    )
    def test_what_cannot_serve_is_told(self, system: object, words: str) -> None:
        assert words in (problem_with_system(system) or "")

    def test_those_that_ship_can(self) -> None:
        systems = installed_plugins().systems
        assert list(systems)[:4] == ["fast", "draft", "gpnn", "gpdm"]
        assert not any(map(problem_with_system, systems.values()))


@pytest.fixture
def stranger(tmp_path: Path, process: Call) -> Callable[..., Done]:
    """Run ``singan-tk`` where somebody's systems are installed."""
    install(tmp_path / "site", "stranger", "1.0", {"stranger": "stranger_systems"}, {"stranger_systems": STRANGER})
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    return lambda *words: process(*words, PYTHONPATH=path)


def rows(done: Done) -> dict[tuple[str, str, str], float]:
    return {(one["picture"], one["system"], one["measure"]): one["value"] for one in objects(done.out)}


class TestCommand:
    def test_each_system_is_measured_at_the_strength_that_comes_nearest(
        self, tk: Call, photo: Path, real: np.ndarray, tmp_path: Path
    ) -> None:
        how = ["--systems", "gpnn", "--real", photo, "-n", "3", "--seed", "2", "--measures", "structure"]
        done = tk("evaluate", "--suite", *how, "--json", "--report", "suite.html")
        assert done.status == 0, done.err
        found = rows(done)
        system = installed_plugins().systems["gpnn"]
        draw = system.prepare(real, 2)
        missed = [
            abs(np.mean([novelty(real, draw(one, seed)) for seed in (2, 3)]) - NOVELTY) for one in system.strengths
        ]
        chosen = system.strengths[int(np.argmin(missed))]
        assert found[str(photo), "gpnn", "strength"] == chosen
        expected = st.evaluate(real, [draw(chosen, seed) for seed in (2, 3, 4)], QUICK)
        for name, value in expected.items():
            assert found[str(photo), "gpnn", name] == found["mean", "gpnn", name] == pytest.approx(value)
        assert found[str(photo), "gpnn", "sample_seconds"] > 0
        assert 50 < found[str(photo), "gpnn", "memory_mib"] < 4000
        page = (tmp_path / "suite.html").read_text()
        assert page.count("<img") == 1 + 3
        assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page) == []

    def test_a_preset_is_trained_and_drawn_with(self, tk: Call, photo: Path) -> None:
        how = ["--systems", "draft", "--real", photo, "--max-size", "32", "-n", "2", "--measures", "novelty", "--json"]
        done = tk("evaluate", "--suite", *how)
        assert done.status == 0, done.err
        found = rows(done)
        small = shrunk_to(read_picture(photo), 32)
        assert small.size == (26, 32)
        bundle = st.train(small, preset="draft", seed=0, device="cpu")
        strength = found[str(photo), "draft", "strength"]
        drawn = bundle.run("generate", count=2, seed=0, variety=(strength,), device="cpu")
        expected = st.evaluate(small, drawn, ["novelty"])["novelty"]
        assert found[str(photo), "draft", "novelty"] == pytest.approx(expected, rel=0.05)

    def test_a_stranger_s_system_costs_its_own_rows_at_most(
        self, stranger: Callable[..., Done], real: np.ndarray, tmp_path: Path
    ) -> None:
        (tmp_path / "reals").mkdir()
        write_picture(Picture(real), tmp_path / "reals" / "bright.png")
        write_picture(Picture(real // 3), tmp_path / "reals" / "dark.png")
        names = "rolled,refuses,narrow,moody"
        done = stranger("evaluate", "--suite", "--systems", names, "--real", "reals", "--measures", "novelty", "--json")
        assert done.status == 3
        assert "refuses failed on reals/bright.png: unexpected ValueError: no luck today" in done.err
        assert "narrow failed on reals/dark.png" in done.err
        assert "moody failed on reals/dark.png: memory does not suffice" in done.err
        found = rows(done)
        moved = {strength: novelty(real, np.roll(real, strength, axis=1)) for strength in (1, 9, 30)}
        nearest = min(moved, key=lambda strength: abs(moved[strength] - NOVELTY))
        assert found["reals/bright.png", "rolled", "strength"] == nearest
        assert found["mean", "rolled", "novelty"] == pytest.approx(moved[nearest])
        assert {system for picture, system, _ in found if picture == "mean"} == {"rolled", "moody"}
        assert ("reals/dark.png", "moody", "novelty") not in found
        listed = stranger("plugins").out
        assert "system rolled, system refuses" in listed
        assert "system gpnn is already provided by another plugin" in listed

    def test_nothing_but_failures(self, stranger: Callable[..., Done], photo: Path) -> None:
        done = stranger("evaluate", "--suite", "--systems", "refuses", "--real", photo, "--report", "x.html")
        assert done.status == 1
        assert done.out == ""
        assert "no luck today" in done.err

    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            (["--suite", "a.png"], ["leave out SAMPLES"]),
            (["--suite", "--bundle", "x.sgb"], ["leave out SAMPLES and --bundle"]),
            (["--suite", "--systems", "gpn"], ["there is no system 'gpn': did you mean gpnn?"]),
            (["--suite", "--systems", ""], ["there is no system ''"]),
            (["--suite", "--systems", "gpnn", "--measures", "swt"], ["did you mean swd"]),
            (["--suite", "--real", "nothing"], ["nothing"]),
            (["--suite", "--report", "photo.png/x.html"], ["cannot write"]),
            (["--bundle", "x.sgb", "--systems", "gpnn"], ["--systems is for --suite"]),
            (["--bundle", "x.sgb", "--max-size", "64"], ["--max-size is for --suite"]),
        ],
    )
    def test_wrong_usage_is_told_before_the_work(
        self, words: list[str], parts: list[str], tk: Call, tmp_path: Path
    ) -> None:
        (tmp_path / "photo.png").write_bytes(b"")
        assert_one_sentence(tk("evaluate", *words), 2, *parts)


def entry(system: str, picture: str, value: float, memory: float | None, said: float = 0.8) -> Entry:
    real = Picture(np.zeros((30, 30, 3), np.uint8), picture)
    return Entry(system, 1.0, value, value, memory, Evaluation(real, [real], {"novelty": [said], "swd": [value]}))


def told(entries: Sequence[Entry]) -> dict[str, list[str]]:
    of, names = means(entries)
    _, table = means_table(of, len(names))
    return {name: cells for name, *cells in table}


class TestMeans:
    def test_they_are_over_the_pictures_that_all_systems_did(self) -> None:
        entries = [entry("a", "1", 2, 10), entry("b", "1", 5, None), entry("a", "2", 100, 99), entry("a", "3", 4, 30)]
        entries += [entry("b", "3", 6, None, 0.4)]
        of, names = means(entries)
        assert names == ["1", "3"]
        assert told(entries) == {
            "prepare, s": ["3.0", "5.5"],
            "a sample, s": ["3", "5.5"],
            "most memory, MiB": ["30", "-"],
            "novelty within 0.25 of 0.75": ["2 of 2", "1 of 2"],
            "novelty (higher is better)": ["0.8", "0.6"],
            "swd (lower is better)": ["3", "5.5"],
        }
        assert of["a"].values["swd"] == 3

    def test_where_there_is_no_such_picture_there_are_none(self) -> None:
        assert means([entry("a", "1", 2, 10), entry("b", "2", 5, 3)]) == ({}, [])


def test_the_pictures_of_the_suite_are_on_every_machine() -> None:
    sizes = [read_picture(path).size for path in suite_pictures()]
    assert len(sizes) == 6
    assert all(min(size) >= 300 for size in sizes)


@pytest.mark.parametrize(("size", "words"), [((60, 20), "60x20 pixels, and 24 are needed"), ((60, 48), "of one grey")])
def test_a_picture_that_cannot_be_measured_is_told_before_the_work(
    tk: Call, tmp_path: Path, size: tuple[int, int], words: str
) -> None:
    width, height = size
    write_picture(Picture(np.full((height, width, 3), 90, np.uint8)), tmp_path / "flat.png")
    assert_one_sentence(tk("evaluate", "--suite", "--systems", "gpnn", "--real", "flat.png", "--quiet"), 1, words)
