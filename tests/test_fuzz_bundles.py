"""Bundles changed at random: some of those that ``fuzz_bundles.py`` tries by hand in their thousands."""

from __future__ import annotations

from pathlib import Path

from fuzz_bundles import fuzz


def test_whatever_is_changed_it_is_opened_or_refused_in_a_sentence(tmp_path: Path) -> None:
    told: list[str] = []
    counts = fuzz(range(400), seed=1, save=tmp_path / "found", tell=told.append)
    assert told == []
    assert counts["opened"] + counts["refused"] == 400
    assert counts["opened"] > 40
    assert not (tmp_path / "found").exists()
