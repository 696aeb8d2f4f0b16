"""``singan-tk evaluate --suite``: ways of drawing samples side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from click.exceptions import Exit

from singan_toolkit.batch.inputs import find_inputs
from singan_toolkit.cli.console import Console
from singan_toolkit.cli.many import SOME_FAILED
from singan_toolkit.cli.targets import check_writable

if TYPE_CHECKING:
    from singan_toolkit.evaluation.suite import Entry


def run_suite(
    console: Console,
    real: Path | None,
    systems: str | None,
    max_size: int | None,
    count: int | None,
    seed: int,
    measures: Sequence[str] | None,
    inception: Path | None,
    report: Path | None,
) -> None:
    """Compare systems on the suite's pictures or others, and tell what came of it.

    Args:
        console: Where to tell.
        real: A picture or a folder of several, in the suite's stead.
        systems: Names, separated by commas; None are all that are installed.
        max_size: Longer side to shrink pictures to, in pixels.
        count: Samples of each system that are measured.
        seed: Of the first sample.
        measures: To take; None are the usual ones.
        inception: File with the weights of an Inception v3.
        report: Where an HTML page is written.
    """
    from singan_toolkit.evaluation import suite
    from singan_toolkit.evaluation.catalogue import check_measures
    from singan_toolkit.evaluation.evaluate import check_real, opaque
    from singan_toolkit.evaluation.report import suite_report
    from singan_toolkit.files import write_whole
    from singan_toolkit.imaging.pictures import readable_endings

    count = suite.COUNT if count is None else count
    named = None if systems is None else [name.strip() for name in systems.split(",")]
    names = suite.check_systems(named)
    if measures is not None:
        check_measures(measures, count, inception is not None)
    paths = (
        [one.path for one in find_inputs([real], readable_endings(), tell=console.note)]
        if real
        else suite.suite_pictures()
    )
    if report:
        check_writable(report, paths)
    longer = suite.MAX_SIZE if max_size is None else max_size
    pictures = [suite.shrunk_to(opaque(path, str(path) if real else path.stem), longer) for path in paths]
    for picture in pictures:
        check_real(picture)

    entries, missing = [], []
    how = dict(count=count, seed=seed, measures=measures, inception=inception, tell=console.note)
    for found in suite.compare(pictures, names, **how):  # type: ignore[arg-type]
        if isinstance(found, suite.Missing):
            console.error(f"{found.system} failed on {found.picture}: {found.why.sentence}")
            missing.append(found)
            continue
        entries.append(found)
        _show(console, found)
    if entries:
        _show_means(console, entries)
    if report and entries:
        write_whole(report, suite_report(entries).encode())
        console.note(f"wrote {report}")
    if missing:
        raise Exit(SOME_FAILED if entries else 1)


def _show(console: Console, entry: Entry) -> None:
    """A row for each value; on a terminal one line."""
    values = entry.evaluation.values
    if console.mode != "json" and console.results.is_terminal:
        console.note(
            f"  {entry.prepare_seconds:.1f} s to prepare, {entry.sample_seconds:.2g} s a sample, novelty "
            f"{values['novelty']:.2f} at strength {entry.strength:g}"
        )
        return
    costs = dict(
        strength=entry.strength,
        prepare_seconds=entry.prepare_seconds,
        sample_seconds=entry.sample_seconds,
        memory_mib=entry.memory_mib,
    )
    _rows(console, entry.picture, entry.system, {**costs, **values})


def _show_means(console: Console, entries: Sequence[Entry]) -> None:
    """A column for each system on a terminal; else rows as of a picture."""
    from singan_toolkit.evaluation.report import means_table
    from singan_toolkit.evaluation.suite import NOVELTY, TOLERANCE, means

    of, names = means(entries)
    if console.mode != "json" and console.results.is_terminal:
        header, rows = means_table(of, len(names))
        console.rows(f"Means over {len(names)} picture{'s' if names[1:] else ''}", header, rows)
    else:
        for system, one in of.items():
            costs = dict(prepare_seconds=one.prepare_seconds, sample_seconds=one.sample_seconds)
            _rows(console, "mean", system, {**costs, "memory_mib": one.memory_mib, **one.values})
    for system in of:
        far = [entry.picture for entry in entries if entry.system == system and not entry.is_alike]
        if far:
            console.note(f"{system}: novelty is not within {TOLERANCE} of {NOVELTY} on {', '.join(far)}")


def _rows(console: Console, picture: str, system: str, values: dict[str, float | None]) -> None:
    from singan_toolkit.evaluation.catalogue import MEASURES
    from singan_toolkit.evaluation.report import told

    def better(name: str) -> str:
        return MEASURES[name].better if name in MEASURES else "" if name == "strength" else "lower"

    if console.mode == "json":
        for name, value in values.items():
            finite = value if value is not None and math.isfinite(value) else None
            console.result("", picture=picture, system=system, measure=name, value=finite, better=better(name))
        return
    told_values = {name: "-" if value is None else told(value) for name, value in values.items()}
    rows = [(picture, system, name, value, better(name)) for name, value in told_values.items()]
    console.rows("", ("picture", "system", "measure", "value", "better"), rows)
