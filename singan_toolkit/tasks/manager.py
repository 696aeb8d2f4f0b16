"""Finding plugins through entry points; a broken one is remembered and skipped."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import click
import pluggy

from singan_toolkit.errors import TaskError
from singan_toolkit.tasks import hooks
from singan_toolkit.tasks.aside import aside
from singan_toolkit.tasks.system import System, problem_with_system
from singan_toolkit.tasks.task import Task, problem_with
from singan_toolkit.words import did_you_mean

if TYPE_CHECKING:
    from singan_toolkit.batch.engines import Engine

OWN_DISTRIBUTION = "singan-toolkit"
NO_PLUGINS = "SINGAN_TK_NO_PLUGINS"
OWN_ENGINES = ("local", "ray")
OWN_COMMANDS: set[str] = set()
"""Names of the command line's own commands, which it adds as it registers them."""


@dataclass
class PluginRecord:
    """One entry point: where it came from, what it added and what was wrong with it.

    Attributes:
        name: The entry point's name.
        distribution: The package on the index that brought it, with its version.
        module: What the entry point names.
        tasks: Names of the tasks that it added.
        commands: Names of the commands that it added.
        engines: Names of the engines that it added.
        systems: Names of the systems that it added.
        error: Why it, or a part of it, was skipped; empty where all is well.
        unwanted: Whether it was skipped because the user wants none but the toolkit's own.
    """

    name: str
    distribution: str
    module: str
    tasks: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    engines: list[str] = field(default_factory=list)
    systems: list[str] = field(default_factory=list)
    error: str = ""
    unwanted: bool = False


@dataclass(frozen=True)
class Plugins:
    """All that is installed."""

    manager: pluggy.PluginManager
    records: list[PluginRecord]
    tasks: dict[str, Task]
    commands: dict[str, click.Command]
    engines: dict[str, Engine]
    systems: dict[str, System]

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            TaskError: There is none.
        """
        if name not in self.tasks:
            near = did_you_mean(name, self.tasks)
            raise TaskError(f"there is no task {name!r}" + (near or f"; installed are {', '.join(sorted(self.tasks))}"))
        return self.tasks[name]


@cache
def installed_plugins() -> Plugins:
    """Load every entry point of the group ``singan_toolkit``, our own first; what they print goes to stderr.

    Where the environment variable ``SINGAN_TK_NO_PLUGINS`` is set to anything, our own alone.
    """
    with aside():
        return load_plugins(entry_points(group=hooks.GROUP), strangers=not os.environ.get(NO_PLUGINS))


def load_plugins(points: Any, strangers: bool = True) -> Plugins:
    """Load some entry points.

    Args:
        points: Entry points, in any order. What the toolkit ships comes first, so that no plugin replaces it unseen.
        strangers: Whether those of other distributions are loaded too; otherwise they are not even imported.
    """
    manager = pluggy.PluginManager(hooks.GROUP)
    manager.add_hookspecs(hooks)
    manager.register(hooks.Core(), "core")
    plugins = Plugins(manager, [], {}, {}, {}, {})
    for point in sorted(points, key=lambda point: (_distribution(point)[0] != OWN_DISTRIBUTION, point.name)):
        name, version = _distribution(point)
        record = PluginRecord(point.name, f"{name} {version}".strip(), point.value)
        plugins.records.append(record)
        if name != OWN_DISTRIBUTION and not strangers:
            record.error, record.unwanted = f"not loaded, since {NO_PLUGINS} is set", True
            continue
        try:
            plugin = point.load()
            if problem := _problem_with_version(plugin):
                record.error = problem
                continue
            manager.register(plugin, f"{name}:{point.name}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's import may raise anything
            record.error = f"{type(error).__name__}: {error}"
            continue
        try:
            for task in _offered(plugin, "singan_tasks"):
                _add(record, "task", plugins.tasks, task, problem_with(task))
            for command in _offered(plugin, "singan_commands"):
                _add(record, "command", plugins.commands, command, _problem_with_command(command))
            for name, engine in dict(_offered(plugin, "singan_engines")).items():
                _add(record, "engine", plugins.engines, engine, _problem_with_engine(name, engine), name)
            for system in _offered(plugin, "singan_systems"):
                _add(record, "system", plugins.systems, system, problem_with_system(system))
            for name in dir(plugin):
                if manager.parse_hookimpl_opts(plugin, name) is not None and not hasattr(hooks, name):
                    record.error = f"there is no hook {name}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            record.error = f"{type(error).__name__}: {error}"
    return plugins


def _problem_with_version(plugin: object) -> str:
    """Why a plugin cannot be loaded, by the version of the contract that it says it was written for, or nothing."""
    version = getattr(plugin, "singan_contract", 1)
    if type(version) is not int:
        return f"singan_contract is {version!r}, where the whole number of a version is wanted"
    if version in hooks.SUPPORTED:
        return ""
    newer = version > hooks.CONTRACT
    return (
        f"written for version {version} of the plugin contract, and this singan-toolkit has version {hooks.CONTRACT}: "
        f"update {'singan-toolkit' if newer else 'the plugin'}"
    )


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("", "")


def _offered(plugin: Any, hook: str) -> Iterable[Any]:
    function = getattr(plugin, hook, None)
    return function() if function else ()


def _problem_with_command(command: object) -> str | None:
    if not isinstance(command, click.Command) or not command.name:
        return f"{command!r} is not a named click command"
    return f"command {command.name} is the toolkit's own" if command.name in OWN_COMMANDS else None


def _problem_with_engine(name: str, engine: object) -> str | None:
    if not callable(engine):
        return f"engine {name} is no function"
    return f"engine {name} is the toolkit's own" if name in OWN_ENGINES else None


def _add(
    record: PluginRecord, kind: str, there: dict[str, Any], offered: Any, problem: str | None, name: str = ""
) -> None:
    """Add what a plugin offers to what is there of its kind, or say why not."""
    if problem:
        record.error = problem
    elif (name := name or offered.name) in there:
        record.error = f"{kind} {name} is already provided by another plugin"
    else:
        there[name] = offered
        getattr(record, f"{kind}s").append(name)
