"""``singan-tk plugin new``: what it writes installs, runs, is tested and clean; and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from command_line import Call, assert_one_sentence, environment
from singan_toolkit import CONTRACT, Bundle
from singan_toolkit.cli.plugin import TEMPLATES, write_project
from singan_toolkit.imaging.pictures import read_picture

RUFF = Path(sysconfig.get_path("scripts")) / "ruff"
ROOT = Path(__file__).parents[1]
FILES = ["README.md", "pyproject.toml", "singan_tk_my_task/__init__.py", "tests/test_task.py"]


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_project(tk: Call, tmp_path: Path) -> None:
    done = tk("plugin", "new", "my-task")
    assert (done.status, done.out) == (0, "singan-tk-my-task\n")
    project = tmp_path / "singan-tk-my-task"
    assert files_in(project) == FILES
    said = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert said["entry-points"]["singan_toolkit"] == {"my-task": "singan_tk_my_task"}
    assert [needed for needed in said["dependencies"] if needed.startswith("singan-toolkit>=")]
    assert f"\nsingan_contract = {CONTRACT}\n" in (project / FILES[2]).read_text()
    assert "$" not in "".join((project / name).read_text() for name in FILES)


def test_a_folder_is_named(tk: Call, tmp_path: Path) -> None:
    assert tk("plugin", "new", "my-task", "-o", "plugins of mine/first/").status == 0
    assert files_in(tmp_path / "plugins of mine" / "first") == FILES


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("My Task", "'My Task' cannot name a task: use lower case words joined by hyphens"),
        ("2d", "cannot name a task"),
        ("../x", "cannot name a task"),
        ("generate", "there is a task generate already: choose another name"),
        ("train", "there is a command train already: choose another name"),
        ("my-task", "there already: give another folder with -o, or remove it"),
    ],
)
def test_what_is_refused(tk: Call, tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "singan-tk-my-task").mkdir()
    assert_one_sentence(tk("plugin", "new", name), 2, sentence)
    assert [path.name for path in tmp_path.iterdir()] == ["singan-tk-my-task"]


def test_it_is_whole_or_nothing(tk: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text = Path.write_text

    def full(path: Path, *content: str) -> int:
        if path.suffix == ".py":
            raise OSError(28, "No space left on device")
        return write_text(path, *content)

    monkeypatch.setattr(Path, "write_text", full)
    assert_one_sentence(tk("plugin", "new", "my-task"), 1, "cannot write singan-tk-my-task: No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "none", "task", "a-2d", "-".join(["long"] * 15)])
def test_it_is_clean(tmp_path: Path, name: str) -> None:
    write_project(tmp_path / "project", name)
    for check in (["check"], ["format", "--check"]):
        command = [str(RUFF), *check, "--no-cache", "."]
        done = subprocess.run(command, cwd=tmp_path / "project", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    compile((tmp_path / "project" / "tests" / "test_task.py").read_text(), name, "exec")


@pytest.mark.slow
def test_the_wheel_holds_what_it_is_written_from(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {f"singan_toolkit/cli/scaffold/{path.name}" for path in TEMPLATES.iterdir()} <= names
    assert "singan_toolkit/testing/photo.sgb" in names


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """The ``bin`` of a fresh environment, which finds what is installed in this one."""
    pytest.importorskip("pip")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, capture_output=True)
    bin_folder = tmp_path / "venv" / "bin"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (bin_folder / "ruff").symlink_to(RUFF)
    modules = {"singan-tk": "singan_toolkit", "pip": "pip", "pytest": "pytest"}
    for command, module in modules.items():
        script = bin_folder / command
        script.write_text(f'#!/bin/sh\nexec {bin_folder}/python -m {module} "$@"\n')
        script.chmod(0o755)
    return bin_folder


@pytest.mark.slow
def test_the_ten_minutes_of_the_documentation(fresh: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """The commands of docs/plugins.md, one after the other, where nothing can be downloaded."""
    found = re.search("```sh\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(), re.DOTALL)
    assert found, "docs/plugins.md lost its commands"
    (tmp_path / "photo.sgb").write_bytes(tiny_bundle_path.read_bytes())
    variables = environment(
        PATH=os.pathsep.join([str(fresh), os.environ["PATH"]]),
        PIP_NO_INDEX="1",
        PIP_NO_DEPS="1",
        PIP_NO_BUILD_ISOLATION="0",  # which is how pip reads that there is to be none
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    done = subprocess.run(
        ["bash", "-euxc", found[1]], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    project = tmp_path / "singan-tk-restyle"
    assert re.search(r"^restyle\tsingan-tk-restyle 0\.1\.0\trestyle\tok$", done.stdout, re.MULTILINE)
    assert read_picture(project / "result.png").size == Bundle.load(tiny_bundle_path).geometry.finest
    assert "3 passed" in done.stdout
    assert "All checks passed!" in done.stdout
