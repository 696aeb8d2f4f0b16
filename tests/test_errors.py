"""Errors know through whom they arose and the exit status of the command that they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import singan_toolkit as st
from singan_toolkit import errors
from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.errors import Failed, failure
from singan_toolkit.training.settings import settings_of


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (st.UsageError("no such thing"), "usage", 2),
        (st.TaskError("no such thing"), "usage", 2),
        (st.PictureError("no picture"), "input", 1),
        (errors.PictureNotWrittenError("the disk is full"), "environment", 1),
        (st.BundleError("no bundle"), "input", 1),
        (st.TrainingError("it diverged"), "input", 1),
        (st.UnavailableError("no such device"), "environment", 1),
        (OSError("the disk is full"), "environment", 1),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "environment", 1),
        (MemoryError("too much"), "environment", 1),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "environment", 1),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "environment", 1),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "defect", 1),
        (ValueError("operands could not be broadcast"), "defect", 1),
        (KeyError("x"), "defect", 1),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_an_error_is_told_by_its_kind(error: Exception, kind: str, status: int) -> None:
    @click.command()
    @output_options
    def command(console: Console) -> None:
        raise error

    done = CliRunner().invoke(command, [])
    assert done.exit_code == status
    assert failure(error).kind == kind
    assert done.stderr.startswith(f"error: {failure(error).sentence}\n")
    assert ("defect" in done.stderr) == (kind == "defect")


def test_too_little_memory_and_missing_files_are_told_in_words() -> None:
    assert failure(MemoryError()).sentence.startswith("memory does not suffice: use fewer jobs")
    assert (
        failure(PermissionError(13, "Permission denied", b"a\xff")).sentence == "cannot use a\udcff: Permission denied"
    )
    assert failure(OSError("cannot write a.png: it is full")).sentence == "cannot write a.png: it is full"


def test_what_numpy_raises_is_no_fault_of_the_user() -> None:
    with pytest.raises(ValueError, match="broadcast") as caught:
        np.zeros(2) + np.zeros(3)
    assert failure(caught.value) == Failed("defect", f"unexpected ValueError: {caught.value}")


def test_wrong_usage_is_told_from_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(st.UsageError, match="crop"):
        settings_of(crop="x")
    with pytest.raises(st.InputError, match=r"a\.png"):
        st.train(tmp_path / "a.png")


def test_errors_cost_no_torch() -> None:
    code = (
        "import sys, singan_toolkit as st; st.TrainingError; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
