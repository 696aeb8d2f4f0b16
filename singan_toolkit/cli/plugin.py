"""``singan-tk plugin new``: a plugin of one's own, to begin with."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
from importlib.metadata import version
from pathlib import Path
from string import Template

import rich_click as click

from singan_toolkit.cli.console import Console, Group, output_options
from singan_toolkit.cli.targets import Target
from singan_toolkit.tasks.hooks import CONTRACT
from singan_toolkit.tasks.manager import OWN_COMMANDS, OWN_DISTRIBUTION, installed_plugins
from singan_toolkit.tasks.task import NAME

TEMPLATES = Path(__file__).with_name("scaffold")


@click.group(cls=Group)
def plugin() -> None:
    """Write plugins."""


@plugin.command()
@click.argument("name")
@click.option(
    "-o", "--output", "folder", type=Target("a project"), help="Folder to write to.  [default: singan-tk-NAME]"
)
@output_options
def new(console: Console, name: str, folder: str | None) -> None:
    """Write a plugin project with one task, NAME, that works and is tested: for you to change."""
    if not re.fullmatch(NAME, name):
        raise click.UsageError(f"{name!r} cannot name a task: use lower case words joined by hyphens, as in my-task")
    plugins = installed_plugins()
    for kind, taken in (("task", plugins.tasks), ("command", OWN_COMMANDS | plugins.commands.keys())):
        if name in taken:
            raise click.UsageError(f"there is a {kind} {name} already: choose another name")
    project = Path(folder or f"singan-tk-{name}")
    if os.path.lexists(project):
        raise click.UsageError(f"{project} is there already: give another folder with -o, or remove it")
    write_project(project, name)
    console.note(f"next: cd {shlex.quote(str(project))}, then pip install -e '.[test]', then pytest")
    console.result(project, project=str(project), task=name)


def write_project(project: Path, task: str) -> None:
    """Write a plugin project, whole or not at all.

    Args:
        project: Its folder, which is not there yet.
        task: The name of its task.

    Raises:
        OSError: It cannot be written; the message names it.
    """
    package = f"singan_tk_{task.replace('-', '_')}"
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "package.py",
        "tests/test_task.py": "test_task.py",
    }
    words = dict(
        task=task,
        package=package,
        distribution=f"singan-tk-{task}",
        version="".join(re.findall(r"^\d+(?:\.\d+)*", version(OWN_DISTRIBUTION))),
        contract=CONTRACT,
    )
    words["class"] = "".join(map(str.capitalize, task.split("-"))) + "Task"
    unfinished = project.with_name(f".{secrets.token_hex(8)}.part")
    try:
        for path, template in files.items():
            text = Template((TEMPLATES / f"{template}.template").read_text("utf-8")).substitute(words)
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_text(text, "utf-8")
        unfinished.rename(project)
    except OSError as error:
        raise type(error)(f"cannot write {project}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
