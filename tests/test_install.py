"""What may be installed beside the toolkit."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(text) for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]]


def pins(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / file).read_text(), re.MULTILINE))


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_what_is_pinned_is_allowed_and_the_lowest_is_tried(needed: Requirement) -> None:
    if needed.name == "hatchling":  # which builds the package before anything is pinned
        return
    lowest, tested = pins("constraints-lowest.txt")[needed.name], pins("constraints.txt")[needed.name]
    assert needed.specifier.contains(lowest)
    assert needed.specifier.contains(tested)
    (floor,) = needed.specifier
    assert floor.operator == ">="
    assert needed.name == "torch" or f"{lowest}.".startswith(f"{floor.version}.")


def test_both_script_names_are_one_program_that_calls_itself_singan_tk() -> None:
    assert PROJECT["scripts"]["singan-toolkit"] == PROJECT["scripts"]["singan-tk"] == "singan_toolkit.cli:main"
    started = (
        "import sys; from singan_toolkit.cli import main; sys.argv = ['singan-toolkit', '--help']; sys.exit(main())"
    )
    told = subprocess.run([sys.executable, "-c", started], capture_output=True, text=True, check=True).stdout
    assert "Usage: singan-tk" in told
