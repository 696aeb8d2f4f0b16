"""Imports go one way through the rooms of the package, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import singan_tk_systems
import singan_tk_tasks
import singan_toolkit
from singan_toolkit.tasks.manager import installed_plugins

PACKAGE = Path(singan_toolkit.__file__).parent
FLOORS = [
    {"errors", "files", "machine", "processes", "words"},
    {"measuring", "pyramid"},
    {"imaging", "measures"},
    {"bundle"},
    {"training"},
    {"importing", "tasks"},
    {"jobs"},
    {"batch"},
    {"bench", "evaluation", "studio", "testing"},
    {"cli"},
    {"__main__"},
]
"""From the ground up. Rooms of one floor do not import each other."""
MODULES = {
    ".".join(("singan_toolkit", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def imported(node: ast.AST) -> Iterator[str]:
    """What is imported of ours when the code runs, at once or later, but for what only annotations name."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "singan_toolkit":
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in MODULES or node.module == "singan_toolkit" else node.module
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "singan_toolkit")
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def imports_of(path: Path) -> set[str]:
    return set(imported(ast.parse(path.read_text())))


def floor_of(module: str) -> int:
    (floor,) = (number for number, rooms in enumerate(FLOORS) if module.split(".")[1] in rooms)
    return floor


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_what_lies_below_it(module: str) -> None:
    room = module.split(".")[1]
    for other in imports_of(MODULES[module]) - {"singan_toolkit"}:
        assert other.split(".")[1] == room or floor_of(other) < floor_of(module)


def test_only_a_bundle_asks_the_public_api() -> None:
    """For ``Bundle.run``: the API finds the runner by its name, when it is called."""
    assert [name for name, path in MODULES.items() if "singan_toolkit" in imports_of(path)] == ["singan_toolkit.bundle"]


def test_there_is_no_circle() -> None:
    list(TopologicalSorter({name: imports_of(path) - {name} for name, path in MODULES.items()}).static_order())


def test_no_task_is_named_below_the_command_line_and_the_benchmark() -> None:
    names = {*installed_plugins().tasks, "inpaint"}
    for module, path in MODULES.items():
        if floor_of(module) < floor_of("singan_toolkit.bench"):
            texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not texts & names, module


def test_the_plugins_that_ship_import_only_what_a_plugin_may() -> None:
    folders = [Path(file).parent for file in (singan_tk_systems.__file__, singan_tk_tasks.__file__)]
    plugins = [path for folder in folders for path in folder.glob("*.py")]
    rooms = {name.split(".")[1] for path in plugins for name in imports_of(path)}
    assert {"imaging", "pyramid", "Task"} <= rooms
    assert rooms <= {"imaging", "pyramid", *singan_toolkit.__all__}
