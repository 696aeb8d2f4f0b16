"""What a plugin declares so that ``singan-tk evaluate --suite`` compares it with other ways of drawing samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singan_toolkit.tasks.task import NAME

if TYPE_CHECKING:
    import numpy as np

    Draw = Callable[[float, int], np.ndarray]


@dataclass(frozen=True)
class System:
    """A way of drawing samples of one picture.

    Attributes:
        name: Lower case words joined by hyphens.
        strengths: How far from the picture it may draw, in a unit of its own, from near to free. Samples of all systems
            are compared at about the same novelty, which each reaches at one of these.
        prepare: Takes the picture, (H, W, 3), uint8, and a seed, and does whatever has to be done once, as training.
            Gives back a function of a strength and a seed that draws a sample, (H, W, 3), uint8, of the picture's size:
            the same seeds draw the same sample. Called in a process of its own, whose memory is measured.
    """

    name: str
    strengths: Sequence[float]
    prepare: Callable[[np.ndarray, int], Draw]


def problem_with_system(system: object) -> str | None:
    """Why an object cannot serve as a system, or None."""
    if not isinstance(system, System):
        return f"{system!r} is not a singan_toolkit.System"
    if not isinstance(system.name, str) or not re.fullmatch(NAME, system.name):
        return f"system {system.name!r} needs a name of lower case words joined by hyphens"
    if not system.strengths or not all(isinstance(one, (int, float)) for one in system.strengths):
        return f"system {system.name} needs one strength or more, each a number"
    if not callable(system.prepare):
        return f"system {system.name} needs a function to prepare"
    return None
