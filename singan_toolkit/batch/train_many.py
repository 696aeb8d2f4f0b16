"""Training on many pictures from Python, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singan_toolkit.batch.engines import Ended, EngineOptions, Order, local
from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import Failed, Kind, UsageError
from singan_toolkit.jobs import TrainingJob
from singan_toolkit.training.events import Event
from singan_toolkit.training.presets import DEFAULT_PRESET


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    Attributes:
        picture: Its path, as given.
        bundle: None where training failed.
        error: Why it failed: one sentence; empty where it did not.
        kind: Through whom it failed; None where it did not.
    """

    picture: Path
    bundle: Bundle | None = None
    error: str = ""
    kind: Kind | None = None


def train_many(
    pictures: Iterable[Path | str],
    *,
    jobs: int | None = None,
    threads: int | None = None,
    preset: str = DEFAULT_PRESET,
    task: str | None = None,
    seed: int = 0,
    device: str = "auto",
    observer: Callable[[Path, Event], None] = lambda picture, event: None,
    checkpoint: Callable[[Path], Path | None] = lambda picture: None,
    **settings: Any,
) -> Generator[Outcome, None, None]:
    """Train a pyramid on each of many pictures, as ``singan-tk train`` does with a folder.

    A bundle is the same as ``singan_toolkit.train`` makes of the picture with as many threads, and the same seed
    holds for all. Trainings go on only while the result is iterated; closing it stops them. A script must call this
    under ``if __name__ == "__main__":``, since each worker process imports the script first.

    Args:
        pictures: Paths of the pictures.
        jobs: How many to train at a time, each with its share of the cores as threads. By default one a core on the CPU
            and four on a GPU (which has not been measured), as far as they fit into memory.
        threads: How many threads each computes with; by default its share of the cores.
        preset: ``draft``, ``fast`` or ``paper``.
        task: Name of a task whose training profile is laid over the preset.
        seed: The same seed trains the same pyramids.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; on a GPU all share it.
        observer: Called with each event of a training, and the picture that it is about.
        checkpoint: From a picture to the file that its training is kept in; see ``singan_toolkit.train``.
        settings: Single settings, laid over both.

    Returns:
        What became of each picture, in the order in which they end. A picture that fails does not stop the others.

    Raises:
        TaskError: There is no such task.
        UsageError: No such preset or setting, or a value out of range.
        UnavailableError: The device is not here.
        OSError: Processes cannot be started.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"there are {jobs} jobs: give at least 1")
    # Settled once and while the machine is quiet: beside other trainings each would measure something else.
    job = TrainingJob.of("", preset=preset, task=task, seed=seed, device=device, **settings).settled()
    orders = [Order(job.model_copy(update={"picture": path}), checkpoint(path)) for path in map(Path, pictures)]

    def observe(order: Order, event: Event) -> None:
        assert isinstance(order.job, TrainingJob)
        observer(order.job.picture, event)

    return _outcomes(local(iter(orders), EngineOptions(len(orders), jobs, threads, observer=observe)))


def _outcomes(ended: Ended) -> Generator[Outcome, None, None]:
    with closing(ended):
        for order, outcome in ended:
            assert isinstance(order.job, TrainingJob)
            if isinstance(outcome, Failed):
                yield Outcome(order.job.picture, error=outcome.sentence, kind=outcome.kind)
            else:
                assert isinstance(outcome.result, Bundle)
                yield Outcome(order.job.picture, outcome.result)
