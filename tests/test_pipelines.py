"""The pipelines of docs/pipelines.md, run as they stand there, but that trainings are short."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from command_line import environment

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="pipelines of POSIX shells")]

PAGE = (Path(__file__).parents[1] / "docs" / "pipelines.md").read_text()
SHORT = "--preset draft --device cpu --max-size 30 --set iterations=2 --set finest_iterations=2"
SHIM = f"""#!/bin/sh
command=$1
shift
[ "$command" = train ] && set -- "$@" {SHORT}
exec {sys.executable} -m singan_toolkit "$command" "$@"
"""
TOOLS = "parallel", "jq", "make", "file"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photo: Path) -> Path:
    """A folder as the page has it: photos, bundles, objects and edits, and a short-winded ``singan-tk``."""
    folder = tmp_path_factory.mktemp("pipelines")
    for place in ("photos", "objects", "edits", "bin"):
        (folder / place).mkdir()
    with Image.open(photo) as image:
        for name in ("meadow", "old pond"):
            image.save(folder / "photos" / f"{name}.png")
        edited = image.copy()
        edited.paste((200, 40, 40), (10, 10, 20, 20))
        edited.save(folder / "edits" / "meadow.png")
    duck = Image.new("RGBA", (9, 9))
    duck.paste((240, 240, 60, 255), (2, 2, 7, 7))
    duck.save(folder / "objects" / "duck.png")
    shim = folder / "bin" / "singan-tk"
    shim.write_text(SHIM)
    shim.chmod(0o755)
    done = run(folder, "singan-tk train photos/ -o bundles/")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "pictures"))


def run(folder: Path, commands: str, shell: str = "bash") -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = environment(PATH=path, HOME=str(folder.parent))
    command = [shell, "-c", commands] if shell == "sh" else [shell, "-euo", "pipefail", "-c", commands]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)


def need(commands: str) -> None:
    for tool in TOOLS:
        if re.search(rf"(^|\| ){tool} ", commands, re.MULTILINE) and not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


@pytest.mark.parametrize("commands", blocks("sh"))
def test_a_block_of_the_page_runs(folder: Path, commands: str) -> None:
    need(commands)
    if "@-" in commands:
        shutil.rmtree(folder / "bundles")
    made = set(folder.rglob("*"))
    done = run(folder, commands)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"Traceback|^error", done.stderr, re.MULTILINE)
    assert set(folder.rglob("*")) > made or done.stdout
    assert not list(folder.rglob("*.part"))


def test_the_rules_for_make(folder: Path) -> None:
    need("make ")
    (rules,) = blocks("make")
    (folder / "Makefile").write_text(rules)
    shutil.rmtree(folder / "bundles")
    done = run(folder, "mkdir bundles && make -j 2 samples/meadow.png && make samples/meadow.png")
    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stdout
    with Image.open(folder / "samples" / "meadow.png") as image:
        assert max(image.size) == 30


def test_the_line_for_cron(folder: Path) -> None:
    (line,) = blocks("cron")
    *when, command = line.strip().split(maxsplit=5)
    assert when == ["0", "3", "*", "*", "*"]
    assert "%" not in command  # which cron takes for the end of a line
    (folder / "photos" / "new.png").write_bytes((folder / "photos" / "meadow.png").read_bytes())
    for _ in range(2):
        done = run(folder, command, shell="sh")
        assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (folder / "samples").glob("*.png")} == {
        "meadow-generate.png",
        "new-generate.png",
        "old pond-generate.png",
    }


def test_what_the_page_says_of_exit_statuses(folder: Path) -> None:
    assert run(folder, "singan-tk train photos/ -o bundles/").returncode == 0
    (folder / "photos" / "bad.png").write_text("no picture")
    assert run(folder, "singan-tk train photos/ -o bundles/").returncode == 3
    assert run(folder, "singan-tk train photos/bad.png").returncode == 1
    assert run(folder, "singan-tk train photos/ --jobs 0").returncode == 2
    told = run(folder, blocks("sh")[-2])
    assert (told.returncode, told.stdout.splitlines()[0]) == (0, "some failed:")


def test_what_the_page_says_of_partners(folder: Path) -> None:
    pairs, product = (run(folder, line) for line in blocks("sh")[1].splitlines())
    assert pairs.stdout == "bundles/meadow.sgb\tedits/meadow.png\tedited/meadow-edit.png\tto do\n"
    assert "passed over bundles/old pond.sgb: no partner of that name" in pairs.stderr
    assert [line.split("\t")[2] for line in product.stdout.splitlines()] == [
        "pasted/meadow-duck-harmonize.png",
        "pasted/old pond-duck-harmonize.png",
    ]
