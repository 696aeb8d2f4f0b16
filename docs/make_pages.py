"""Write each task's options into its page, as the command line tells them: python docs/make_pages.py."""

from __future__ import annotations

from pathlib import Path

import click

from singan_toolkit.cli.run import run
from singan_toolkit.tasks.manager import installed_plugins

PAGES = Path(__file__).parent / "tasks"
MARK = "<!-- options -->\n"


def with_options(page: str, task: str) -> str:
    """A page with the table of a task's options after the mark."""
    context = click.Context(run)
    command = run.get_command(context, task)
    assert command is not None, f"there is no task {task}"
    rows = []
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record:
            flags, text = (part.replace("|", r"\|").replace("\n", " ") for part in record)
            rows.append(f"| `{flags}` | {text} |")
    return page.split(MARK)[0] + MARK + "\n## Options\n\n| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"


def main() -> None:
    """The pages of all tasks that are installed."""
    for path in sorted(PAGES.glob("*.md")):
        if path.stem in installed_plugins().tasks:
            path.write_text(with_options(path.read_text(), path.stem))


if __name__ == "__main__":
    main()
