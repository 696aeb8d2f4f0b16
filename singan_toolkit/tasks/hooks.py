"""The hooks that a plugin may implement. docs/hooks has a page for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pluggy

if TYPE_CHECKING:
    from torch import Tensor

    from singan_toolkit.batch.engines import Engine
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.tasks.system import System
    from singan_toolkit.tasks.task import Output, Plan, Task
    from singan_toolkit.training.events import Event

GROUP = "singan_toolkit"
"""The entry point group, and the name under which pluggy knows the hooks."""

CONTRACT = 1
"""The version of what docs/plugins.md promises to plugins: raised where a part goes away or changes its meaning."""

SUPPORTED = range(max(1, CONTRACT - 1), CONTRACT + 1)
"""The versions whose plugins are loaded: the present one and the one before."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def singan_tasks() -> list[Task]:  # type: ignore[empty-body]
    """The tasks that this plugin adds."""


@hookspec
def singan_commands() -> list[click.Command]:  # type: ignore[empty-body]
    """Commands that this plugin adds to ``singan-tk``."""


@hookspec
def singan_engines() -> dict[str, Engine]:  # type: ignore[empty-body]
    """Engines that this plugin adds, by name: what carries out many jobs, as ``--engine`` says."""


@hookspec
def singan_systems() -> list[System]:  # type: ignore[empty-body]
    """Ways of drawing samples that this plugin adds to ``singan-tk evaluate --suite``."""


@hookspec
def singan_training_event(event: Event) -> None:
    """Observe training: called with each event of ``singan_toolkit.training.events``."""


@hookspec(firstresult=True)
def singan_plan(task: Task, bundle: Bundle, scale: int, seed: int, options: dict[str, Any]) -> Plan:  # type: ignore[empty-body]
    """Plan a task's walk. Implement with ``@hookimpl(wrapper=True)`` to wrap any task's pre-processing.

    ``options`` are what the task's ``prepare`` made of the user's.
    """


@hookspec(firstresult=True)
def singan_finish(task: Task, walked: Tensor, plan: Plan) -> Output:  # type: ignore[empty-body]
    """Finish a task's picture. Implement with ``@hookimpl(wrapper=True)`` to wrap any task's post-processing."""


class Core:
    """What happens where no plugin wraps."""

    @hookimpl
    def singan_plan(self, task: Task, bundle: Bundle, scale: int, seed: int, options: dict[str, Any]) -> Plan:
        """Let the task plan."""
        return task.plan(bundle, scale=scale, seed=seed, **options)

    @hookimpl
    def singan_finish(self, task: Task, walked: Tensor, plan: Plan) -> Output:
        """Let the task finish."""
        return task.finish(walked, plan)
