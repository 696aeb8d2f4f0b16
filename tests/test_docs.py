"""The tasks' pages tell what the command line does."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from page_makers import DOCS, page_maker
from singan_toolkit.cli import cli
from singan_toolkit.tasks.manager import installed_plugins

PAGES = {path.stem: path for path in (DOCS / "tasks").glob("*.md")}
INSTALLED = installed_plugins().tasks.keys()


def commands() -> list[str]:
    coming = (DOCS / "from-official.md").read_text()
    texts = [coming, *(path.read_text() for path in PAGES.values())]
    fences = [fence for text in texts for fence in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
    lines = [line for line in "\n".join(fences).splitlines() if line.startswith("singan-tk ")]
    return [*lines, *re.findall("`(singan-tk [^`]*)`", coming)]


def test_every_task_that_ships_has_a_page() -> None:
    ours = {
        task for record in installed_plugins().records if "singan_tk_tasks" in record.module for task in record.tasks
    }
    assert ours
    assert ours <= PAGES.keys()


@pytest.mark.parametrize("task", sorted(PAGES.keys() & INSTALLED))
def test_the_options_of_a_page_are_those_of_the_task(task: str) -> None:
    make_pages = page_maker("make_pages")
    page = PAGES[task].read_text()
    assert make_pages.with_options(page, task) == page, "run python docs/make_pages.py"


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_pages_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[:2] == ["run", "inpaint"] and "inpaint" not in INSTALLED:
        pytest.skip("singan-tk-inpaint is not installed")
    group: click.Command = cli
    context = click.Context(cli)
    while isinstance(group, click.Group):
        command = group.get_command(context, words.pop(0))
        assert command is not None
        group, context = command, click.Context(command, parent=context)
    group.make_context(group.name, words)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_picture_of_a_page_is_there(page: str) -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", PAGES[page].read_text())
    assert pictures
    assert all((PAGES[page].parent / picture).is_file() for picture in pictures)
