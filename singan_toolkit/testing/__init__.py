"""What tests of a plugin need: a small trained bundle, its picture, and a check of a task against the contract.

A plugin of pytest, which finds it by itself. Nothing heavy is imported before a test asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.testing.contract import check_task

__all__ = ["check_task", "singan_bundle", "singan_picture"]


@pytest.fixture(scope="session")
def singan_bundle() -> Bundle:
    """A bundle of a landscape of 60x48 pixels: four scales of patches below two with networks of 8 kernels.

    It is read from a file in a millisecond. What is trained anew for it is kept nowhere.
    """
    from dataclasses import replace

    from singan_toolkit.bundle import Bundle

    return replace(Bundle.load(Path(__file__).with_name("photo.sgb")), path=None)


@pytest.fixture(scope="session")
def singan_picture(singan_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the picture that the bundle was trained on, 60 pixels wide and 48 high; not to be changed."""
    from singan_toolkit.imaging.pictures import Picture, write_picture

    path = tmp_path_factory.mktemp("singan") / "photo.png"
    write_picture(Picture(singan_bundle.picture), path)
    return path


def __getattr__(name: str) -> Any:
    if name == "check_task":
        from singan_toolkit.testing.contract import check_task

        return check_task
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
