"""Forms: what a task's options ask for, as JSON for a page, and options from what a form gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from singan_toolkit.errors import UsageError
from singan_toolkit.jobs import RunJob
from singan_toolkit.studio.folder import Folder
from singan_toolkit.tasks.fields import Angle, Extent, MaskFile, Mirror, PaintedFile, Placing, Position
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.task import Task

_PLACING = {Position: "position", Extent: "extent", Angle: "angle", Mirror: "mirror"}


def form_of(task: Task) -> dict[str, Any]:
    """What a page needs to know of a task."""
    return {
        "name": task.name,
        "title": task.name.replace("-", " ").capitalize(),
        "summary": task.summary,
        "help": [" ".join(part.split()) for part in (type(task).__doc__ or "").strip().split("\n\n")[1:]],
        "makes": task.makes,
        "lowest": task.injection.lowest if task.injection else None,
        "fields": [field_of(option) for option in task.options],
    }


def field_of(option: click.Option) -> dict[str, Any]:
    """What a page needs to know of an option; ``kind`` says how it is filled in."""
    text, _, told = (option.help or "").partition("  [default:")
    default = option.default if isinstance(option.default, (str, int, float, bool)) else None
    if option.multiple and isinstance(option.default, (list, tuple)) and option.default:
        default = option.default[0]
    return {
        "name": option.name,
        "flag": option.opts[-1],
        "label": option.opts[-1].lstrip("-").replace("-", " ").capitalize(),
        "help": text.strip(),
        "by_default": told.removesuffix("]").strip(),
        "default": default,
        "required": option.required,
        **_kind_of(option),
    }


def job_of(folder: Folder, given: Mapping[str, Any]) -> RunJob:
    """The job that a form asks for.

    Args:
        folder: Where its files are.
        given: ``task``, ``bundle``, ``scale``, ``seed``, ``device`` and ``options``, with files by their names.

    Raises:
        UsageError: A file is not the folder's, or a value is wrong.
    """
    task = installed_plugins().task(str(given.get("task")))
    asked = given.get("options") or {}
    if not isinstance(asked, dict):
        raise UsageError("options are no object of names and values")
    kinds = {str(option.name): option.type for option in task.options}
    options = {}
    for name, value in asked.items():
        if value in (None, ""):
            continue
        if isinstance(value, (dict, list)):
            raise UsageError(f"{name} has several values, and the page gives one")
        is_file = isinstance(kinds.get(name), click.Path)
        options[name] = folder.file(value) if is_file else value
    scale, seed, device = given.get("scale"), given.get("seed") or 0, given.get("device") or "auto"
    if type(seed) is not int or not isinstance(scale, (int, str, type(None))) or not isinstance(device, str):
        raise UsageError("scale, seed or device has a value of another kind")
    return RunJob.of(folder.file(given.get("bundle")), task.name, scale=scale, seed=seed, device=device, **options)


def _kind_of(option: click.Option) -> dict[str, Any]:
    kind = option.type
    if isinstance(kind, MaskFile):
        return {"kind": "mask", "of": kind.of}
    if isinstance(kind, PaintedFile):
        return {"kind": "painting", "of": kind.over, "keeps": kind.keeps}
    if isinstance(kind, click.Path):
        return {"kind": "picture"}
    if isinstance(kind, Placing):
        return {"kind": _PLACING[type(kind)], "paste": kind.paste, "of": kind.on}
    if option.is_flag:
        return {"kind": "flag"}
    if isinstance(kind, click.Choice):
        return {"kind": "choice", "choices": list(kind.choices)}
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        whole = isinstance(kind, click.IntRange)
        both = kind.min is not None and kind.max is not None
        return {"kind": "slider" if both else "number", "min": kind.min, "max": kind.max, "whole": whole}
    if kind in (click.INT, click.FLOAT):
        return {"kind": "number", "min": None, "max": None, "whole": kind is click.INT}
    return {"kind": "text"}
