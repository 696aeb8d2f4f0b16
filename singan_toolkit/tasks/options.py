"""A task's options, as the command line declares them and Python gives them."""

from __future__ import annotations

import os
from copy import copy
from typing import TYPE_CHECKING, Any

import click

from singan_toolkit.errors import TaskError

if TYPE_CHECKING:
    from singan_toolkit.tasks.task import Task


def complete_options(task: Task, given: dict[str, Any]) -> dict[str, Any]:
    """A task's options with the types and defaults of the command line.

    What may be given several times there is a list or a tuple here, or a single value. Where a file is wanted a picture
    in memory may be given: the task then finds a ``Picture``, which ``read_picture`` takes as it takes a path.

    Raises:
        TaskError: An option is not the task's, is missing or has a wrong value.
    """
    names = [str(option.name) for option in task.options]
    if unknown := given.keys() - set(names):
        raise TaskError(f"{task.name} has no option {min(unknown)!r}; it has {', '.join(names) or 'none'}")
    repeatable = {option.name for option in task.options if option.multiple}
    given = {
        name: (value,) if name in repeatable and not isinstance(value, (list, tuple)) else value
        for name, value in given.items()
        if value is not None
    }
    try:
        command = click.Command(task.name, params=[_with_pictures(option) for option in task.options])
        return command.make_context(task.name, [], default_map=given).params
    except click.ClickException as error:
        raise TaskError(f"{task.name}: {error.format_message()}") from error


class _File(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A file's path, or a picture in memory."""

    def __init__(self, path: click.ParamType) -> None:  # type: ignore[type-arg]
        self.path, self.name = path, path.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, (str, os.PathLike)):
            return self.path.convert(value, param, ctx)
        from singan_toolkit.imaging.pictures import picture_of

        return picture_of(value, str(param.name if param else "picture"))


def _with_pictures(option: click.Option) -> click.Option:
    """The option itself or, where it wants a file, one that takes pictures in memory too."""
    if not (isinstance(option.type, click.Path) and option.type.file_okay):
        return option
    option = copy(option)
    option.type = _File(option.type)
    return option
