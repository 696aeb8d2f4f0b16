"""Drawing training events: a live bar on a terminal, lines in a pipe, objects with ``--json``."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from singan_toolkit.cli.console import Console, is_terminal, printable
from singan_toolkit.pyramid.geometry import Size
from singan_toolkit.training import events
from singan_toolkit.training.events import Event, Observer

if TYPE_CHECKING:
    from singan_toolkit.batch.train_many import Outcome

PLAIN_SECONDS = 10.0


@contextmanager
def training_progress(console: Console) -> Iterator[Observer]:
    """An observer that draws training on stderr in the console's mode."""
    if console.mode == "quiet":
        yield events.ignore
    elif console.mode == "json":
        yield _json_line
    elif console.mode == "plain":
        yield _Plain(console).observe
    else:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[losses]}"),
            console=console.errors,
        ) as progress:
            yield _Live(console, progress).observe


def _json_line(event: Event) -> None:
    print(json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)}), file=sys.stderr, flush=True)


class _Plain:
    def __init__(self, console: Console) -> None:
        self.console, self.said = console, time.monotonic()
        self.sizes: tuple[Size, ...] = ()
        self.iterations: tuple[int, ...] = ()

    def observe(self, event: Event) -> None:
        match event:
            case events.TrainingStarted():
                self.sizes, self.iterations = event.sizes, event.iterations
                trained = [n for n, count in enumerate(event.iterations) if count]
                first, last = event.sizes[trained[0]], event.sizes[trained[-1]]
                what = f"{len(trained)} scales, {first} to {last}" if trained[1:] else f"scale {trained[0]}, {first}"
                self.console.note(f"training {what} pixels, on {event.device} in {event.precision}")
            case events.TrainingResumed():
                self.console.note(
                    f"going on from the checkpoint, at {self.scale(event.scale)}, iteration {event.iteration}"
                )
            case events.CheckpointProblem():
                self.console.note(f"warning: {event.sentence}")
            case events.ScaleRestarted():
                self.console.note(
                    f"{self.scale(event.scale)}: diverged at iteration {event.iteration}; "
                    f"starting it again with learning_rate {event.learning_rate:.1e}"
                )
            case events.ScaleFinished():
                self.console.note(
                    f"{self.scale(event.scale)}: done in {event.seconds:.0f} s, "
                    f"reconstruction error {event.reconstruction_rmse:.3f}"
                )
            case events.Progress():
                self.progress(event)

    def progress(self, event: events.Progress) -> None:
        if time.monotonic() - self.said < PLAIN_SECONDS:
            return
        self.said = time.monotonic()
        self.console.note(
            f"{self.scale(event.scale)}: iteration {event.iteration}/{self.iterations[event.scale]}, "
            f"{event.done:.0%}, {_left(event.seconds_left)}"
        )

    def scale(self, n: int) -> str:
        return f"scale {n} of 0-{len(self.sizes) - 1} ({self.sizes[n]})"


class _Live(_Plain):
    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__(console)
        self.bar, self.task = progress, progress.add_task("training", total=1.0, left="", losses="")

    def progress(self, event: events.Progress) -> None:
        self.bar.update(
            self.task,
            completed=event.done,
            description=f"{self.scale(event.scale)} {event.iteration:>5}/{self.iterations[event.scale]}",
            left=_left(event.seconds_left),
            losses=" ".join(f"{name[0].upper()} {loss:+.3f}" for name, loss in event.losses.items()),
        )


@contextmanager
def pictures_progress(console: Console, total: int) -> Iterator[PicturesProgress]:
    """What tells, on stderr in the console's mode, of the trainings on ``total`` pictures."""
    if console.mode != "rich":
        yield PicturesProgress(console, total)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
        console=console.errors,
        redirect_stdout=is_terminal(sys.stdout),  # results go above the bars, but not where they are sent elsewhere
    ) as bars:
        yield PicturesProgress(console, total, bars)


class PicturesProgress:
    """Many trainings: a bar for all and one for each that is going on, or a line for each that has ended."""

    def __init__(self, console: Console, total: int, bars: Progress | None = None) -> None:
        self.console, self.total, self.bars = console, total, bars
        self.started = time.monotonic()
        self.training: dict[Path, events.Progress] = {}
        self.rows: dict[Path, TaskID] = {}
        self.trained = self.failed = 0
        if bars:
            self.overall = bars.add_task(f"{self.count()} pictures", total=total, left="")

    def observe(self, picture: Path, event: Event) -> None:
        """Take notice of an event in the training on a picture."""
        if isinstance(event, events.CheckpointProblem) and self.console.mode != "json":
            self.console.note(f"warning: {event.sentence}")
        if not isinstance(event, events.Progress):
            return
        self.training[picture] = event
        if self.bars:
            if picture not in self.rows:
                self.rows[picture] = self.bars.add_task(printable(picture.name), total=1.0, left="")
            self.bars.update(self.rows[picture], completed=event.done, left=_left(event.seconds_left))
            self.bars.update(self.overall, completed=self.done(), left=self.left())

    def ended(self, outcome: Outcome) -> None:
        """Take notice of what became of a picture."""
        self.training.pop(outcome.picture, None)
        self.trained += outcome.bundle is not None
        self.failed += outcome.bundle is None
        if self.bars:
            if outcome.picture in self.rows:
                self.bars.remove_task(self.rows.pop(outcome.picture))
            what = f"{self.count()} pictures"
            self.bars.update(self.overall, completed=self.done(), description=what, left=self.left())
        # Where there are bars the path among the results says enough, with --json the object there.
        if self.console.mode == "plain" or (self.bars and outcome.error):
            seconds = outcome.bundle.manifest.training.seconds if outcome.bundle else 0
            how = f"failed: {outcome.error}" if outcome.error else f"trained in {seconds:.0f} s"
            self.console.note(f"{self.count()}: {outcome.picture} {how}" + (self.left() and f"; {self.left()}"))

    def count(self) -> str:
        return f"{self.trained + self.failed} of {self.total}"

    def done(self) -> float:
        """Pictures' worth of work that is done, failures included."""
        return self.trained + self.failed + sum(event.done for event in self.training.values())

    def left(self) -> str:
        """The time left, from what was done so far; empty where nothing was, or nothing is left."""
        worked, missing = self.done() - self.failed, self.total - self.done()
        if not worked or missing <= 0:
            return ""
        longest = max((event.seconds_left for event in self.training.values()), default=0.0)
        seconds = max(longest, (time.monotonic() - self.started) / worked * missing)
        return f"{timedelta(seconds=round(seconds))} left"


def show_failures(console: Console, failures: Mapping[Path, str]) -> None:
    """A table on stderr of the pictures that failed, and why; in a pipe, fields separated by a tab."""
    if console.mode == "rich":
        table = Table("picture", "what is wrong", box=None, header_style="bold", pad_edge=False)
        for picture, error in failures.items():
            table.add_row(Text(printable(str(picture))), Text(printable(error)))
        console.errors.print(table)
    elif console.mode != "json":
        for picture, error in failures.items():
            print(f"{printable(str(picture))}\t{printable(error)}", file=sys.stderr)


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
