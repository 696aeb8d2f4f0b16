"""A few of the many pictures of the script that is meant to be run by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from endurance import endure


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_batch_that_is_killed_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    assert len(endure(tmp_path, pictures=6, kills=2, seed=1).kills) == 2
