"""The queue of a studio: one ticket after the other, worked on in a process of its own that can be stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from singan_toolkit.batch.inputs import BUNDLE_ENDING, checkpoint_path
from singan_toolkit.batch.results import ending_of, free_path, write_result, write_results
from singan_toolkit.batch.worker import Worker
from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import Failed, UsageError, failure
from singan_toolkit.files import write_whole
from singan_toolkit.jobs import Done, RunJob, TrainingJob
from singan_toolkit.studio.commands import run_command, train_command
from singan_toolkit.studio.folder import Folder
from singan_toolkit.studio.looks import looked_at
from singan_toolkit.studio.tickets import Step, Ticket, note_event
from singan_toolkit.training.events import ScaleFinished

_TICK = 0.1


class Queue:
    """Works on tickets in a thread, and tells each change.

    Args:
        folder: Where results go.
        previews: A folder for what is there to choose from.
        publish: Called, from the thread, with a ticket that has changed.
    """

    def __init__(self, folder: Folder, previews: Path, publish: Callable[[dict[str, Any]], object]) -> None:
        self.folder, self.previews, self.publish = folder, previews, publish
        self.tickets: dict[int, Ticket] = {}
        self.changed = Condition()
        self.ended = False
        self.worker = Worker(os.cpu_count() or 1)  # as many threads as a command line of its own would take
        self.thread = Thread(target=self._work, name="studio queue", daemon=True)
        self.thread.start()

    def add(self, ticket: Ticket) -> dict[str, Any]:
        """Put a ticket at the end."""
        with self.changed:
            self.tickets[ticket.number] = ticket
            self.changed.notify()
        return self._tell(ticket)

    def stop(self, number: int) -> None:
        """Stop a ticket, be it waiting or in work; a training stays in its checkpoint."""
        with self.changed:
            for step in self.ticket(number).steps:
                if step.state in ("waiting", "running"):
                    step.state = "stopped" if step.state == "waiting" else "stopping"
        self._tell(self.tickets[number])

    def go_on(self, number: int) -> None:
        """Go on with a ticket that was stopped or failed."""
        with self.changed:
            for step in self.ticket(number).steps:
                if step.state in ("stopped", "failed"):
                    step.state, step.sentence = "waiting", ""
            self.changed.notify()
        self._tell(self.tickets[number])

    def keep(self, number: int, place: int) -> Step:
        """Put what a step shows into the folder.

        Raises:
            UsageError: It shows nothing.
        """
        step = self.step(number, place)
        if step.preview is None:
            raise UsageError("there is nothing to keep yet")
        if not step.results:
            assert isinstance(step.job, RunJob)
            path = free_path(self._stem(step.job), step.preview.suffix)
            write_whole(path, step.preview.read_bytes())
            step.results = [self.folder.name_of(path)]
            step.command = run_command(step.job, self.folder, step.results[0])
            self._tell(self.tickets[number])
        return step

    def ticket(self, number: int) -> Ticket:
        """The ticket of that number.

        Raises:
            UsageError: There is none.
        """
        if number not in self.tickets:
            raise UsageError(f"there is no ticket {number} in this studio's queue")
        return self.tickets[number]

    def step(self, number: int, place: int) -> Step:
        """A step of a ticket.

        Raises:
            UsageError: There is none.
        """
        steps = self.ticket(number).steps
        if not 0 <= place < len(steps):
            raise UsageError(f"ticket {number} has no step {place}")
        return steps[place]

    def close(self) -> None:
        """Stop all work; a training stays in its checkpoint."""
        with self.changed:
            self.ended = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        while found := self._next():
            ticket, step = found
            self._tell(ticket)
            try:
                self._do(ticket, step)
            except Exception as error:  # of writing, or of a process that cannot be started
                step.state, step.sentence = "failed", self._named(failure(error).sentence)
            self._tell(ticket)
        self.worker.stop()

    def _next(self) -> tuple[Ticket, Step] | None:
        with self.changed:
            while not self.ended:
                for ticket in self.tickets.values():
                    for step in ticket.steps:
                        if step.state == "waiting":
                            step.state = "running"
                            return ticket, step
                self.changed.wait()
        return None

    def _do(self, ticket: Ticket, step: Step) -> None:
        if isinstance(step.job, TrainingJob) and ticket.target is None:
            ticket.target = free_path(step.job.picture.with_suffix(""), BUNDLE_ENDING)
        checkpoint = checkpoint_path(ticket.target) if ticket.target else None
        self.worker.give(step.job, checkpoint)
        while step.state == "running" and not self.ended:
            if not wait([self.worker.connection], _TICK):
                continue
            match message := self.worker.receive():
                case Done():
                    self.worker.job = None
                    self._keep(ticket, step, message)
                    step.state = "done"
                case Failed():
                    self.worker.job = None
                    step.state, step.sentence = "failed", self._named(message.sentence)
                case Warning():
                    step.notes.append(self._named(str(message)))
                case None:
                    pass
                case event:
                    note_event(ticket, event)
                    if isinstance(event, ScaleFinished) and checkpoint:
                        self._look(ticket, checkpoint)
                    self._tell(ticket)
        if step.state in ("running", "stopping"):
            self.worker.stop()
            self.worker.job, step.state = None, "stopped"

    def _look(self, ticket: Ticket, checkpoint: Path) -> None:
        found = looked_at(checkpoint, ticket.progress["sizes"], self.previews / f"training-{ticket.number}")
        if found:
            ticket.progress["seen"] = {**ticket.progress.get("seen", {}), found[0]: found[1]}

    def _keep(self, ticket: Ticket, step: Step, done: Done) -> None:
        job, result = step.job, done.result
        if isinstance(result, Bundle):
            assert ticket.target
            assert isinstance(job, TrainingJob)
            write_result(result, ticket.target)
            with suppress(OSError):
                checkpoint_path(ticket.target).unlink(missing_ok=True)
            step.results = [self.folder.name_of(ticket.target)]
            precision = result.manifest.training.settings.get("precision", job.settings.precision)
            settled = job.settings.model_copy(update={"precision": precision})  # what auto was measured to be
            settled_job = job.model_copy(update={"settings": settled})
            step.command = train_command(settled_job, self.folder, step.results[0])
            return
        assert isinstance(job, RunJob)
        step.notes += [self._named(str(note)) for note in result.notes]
        stem = self._stem(job)
        if ticket.kind != "run":
            name = f"{ticket.number}-{ticket.steps.index(step)}{ending_of(result.results[0])}"
            step.preview = write_result(result.results[0], self.previews / name)
            step.command = run_command(job, self.folder, stem.name + step.preview.suffix)
            return
        several = len(result.results) > 1
        target = free_path(stem, "" if several else ending_of(result.results[0]))
        paths = write_results(result.results, target, stem.name, as_sheet=False, folder=several)
        step.results = [self.folder.name_of(path) for path in paths]
        step.command = run_command(job, self.folder, f"{target.name}/" if several else target.name)

    def _named(self, sentence: str) -> str:
        """A sentence with files by their names in the folder, as in a command line there."""
        return sentence.replace(f"{self.folder.path}{os.sep}", "")

    def _stem(self, job: RunJob) -> Path:
        return self.folder.path / f"{job.bundle.stem}-{job.task}"

    def _tell(self, ticket: Ticket) -> dict[str, Any]:
        told = ticket.told()
        self.publish(told)
        return told
