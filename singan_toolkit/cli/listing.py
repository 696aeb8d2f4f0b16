"""``singan-tk tasks`` and ``singan-tk plugins``: what is installed."""

from __future__ import annotations

import rich_click as click

from singan_toolkit.cli.console import Console, output_options
from singan_toolkit.tasks.manager import installed_plugins


@click.command()
@output_options
def tasks(console: Console) -> None:
    """List the installed tasks."""
    found = installed_plugins()
    origin = {task: record.distribution for record in found.records for task in record.tasks}
    rows = [(name, task.summary, origin[name]) for name, task in sorted(found.tasks.items())]
    console.rows("Tasks", ("task", "summary", "from"), rows)


@click.command()
@output_options
def plugins(console: Console) -> None:
    """List the installed plugins, what each adds and which are broken."""
    rows = [
        (
            record.name,
            record.distribution,
            ", ".join(
                [
                    *record.tasks,
                    *(f"singan-tk {name}" for name in record.commands),
                    *(f"engine {name}" for name in record.engines),
                    *(f"system {name}" for name in record.systems),
                ]
            )
            or "-",
            f"skipped: {record.error}" if record.error else "ok",
        )
        for record in installed_plugins().records
    ]
    console.rows("Plugins", ("plugin", "from", "adds", "state"), rows)
