"""What ``train`` and ``run`` share where they are given many inputs: options, the report, the exit status."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from singan_toolkit.cli.console import Console
from singan_toolkit.cli.targets import check_writable, is_folder
from singan_toolkit.errors import Failed, PictureNotWrittenError

if TYPE_CHECKING:
    from singan_toolkit.batch.combine import Row
    from singan_toolkit.batch.engines import Engine
    from singan_toolkit.batch.inputs import Input
    from singan_toolkit.batch.ledger import Ledger
    from singan_toolkit.batch.work import Ended, Found, Work

SOME_FAILED = 3
"""Exit status where some of many inputs failed and the rest was done."""
_TOLD = 4


@dataclass(frozen=True)
class How:
    """What the shared options say."""

    recursive: bool
    dry_run: bool
    stale: bool
    retry_failed: bool
    engine: str
    address: str | None
    jobs: int | None
    threads: int | None
    force: bool

    @classmethod
    def taken_from(cls, options: dict[str, Any], force: bool) -> How:
        """Take what ``many_options`` gave out of a command's options."""
        return cls(force=force, **{name: options.pop(name) for name in _NAMES})

    def does(self, found: Found) -> bool:
        """Whether a work in that state is to be done."""
        wanted = {"missing": True, "stale": self.stale, "failed": self.retry_failed and bool(found.record.digest)}
        return self.force or wanted.get(found.state, False)


_NAMES = [field.name for field in fields(How) if field.name != "force"]


def many_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that become a ``How``, but for ``--force``."""
    for option in (
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            help="Threads that each computes with  [default: the cores, shared among --jobs]",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            help="Of many, how many at a time  [default: one a core, or 4 on a GPU, as far as memory allows]",
        ),
        click.option("--address", help="Of the cluster, for engines that work on other machines."),
        click.option(
            "--engine",
            default="local",
            show_default=True,
            help="Of many, what carries them out: local, ray or a plugin's.",
        ),
        click.option("--retry-failed", is_flag=True, help="Of many, try again what failed before."),
        click.option("--stale", is_flag=True, help="Of many, do again what was made of other inputs or settings."),
        click.option("--dry-run", is_flag=True, help="Show which inputs would give which outputs, and do nothing."),
        click.option("--recursive", "-r", is_flag=True, help="Take folders with all folders inside."),
    ):
        command = option(command)
    return command


def places(
    output: str | None,
    default: str,
    ending: str,
    endings: Collection[str],
    rows: Sequence[Row],
    fields: Sequence[Mapping[str, object]],
    alone: Iterable[Path] = (),
) -> tuple[list[Path], Path]:
    """Where the result of each job goes, and the folder of the ledger.

    Args:
        output: As given: a folder, or a path with fields in braces; None puts each beside its input.
        default: Name with fields in a folder.
        ending: Of the results, where none is given.
        endings: That results can have.
        rows: The inputs of each job.
        fields: Of each job, by name.
        alone: The files that all jobs read.

    Raises:
        UsageError: One cannot be written to, is an input, or is another's too.
    """
    from singan_toolkit.batch.combine import below, fill, fixed_part, has_fields, refuse_collisions

    if output == "-":
        raise click.UsageError("what many inputs give does not fit into stdout: give a folder")
    template = output or default
    if output and not has_fields(output, [*fields[0], "label"]):
        folder = is_folder(output) or Path(output).suffix.lower() not in endings
        if (not folder and len(rows) > 1) or (folder and Path(output).is_file()):
            names = f"names as 'out/{{stem}}{ending}'"
            raise click.UsageError(f"several results do not fit into the one file {output}: give a folder, or {names}")
        template = str(Path(output) / default) if folder else output
    elif output and Path(output).suffix.lower() not in ("", *endings):
        raise click.UsageError(f"cannot write {output}: use one of {', '.join(endings)}")
    if Path(template).suffix.lower() not in endings:
        template += ending
    filled = [fill(template, one) for one in fields]
    if output:
        targets = [below(template, one, row) for one, row in zip(filled, rows, strict=True)]
    else:
        targets = [row[0].path.parent / one for one, row in zip(filled, rows, strict=True)]
    refuse_collisions(targets, rows)
    inputs = {os.path.realpath(path): path for path in (*(one.path for row in rows for one in row), *alone)}
    for target in targets:
        check_writable(target)
        if given := inputs.get(os.path.realpath(target)):
            raise click.UsageError(f"cannot write {target}: it is read as {given}; give another name")
    return targets, fixed_part(template) if output else Path(os.path.commonpath([target.parent for target in targets]))


def do_all(
    console: Console, works: Sequence[Work], inputs: Mapping[str, Sequence[Input]], folder: Path, how: How
) -> None:
    """Do what is missing of many works, and report it.

    Args:
        console: Where to tell.
        works: All.
        inputs: By the option that gave them, one for each work: for the table of ``--dry-run``.
        folder: Of the ledger.
        how: The shared options.

    Raises:
        Exit: With a status of its own where some failed.
    """
    from singan_toolkit.batch.engines import engine_of
    from singan_toolkit.batch.ledger import Ledger
    from singan_toolkit.batch.work import Ended, find, note_unreadable

    engine = engine_of(how.engine)
    if how.dry_run:
        with Ledger.read(folder) as kept:
            found = find(works, folder, kept)
        columns = [[str(one.path) for one in given] for given in inputs.values()]
        columns += [[str(one.work.target) for one in found], [_state(one, how) for one in found]]
        console.rows("Jobs", (*inputs, "output", "state"), list(zip(*columns, strict=True)))
        return
    if console.mode == "plain":
        console.note(f"{len(works)} {_noun(works)}: looking for what is missing")
    with Ledger.open(folder) as ledger:
        found = find(works, folder, ledger)
        note_unreadable(found, ledger)
        left = [one for one in found if not how.does(one)]
        wanted = [one for one in found if how.does(one)]
        _tell_left(console, left, works)
        failed = [one for one in left if one.state in ("failed", "set aside")]
        failures = {one.name: one.why for one in failed}
        for one in failed:
            _tell(console, Ended(one, Failed(one.kind, one.why)))
        if wanted:
            failures |= _do(console, wanted, ledger, engine, how)
    if failures:
        from singan_toolkit.cli.progress import show_failures

        show_failures(console, failures)
        again = "the same command goes on with the rest, and --retry-failed with these"
        console.error(f"{len(failures)} of {len(works)} {_noun(works)} failed; {again}")
        raise Exit(SOME_FAILED)


def _do(console: Console, wanted: Sequence[Found], ledger: Ledger, engine: Engine, how: How) -> dict[str, str]:
    """Do these works, and give back why some failed."""
    from singan_toolkit.batch.engines import EngineOptions
    from singan_toolkit.batch.work import carry_on
    from singan_toolkit.cli.progress import many_progress

    failures: dict[str, str] = {}
    kept = 0
    noun = _noun([one.work for one in wanted])
    try:
        with many_progress(console, len(wanted), noun) as progress:
            options = EngineOptions(
                count=len(wanted),
                jobs=how.jobs,
                threads=how.threads,
                address=how.address,
                observer=lambda order, event: progress.observe(order.about.name, event),
                tick=progress.tick,
            )
            progress.begin()
            with closing(carry_on(wanted, ledger, engine, options)) as all_ended:
                for ended in all_ended:
                    failed = ended.outcome if isinstance(ended.outcome, Failed) else None
                    if failed:
                        failures[ended.found.name] = failed.sentence
                    kept += not failed
                    _tell(console, ended)
                    progress.ended(ended.found.name, failed.sentence if failed else "")
    except (KeyboardInterrupt, OSError, PictureNotWrittenError):
        console.note(f"{kept} of {len(wanted)} {noun} are done; the same command goes on with the rest")
        raise
    return failures


def _noun(works: Sequence[Work]) -> str:
    return "jobs" if hasattr(works[0].job, "bundle") else "pictures"


def _state(found: Found, how: How) -> str:
    state = "to do" if how.does(found) else found.state
    return f"{state}: {found.why}" if found.why else state


def _tell_left(console: Console, left: Sequence[Found], works: Sequence[Work]) -> None:
    """What is not done: what is there, and what is stale."""
    if done := sum(one.state == "done" for one in left):
        console.note(f"skipping {done} of {len(works)} {_noun(works)}, which are done; --force does them again")
    stale = [one for one in left if one.state == "stale"]
    for one in stale[:_TOLD]:
        console.note(f"stale: {one.work.target} {one.why}")
    if stale:
        more = (
            f"{len(stale)} of {len(works)} {_noun(works)} have stale results, which stay"
            if stale[_TOLD:]
            else "it stays"
        )
        console.note(f"{more}; --stale does them again")


def _tell(console: Console, ended: Ended) -> None:
    """What became of one, on stdout: its results' paths or, with ``--json``, an object."""
    job, outcome = ended.found.work.job, ended.outcome
    about: dict[str, Any] = {"task": job.task} if hasattr(job, "bundle") else {"picture": str(job.picture)}
    if hasattr(job, "bundle"):
        about["inputs"] = [str(path) for path in job.files]
    if isinstance(outcome, Failed):
        if console.mode == "json":
            console.result("", **about, error=outcome.sentence, kind=outcome.kind)
        return
    manifest = getattr(outcome.result, "manifest", None)
    for path in ended.paths:
        if manifest:
            seconds = round(outcome.seconds, 1)
            console.result(path, **about, bundle=str(path), seconds=seconds, scales=len(manifest.scales))
        else:
            console.result(path, **about, picture=str(path))
    for note in getattr(outcome.result, "notes", ()):
        console.note(f"{ended.found.work.target}: {note}")
