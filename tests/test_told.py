"""Warnings and faults of others that the command line tells: once, in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import singan_toolkit
from singan_toolkit import Bundle, Output, Plan, Result, Task
from singan_toolkit.tasks.manager import installed_plugins

TINY = "--preset draft --device cpu --set iterations=2 --set finest_iterations=2 --max-size 40"


def tk(folder: Path, line: str, *more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "singan_toolkit", *line.split(), *more]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def plugin(folder: Path, code: str) -> None:
    """A package beside the command that is found as an installed one is."""
    (folder / "theirs.py").write_text(code)
    about = folder / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[singan_toolkit]\ntheirs = theirs\n")


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle_path: Path, photo: Path) -> Path:
    (tmp_path / "b.sgb").write_bytes(tiny_bundle_path.read_bytes())
    pixels = np.asarray(Image.open(photo))
    frames = [Image.fromarray(np.roll(pixels, shift, 1)) for shift in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[10:20, 10:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


class TestSeveralPicturesInAFile:
    TOLD = "warning: moving.gif holds 3 pictures, and the first is taken"

    def test_where_a_task_takes_it(self, folder: Path) -> None:
        done = tk(folder, "run harmonize -b b.sgb --as-trained --composite moving.gif --mask mask.png -o o.jpg")
        assert (done.returncode, done.stderr) == (0, f"{self.TOLD}\n")

    @pytest.mark.parametrize("pictures", ["moving.gif", "moving.gif mask.png"])
    def test_where_it_is_trained_on(self, folder: Path, pictures: str) -> None:
        done = tk(folder, f"train {pictures} {TINY}")
        assert (done.returncode, done.stderr.count(self.TOLD)) == (0, 1)
        told = [json.loads(line) for line in tk(folder, f"train {pictures} --force --json {TINY}").stderr.splitlines()]
        assert told.count({"note": self.TOLD}) == 1


class TestPlugins:
    def test_one_that_ends_the_program_is_told_once(self, folder: Path) -> None:
        plugin(
            folder,
            "import sys\nfrom singan_toolkit import hookimpl\n"
            "@hookimpl\ndef singan_training_event(event):\n    sys.exit(3)\n",
        )
        done = tk(folder, f"train mask.png {TINY}")
        assert done.returncode == 0
        assert done.stderr.count("warning: a plugin's singan_training_event raised SystemExit: 3\n") == 1


class Wrong(Task):
    """Gives back what it was told to."""

    name = "wrong"
    gives: tuple[Any, Any] = (None, None)

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Any:
        from singan_toolkit.pyramid.noise import Gaussian

        return self.gives[0] or Plan(bundle.geometry.route(), Gaussian(seed))

    def finish(self, walked: Any, plan: Plan) -> Any:
        return self.gives[1]


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Wrong:
    task = Wrong()
    monkeypatch.setitem(installed_plugins().tasks, "wrong", task)
    return task


PIXELS = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("gives", "told"),
    [
        (([1], None), "task wrong, .* type list where Plan is wanted"),
        ((None, None), "task wrong, .* type NoneType where Output is wanted"),
        ((None, PIXELS), "task wrong, .* type ndarray where Output is wanted"),
        ((None, Output([PIXELS])), "task wrong, .* type ndarray where Result is wanted"),  # type: ignore[list-item]
        ((None, Output([Result(PIXELS)])), "task wrong, .* type ndarray where Picture or Clip is wanted"),  # type: ignore[arg-type]
        ((None, Output(PIXELS)), "task wrong, .* type ndarray where list or tuple is wanted"),  # type: ignore[arg-type]
        ((None, Output([])), "task wrong returned no picture"),
    ],
)
def test_a_task_that_returns_something_else(tiny_bundle: Bundle, wrong: Wrong, gives: Any, told: str) -> None:
    wrong.gives = gives
    with pytest.raises(ValueError, match=told):
        singan_toolkit.run(tiny_bundle, "wrong", device="cpu")
