"""A task to test with, and what of a task's pictures is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import click
import numpy as np
import pytest
import torch

from singan_toolkit import Bundle, Output, Picture, Plan, Result, Task
from singan_toolkit.imaging.tensors import to_bytes
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.tasks.manager import installed_plugins


class Sample(Task):
    """Draw one sample. Nothing else."""

    name = "sample"

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
        return Plan(bundle.geometry.route(scale), Gaussian(seed), material=options)

    def finish(self, walked: torch.Tensor, plan: Plan) -> Output:
        return Output([Result(Picture(to_bytes(one))) for one in walked])


def with_options(*options: click.Option) -> Task:
    chosen = options

    class WithOptions(Sample):
        """Draw one sample."""

        options: ClassVar[Sequence[click.Option]] = chosen

    return WithOptions()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a task among the installed ones for one test."""
    return lambda task: monkeypatch.setitem(installed_plugins().tasks, task.name, task)


def pixels_of(output: Output) -> list[np.ndarray]:
    return output.arrays


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.abs(first.astype(int) - second.astype(int))
    return distance
