"""``singan-tk run TASK`` with many inputs: any of the task's files may be a folder, a pattern or a list."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import rich_click as click
from click.shell_completion import CompletionItem

from singan_toolkit.cli.console import Console
from singan_toolkit.cli.many import How, do_all, places
from singan_toolkit.tasks.task import Task

BUNDLE = "bundle"


class OneOrMany(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A file, as another type takes it, or the path of a folder, a pattern or a list."""

    def __init__(self, file: click.Path) -> None:
        self.file, self.name = file, file.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A path, of what is many; of one file whatever the other type gives."""
        from singan_toolkit.batch.inputs import names_one_file

        return self.file.convert(value, param, ctx) if names_one_file([Path(value)]) else Path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """As for a file."""
        return self.file.shell_complete(ctx, param, incomplete)


def takes_many(option: click.Option) -> bool:
    """Whether an option of a task names a file, and so may name many."""
    return isinstance(option.type, click.Path) and option.type.file_okay and option.nargs == 1


def with_many(option: click.Option) -> click.Option:
    """The option or, where it names a file, one that may name many."""
    if takes_many(option):
        option = copy(option)
        option.type = OneOrMany(option.type)  # type: ignore[arg-type]
    return option


def many_of(task: Task, bundle: Path, options: Mapping[str, Any]) -> dict[str, Path]:
    """The folders, patterns and lists that were given, by the option.

    Raises:
        UsageError: One was given beside others for the same option.
    """
    from singan_toolkit.batch.inputs import names_one_file

    many = {} if names_one_file([bundle]) else {BUNDLE: bundle}
    for option in filter(takes_many, task.options):
        value = options.get(str(option.name))
        values = [Path(one) for one in (value if isinstance(value, tuple) else (value,)) if one is not None]
        found = [one for one in values if not names_one_file([one])]
        if found and values[1:]:
            raise click.UsageError(
                f"{option.opts[0]} {found[0]} is many files: give {option.opts[0]} once, and each job gets one of them"
            )
        many |= {str(option.name): one for one in found}
    return many


def run_many(
    console: Console,
    task: Task,
    bundle: Path,
    many: Mapping[str, Path],
    output: str | None,
    as_sheet: bool,
    how: How,
    options: dict[str, Any],
) -> None:
    """Run a task once for each of many inputs, or for each combination of them.

    Args:
        console: Where to tell.
        task: The task.
        bundle: What ``--bundle`` names.
        many: What names many, of the task's options and of ``--bundle``; see ``many_of``.
        output: A folder, or names with fields in braces.
        as_sheet: One contact sheet of all that a job gives.
        how: The shared options.
        options: The task's own, and the runner's.

    Raises:
        UsageError: The inputs or the output cannot be.
        Exit: Some failed.
    """
    from singan_toolkit.batch.combine import combine, stem_of
    from singan_toolkit.batch.inputs import BUNDLE_ENDING, Input, find_inputs
    from singan_toolkit.batch.results import ENDINGS
    from singan_toolkit.batch.work import Work
    from singan_toolkit.imaging.pictures import readable_endings
    from singan_toolkit.jobs import RunJob

    if Path("-") in (bundle, *options.values()) or (Path("-"),) in options.values():
        raise click.UsageError("beside many inputs no file can come from stdin: give it as a file")
    if output is None:
        raise click.UsageError("many inputs give many results: name their folder, as -o out/")
    found: dict[str, list[Input]] = {}
    for name, named in many.items():
        endings, what = ([BUNDLE_ENDING], "bundle") if name == BUNDLE else (readable_endings(), "picture")
        found[name] = find_inputs([named], endings, what, recursive=how.recursive, tell=console.note)
    found = found or {BUNDLE: [Input(bundle, bundle.stem)]}
    rows = combine(found, console.note)
    if not rows:
        raise click.UsageError(f"no two files of {' and '.join(map(str, many.values()))} have one name")
    jobs, fields = [], []
    for row in rows:
        given = dict(zip(found, row, strict=True))
        paths = {name: one.path for name, one in given.items()}
        of = paths.pop(BUNDLE, bundle)
        own = {name: _as_given(options[name], path) for name, path in paths.items()}
        jobs.append(RunJob.of(of, task.name, **{**options, **own}))
        stems = {BUNDLE: of.stem} | {name: path.stem for name, path in paths.items()}
        fields.append({"stem": stem_of(row), "task": task.name, "seed": options["seed"], **stems})
    default = "{stem}-{task}" + ("-sheet" if as_sheet else "")
    ending = ".gif" if task.makes == "clips" else ".png"
    targets, folder = places(output, default, ending, ENDINGS[task.makes], rows, fields, jobs[0].files)
    works = [Work(job, target, as_sheet) for job, target in zip(jobs, targets, strict=True)]
    inputs = {name: [row[place] for row in rows] for place, name in enumerate(found)}
    do_all(console, works, inputs, folder, how)


def _as_given(before: Any, path: Path) -> Any:
    """A path as an option's value: one of several where the option is repeatable."""
    return (path,) if isinstance(before, tuple) else path
