"""Calling the command line, in this process or another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from singan_toolkit.cli import main
from singan_toolkit.imaging.pictures import Picture, write_picture

SCRIPT = Path(sys.executable).with_name("singan-tk")


@dataclass(frozen=True)
class Done:
    """How a command ended: exit status, stdout, stderr."""

    status: int
    out: str
    err: str


Call = Callable[..., Done]


def environment(**more: str) -> dict[str, str]:
    """Variables of a process, whose ``python`` and ``singan-tk`` are those of this one."""
    rich = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in rich}
    path = os.pathsep.join(filter(None, (str(SCRIPT.parent), kept.get("PATH"))))
    return {**kept, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100", **more}


def started(folder: Path, *command: str | Path) -> subprocess.Popen[str]:
    """A process in a folder, which an interrupt reaches even where this one was started to ignore them."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, handler)


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

    def call(*arguments: str | Path, **variables: str) -> Done:
        command = [str(SCRIPT), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(**variables), capture_output=True, text=True, timeout=300
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return call


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
