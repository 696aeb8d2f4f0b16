"""How several options with many inputs each become jobs, and what their results are called."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from singan_toolkit.batch.inputs import Input
from singan_toolkit.errors import UsageError

Row = tuple[Input, ...]
"""The inputs of one job, one of each option that has many."""
LABEL = "label"
"""The field that is filled when the results are there."""
_FIELD = re.compile(r"\{([^{}]*)\}")


def combine(many: Mapping[str, Sequence[Input]], tell: Callable[[str], object] = lambda text: None) -> list[Row]:
    """Every job's inputs: those of one name belong together; where no name is shared, each goes with each.

    Args:
        many: The inputs of each option, by its name.
        tell: Called with a sentence on the inputs that have no partner of their name, if any.
    """
    (_, first), *others = many.items()
    rows: list[Row] = [(one,) for one in first]
    for option, inputs in others:
        named = {name for row in rows for name in _names(row)}
        if named.isdisjoint(one.name for one in inputs):
            rows = [(*row, one) for row in rows for one in inputs]
            continue
        partners: dict[str, list[Input]] = {}
        for one in inputs:
            partners.setdefault(one.name, []).append(one)
        alone = [row[0].path for row in rows if not _names(row) & partners.keys()]
        alone += [one.path for one in inputs if one.name not in named]
        if alone:
            more = f" and {len(alone) - 4} more" if len(alone) > 4 else ""
            tell(f"passed over {', '.join(map(str, alone[:4]))}{more}: no partner of that name (for {option})")
        rows = [
            (*row, one) for row in rows for name in dict.fromkeys(i.name for i in row) for one in partners.get(name, [])
        ]
    return rows


def _names(row: Row) -> set[str]:
    return {one.name for one in row}


def stem_of(row: Row) -> str:
    """What the inputs of a job are called together: their names without folders, equal ones once."""
    return "-".join(dict.fromkeys(Path(one.name).name for one in row))


def has_fields(template: str, known: Collection[str]) -> bool:
    """Whether a path has one of these in braces."""
    return any(name in known for name in _FIELD.findall(template))


def fill(template: str, fields: Mapping[str, object]) -> str:
    """A path with its fields filled in, but for the label, which comes with the result.

    Raises:
        UsageError: There is no such field.
    """
    for name in _FIELD.findall(template):
        if name not in fields and name != LABEL:
            raise UsageError(f"there is no field {{{name}}} for {template}: there are {', '.join([*fields, LABEL])}")
    return _FIELD.sub(lambda found: found[0] if found[1] == LABEL else str(fields[found[1]]), template)


def fixed_part(template: str) -> Path:
    """The folders of a path before the first that has a field."""
    return Path(template.partition("{")[0] + "x").parent if "{" in template else Path(template).parent


def below(template: str, filled: str, row: Row) -> Path:
    """A result's path with the folders of its inputs put in after the fixed part of the template."""
    fixed = fixed_part(template)
    folders = [Path(one.name).parent for one in row]
    folder = next((one for one in folders if one.parts and ".." not in one.parts), Path())
    return fixed / folder / os.path.relpath(filled, fixed)


def refuse_collisions(targets: Sequence[Path], rows: Sequence[Row]) -> None:
    """Find out that no two jobs have one result.

    Raises:
        UsageError: Two have.
    """
    taken: dict[str, Row] = {}
    for target, row in zip(targets, rows, strict=True):
        place = os.path.normcase(target.parent.resolve() / target.name)
        other = taken.setdefault(place, row)
        if other is not row:
            one, two = (" with ".join(str(i.path) for i in inputs) for inputs in (other, row))
            kind = "bundle" if target.suffix == ".sgb" else "result"
            raise UsageError(f"{one} and {two} would have the same {kind}, {target}: rename one, or use another -o")
