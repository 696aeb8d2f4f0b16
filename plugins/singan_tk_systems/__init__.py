"""What ``singan-tk evaluate --suite`` compares: presets of the toolkit, and two ways that need no training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from singan_toolkit import System, hookimpl

if TYPE_CHECKING:
    import numpy as np

    Draw = Callable[[float, int], np.ndarray]


@hookimpl
def singan_systems() -> list[System]:
    """All of them. What they compute with is imported when they are used."""
    return [
        System("fast", VARIETIES, lambda picture, seed: _trained("fast", picture, seed)),
        System("draft", VARIETIES, lambda picture, seed: _trained("draft", picture, seed)),
        System("gpnn", (0.75, 1.5, 3.0, 6.0), _gpnn),
        System("gpdm", (0.75, 1.5, 6.0), _gpdm),
    ]


VARIETIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""What ``generate --variety`` is given."""


def _trained(preset: str, picture: np.ndarray, seed: int) -> Draw:
    from singan_toolkit import train

    bundle = train(picture, preset=preset, seed=seed, device="cpu")

    def draw(variety: float, seed: int) -> np.ndarray:
        (sample,) = bundle.run("generate", seed=seed, variety=(variety,), device="cpu")
        return sample

    return draw


def _gpnn(picture: np.ndarray, seed: int) -> Draw:
    from singan_tk_systems.gpnn import prepare

    return prepare(picture)


def _gpdm(picture: np.ndarray, seed: int) -> Draw:
    from singan_tk_systems.gpdm import prepare

    return prepare(picture)
