"""``singan-tk train``."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import SCRIPT, Call, Done, assert_one_sentence, objects, started
from singan_toolkit import Bundle
from singan_toolkit.imaging.pictures import Picture, write_picture


@pytest.fixture(scope="session")
def tiny(tiny_settings: dict[str, Any]) -> list[str]:
    """Options of ``train`` that make it take less than a second."""
    settings = {**tiny_settings, "max_size": 16, "iterations": 2, "finest_iterations": 2, "pool_pixels": 0}
    return ["--preset=draft", "--device=cpu", *(f"--set={name}={value}" for name, value in settings.items())]


class Idle:
    """A worker that never gets anything."""

    job = None

    def give(self, *_: object) -> None:
        pass

    stop = give


class TestTrain:
    @pytest.mark.slow
    def test_in_a_pipe(self, process: Call, photo: Path, tiny: list[str], tmp_path: Path) -> None:
        done = process("train", photo, "-o", "a/b.sgb", *tiny)
        assert (done.status, done.out) == (0, "a/b.sgb\n")
        assert Bundle.load(tmp_path / "a" / "b.sgb").manifest.training.picture == photo.name
        assert re.match(r"training \d+ scales, \d+x\d+ to 16x13 pixels, on cpu in float32\n", done.err)
        assert len(re.findall(r"^scale \d of 0-\d \(\d+x\d+\): done in", done.err, re.MULTILINE)) >= 2
        assert "singan-tk run generate --bundle a/b.sgb" in done.err
        assert "\x1b" not in done.err
        assert "\r" not in done.err

    def test_json(self, tk: Call, photo: Path, tiny: list[str]) -> None:
        done = tk("train", photo, "-o", "b.sgb", "--json", *tiny)
        assert done.status == 0
        (result,) = objects(done.out)
        assert result["bundle"] == "b.sgb"
        assert result["scales"] == len(Bundle.load("b.sgb").geometry.sizes)
        told = [one["event"] for one in objects(done.err) if "event" in one]
        assert told[0] == "TrainingStarted"
        assert told.count("ScaleFinished") == result["scales"]

    def test_quiet(self, tk: Call, photo: Path, tiny: list[str]) -> None:
        assert tk("train", photo, "-o", "b.sgb", "--quiet", *tiny) == Done(0, "", "")
        assert Bundle.load("b.sgb").geometry.finest == (13, 16)

    def test_live_progress(self, tk: Call, photo: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        done = tk("train", photo, "-o", "b.sgb", *tiny)
        assert (done.status, done.out) == (0, "b.sgb\n")
        assert "left" in done.err
        assert "\x1b[" in done.err

    def test_default_target_is_beside_the_picture(self, tk: Call, photo: Path, tiny: list[str], tmp_path: Path) -> None:
        (tmp_path / "art").mkdir()
        picture = tmp_path / "art" / "my.photo.png"
        picture.write_bytes(photo.read_bytes())
        assert tk("train", picture, *tiny).out == f"{tmp_path / 'art' / 'my.photo.sgb'}\n"

    def test_existing_bundle(self, tk: Call, photo: Path, tiny: list[str], tmp_path: Path) -> None:
        target = tmp_path / "b.sgb"
        target.write_bytes(b"old")
        assert_one_sentence(tk("train", photo, "-o", target, *tiny), 2, "b.sgb exists", "--force")
        assert target.read_bytes() == b"old"
        assert tk("train", photo, "-o", target, "--force", *tiny).status == 0
        assert Bundle.load(target).geometry.finest == (13, 16)

    def test_max_size(self, tk: Call, photo: Path, tiny: list[str]) -> None:
        options = [option for option in tiny if "max_size" not in option]
        assert tk("train", photo, "-o", "b.sgb", "--max-size", "20", *options).status == 0
        assert Bundle.load("b.sgb").geometry.finest == (16, 20)

    @pytest.mark.parametrize("size", ["0", "-5", "5"])
    def test_max_size_out_of_range(self, tk: Call, photo: Path, tiny: list[str], size: str) -> None:
        options = [option for option in tiny if "max_size" not in option]
        done = tk("train", photo, "-o", "b.sgb", "--max-size", size, "--set", "factor=2", *options)
        assert done.status != 0
        assert not Path("b.sgb").exists()

    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            (["--set", "colour=3"], ["colour"]),
            (["--set", "iterations=many"], ["iterations", "integer"]),
            (["--set", "iterations=0"], ["iterations", "1"]),
            (["--set", "iterations"], ["iterations", "NAME=VALUE"]),
            (["--set", "=3"], ["NAME=VALUE"]),
            (["--set", "seed=3"], ["seed"]),
            (["--set", "preset=draft"], ["preset"]),
            (["--preset", "huge"], ["huge", "draft", "fast", "paper"]),
            (["--for", "painting"], ["painting", "paint2image"]),
            (["--seed", "x"], ["x", "seed"]),
        ],
    )
    def test_wrong_usage(self, tk: Call, photo: Path, tmp_path: Path, options: list[str], parts: list[str]) -> None:
        assert_one_sentence(tk("train", photo, "-o", "b.sgb", *options), 2, *parts)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("wrong", ["--colour", "--presett=draft"])
    def test_unknown_option(self, tk: Call, photo: Path, wrong: str) -> None:
        assert_one_sentence(tk("train", photo, wrong), 2, wrong.split("=")[0])

    def test_unknown_device(self, tk: Call, photo: Path) -> None:
        done = tk("train", photo, "-o", "b.sgb", "--device", "abacus")
        assert done.status == 1
        assert "error: device 'abacus' cannot be used here: give auto, cpu, cuda or mps" in done.err

    def test_missing_picture(self, tk: Call) -> None:
        assert_one_sentence(tk("train", "nowhere.png"), 1, "nowhere.png", "o such file")

    def test_not_a_picture(self, tk: Call, broken: Path) -> None:
        assert_one_sentence(tk("train", broken), 1, "broken.png")
        assert not broken.with_suffix(".sgb").exists()

    @pytest.mark.parametrize("several", [False, True])
    def test_threads(
        self, tk: Call, photo: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, several: bool
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(torch, "set_num_threads", asked.append)

        def worker(threads: int) -> Idle:
            asked.append(threads)
            return Idle()

        monkeypatch.setattr("singan_toolkit.batch.engines.Worker", worker)
        tk("train", photo, *[photo.parent] * several, "-o", "out" if several else "out.sgb", "--threads", "3", *tiny)
        assert asked[-1] == 3

    def test_no_threads(self, tk: Call, photo: Path) -> None:
        assert tk("train", photo, "-o", "out.sgb", "--threads", "0").status == 2

    def test_too_small(self, tk: Call, tmp_path: Path) -> None:
        write_picture(Picture(np.zeros((9, 70, 3), np.uint8)), tmp_path / "small.png")
        assert_one_sentence(tk("train", "small.png"), 1, "small.png", "70x9", "14")

    def test_a_target_that_cannot_be_written_is_told_before_training(
        self, tk: Call, photo: Path, tiny: list[str], tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_bytes(b"old")
        done = tk("train", photo, "-o", "file/b.sgb", *tiny)
        assert done.status == 2
        assert re.search(r"^[Ee]rror: .*file", done.err, re.MULTILINE)
        assert "scale 0" not in done.err

    def test_a_picture_in_grey(self, tk: Call, photo: Path, tiny: list[str], tmp_path: Path) -> None:
        Image.open(photo).convert("L").save(tmp_path / "grey.jpg")
        assert tk("train", "grey.jpg", *tiny).out == "grey.sgb\n"

    def test_error_as_json(self, tk: Call, broken: Path) -> None:
        done = tk("train", broken, "--json")
        assert (done.status, done.out) == (1, "")
        (told,) = objects(done.err)
        assert "broken.png" in told["error"]

    def test_wrong_usage_as_json(self, tk: Call, photo: Path, tmp_path: Path) -> None:
        (tmp_path / "b.sgb").write_bytes(b"old")
        done = tk("train", photo, "-o", "b.sgb", "--json")
        assert (done.status, done.out) == (2, "")
        (told,) = objects(done.err)
        assert "b.sgb exists" in told["error"]

    def test_quiet_still_tells_errors(self, tk: Call, broken: Path) -> None:
        assert_one_sentence(tk("train", broken, "--quiet"), 1, "broken.png")

    def test_settings_are_listed(self, tk: Call) -> None:
        done = tk("train", "--settings")
        assert done.status == 0
        rows = {name: rest for name, *rest in (line.split("\t") for line in done.out.splitlines())}
        assert rows["min_size"][:3] == ["14", "14", "25"]
        assert rows["iterations"][2] == "2000"
        assert all(len(row) == 4 and row[3] for row in rows.values())

    @pytest.mark.slow
    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_interrupted(self, photo: Path, tmp_path: Path) -> None:
        options = ["--preset=draft", "--device=cpu", "--set=iterations=100000"]
        training = started(tmp_path, SCRIPT, "train", photo, "-o", "b.sgb", *options)
        assert training.stderr is not None
        watchdog = threading.Timer(100, training.kill)
        watchdog.start()
        try:
            first = training.stderr.readline()
            training.send_signal(signal.SIGINT)
            out, err = training.communicate(timeout=60)
        finally:
            watchdog.cancel()
            training.kill()
        assert first.startswith("training ")
        assert training.returncode == 130
        assert out == ""
        assert "Traceback" not in err
        assert "interrupted" in err
        assert list(tmp_path.iterdir()) == []
