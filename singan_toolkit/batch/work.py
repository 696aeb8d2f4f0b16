"""Many jobs and where their results go: what of them is missing, doing that, and noting it in the ledger."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from singan_toolkit.batch.engines import Engine, EngineOptions, Order
from singan_toolkit.batch.inputs import checkpoint_path
from singan_toolkit.batch.ledger import Ledger, Record, has
from singan_toolkit.batch.results import names_of, sheet_of, write_result
from singan_toolkit.batch.worker import Died
from singan_toolkit.errors import Failed, Kind, ToolkitError, failure
from singan_toolkit.jobs import Done, RunJob, TrainingJob, digest_of
from singan_toolkit.tasks.task import Output

MOST_DEATHS = 3
"""A job that has taken its process with it so often is set aside."""

State = Literal["missing", "done", "stale", "failed", "set aside"]


@dataclass(frozen=True)
class Work:
    """A job, and the file that its result goes to; of several results each gets its label there."""

    job: TrainingJob | RunJob
    target: Path
    as_sheet: bool = False

    @property
    def checkpoint(self) -> Path | None:
        """What a training is kept in until its bundle is written."""
        return checkpoint_path(self.target) if isinstance(self.job, TrainingJob) else None


@dataclass(frozen=True)
class Found:
    """What there is of a work.

    Attributes:
        work: The work.
        state: Whether its result is missing or done; stale, if made of something else; failed, or set aside.
        why: A phrase on why it is stale, failed or set aside.
        record: For the ledger.
        kind: Through whom it failed, if it did.
    """

    work: Work
    state: State
    why: str
    record: Record
    kind: Kind = "input"

    @property
    def name(self) -> str:
        """What to call it in a report: the picture of a training, else where its result goes."""
        return str(self.work.job.picture if isinstance(self.work.job, TrainingJob) else self.work.target)


@dataclass(frozen=True)
class Ended:
    """What became of a work: the paths of its results, or why it failed."""

    found: Found
    outcome: Done | Failed
    paths: Sequence[Path] = ()


def find(works: Iterable[Work], folder: Path, ledger: Ledger | None) -> list[Found]:
    """What there is of each work in a folder. Every input is read once, and every result."""
    records = ledger.records() if ledger else {}
    digest = cache(digest_of)
    return [_found(work, folder, records, digest) for work in works]


def note_unreadable(all_found: Iterable[Found], ledger: Ledger) -> None:
    """Note in the ledger which works cannot be begun, since an input cannot be read. What was made before stays."""
    records = ledger.records()
    for found in all_found:
        record = found.record
        if not record.digest and not ((old := records.get(record.target)) and old.state == "done"):
            ledger.put([record])
            ledger.fail(record.target, Failed(found.kind, found.why))


def carry_on(
    wanted: Sequence[Found], ledger: Ledger, engine: Engine, options: EngineOptions
) -> Generator[Ended, None, None]:
    """Do some works with an engine, and note in the ledger what becomes of each.

    Raises:
        OSError: A result cannot be written, on a full disk say: the next would meet that too.
        ToolkitError: A device is not here; or as OSError.
    """
    ledger.put(found.record for found in wanted)
    settled: dict[str, Any] = {}
    if wanted and isinstance(first := wanted[0].work.job, TrainingJob):
        # Once and while the machine is quiet: beside other trainings each would measure something else.
        job = first.settled()
        settled = dict(device=job.device, settings=job.settings)

    def hand_out() -> Iterator[Order]:
        for found in wanted:
            ledger.begin(found.record.target)
            yield Order(found.work.job.model_copy(update=settled), found.work.checkpoint, found)

    with closing(engine(hand_out(), options)) as all_ended:
        for order, outcome in all_ended:
            found: Found = order.about
            paths: Sequence[Path] = ()
            if isinstance(outcome, Done):
                try:
                    paths = _keep(ledger, found, outcome)
                    if order.checkpoint:
                        order.checkpoint.unlink(missing_ok=True)
                except Exception as error:
                    outcome = failure(error)
                    if outcome.kind == "environment":
                        ledger.fail(found.record.target, outcome)
                        raise
            if isinstance(outcome, Failed):
                ledger.fail(found.record.target, outcome, isinstance(outcome, Died))
            yield Ended(found, outcome, paths)


def _keep(ledger: Ledger, found: Found, done: Done) -> Sequence[Path]:
    result, work, parts = done.result, found.work, ledger.parts()
    if isinstance(result, Output) and work.as_sheet:
        result = replace(result, results=[sheet_of(result.results)])
    named = names_of(result, work.target)
    written = {}
    for number, (one, path) in enumerate(named):
        part = parts / f"{number}{path.suffix}"
        try:
            written[os.path.relpath(path, ledger.folder)] = write_result(one, part)
        except (OSError, ToolkitError) as error:  # which names what nobody has heard of
            raise type(error)(str(error).replace(str(part), str(path))) from error
    ledger.finish(found.record.target, written)
    return [path for _, path in named]


def _found(work: Work, folder: Path, records: dict[str, Record], digest: Callable[[Path], str]) -> Found:
    target = os.path.relpath(work.target, folder)
    asked = json.dumps(work.job.model_dump(mode="json"))
    made_with = version("singan-toolkit")
    try:
        contents = [digest(path) for path in work.job.files]
    except OSError as error:
        record = Record(target, "waiting", "", asked, "{}", made_with)
        return Found(work, "failed", f"cannot read {error.filename}: {error.strerror}", record)
    inputs = {os.path.abspath(path): one for path, one in zip(work.job.files, contents, strict=True)}  # noqa: PTH100  # links stay
    sheet = " sheet" if work.as_sheet else ""
    new = Record(target, "waiting", work.job.digest_over(contents) + sheet, asked, json.dumps(inputs), made_with)
    old = records.get(target)
    state, why = _compared(new, old, folder, work.target)
    return Found(work, state, why, new, old.kind if old and old.kind else "input")


def _compared(new: Record, old: Record | None, folder: Path, target: Path) -> tuple[State, str]:
    if old is None or not old.digest:
        return (
            ("stale", "is there, and the ledger does not say of what it was made")
            if target.exists()
            else ("missing", "")
        )
    same = old.digest == new.digest and old.version == new.version
    if old.state == "done":
        results = json.loads(old.results)
        if not all((folder / name).exists() for name in results):
            return "missing", ""
        if not same:
            return "stale", why_stale(old, json.loads(new.inputs), new.version)
        changed = [name for name, one in results.items() if not has(folder / name, one)]
        return ("stale", f"{changed[0]} was changed since it was made") if changed else ("done", "")
    if old.state == "failed" and same:
        if old.deaths >= MOST_DEATHS:
            return "set aside", f"has ended its process {old.deaths} times: {old.sentence}"
        if old.kind != "environment":
            return "failed", old.sentence
    return "missing", ""


def why_stale(record: Record, inputs: dict[str, str], now: str) -> str:
    """In what a result's origin differs from what would be its origin now."""
    before = json.loads(record.inputs)
    changed = [Path(path).name for path, digest in inputs.items() if before.get(path, digest) != digest]
    if changed:
        return f"was made when {changed[0]} was another"
    if before.keys() != inputs.keys() and set(before.values()) != set(inputs.values()):
        other = min(before.keys() - inputs.keys(), default="")
        return f"was made of {other}" if other else "was made of other files"
    return f"was made with version {record.version}" if record.version != now else "was made with other settings"
