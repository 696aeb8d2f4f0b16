"""The tasks' pages tell what the command line does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from command_line import environment
from page_makers import DOCS, page_maker
from singan_toolkit import Bundle, run
from singan_toolkit.cli import cli
from singan_toolkit.tasks import hooks
from singan_toolkit.tasks.hooks import GROUP
from singan_toolkit.tasks.manager import installed_plugins, load_plugins

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


def test_the_page_of_the_commands_tells_what_their_help_tells() -> None:
    make_pages = page_maker("make_pages")
    page = make_pages.COMMANDS.read_text()
    assert make_pages.with_commands(page) == page, "run python docs/make_pages.py"


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


def python_of(*pages: Path) -> list[str]:
    return [block for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]


@pytest.mark.slow
def test_the_task_of_the_plugins_page_passes_the_test_of_that_page(tmp_path: Path) -> None:
    files = {
        found[1]: block for block in python_of(DOCS / "plugins.md") if (found := re.match(r"# (\w+\.py)\n", block))
    }
    assert files.keys() == {"singan_tk_mirror.py", "test_mirror.py"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    command = [sys.executable, "-m", "pytest", "-p", "singan_toolkit.testing", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_hook_has_a_page() -> None:
    offered = {name for name in vars(hooks) if name.startswith("singan_")}
    assert {path.stem for path in (DOCS / "hooks").glob("*.md")} == offered
    for name in offered:
        assert f"](hooks/{name}.md)" in (DOCS / "plugins.md").read_text()


def test_the_hooks_of_the_pages_do_what_these_say(
    singan_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    pages = sorted((DOCS / "hooks").glob("*.md"))
    examples = [block for block in python_of(DOCS / "plugins.md", *pages) if not block.startswith("# ")]
    for number, block in enumerate(examples):
        (tmp_path / f"hook_of_the_page_{number}.py").write_text(block)
    plugins = load_plugins([EntryPoint(f"h{n}", f"hook_of_the_page_{n}", GROUP) for n in range(len(examples))])
    assert [record.error for record in plugins.records] == [""] * len(examples)
    assert plugins.commands.keys() == {"hello"}
    assert plugins.engines.keys() == {"slurm"}
    rolled = plugins.systems["rolled"].prepare(singan_bundle.picture, 0)(0.1, 3)
    assert sorted(rolled[0].tolist()) == sorted(singan_bundle.picture[0].tolist())
    monkeypatch.setattr("singan_toolkit.tasks.runner.installed_plugins", lambda: plugins)
    monkeypatch.setitem(plugins.tasks, "generate", installed_plugins().task("generate"))
    drawn = run(singan_bundle, "generate", device="cpu").arrays
    assert len(drawn) == 8
    assert all((one[-8:, -8:] == 255).all() for one in drawn)
    (still,), (negative,) = (
        run(singan_bundle, "still", negative=turned, device="cpu").arrays for turned in (False, True)
    )
    assert abs(still[:-8].astype(int) - singan_bundle.picture[:-8]).mean() < 20
    assert (abs(still[:-8].astype(int) + negative[:-8] - 255) <= 1).all()
