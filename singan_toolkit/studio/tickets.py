"""What is asked of a studio: a ticket of one or more steps, each a job, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any, Literal

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import UsageError
from singan_toolkit.jobs import RunJob, TrainingJob
from singan_toolkit.studio.folder import Folder
from singan_toolkit.studio.forms import job_of
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.training.events import (
    Event,
    Progress,
    ScaleFinished,
    ScaleRestarted,
    TrainingResumed,
    TrainingStarted,
)
from singan_toolkit.training.presets import DEFAULT_PRESET

State = Literal["waiting", "running", "stopping", "done", "failed", "stopped"]
MOST_VARIANTS = 24


@dataclass
class Step:
    """One job of a ticket.

    Attributes:
        job: The job, with its files' paths from the root on.
        label: What it is called on the strip.
        scale: The injection scale that it shows, if it is there to show one.
        state: How far it is.
        preview: Where the result lies until it is kept; None where it went into the folder.
        results: Names, in the folder, of what it gave.
        command: The command line that makes that again.
        notes: For the user.
        sentence: Why it failed, where it did.
    """

    job: RunJob | TrainingJob
    label: str = ""
    scale: int | str | None = None
    state: State = "waiting"
    preview: Path | None = None
    results: list[str] = field(default_factory=list)
    command: str = ""
    notes: list[str] = field(default_factory=list)
    sentence: str = ""


@dataclass
class Ticket:
    """Work in the queue.

    Attributes:
        kind: A run or a training, whose results go into the folder; or scales or seeds to choose from.
        task: The task, or ``train``.
        title: For people.
        steps: What there is to do, in this order.
        target: Of a training, the bundle's file.
        progress: Of a training, what its events told.
        number: Which it is.
    """

    kind: Literal["run", "scales", "seeds", "train"]
    task: str
    title: str
    steps: list[Step]
    target: Path | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    number: int = field(default_factory=count(1).__next__)

    @property
    def state(self) -> State:
        """How far it is as a whole: failed where nothing of it could be done."""
        states = [step.state for step in self.steps]
        for state in ("stopping", "running", "stopped", "waiting"):
            if state in states:
                return "running" if state == "waiting" and "done" in states else state
        return "done" if "done" in states else "failed"

    def told(self) -> dict[str, Any]:
        """The ticket as JSON for a page."""
        hidden = ("job", "preview")
        steps = [
            {f.name: getattr(step, f.name) for f in fields(step) if f.name not in hidden}
            | {"shown": step.preview is not None, "seed": step.job.seed}
            for step in self.steps
        ]
        own = {name: getattr(self, name) for name in ("number", "kind", "task", "title", "state", "progress")}
        return {**own, "steps": steps, "chosen": _chosen(self.steps)}


def ticket_of(folder: Folder, given: Mapping[str, Any]) -> Ticket:
    """The ticket that a page asks for.

    Raises:
        ToolkitError: What is asked for cannot be, or names what is not there.
    """
    kind = given.get("kind")
    if kind == "train":
        return _training(folder, given)
    if kind not in ("run", "scales", "seeds"):
        raise UsageError(f"{kind!r} is nothing that can be asked for")
    job = job_of(folder, given)
    bundle = Bundle.load(job.bundle)
    title = f"{job.task} with {bundle.name}"
    if kind == "run":
        return Ticket("run", job.task, title, [Step(job)])
    if "count" in job.options:  # each shows one
        job = job.model_copy(update={"options": {**job.options, "count": 1}})
    if kind == "seeds":
        number = given.get("number") or 8
        if type(number) is not int or not 1 <= number <= MOST_VARIANTS:
            raise UsageError(f"{number} variants: give a number from 1 to {MOST_VARIANTS}")
        seeds = range(job.seed, job.seed + number)
        steps = [Step(job.model_copy(update={"seed": seed}), f"seed {seed}") for seed in seeds]
        return Ticket("seeds", job.task, title, steps)
    injection = installed_plugins().task(job.task).injection
    if injection is None:
        raise UsageError(f"{job.task} has no injection scale: no picture enters the pyramid")
    scales: list[int | str] = [*injection.admitted(len(bundle.geometry.sizes)), "auto"]
    steps = [Step(job.model_copy(update={"scale": scale}), f"scale {scale}", scale) for scale in scales]
    return Ticket("scales", job.task, title, steps)


def note_event(ticket: Ticket, event: Event) -> None:
    """Note what a training told."""
    progress = ticket.progress
    match event:
        case TrainingStarted():
            progress |= {"sizes": event.sizes, "iterations": event.iterations, "finished": []}
        case Progress():
            progress |= asdict(event)
        case ScaleFinished():
            progress["finished"] = [*progress.get("finished", []), asdict(event)]
        case TrainingResumed():
            progress["resumed"] = event.scale
        case ScaleRestarted():
            ticket.steps[0].notes.append(f"scale {event.scale} diverged, and starts again with smaller steps")
        case _:
            if sentence := getattr(event, "sentence", ""):
                ticket.steps[0].notes.append(sentence)


def _training(folder: Folder, given: Mapping[str, Any]) -> Ticket:
    picture = folder.file(given.get("picture"))
    settings = given.get("settings") or {}
    if not isinstance(settings, dict):
        raise UsageError("settings are no object of names and values")
    if given.get("max_size"):
        settings = {"max_size": given["max_size"], **settings}
    seed = given.get("seed") or 0
    if type(seed) is not int:
        raise UsageError("the seed is no whole number")
    preset, device = str(given.get("preset") or DEFAULT_PRESET), str(given.get("device") or "auto")
    if unknown := min(settings.keys() & {"picture", "preset", "task", "seed", "device"}, default=""):
        raise UsageError(f"there is no setting {unknown}")
    job = TrainingJob.of(picture, preset=preset, task=given.get("for") or None, seed=seed, device=device, **settings)
    return Ticket("train", "train", f"training on {picture.name}", [Step(job)])


def _chosen(steps: list[Step]) -> dict[str, Any] | None:
    """Which scale ``auto`` chose, and the sentence on why."""
    for step in steps:
        for note in step.notes if step.scale == "auto" else ():
            if found := re.match(r"chose scale (\d+)", note):
                return {"scale": int(found[1]), "why": note}
    return None
