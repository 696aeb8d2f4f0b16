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

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from singan_toolkit.cli.console import Console, is_terminal, printable
from singan_toolkit.pyramid.geometry import Size
from singan_toolkit.training import events
from singan_toolkit.training.events import Event, Observer

PLAIN_SECONDS = 10.0
SILENT_SECONDS = 30.0


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
def many_progress(console: Console, total: int, noun: str = "pictures") -> Iterator[ManyProgress]:
    """What tells, on stderr in the console's mode, of ``total`` jobs, which are ``noun`` to the user."""
    if console.mode != "rich":
        yield ManyProgress(console, total, noun)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
        console=console.errors,
        redirect_stdout=is_terminal(sys.stdout),  # results go above the bars, but not where they are sent elsewhere
    ) as bars:
        yield ManyProgress(console, total, noun, bars)


class ManyProgress:
    """Many jobs: a bar for all and one for each that trains, or a line for each that has ended and one now and then."""

    def __init__(self, console: Console, total: int, noun: str = "pictures", bars: Progress | None = None) -> None:
        self.console, self.total, self.noun, self.bars = console, total, noun, bars
        self.started = self.said = time.monotonic()
        self.training: dict[str, events.Progress] = {}
        self.rows: dict[str, TaskID] = {}
        self.done = self.failed = 0
        if bars:
            self.overall = bars.add_task(f"{self.count()} {noun}", total=total, left="")

    def begin(self) -> None:
        """Take notice that work begins."""
        if self.console.mode == "plain":
            self.console.note(f"starting on {self.total} {self.noun}")

    def tick(self) -> None:
        """In a pipe, say how things stand where nothing was said for long; to be called every few seconds."""
        if self.bars or time.monotonic() - self.said < SILENT_SECONDS:
            return
        self.said = time.monotonic()
        doing = "".join(f"; {name} {event.done:.0%}" for name, event in self.training.items())
        self.console.note(f"{self.count()} {self.noun}" + doing + (self.left() and f"; {self.left()}"))

    def observe(self, name: str, event: Event) -> None:
        """Take notice of an event in a training."""
        if isinstance(event, events.CheckpointProblem) and self.console.mode != "json":
            self.console.note(f"warning: {event.sentence}")
        if not isinstance(event, events.Progress):
            return
        self.training[name] = event
        if self.bars:
            if name not in self.rows:
                self.rows[name] = self.bars.add_task(printable(Path(name).name), total=1.0, left="")
            self.bars.update(self.rows[name], completed=event.done, left=_left(event.seconds_left))
            self.bars.update(self.overall, completed=self.worked(), left=self.left())

    def ended(self, name: str, error: str = "") -> None:
        """Take notice that a job is done or, for that reason, failed."""
        self.training.pop(name, None)
        self.done += not error
        self.failed += bool(error)
        if self.bars:
            if name in self.rows:
                self.bars.remove_task(self.rows.pop(name))
            what = f"{self.count()} {self.noun}"
            self.bars.update(self.overall, completed=self.worked(), description=what, left=self.left())
        # Where there are bars the path among the results says enough, with --json the object there.
        if self.console.mode == "plain" or (self.bars and error):
            how = f"failed: {error}" if error else "done"
            self.console.note(f"{self.count()}: {name} {how}" + (self.left() and f"; {self.left()}"))
            self.said = time.monotonic()

    def count(self) -> str:
        return f"{self.done + self.failed} of {self.total}"

    def worked(self) -> float:
        """Jobs' worth of work that is done, failures included."""
        return self.done + self.failed + sum(event.done for event in self.training.values())

    def left(self) -> str:
        """The time left, from what was done so far; empty where nothing was, or nothing is left."""
        worked, missing = self.worked() - self.failed, self.total - self.worked()
        if not worked or missing <= 0:
            return ""
        longest = max((event.seconds_left for event in self.training.values()), default=0.0)
        seconds = max(longest, (time.monotonic() - self.started) / worked * missing)
        return f"{timedelta(seconds=round(seconds))} left"


def show_failures(console: Console, failures: Mapping[str, str]) -> None:
    """A table on stderr of what failed, and why; in a pipe, fields separated by a tab."""
    if console.mode == "rich":
        table = Table("what failed", "what is wrong", box=None, header_style="bold", pad_edge=False)
        for name, error in failures.items():
            table.add_row(Text(printable(name)), Text(printable(error)))
        console.errors.print(table)
    elif console.mode != "json":
        for name, error in failures.items():
            print(f"{printable(name)}\t{printable(error)}", file=sys.stderr)


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
