"""The scripts in examples/ do what their first lines say."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from command_line import SCRIPT, environment
from singan_toolkit import Bundle

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.slow


@pytest.mark.skipif(os.name == "nt", reason="a script of a POSIX shell")
def test_variants(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(photo, tmp_path / "photos" / "meadow.png")
    path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    short = ["--preset", "draft", "--device", "cpu", "--set", "iterations=2", "--set", "finest_iterations=2"]
    for _ in range(2):
        command = ["sh", str(EXAMPLES / "variants.sh"), "photos", *short]
        done = subprocess.run(command, cwd=tmp_path, env=environment(PATH=path), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "skipping 1 of 1" in done.stderr
    assert (tmp_path / "photos" / "variants" / "meadow.png").is_file()
    assert (tmp_path / "photos" / "banners" / "meadow.png").is_file()


def test_most_novel(singan_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    singan_bundle.save(tmp_path / "photo.sgb")
    runpy.run_path(str(EXAMPLES / "most_novel.py"))["main"](str(tmp_path / "photo.sgb"), str(tmp_path / "best"))
    assert len(list((tmp_path / "best").glob("*.png"))) == 4
    assert capsys.readouterr().out.count("structure") == 4


def test_watch_training(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(EXAMPLES / "watch_training.py"))["main"]
    main(str(photo), str(tmp_path / "photo.sgb"), iterations=2, finest_iterations=2)
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith(f"scale {len(Bundle.load(tmp_path / 'photo.sgb').geometry.sizes) - 1}: ")
