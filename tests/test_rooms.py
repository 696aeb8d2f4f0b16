"""Imports go one way through the rooms of the package, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import singan_tk_tasks
import singan_toolkit

PACKAGE = Path(singan_toolkit.__file__).parent
FLOORS = [
    {"pyramid"},
    {"imaging", "measures"},
    {"bundle"},
    {"training"},
    {"tasks"},
    {"jobs"},
    {"batch"},
    {"bench"},
    {"cli"},
    {"__main__"},
]
"""From the ground up. What is not named, as ``errors``, lies on the ground and imports nothing of ours."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next((number for number, rooms in enumerate(FLOORS, 1) if room in rooms), 0)


def imported(node: ast.AST) -> Iterator[str]:
    """The rooms that are imported when the code runs, at once or later, but for those that only annotations name."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("singan_toolkit."):
        yield node.module.split(".")[1]
    if isinstance(node, ast.ImportFrom) and node.module == "singan_toolkit":
        yield from (alias.name for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    room = room_of(path)
    for other in set(imported(ast.parse(path.read_text()))) - {room}:
        assert floor_of(other) < floor_of(room)


def test_the_tasks_that_ship_import_only_what_a_plugin_may() -> None:
    tasks = list(Path(singan_tk_tasks.__file__).parent.glob("*.py"))
    rooms = {room for path in tasks for room in imported(ast.parse(path.read_text()))}
    assert {"imaging", "pyramid", "Task"} <= rooms
    assert rooms <= {"imaging", "pyramid", *singan_toolkit.__all__}
