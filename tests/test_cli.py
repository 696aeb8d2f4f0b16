"""The command line: what goes to which stream, exit status, and what is said about mistakes.

Most tests call the entry point in this process; those about processes, signals and imports start ``singan-tk``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from singan_toolkit import Bundle, Result
from singan_toolkit.cli import main
from singan_toolkit.cli.console import Console
from singan_toolkit.cli.output import write_results
from singan_toolkit.imaging.pictures import Picture, read_picture, write_picture

SCRIPT = Path(sys.executable).with_name("singan-tk")


@dataclass(frozen=True)
class Done:
    """How a command ended: exit status, stdout, stderr."""

    status: int
    out: str
    err: str


Call = Callable[..., Done]


def environment() -> dict[str, str]:
    rich = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in rich}
    return {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


@pytest.fixture
def tk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the entry point in this process, with an empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["singan-tk", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    return call


@pytest.fixture
def process(tmp_path: Path) -> Call:
    """Start ``singan-tk``."""

    def call(*arguments: str | Path) -> Done:
        done = subprocess.run(
            [SCRIPT, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def tiny(tiny_settings: dict[str, Any]) -> list[str]:
    """Options of ``train`` that make it take less than a second."""
    settings = {**tiny_settings, "max_size": 16, "iterations": 2, "finest_iterations": 2, "pool_pixels": 0}
    return ["--preset=draft", "--device=cpu", *(f"--set={name}={value}" for name, value in settings.items())]


@pytest.fixture
def cutout(tmp_path: Path) -> Path:
    pixels = np.zeros((12, 12, 4), np.uint8)
    pixels[2:10, 2:10] = 250, 20, 20, 255
    path = tmp_path / "cutout.png"
    write_picture(Picture(pixels), path)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.png"
    path.write_text("no picture")
    return path


def objects(text: str) -> list[dict[str, Any]]:
    """Lines of JSON, each an object."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(one, dict) for one in found)
    return found


def assert_one_sentence(done: Done, status: int, *parts: str) -> None:
    """Nothing on stdout, and on stderr one line, which has these parts, after Click's usage lines if any."""
    assert done.status == status, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    said = re.findall(r"^[Ee]rror: (.*)$", done.err, re.MULTILINE)
    assert len(said) == 1, done.err
    for part in parts:
        assert part in said[0]
    assert done.err.rstrip().endswith(said[0])


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
        assert done.status in (1, 2)
        assert re.search("^[Ee]rror: .*abacus", done.err, re.MULTILINE)

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

        monkeypatch.setattr("singan_toolkit.batch.train_many.Worker", worker)
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
        assert done.status in (1, 2)
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
        # Where this process was started to ignore interrupts, its children would too.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        training = subprocess.Popen(
            [str(SCRIPT), "train", str(photo), "-o", "b.sgb", *options],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, handler)
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


class TestTraceback:
    def test_only_when_asked_for(self, process: Call, broken: Path) -> None:
        assert_one_sentence(process("info", broken), 1, "broken.png")
        asked = process("info", broken, "--traceback")
        assert asked.status == 1
        assert asked.out == ""
        assert "Traceback (most recent call last)" in asked.err
        assert "BundleError" in asked.err


class TestRun:
    @pytest.mark.slow
    def test_into_a_folder(self, process: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        done = process("run", "generate", "--bundle", tiny_bundle_path, "-n", "3", "--seed", "5", "-o", "out")
        names = [f"out/photo-generate-000{n}.png" for n in (5, 6, 7)]
        assert done == Done(0, "".join(f"{name}\n" for name in names), "")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [Path(name).name for name in names]
        assert {read_picture(tmp_path / name).size for name in names} == {(32, 40)}

    def test_one_file(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path, "-o", "a/x.webp") == Done(0, "a/x.webp\n", "")
        assert read_picture("a/x.webp").size == (32, 40)

    def test_default_names(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path).out == "photo-generate.png\n"
        several = tk("run", "generate", "-b", tiny_bundle_path, "-n", "2").out.splitlines()
        assert several == ["photo-generate/photo-generate-0000.png", "photo-generate/photo-generate-0001.png"]
        assert all(Path(name).is_file() for name in several)

    def test_an_existing_folder_gets_a_single_picture(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        done = tk("run", "generate", "-b", tiny_bundle_path, "-o", "out")
        assert done.out == "out/photo-generate-0000.png\n"
        assert (tmp_path / done.out.strip()).is_file()

    def test_the_same_seed_writes_the_same(self, tk: Call, tiny_bundle_path: Path) -> None:
        for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
            assert tk("run", "generate", "-b", tiny_bundle_path, "--seed", str(seed), "-o", name).status == 0
        assert Path("a.png").read_bytes() == Path("b.png").read_bytes() != Path("c.png").read_bytes()

    def test_several_into_one_file(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-n", "2", "-o", "x.png")
        assert_one_sentence(done, 2, "2 pictures", "x.png", "--sheet")
        assert list(tmp_path.iterdir()) == []

    def test_sheet(self, tk: Call, tiny_bundle_path: Path) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-n", "3", "--sheet", "-o", "x.png")
        assert done == Done(0, "x.png\n", "")
        height, width = read_picture("x.png").size
        assert height > 2 * 32
        assert width > 2 * 40
        assert tk("run", "generate", "-b", tiny_bundle_path, "-n", "2", "--sheet").out == "photo-generate-sheet.png\n"

    def test_json(self, tk: Call, tiny_bundle_path: Path) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-n", "2", "-o", "out", "--json")
        assert done.status == 0
        found = objects(done.out)
        assert [one["task"] for one in found] == ["generate"] * 2
        assert all(Path(one["picture"]).is_file() for one in found)
        assert done.err == ""

    def test_quiet(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path, "-o", "x.png", "-q") == Done(0, "", "")
        assert Path("x.png").is_file()

    @pytest.mark.parametrize("folder", [":a:", "[red]", "two  words", "tab\tbed", "\u00fcml\u00e4ut", "x" * 120])
    def test_paths_are_printed_as_they_are(self, tk: Call, tiny_bundle_path: Path, folder: str) -> None:
        assert tk("run", "generate", "-b", tiny_bundle_path, "-o", f"{folder}/x.png").out == f"{folder}/x.png\n"

    @pytest.mark.parametrize("name", ["x.gif", "x.sgb"])
    def test_unknown_ending(self, tk: Call, tiny_bundle_path: Path, name: str) -> None:
        done = tk("run", "generate", "-b", tiny_bundle_path, "-o", name)
        assert_one_sentence(done, 2, name, ".png")

    def test_missing_bundle(self, tk: Call) -> None:
        assert_one_sentence(tk("run", "generate", "-b", "no.sgb"), 1, "no.sgb", "o such file")
        assert_one_sentence(tk("run", "generate"), 2, "--bundle")

    def test_damaged_bundle(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path) -> None:
        content = tiny_bundle_path.read_bytes()
        (tmp_path / "cut.sgb").write_bytes(content[: len(content) // 2])
        assert_one_sentence(tk("run", "generate", "-b", "cut.sgb"), 1, "cut.sgb")
        assert [path.name for path in tmp_path.iterdir()] == ["cut.sgb"]

    @pytest.mark.parametrize(
        ("options", "part"),
        [
            (["--count", "0"], "--count"),
            (["--start-scale", "99"], "scale 99"),
            (["--start-scale", "1", "--width", "80"], "start scale"),
            (["--scale", "2"], "--scale"),
            (["--colour", "red"], "--colour"),
        ],
    )
    def test_wrong_options(self, tk: Call, tiny_bundle_path: Path, options: list[str], part: str) -> None:
        assert_one_sentence(tk("run", "generate", "-b", tiny_bundle_path, *options), 2, part)
        assert list(Path.cwd().iterdir()) == []

    def test_lists_tasks(self, tk: Call) -> None:
        done = tk("run")
        assert (done.status, done.err) == (0, "")
        assert re.search(r"generate +Draw new pictures", done.out)
        assert re.search(r"harmonize +Blend pasted objects", done.out)

    def test_unknown_task(self, tk: Call, tiny_bundle_path: Path) -> None:
        assert_one_sentence(tk("run", "painting", "-b", tiny_bundle_path), 2, "painting")


class TestHarmonize:
    @pytest.fixture
    def harmonize(self, tk: Call, tiny_bundle_path: Path) -> Call:
        return lambda *arguments: tk("run", "harmonize", "-b", tiny_bundle_path, "--as-trained", *arguments)

    @pytest.fixture
    def composite(self, tmp_path: Path) -> tuple[Path, Path]:
        pixels = np.random.default_rng(0).integers(0, 65535, (50, 64, 3), np.uint16)
        mask = np.zeros((50, 64, 1), np.uint8)
        mask[20:30, 30:42] = 255
        write_picture(Picture(pixels), tmp_path / "composite.tif")
        write_picture(Picture(mask), tmp_path / "mask.png")
        return tmp_path / "composite.tif", tmp_path / "mask.png"

    def test_paste(self, harmonize: Call, cutout: Path, tiny_bundle: Bundle) -> None:
        done = harmonize("--paste", cutout, "--at", "100%,0%", "--size", "25%", "-o", "x.png")
        assert done == Done(0, "x.png\n", "")
        changed = read_picture("x.png").pixels
        assert (changed[:8, 32:] != tiny_bundle.picture[:8, 32:]).any(axis=-1).mean() > 0.9
        np.testing.assert_array_equal(changed[12:], tiny_bundle.picture[12:])

    def test_composite_keeps_depth_and_surroundings(self, harmonize: Call, composite: tuple[Path, Path]) -> None:
        done = harmonize("--composite", composite[0], "--mask", composite[1], "--scale", "2")
        assert done == Done(0, "photo-harmonize.png\n", "")
        before, after = (read_picture(path).pixels for path in (composite[0], Path("photo-harmonize.png")))
        assert after.dtype == np.uint16
        np.testing.assert_array_equal(after[:, :26], before[:, :26])
        assert (after[20:30, 30:42] != before[20:30, 30:42]).any(axis=-1).mean() > 0.9

    @pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint16), (2, np.uint16), (4, np.uint16), (2, np.uint8)])
    def test_the_default_file_can_hold_the_result(
        self, harmonize: Call, tmp_path: Path, channels: int, dtype: Any
    ) -> None:
        pixels = np.random.default_rng(0).integers(0, 200, (32, 40, channels), dtype)
        mask = np.zeros((32, 40, 1), np.uint8)
        mask[10:20, 10:20] = 255
        write_picture(Picture(pixels), tmp_path / "composite.tif")
        write_picture(Picture(mask), tmp_path / "mask.png")
        done = harmonize("--composite", "composite.tif", "--mask", "mask.png")
        assert done.status == 0, done.err
        after = read_picture(done.out.strip()).pixels
        assert (after.shape, after.dtype) == (pixels.shape, dtype)

    def test_sixteen_bits_do_not_fit_into_jpeg(self, harmonize: Call, composite: tuple[Path, Path]) -> None:
        done = harmonize("--composite", composite[0], "--mask", composite[1], "-o", "x.jpg")
        assert_one_sentence(done, 1, "16 bits", ".tif")
        assert not Path("x.jpg").exists()

    def test_all_scales_on_a_sheet(self, harmonize: Call, cutout: Path) -> None:
        done = harmonize("--paste", cutout, "--scale", "all")
        assert done == Done(0, "photo-harmonize-sheet.png\n", "")
        height, width = read_picture("photo-harmonize-sheet.png").size
        assert height > 2 * 32
        assert width > 2 * 40

    def test_auto_tells_which(self, harmonize: Call, cutout: Path) -> None:
        done = harmonize("--paste", cutout, "--scale", "auto", "-o", "x.png")
        assert (done.status, done.out) == (0, "x.png\n")
        assert re.match(r"chose scale [1-4], ", done.err)
        noted = harmonize("--paste", cutout, "--scale", "auto", "-o", "x.png", "--json")
        assert [list(one) for one in objects(noted.err)] == [["note"]]
        assert harmonize("--paste", cutout, "--scale", "auto", "-o", "x.png", "--quiet").err == ""

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--mask", "{mask}"],
            ["--composite", "{composite}"],
            ["--paste", "{cutout}", "--composite", "{composite}", "--mask", "{mask}"],
            ["--composite", "{composite}", "--mask", "{mask}", "--background", "{composite}"],
            ["--paste", "{cutout}", "--scale", "99"],
            ["--paste", "{cutout}", "--scale", "coarse"],
            ["--paste", "{cutout}", "--at", "nowhere"],
            ["--paste", "{cutout}", "--size", "huge"],
            ["--paste", "{cutout}", "--feather", "-1"],
        ],
    )
    def test_wrong_options(
        self, harmonize: Call, cutout: Path, composite: tuple[Path, Path], options: list[str]
    ) -> None:
        names = {"cutout": cutout, "composite": composite[0], "mask": composite[1]}
        assert_one_sentence(harmonize("-o", "x.png", *(option.format(**names) for option in options)), 2)
        assert not Path("x.png").exists()

    def test_a_picture_that_is_none(self, harmonize: Call, cutout: Path, broken: Path) -> None:
        assert_one_sentence(harmonize("--paste", broken), 1, "broken.png")
        assert_one_sentence(harmonize("--paste", "nowhere.png"), 1, "nowhere.png")
        assert_one_sentence(harmonize("--paste", cutout, "--mask", broken), 1, "broken.png")

    def test_no_transparency(self, harmonize: Call, photo: Path) -> None:
        assert_one_sentence(harmonize("--paste", photo), 1, photo.name, "transparency", "mask")


class TestWriteResults:
    def test_pictures_without_labels_do_not_replace_each_other(self, tmp_path: Path) -> None:
        pictures = [Picture(np.full((4, 5, 3), value, np.uint8)) for value in (10, 20, 30)]
        paths = list(write_results([Result(picture) for picture in pictures], tmp_path / "out", "x", False))
        assert len(set(paths)) == 3
        assert [read_picture(path).pixels.max() for path in paths] == [10, 20, 30]

    def test_pictures_of_one_label_do_not_replace_each_other(self, tmp_path: Path) -> None:
        pictures = [Picture(np.full((4, 5, 3), value, np.uint8)) for value in (10, 20)]
        paths = list(write_results([Result(picture, "same") for picture in pictures], tmp_path / "out", "x", False))
        assert [read_picture(path).pixels.max() for path in paths] == [10, 20]

    def test_several_into_one_file(self, tmp_path: Path) -> None:
        results = [Result(Picture(np.zeros((4, 5, 3), np.uint8)), label) for label in "ab"]
        with pytest.raises(ValueError, match="2 pictures"):
            list(write_results(results, tmp_path / "x.png", "x", False))
        assert list(write_results(results, tmp_path / "x.png", "x", True)) == [tmp_path / "x.png"]


class TestInfo:
    def test_plain(self, tk: Call, tiny_bundle: Bundle, tiny_bundle_path: Path) -> None:
        done = tk("info", tiny_bundle_path)
        assert (done.status, done.err) == (0, "")
        assert str(tiny_bundle_path) in done.out
        assert tiny_bundle.manifest.training.picture in done.out
        rows = [line.split("\t") for line in done.out.splitlines() if "\t" in line]
        sizes = [(int(height), int(width)) for _, width, height, *_ in rows[: len(tiny_bundle.geometry.sizes)]]
        assert tuple(sizes) == tiny_bundle.geometry.sizes

    def test_json(self, tk: Call, tiny_bundle: Bundle, tiny_bundle_path: Path) -> None:
        done = tk("info", tiny_bundle_path, "--json")
        (found,) = objects(done.out)
        assert done.err == ""
        assert found["training"] == tiny_bundle.manifest.training.model_dump()
        assert [(scale["height"], scale["width"]) for scale in found["scales"]] == list(tiny_bundle.geometry.sizes)

    def test_image(self, tk: Call, tiny_bundle: Bundle, tiny_bundle_path: Path) -> None:
        done = tk("info", tiny_bundle_path, "--image", "x.png")
        assert done.status == 0
        assert "x.png" in done.err
        both = read_picture("x.png").pixels
        height, width = tiny_bundle.geometry.finest
        assert both.shape == (height, 2 * width, 3)
        np.testing.assert_array_equal(both[:, :width], tiny_bundle.picture)
        assert (both[:, width:] != tiny_bundle.picture).any()

    @pytest.mark.parametrize("damage", ["byte", "cut", "text", "empty", "missing"])
    def test_damaged(self, tk: Call, tiny_bundle_path: Path, tmp_path: Path, damage: str) -> None:
        content = bytearray(tiny_bundle_path.read_bytes())
        content[-100] ^= 1
        damaged = {"byte": bytes(content), "cut": bytes(content[:-7]), "text": b"no bundle at all", "empty": b""}
        if damage in damaged:
            (tmp_path / "x.sgb").write_bytes(damaged[damage])
        assert_one_sentence(tk("info", "x.sgb"), 1, "x.sgb")
        (told,) = objects(tk("info", "x.sgb", "--json").err)
        assert "x.sgb" in told["error"]


class TestListing:
    def test_tasks(self, tk: Call) -> None:
        rows = [line.split("\t") for line in tk("tasks").out.splitlines()]
        ours = f"singan-toolkit {version('singan-toolkit')}"
        assert ["generate", "Draw new pictures with the same textures and objects, from noise", ours] in rows
        found = objects(tk("tasks", "--json").out)
        assert [list(one.values()) for one in found] == rows

    def test_plugins(self, tk: Call) -> None:
        done = tk("plugins", "--json")
        assert done.status == 0
        states = {one["plugin"]: one["state"] for one in objects(done.out)}
        assert states["generate"] == states["harmonize"] == "ok"

    def test_table_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "100")
        Console().rows("Plugins", ("plugin", "state"), [("x", "skipped: pip install [extra] [/]"), ("y", "a:b:c")])
        out = capsys.readouterr().out
        assert "skipped: pip install [extra] [/]" in out
        assert "a:b:c" in out

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_reader_that_goes_away(self, unbuffered: str) -> None:
        read, write = os.pipe()
        os.close(read)
        buffering = environment() | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run([SCRIPT, "tasks"], stdout=write, stderr=subprocess.PIPE, env=buffering, text=True)
        os.close(write)
        assert done.stderr == ""


class TestStreams:
    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
    def test_closed(self, closed: str) -> None:
        command = f"'{SCRIPT}' tasks {closed}"
        done = subprocess.run(["sh", "-c", command], env=environment(), capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        "color", [{"FORCE_COLOR": "1"}, {"FORCE_COLOR": "0"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]
    )
    def test_no_variable_makes_a_terminal_of_a_pipe(self, color: dict[str, str]) -> None:
        done = subprocess.run([SCRIPT, "tasks"], env=environment() | color, capture_output=True, text=True)
        assert done.stdout.startswith("animate\t")
        assert "\x1b" not in done.stdout

    def test_names_that_cannot_be_printed(self, tiny_bundle_path: Path, tmp_path: Path) -> None:
        command = [str(SCRIPT), "run", "generate", "-b", str(tiny_bundle_path), "-o", "\u65e5.png"]
        env = environment() | {"PYTHONIOENCODING": "cp1252"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
        assert done.stdout.split() == [b"?.png"]
        assert read_picture(tmp_path / "\u65e5.png").size == (32, 40)

    def test_a_picture_from_stdin_and_to_stdout(self, cutout: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
        command = [
            str(SCRIPT),
            "run",
            "harmonize",
            "--as-trained",
            "-b",
            str(tiny_bundle_path),
            "--paste",
            "-",
            "-o",
            "-",
        ]
        given = cutout.read_bytes()
        done = subprocess.run(command, cwd=tmp_path, env=environment(), input=given, capture_output=True, check=True)
        assert done.stdout.startswith(b"\x89PNG")
        assert list(tmp_path.iterdir()) == [cutout]


class TestTargets:
    def test_what_is_named_is_replaced_and_what_is_not_stays(self, tk: Call, tiny_bundle_path: Path) -> None:
        generate = ["run", "generate", "-b", tiny_bundle_path]
        for name in ("x.png", "photo-generate.png"):
            Path(name).write_bytes(b"old")
        assert tk(*generate, "-o", "x.png").out == "x.png\n"
        assert read_picture("x.png").size == (32, 40)
        assert tk(*generate).out == "photo-generate-2.png\n"
        assert Path("photo-generate.png").read_bytes() == b"old"
        assert tk(*generate, "--force").out == "photo-generate.png\n"
        assert read_picture("photo-generate.png").size == (32, 40)

    def test_a_slash_says_that_it_is_a_folder(self, tk: Call, tiny_bundle_path: Path) -> None:
        generate = ["run", "generate", "-b", tiny_bundle_path]
        assert tk(*generate, "-o", "a.png/").out == "a.png/photo-generate-0000.png\n"
        assert_one_sentence(tk(*generate, "-o", "results.v2"), 2, "results.v2/")
        assert tk(*generate, "-o", "results.v2/").out == "results.v2/photo-generate-0000.png\n"
        assert_one_sentence(tk(*generate, "-n", "2", "-o", "-"), 2, "folder")

    def test_an_input_is_not_replaced(self, tk: Call, photo: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
        (tmp_path / "link.png").symlink_to(photo)
        before = photo.read_bytes()
        super_resolution = ["run", "super-resolution", "-b", tiny_bundle_path, "--picture", photo]
        assert_one_sentence(tk(*super_resolution, "-o", "link.png"), 2, "link.png", "is read")
        assert photo.read_bytes() == before

    @pytest.mark.parametrize("name", ["x" * 300 + ".png", "file/x.png"])
    def test_what_cannot_be_written_is_told(self, tk: Call, tiny_bundle_path: Path, name: str) -> None:
        Path("file").write_bytes(b"")
        assert_one_sentence(tk("run", "generate", "-b", tiny_bundle_path, "-o", name), 2, "cannot write")


class TestConsole:
    @pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\u202e", "\x9b", "\r"])
    def test_nothing_steers_a_terminal(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console()
        for told in (console.result, console.note, console.error):
            told(text)
        console.rows("x", ["x"], [[text]])
        shown = text.encode("unicode_escape").decode()
        assert capsys.readouterr() == (f"{shown}\n{shown}\n", f"{shown}\nerror: {shown}\n")

    @pytest.mark.parametrize("text", ["plain", "[red]x[/red]", "\\[b]x", "a:b:c", "C:\\new\\", "[/]"])
    def test_text_is_told_as_it_is(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console()
        console.result(text)
        console.note(text)
        console.error(text)
        out, err = capsys.readouterr()
        assert out == f"{text}\n"
        assert err == f"{text}\nerror: {text}\n"


HELP = [
    [],
    ["--help"],
    ["-h"],
    ["--version"],
    ["train", "--help"],
    ["train", "--settings"],
    ["run"],
    ["run", "--help"],
    ["run", "generate", "--help"],
    ["run", "harmonize", "-h"],
    ["info", "--help"],
    ["tasks"],
    ["plugins", "--json"],
]


class TestStart:
    def test_help_and_lists_import_no_torch(self) -> None:
        source = f"""
import sys
from singan_toolkit.cli import main

for arguments in {HELP[1:]}:
    sys.argv = ["singan-tk", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{{arguments}} ended with {{end.code}}")
    if "torch" in sys.modules:
        sys.exit(f"{{arguments}} imported torch")
"""
        done = subprocess.run([sys.executable, "-c", source], env=environment(), capture_output=True, text=True)
        assert done.stderr == ""
        assert done.returncode == 0

    @pytest.mark.parametrize("arguments", HELP, ids=" ".join)
    def test_no_error(self, tk: Call, arguments: list[str]) -> None:
        done = tk(*arguments)
        assert "Traceback" not in done.out + done.err
        assert done.status == (0 if arguments else 2)
        assert done.out if arguments else done.out + done.err

    def test_version(self, process: Call) -> None:
        assert process("--version") == Done(0, f"singan-tk, version {version('singan-toolkit')}\n", "")

    def test_every_command_has_a_summary(self, tk: Call) -> None:
        words = tk("--help").out
        for name in ("train", "run", "info", "tasks", "plugins", "demo"):
            assert re.search(rf"\b{name} +[A-Z]\w+", words)

    def test_unknown_command(self, tk: Call) -> None:
        assert_one_sentence(tk("paint"), 2, "paint")
        assert_one_sentence(tk("trian"), 2, "did you mean train?")
        assert_one_sentence(tk("run", "harmonise"), 2, "did you mean harmonize?")

    def test_wrong_usage_as_json(self, tk: Call) -> None:
        done = tk("run", "generate", "--json")
        assert (done.status, objects(done.err)) == (2, [{"error": "Missing option '--bundle' / '-b'."}])

    def test_as_a_module(self) -> None:
        command = [sys.executable, "-m", "singan_toolkit", "tasks"]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0
        assert "generate\t" in done.stdout
