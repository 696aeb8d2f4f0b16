"""Training on many pictures: which are meant, what is told of each, and what an end in the middle leaves."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from command_line import SCRIPT, Call, Done, environment, objects
from singan_toolkit import Bundle, UsageError, machine, train
from singan_toolkit.batch.combine import below, refuse_collisions
from singan_toolkit.batch.inputs import Input, find_inputs, names_one_file
from singan_toolkit.batch.train_many import train_many
from singan_toolkit.cli import cli
from singan_toolkit.cli.console import Console
from singan_toolkit.cli.progress import ManyProgress
from singan_toolkit.imaging.pictures import readable_endings
from singan_toolkit.training.events import Event, Progress


@pytest.fixture(scope="session")
def quick(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that train two scales in no time."""
    return {**tiny_settings, "max_size": 16, "iterations": 4, "finest_iterations": 4}


@pytest.fixture(scope="session")
def options(quick: dict[str, Any]) -> list[str]:
    return ["--preset=draft", "--device=cpu", "--seed=3", *(f"--set={name}={value}" for name, value in quick.items())]


@pytest.fixture
def pictures(photo: Path, tmp_path: Path) -> Path:
    """A folder with three pictures, a.png, b.jpg and c.PNG, and with what is none to train on."""
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    with Image.open(photo) as image:
        image.save(folder / "a.png")
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b.jpg")
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(folder / "c.PNG")
        image.save(folder / "inner" / "d.png")
        image.save(folder / ".hidden.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def files(folder: Path) -> list[str]:
    """Names of what is there, but for the ledger's folder."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".singan-tk")


def find_pictures(named: Iterable[Path], tell: Callable[[str], object] = lambda text: None, **how: Any) -> list[Path]:
    return [one.path for one in find_inputs(named, readable_endings(), tell=tell, **how)]


def assert_same_tensors(one: Bundle, other: Bundle) -> None:
    assert one.tensors.keys() == other.tensors.keys()
    for name, values in one.tensors.items():
        assert values.tobytes() == other.tensors[name].tobytes(), name


def assert_no_process_is_left(group: int) -> None:
    """Those that multiprocessing starts for itself end when they see the others gone."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"processes of group {group} are left")


class TestFindPictures:
    @pytest.fixture(autouse=True)
    def here(self, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(pictures.parent)

    @pytest.mark.parametrize(
        ("named", "found"),
        [
            (["pictures"], ["a.png", "b.jpg", "c.PNG"]),
            (["pictures/inner", "pictures"], ["inner/d.png", "a.png", "b.jpg", "c.PNG"]),
            (["pictures/*"], ["a.png", "b.jpg", "c.PNG", "inner/d.png"]),
            (["pictures/[ab].*"], ["a.png", "b.jpg"]),
            (["pictures/**/*.png"], ["a.png", "inner/d.png"]),
            (["pictures/c.PNG", "pictures/?.???"], ["c.PNG", "a.png", "b.jpg"]),
            (["pictures/a.png", "pictures/inner/../a.png"], ["a.png"]),
            (["pictures/notes.txt", "pictures/.hidden.png"], ["notes.txt", ".hidden.png"]),
        ],
    )
    def test_found(self, named: list[str], found: list[str]) -> None:
        assert find_pictures(map(Path, named)) == [Path("pictures") / name for name in found]

    def test_an_absolute_pattern(self, pictures: Path) -> None:
        assert find_pictures([pictures / "*.jpg"]) == [pictures / "b.jpg"]

    def test_bundles_beside_the_pictures_are_passed_over(self, pictures: Path) -> None:
        (pictures / "a.sgb").write_bytes(b"bundle")
        assert find_pictures([Path("pictures/a.png"), Path("pictures/a.sgb")]) == [Path("pictures/a.png")]
        with pytest.raises(UsageError, match="bundles"):
            find_pictures([Path("pictures/a.sgb")])

    def test_what_is_passed_over_is_told(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.raf", "c.svg", "d.txt", "e.jxl", "f.psb", "a.sgb", ".hidden"):
            (tmp_path / name).write_bytes(b"")
        told: list[str] = []
        assert find_pictures([tmp_path], told.append) == [tmp_path / "a.png"]
        assert told == ["passed over 5 of 6 files: b.raf, c.svg, d.txt, e.jxl and 1 more"]

    def test_a_file_that_looks_like_a_pattern(self, pictures: Path) -> None:
        (pictures / "a.png").rename("[a].png")
        assert names_one_file([Path("[a].png")])
        assert find_pictures([Path("[a].png")]) == [Path("[a].png")]

    @pytest.mark.parametrize("named", ["pictures", "pictures/*.jpg", "nowhere*"])
    def test_a_folder_or_a_pattern_is_not_one_file(self, named: str) -> None:
        assert not names_one_file([Path(named)])

    @pytest.mark.parametrize("named", ["pictures/a.png", "nowhere.png"])
    def test_one_file(self, named: str) -> None:
        assert names_one_file([Path(named)])
        assert not names_one_file([Path(named), Path("b.png")])

    @pytest.mark.parametrize("named", ["nowhere.png", "empty", "pictures/*.gif", "pictures/*.txt"])
    def test_what_names_nothing_is_told(self, named: str) -> None:
        Path("empty").mkdir()
        with pytest.raises(UsageError, match=re.escape(named)):
            find_pictures([Path("pictures/a.png"), Path(named)])


class TestPlaces:
    """Where results go."""

    def test_names_are_paths_below_what_was_named(self, pictures: Path) -> None:
        named = [pictures, pictures / "*" / "*.png", pictures / "a.png"]
        found = [find_inputs([one], readable_endings(), recursive=True) for one in named]
        assert [[one.name for one in inputs] for inputs in found] == [["a", "b", "c", "inner/d"], ["inner/d"], ["a"]]

    @pytest.mark.parametrize(
        ("template", "filled", "name", "target"),
        [
            ("out/{stem}.sgb", "out/a.sgb", "a", "out/a.sgb"),
            ("out/{stem}.sgb", "out/a.sgb", "x/y/a", "out/x/y/a.sgb"),
            ("out/z-{stem}/{seed}.sgb", "out/z-a/0.sgb", "x/a", "out/x/z-a/0.sgb"),
            ("{stem}.sgb", "a.sgb", "x/a", "x/a.sgb"),
            ("out/{stem}.sgb", "out/a.sgb", "../x/a", "out/a.sgb"),
        ],
    )
    def test_folders_are_kept(self, template: str, filled: str, name: str, target: str) -> None:
        assert below(template, filled, (Input(Path("p"), name),)) == Path(target)

    def test_two_of_one_name_are_refused(self) -> None:
        rows = [(Input(Path(name), "a"),) for name in ("x/a.png", "x/a.jpg")]
        with pytest.raises(UsageError, match=r"x/a.png and x/a.jpg .*out/a.sgb"):
            refuse_collisions([Path("out/a.sgb"), Path("out/../out/a.sgb")], rows)


class TestDefaultJobs:
    def test_no_more_cores_than_allowed(self) -> None:
        assert 1 <= machine.cores() <= (os.cpu_count() or 1)

    @pytest.mark.parametrize(
        ("cores", "gibibytes", "device", "jobs"),
        [(8, 100, "cpu", 8), (8, 5, "cpu", 3), (1, 100, "cuda", 4), (8, 0.1, "cpu", 1), (8, np.inf, "mps", 4)],
    )
    def test_of_cores_and_memory(
        self, monkeypatch: pytest.MonkeyPatch, cores: int, gibibytes: float, device: str, jobs: int
    ) -> None:
        monkeypatch.setattr(machine, "cores", lambda: cores)
        monkeypatch.setattr(machine, "memory", lambda: gibibytes * 2**30)
        assert machine.default_jobs(device) == jobs

    @pytest.mark.parametrize(
        ("siblings", "quota", "cores"),
        [
            (("0,2", "1,3"), "max 100000", 2),
            (("", ""), "", 4),
            (("0,2", "1,3"), "150000 100000", 2),
            (("", ""), "9 10", 1),
        ],
    )
    def test_of_four_threads(
        self, monkeypatch: pytest.MonkeyPatch, siblings: tuple[str, str], quota: str, cores: int
    ) -> None:
        def read(path: str) -> str:
            thread = re.search(r"cpu(\d)/", path)
            return siblings[int(thread[1]) % 2] if thread else quota

        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
        monkeypatch.setattr(machine, "_read", read)
        assert machine.cores() == cores


class TestRefusals:
    """Before any work."""

    @pytest.fixture
    def refused(self, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        monkeypatch.chdir(pictures.parent)
        monkeypatch.setenv("COLUMNS", "300")

        def call(*arguments: str) -> str:
            before = sorted(pictures.parent.rglob("*"))
            done = CliRunner().invoke(cli, ["train", *arguments])
            assert (done.exit_code, done.stdout) == (2, ""), done.output
            assert sorted(pictures.parent.rglob("*")) == before
            return re.sub(r"[─│╭╮╰╯\s]+", " ", done.stderr)

        return call

    def test_two_pictures_of_one_name(self, refused: Callable[..., str], pictures: Path) -> None:
        (pictures / "a.tif").write_bytes(b"")
        assert re.search(
            r"a\.png and .*a\.tif would have the same bundle, out/a\.sgb", refused("pictures", "-o", "out")
        )

    @pytest.mark.parametrize("target", ["out.sgb", "pictures/notes.txt"])
    def test_several_pictures_and_one_file(self, refused: Callable[..., str], target: str) -> None:
        assert f"one file {target}: give a folder" in refused("pictures", "-o", target)

    def test_a_folder_that_cannot_be_made(self, refused: Callable[..., str]) -> None:
        assert "pictures/notes.txt" in refused("pictures", "-o", "pictures/notes.txt/out")

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["pictures", "nowhere.png"], "there is no file nowhere.png"),
            (["."], "there is no picture in .: "),
            (["*.gif"], "no picture matches *.gif"),
            (["pictures", "--set", "colour=3"], "colour"),
            (["pictures", "--set", "iterations=0"], "iterations"),
            (["pictures", "--for", "painting"], "painting"),
            (["pictures", "--jobs", "0"], "--jobs"),
            ([], "PICTURES"),
        ],
    )
    def test_wrong_usage(self, refused: Callable[..., str], arguments: list[str], part: str) -> None:
        assert part in refused(*arguments)


@pytest.mark.slow
class TestCommand:
    def test_a_folder_with_a_broken_picture_and_again(
        self, process: Call, pictures: Path, options: list[str], quick: dict[str, Any]
    ) -> None:
        good = (pictures / "b.jpg").read_bytes()
        (pictures / "b.jpg").write_text("no picture")
        out = pictures.parent / "out"
        done = process("train", "pictures", "-o", "out", "--jobs", "2", *options)
        assert done.status == 3
        assert sorted(done.out.splitlines()) == ["out/a.sgb", "out/c.sgb"]
        assert files(out) == ["a.sgb", "c.sgb"]
        assert not re.search("Traceback|\x1b|\r", done.err)
        ends = re.findall(r"^(\d) of 3: pictures/(\w)\.\w+ (done|failed: cannot read)", done.err, re.MULTILINE)
        assert [number for number, *_ in ends] == ["1", "2", "3"]
        assert {letter: how[:6] for _, letter, how in ends} == {"a": "done", "b": "failed", "c": "done"}
        *_, row, summary = done.err.splitlines()
        assert re.match(r"pictures/b\.jpg\tcannot read pictures/b\.jpg as a picture: ", row)
        assert summary.startswith("error: 1 of 3 pictures failed; the same command goes on with the rest")

        untouched = (out / "a.sgb").stat().st_mtime_ns
        (pictures / "b.jpg").write_bytes(good)
        again = process("train", "pictures", "-o", "out", *options)
        assert (again.status, again.out) == (0, "out/b.sgb\n")
        assert "\nskipping 2 of 3 pictures, " in again.err
        assert (out / "a.sgb").stat().st_mtime_ns == untouched
        nothing = process("train", "pictures", "-o", "out", *options)
        assert (nothing.status, nothing.out) == (0, "")
        assert "\nskipping 3 of 3 pictures, " in nothing.err

        assert process("train", "pictures/c.PNG", "-o", "alone.sgb", *options).status == 0
        assert_same_tensors(Bundle.load(out / "c.sgb"), Bundle.load(pictures.parent / "alone.sgb"))
        for name in ("a.png", "b.jpg"):
            alone = train(pictures / name, preset="draft", device="cpu", seed=3, **quick)
            kept = Bundle.load(out / name.replace(name[1:], ".sgb"))
            assert_same_tensors(kept, alone)
            assert kept.manifest.training.picture == name
            assert kept.manifest.training.settings == alone.manifest.training.settings

    def test_patterns_in_json_beside_the_pictures(self, process: Call, pictures: Path, options: list[str]) -> None:
        (pictures / "a.sgb").write_bytes(b"old")
        Image.new("RGB", (90, 9)).save(pictures / "z.png")
        done = process("train", "pictures/*.png", "pictures/c.*", "--json", "--force", "--jobs", "1", *options)
        assert done.status == 3
        found = {one["picture"]: one for one in objects(done.out)}
        assert found.keys() == {f"pictures/{name}" for name in ("a.png", "c.PNG", "z.png")}
        assert "90x9" in found["pictures/z.png"]["error"]
        assert found["pictures/a.png"]["bundle"] == "pictures/a.sgb"
        assert found["pictures/a.png"]["scales"] == len(Bundle.load(pictures / "a.sgb").manifest.scales)
        (told,) = objects(done.err)
        assert told["error"].startswith("1 of 3 pictures failed; ")

    def test_quiet_tells_failures_only(self, process: Call, pictures: Path, options: list[str]) -> None:
        (pictures / "broken.png").write_text("no picture")
        done = process("train", "pictures/[ab]*.png", "-o", "out", "--quiet", "--jobs", "1", *options)
        assert (done.status, done.out) == (3, "")
        assert [line.split("\t")[0] for line in done.err.splitlines()][:-1] == ["pictures/broken.png"]
        assert files(pictures.parent / "out") == ["a.sgb"]

    @pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
    def test_on_a_terminal(self, pictures: Path, options: list[str]) -> None:
        (pictures / "[b].png").write_text("no picture")
        ours, theirs = os.openpty()
        command = [str(SCRIPT), "train", "pictures", "-o", "out", "--jobs", "1", *options, "--set=iterations=60"]
        env = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
        training = subprocess.Popen(
            command, cwd=pictures.parent, env=env, stdout=subprocess.PIPE, stderr=theirs, text=True
        )
        os.close(theirs)
        err = b""
        with suppress(OSError):  # which tells that the terminal is used no more
            while part := os.read(ours, 65536):
                err += part
        os.close(ours)
        assert training.stdout
        done = Done(training.wait(), training.stdout.read(), err.decode())
        assert done.status == 3
        assert sorted(done.out.splitlines()) == ["out/a.sgb", "out/b.sgb", "out/c.sgb"]
        told = re.sub(r"\x1b\[[\d;?]*\w", "", done.err)
        assert "4 of 4 pictures" in told
        assert re.search(r"(a\.png|b\.jpg|c\.PNG) +━+ +\d+% \d+:\d\d left", told)
        assert re.search(r"what failed +what is wrong", told)
        assert "[b].png failed: cannot read" in told

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_interrupted(self, pictures: Path, options: list[str]) -> None:
        """As by Ctrl-C, which reaches the workers too: what is done stays, nothing else does, and no process."""
        command = [str(SCRIPT), "train", "pictures", "-o", "out", "--jobs", "2", *options, "--set=iterations=300"]
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # which may be ignored, and inherited so
        training = subprocess.Popen(
            command,
            cwd=pictures.parent,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, handler)
        assert training.stdout is not None
        watchdog = threading.Timer(200, os.killpg, (training.pid, signal.SIGKILL))
        watchdog.start()
        try:
            first = training.stdout.readline()
            os.killpg(training.pid, signal.SIGINT)
            out, err = training.communicate(timeout=60)
        finally:
            watchdog.cancel()
        assert training.returncode == 130
        assert "Traceback" not in err
        told = (first + out).split()
        kept = [name for name in files(pictures.parent / "out") if not name.endswith(".checkpoint")]
        assert {Path(path).name for path in told} <= set(kept) < {"a.sgb", "b.sgb", "c.sgb"}
        *_, count, interrupted = (line for line in err.splitlines() if line)
        assert re.match(r"[12] of 3 pictures are done; the same command goes on with the rest$", count)
        assert interrupted == "interrupted"
        assert_no_process_is_left(training.pid)
        for path in kept:
            Bundle.load(pictures.parent / "out" / path)


@pytest.mark.slow
class TestFromPython:
    def test_a_worker_that_dies_costs_one_picture(self, pictures: Path, quick: dict[str, Any]) -> None:
        killed: list[Path] = []

        def kill_the_first(picture: Path, event: Event) -> None:
            if not killed:
                killed.append(picture)
                for child in multiprocessing.active_children():
                    child.kill()

        paths = [pictures / "a.png", pictures / "b.jpg"]
        long = {**quick, "iterations": 60}
        lost, trained = train_many(paths, jobs=1, preset="draft", device="cpu", observer=kill_the_first, **long)
        assert killed == [paths[0]] == [lost.picture]
        assert lost.bundle is None
        if os.name != "nt":
            assert "signal 9" in lost.error
        assert trained.picture == paths[1]
        assert trained.bundle is not None
        assert trained.error == ""
        assert multiprocessing.active_children() == []

    def test_closing_stops_it(self, pictures: Path, quick: dict[str, Any]) -> None:
        outcomes = train_many(sorted(pictures.glob("?.*")) * 9, jobs=2, preset="draft", device="cpu", **quick)
        assert next(outcomes).bundle
        assert len(multiprocessing.active_children()) == 2
        outcomes.close()
        assert multiprocessing.active_children() == []

    def test_an_old_process_makes_way_for_a_new_one(
        self, pictures: Path, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("singan_toolkit.batch.worker.MOST_JOBS", 2)
        paths = [pictures / "a.png"] * 5
        processes = set()
        for one in train_many(paths, jobs=1, preset="draft", device="cpu", **quick):
            assert one.bundle, one.error
            processes |= {child.pid for child in multiprocessing.active_children()}
        assert len(processes) == 3
        assert multiprocessing.active_children() == []

    def test_outside_of_main_is_told(self, pictures: Path, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "from singan_toolkit.batch.train_many import train_many\n"
            f"print(list(train_many([{str(pictures / 'a.png')!r}], preset='draft', device='cpu')))\n"
        )
        done = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("OSError: a process to work in ended with status 1 before")


class TestTrainMany:
    def test_of_nothing(self) -> None:
        assert list(train_many([], device="cpu")) == []

    @pytest.mark.parametrize(
        "wrong", [{"jobs": 0}, {"preset": "huge"}, {"task": "painting"}, {"device": "abacus"}, {"crop": "x"}, {"x": 1}]
    )
    def test_wrong_options_are_told_at_once(self, wrong: dict[str, Any]) -> None:
        ((name, value),) = wrong.items()
        with pytest.raises(ValueError, match=name if name in ("crop", "x") else str(value)):
            train_many(["a.png"], **wrong)


class TestProgress:
    def test_time_left(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        progress = ManyProgress(Console(), 4)
        assert progress.left() == ""
        now += 100
        progress.ended("a.png", "it is broken")
        assert progress.left() == ""
        progress.observe("b.png", Progress(0, 1, {}, 0.5, 10.0))
        assert progress.left() == "0:08:20 left"  # half a picture took 100 s, and 2.5 are missing
        progress.observe("c.png", Progress(0, 1, {}, 0.5, 4000.0))
        assert progress.left() == "1:06:40 left"
        assert capsys.readouterr().err == "1 of 4: a.png failed: it is broken\n"
        progress.tick()
        now += 60
        progress.tick()
        assert capsys.readouterr().err == "1 of 4 pictures; b.png 50%; c.png 50%; 1:06:40 left\n"
