"""``singan-tk batch``: what a folder's ledger says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import rich_click as click

from singan_toolkit.cli.console import Console, Group, output_options


@click.group(cls=Group)
def batch() -> None:
    """Look after folders of results."""


@batch.command()
@click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path))
@output_options
def status(console: Console, folder: Path) -> None:
    """Show what was made in a FOLDER, what failed and what is missing."""
    from singan_toolkit.batch.ledger import Ledger, paths_of

    with Ledger.read(folder) as ledger:
        records = ledger.records() if ledger else {}
    rows = []
    for target, record in records.items():
        gone = record.state == "done" and not all((folder / name).exists() for name in paths_of(record))
        state = "missing" if gone else record.state
        rows.append((target, state, str(record.attempts), record.version, record.kind, record.sentence))
    console.rows("Jobs", ("output", "state", "attempts", "version", "kind", "error"), rows)
    counts = Counter(state for _, state, *_ in rows)
    console.note(", ".join(f"{count} {state}" for state, count in counts.items()) or f"there is no ledger in {folder}")
