"""Jobs: what was asked for, as values."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import singan_toolkit as st
from singan_toolkit.errors import Failed
from singan_toolkit.imaging.pictures import write_picture
from singan_toolkit.jobs import Done, RunJob, TrainingJob, carry_out


@pytest.fixture
def training(photo: Path, tiny_settings: dict[str, Any]) -> TrainingJob:
    return TrainingJob.of(photo, preset="draft", seed=1, device="cpu", **tiny_settings)


@pytest.fixture
def editing(tiny_bundle_path: Path, photo: Path, tmp_path: Path) -> RunJob:
    mask = tmp_path / "mask.png"
    write_picture(st.Picture(np.where(np.indices((48, 60))[1] < 20, 255, 0).astype(np.uint8)[..., None]), mask)
    return RunJob.of(tiny_bundle_path, "harmonize", composite=photo, mask=[mask], adapt=False, device="cpu")


def test_a_job_is_json_and_back(training: TrainingJob, editing: RunJob) -> None:
    assert TrainingJob.model_validate_json(training.model_dump_json()) == training
    assert RunJob.model_validate_json(editing.model_dump_json()) == editing
    with pytest.raises(ValidationError, match="frozen"):
        training.seed = 2


def test_a_job_is_complete(photo: Path, editing: RunJob) -> None:
    job = TrainingJob.of(photo, task="super-resolution", iterations="7")
    assert (job.settings.min_size, job.settings.iterations) == (18, 7)
    assert job.settings.precision == "auto"
    assert job.settled().settings.precision in ("float32", "bfloat16")
    assert (editing.options["paste"], editing.options["feather"], editing.scale) == ([], None, None)
    for wrong in ({"preset": "huge"}, {"task": "painting"}, {"crop": "x"}, {"colour": 1}):
        with pytest.raises(st.UsageError):
            TrainingJob.of(photo, **wrong)


def test_digest(training: TrainingJob, photo: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / photo.name
    moved.parent.mkdir()
    shutil.copy(photo, moved)
    there = training.model_copy(update={"picture": moved})
    assert there.digest == training.digest
    assert training.model_copy(update={"seed": 2}).digest != training.digest
    assert training.model_copy(update={"settings": training.settings.model_copy(update={"crop": 25})}) != training
    moved.write_bytes(moved.read_bytes() + b" ")
    assert there.digest != training.digest
    named = tmp_path / "\udcff.png"
    shutil.copy(photo, named)
    assert len(training.model_copy(update={"picture": named}).digest) == 64


def test_every_file_of_a_run_counts(editing: RunJob, tiny_bundle_path: Path, photo: Path, tmp_path: Path) -> None:
    assert set(editing.files) == {tiny_bundle_path, photo, tmp_path / "mask.png"}
    before = editing.digest
    (tmp_path / "mask.png").write_bytes(b"another")
    assert editing.digest != before


@pytest.mark.slow
def test_carried_out_it_gives_what_python_gives(training: TrainingJob, editing: RunJob, tiny_bundle: st.Bundle) -> None:
    trained = carry_out(training)
    assert isinstance(trained, Done)
    assert isinstance(trained.result, st.Bundle)
    for name, values in tiny_bundle.tensors.items():
        np.testing.assert_array_equal(trained.result.tensors[name], values)
    made = carry_out(editing)
    assert isinstance(made, Done)
    assert isinstance(made.result, st.Output)
    assert made.result.arrays[0].shape == (48, 60, 3)


def test_what_fails_says_through_whom(training: TrainingJob, editing: RunJob, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    broken = carry_out(training.model_copy(update={"picture": tmp_path / "a.png"}))
    assert isinstance(broken, Failed)
    assert (broken.kind, "a.png" in broken.sentence) == ("input", True)
    for changes, kind in (
        ({"device": "abacus"}, "environment"),
        ({"scale": 99}, "usage"),
        ({"bundle": tmp_path / "no.sgb"}, "input"),
    ):
        failed = carry_out(editing.model_copy(update=changes))
        assert isinstance(failed, Failed)
        assert failed.kind == kind
