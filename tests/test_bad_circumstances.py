"""Bad circumstances of a batch: full disks, folders that cannot be written, little memory, plugins that misbehave."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import singan_toolkit as st
from command_line import environment, objects
from singan_toolkit.batch.ledger import FOLDER, Ledger, Record

pytestmark = pytest.mark.slow
QUICK = [
    "--preset=draft",
    "--device=cpu",
    "--jobs=1",
    "--max-size=24",
    "--set=iterations=2",
    "--set=finest_iterations=2",
]
NOT_AS_ROOT = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.getuid() == 0 else []
"""What begins a command that may write no more than others."""
not_as_root = pytest.mark.skipif(
    bool(NOT_AS_ROOT) and not shutil.which("setpriv"), reason="root may write anywhere, and setpriv is not here"
)


def tk(folder: Path, *arguments: str, largest: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[str]:
    """The command line with ``--json``, in a folder where a plugin may be, writing files of at most so many bytes."""
    return subprocess.run(
        [*NOT_AS_ROOT, sys.executable, "-m", "singan_toolkit", *arguments, "--json"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
    )


def train(folder: Path, **how: Any) -> subprocess.CompletedProcess[str]:
    return tk(folder, "train", "p", "-o", "out", *QUICK, **how)


def error(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which all has ended."""
    (said,) = [one["error"] for one in objects(done.stderr) if "error" in one]
    assert "\n" not in said
    return str(said)


def records(folder: Path) -> dict[str, Record]:
    with Ledger.read(folder / "out") as ledger:
        assert ledger
        return ledger.records()


def bundles(folder: Path) -> list[str]:
    """Names of what is in the folder but for the ledger's; each of them whole."""
    found = sorted(path for path in (folder / "out").iterdir() if path.name != FOLDER)
    for path in found:
        if path.suffix != ".checkpoint":
            st.load(path)
    return [path.name for path in found]


@pytest.fixture
def folder(tmp_path: Path, photo: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(photo, tmp_path / "p" / name)
    return tmp_path


class TestDisks:
    def test_files_that_may_not_grow(self, folder: Path) -> None:
        done = train(folder, largest=30_000)
        assert done.returncode == 1
        assert error(done) == "cannot write out/a.sgb: File too large"
        assert {"note": "0 of 2 pictures are done; the same command goes on with the rest"} in objects(done.stderr)
        assert bundles(folder) == []
        assert {name: (one.state, one.kind) for name, one in records(folder).items()} == {
            "a.sgb": ("failed", "environment"),
            "b.sgb": ("waiting", ""),
        }
        assert [one["bundle"] for one in objects(train(folder).stdout)] == ["out/a.sgb", "out/b.sgb"]
        with closing(sqlite3.connect(folder / "out" / FOLDER / "ledger.sqlite")) as ledger:
            ledger.execute("UPDATE jobs SET started = started + 1e9, ended = ended + 1e9")  # the clock was set back
            ledger.commit()
        for path in (folder / "out").glob("*.sgb"):
            os.utime(path, (1e10, 1e10))
        again = train(folder)
        assert (again.returncode, again.stdout) == (0, "")
        assert any(one["note"].startswith("skipping 2 of 2") for one in objects(again.stderr))

    @pytest.fixture
    def small_disk(self, folder: Path) -> Iterator[Path]:
        """A file that leaves room for one bundle, of 264 kB, on the disk of out/."""
        mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(folder / "out")]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no disk can be mounted")
        try:
            (folder / "out" / "large").write_bytes(bytes(700_000))
            yield folder / "out" / "large"
        finally:
            subprocess.run(["umount", str(folder / "out")], check=True)

    def test_a_full_disk(self, folder: Path, small_disk: Path) -> None:
        done = train(folder)
        assert done.returncode == 1
        assert error(done) == "cannot write out/b.sgb: No space left on device"
        small_disk.unlink()
        assert [name for name in bundles(folder) if not name.endswith(".checkpoint")] == ["a.sgb"]
        assert [one.state for one in records(folder).values()] == ["done", "failed"]
        again = train(folder)
        assert (again.returncode, bundles(folder)) == (0, ["a.sgb", "b.sgb"])
        assert [one["bundle"] for one in objects(again.stdout)] == ["out/b.sgb"]
        assert [one.state for one in records(folder).values()] == ["done", "done"]

    @not_as_root
    @pytest.mark.parametrize("where", [".", FOLDER])
    def test_a_folder_that_cannot_be_written(self, folder: Path, where: str) -> None:
        (folder / "out" / FOLDER).mkdir()
        (folder / "out" / where).chmod(0o555)
        done = train(folder)
        assert done.returncode == (2 if where == "." else 1)
        if where == ".":
            assert "out is not a folder that can be written to" in done.stderr
        else:
            assert error(done).endswith("out/.singan-tk/lock: Permission denied")
        assert bundles(folder) == []
        (folder / "out" / where).chmod(0o755)

    def test_a_ledger_that_is_none(self, folder: Path) -> None:
        (folder / "out" / FOLDER).mkdir()
        (folder / "out" / FOLDER / "ledger.sqlite").write_bytes(b"these are words\n" * 100)
        done = train(folder)
        assert done.returncode == 1
        assert error(done).startswith("the ledger out/.singan-tk/ledger.sqlite cannot be used: ")
        assert "remove it" in error(done)


PLUGIN = '''
import os, signal, sys
import numpy as np, torch
from singan_toolkit import Output, Picture, Plan, Result, Task, TaskError
from singan_toolkit.pyramid.noise import Gaussian

class Trouble(Task):
    """Make trouble."""
    name = "trouble"

    def plan(self, bundle, *, scale, seed, **options):
        match bundle.name:
            case "a-raises": raise RuntimeError("first line\\nsecond line")
            case "b-refuses": raise TaskError("not this bundle")
            case "c-exits": sys.exit("good-bye")
            case "d-ends": os._exit(0)
            case "e-killed": os.kill(os.getpid(), signal.SIGKILL)
            case "f-numpy": np.empty(1 << 50)
            case "g-torch": torch.empty(1 << 50)
            case "h-nothing": return None
            case "i-prints":
                print("words")
                os.write(1, b"more words\\n")
                os.system("echo and more")
        return Plan(bundle.geometry.route(scale), Gaussian(seed))

    def finish(self, walked, plan):
        return Output([Result(Picture(np.zeros((4, 4, 3), np.uint8)))])

from singan_toolkit import hookimpl

@hookimpl
def singan_tasks():
    return [Trouble()]
'''
MEMORY = "memory does not suffice: use fewer jobs at a time, or a smaller picture"
ALONE = "; do it alone with --traceback to see where this arose"
TROUBLES = {
    "a-raises": ("defect", f"unexpected RuntimeError: first line\nsecond line{ALONE}"),
    "b-refuses": ("usage", "not this bundle"),
    "c-exits": ("defect", f"a plugin ended the program: good-bye{ALONE}"),
    "d-ends": ("environment", "the process that did it ended with status 0"),
    "e-killed": (
        "environment",
        "the process that did it was ended by signal 9: with too little memory, use fewer jobs",
    ),
    "f-numpy": ("environment", MEMORY),
    "g-torch": ("environment", MEMORY),
    "h-nothing": (
        "defect",
        "task trouble, or a plugin around it, returned an object of type NoneType where Plan is wanted" + ALONE,
    ),
}
FINE = ["i-prints", "j-fine"]


def test_plugins_that_misbehave(tmp_path: Path, tiny_bundle_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in (*TROUBLES, *FINE):
        shutil.copy(tiny_bundle_path, tmp_path / "b" / f"{name}.sgb")
    about = tmp_path / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[singan_toolkit]\ntheirs = theirs\n")
    (tmp_path / "theirs.py").write_text(PLUGIN)

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return tk(tmp_path, "run", "trouble", "-b", "b", "-o", "out", "--device=cpu", "--jobs=1", *more)

    def told(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
        return {Path(one["inputs"][0]).stem: one for one in objects(done.stdout)}

    done = run()
    first = told(done)
    assert done.returncode == 3
    assert {name: (one["kind"], one["error"]) for name, one in first.items() if "error" in one} == TROUBLES
    assert first.keys() - TROUBLES.keys() == set(FINE)
    assert all(word in done.stderr for word in ("words\n", "more words\n", "and more\n"))
    results = {f"{name}-trouble.png" for name in FINE}
    assert {path.name for path in (tmp_path / "out").iterdir()} == results | {FOLDER}
    kept = records(tmp_path)
    assert {Path(name).stem.removesuffix("-trouble"): (one.kind, one.sentence) for name, one in kept.items()} == (
        TROUBLES | dict.fromkeys(FINE, ("", ""))
    )

    # What has failed for want of memory, or with its process, is tried again, and set aside the third time.
    (tmp_path / "theirs.py").write_text(PLUGIN.replace("1 << 50", "1"))
    with closing(sqlite3.connect(tmp_path / "out" / FOLDER / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE jobs SET deaths = CASE WHEN target < 'e' THEN 2 ELSE 3 END WHERE deaths")
        ledger.commit()
    again = told(run())
    assert {name for name, one in again.items() if "error" not in one} == {"f-numpy", "g-torch"}
    assert again["d-ends"]["error"] == TROUBLES["d-ends"][1]
    assert again["e-killed"]["error"] == f"has ended its process 3 times: {TROUBLES['e-killed'][1]}"
    third = run()
    assert third.returncode == 3
    assert told(third)["d-ends"]["error"] == f"has ended its process 3 times: {TROUBLES['d-ends'][1]}"
    assert all("error" in one for one in told(third).values())
