"""Write what ``--help`` tells into the pages: python docs/make_pages.py."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from singan_toolkit.cli import cli
from singan_toolkit.cli.run import run
from singan_toolkit.tasks.manager import OWN_COMMANDS, installed_plugins

DOCS = Path(__file__).parent
TASKS = DOCS / "tasks"
COMMANDS = DOCS / "reference" / "command-line.md"
MARK = "<!-- options -->\n"


def with_options(page: str, task: str) -> str:
    """A page with the table of a task's options after the mark."""
    context = click.Context(run)
    command = run.get_command(context, task)
    assert command is not None, f"there is no task {task}"
    return page.split(MARK)[0] + MARK + "\n## Options\n\n" + options_of(command, context)


def options_of(command: click.Command, context: click.Context) -> str:
    """A table of a command's options."""
    rows = []
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record:
            flags, text = (part.replace("|", "&#124;").replace("\n", " ") for part in record)
            rows.append(f"| <code>{flags}</code> | {text} |")
    return "| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"


def with_commands(page: str) -> str:
    """A page with all commands of ours after the mark."""
    return page.split(MARK)[0] + MARK + "".join(sections_of(cli, click.Context(cli, info_name="singan-tk")))


def sections_of(group: click.Group, context: click.Context) -> Iterator[str]:
    """A section for each command of a group, and of the groups in it; of ``run`` the tasks have pages."""
    for name in sorted(group.list_commands(context)):
        if group is cli and name not in OWN_COMMANDS:
            continue
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        usage = " ".join(command.collect_usage_pieces(inner))
        told = inspect.cleandoc(command.help or "")
        yield f"\n## {inner.command_path}\n\n```text\n{inner.command_path} {usage}\n```\n\n{told}\n"
        if isinstance(command, click.Group) and command is not run:
            yield from sections_of(command, inner)
        elif command is run:
            tasks = [f"- [{path.stem}](../tasks/{path.name})\n" for path in sorted(TASKS.glob("*.md"))]
            yield "\n" + "".join(tasks)
        else:
            yield "\n" + options_of(command, inner)


def main() -> None:
    """The pages of all tasks that are installed, and that of the commands."""
    for path in sorted(TASKS.glob("*.md")):
        if path.stem in installed_plugins().tasks:
            path.write_text(with_options(path.read_text(), path.stem))
    COMMANDS.write_text(with_commands(COMMANDS.read_text()))


if __name__ == "__main__":
    main()
