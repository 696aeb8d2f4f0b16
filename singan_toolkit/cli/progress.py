"""Drawing training events: a live bar on a terminal, lines in a pipe, objects with ``--json``."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from singan_toolkit.cli.console import Console
from singan_toolkit.training import events
from singan_toolkit.training.events import Event, Observer

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
        self.sizes: tuple[tuple[int, int], ...] = ()
        self.iterations: tuple[int, ...] = ()

    def observe(self, event: Event) -> None:
        match event:
            case events.TrainingStarted():
                self.sizes, self.iterations = event.sizes, event.iterations
                trained = [n for n, count in enumerate(event.iterations) if count]
                first, last = _size(event.sizes[trained[0]]), _size(event.sizes[trained[-1]])
                what = f"{len(trained)} scales, {first} to {last}" if trained[1:] else f"scale {trained[0]}, {first}"
                self.console.note(f"training {what} pixels, on {event.device} in {event.precision}")
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
        return f"scale {n} of 0-{len(self.sizes) - 1} ({_size(self.sizes[n])})"


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


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
