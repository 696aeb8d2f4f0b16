"""What training tells while it runs. The command line draws these; plugins may observe them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from singan_toolkit.pyramid.geometry import Size


@dataclass(frozen=True)
class TrainingStarted:
    """Before the first scale. ``sizes`` are (height, width), coarsest first; ``iterations`` one a scale, 0 if kept."""

    sizes: tuple[Size, ...]
    iterations: tuple[int, ...]
    device: str
    precision: str


@dataclass(frozen=True)
class ScaleStarted:
    """Before the first iteration of a scale."""

    scale: int
    noise_amplitude: float


@dataclass(frozen=True)
class Progress:
    """A few times a second: where training is, the losses of the last iteration and an estimate of the rest.

    Attributes:
        scale: The scale in training.
        iteration: Iterations of it that are done.
        losses: By name: ``discriminator``, ``generator``, ``reconstruction``.
        done: Share of the whole training's work that is done, 0 to 1.
        seconds_left: Until the last scale ends.
    """

    scale: int
    iteration: int
    losses: dict[str, float]
    done: float
    seconds_left: float


@dataclass(frozen=True)
class ScaleRestarted:
    """A scale diverged and starts again with a smaller learning rate."""

    scale: int
    iteration: int
    learning_rate: float


@dataclass(frozen=True)
class ScaleFinished:
    """A scale is trained. ``reconstruction_rmse`` is in the picture's -1..1 range."""

    scale: int
    seconds: float
    reconstruction_rmse: float


@dataclass(frozen=True)
class TrainingResumed:
    """Training goes on from a checkpoint, at an iteration of a scale."""

    scale: int
    iteration: int


@dataclass(frozen=True)
class CheckpointProblem:
    """A checkpoint cannot be used or written: a sentence that says why, and what is done instead."""

    sentence: str


Event = TrainingStarted | TrainingResumed | ScaleStarted | Progress | ScaleRestarted | ScaleFinished | CheckpointProblem
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer that looks away."""
