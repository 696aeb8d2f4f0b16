from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import singan_toolkit as st
from singan_toolkit.cli import cli
from singan_toolkit.imaging.pictures import read_picture
from singan_toolkit.training.presets import PRESETS


def test_the_demo_goes_from_a_photo_to_pictures(
    tmp_path: Path, tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = {**PRESETS, "fast": {**PRESETS["fast"], **tiny_settings}}
    monkeypatch.setattr("singan_toolkit.training.settings.PRESETS", quick)
    for _ in range(2):
        cli.main(["demo", "-o", str(tmp_path), "--device", "cpu"], standalone_mode=False)
    captured = capsys.readouterr()
    assert captured.out.split() == [str(tmp_path / "sheet.png")] * 2
    assert captured.err.count("training preset fast") == 1
    bundle = st.load(tmp_path / "galaxies.sgb")
    names = {path.name for path in tmp_path.iterdir()}
    samples = {f"sample-{number:04d}.png" for number in range(4)}
    assert (
        names
        == {"galaxies.sgb", "galaxies.png", "sheet.png", "training-picture.png", "planet.png", "harmonized.png"}
        | samples
    )
    harmonized = read_picture(tmp_path / "harmonized.png").pixels
    assert harmonized.shape == bundle.picture.shape
    changed = (harmonized != bundle.picture).any(axis=2)
    assert 0 < changed.mean() < 0.6
    np.testing.assert_array_equal(harmonized[-1], bundle.picture[-1])
