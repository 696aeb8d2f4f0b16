"""What a task is: it plans a walk through a trained pyramid and finishes the picture that comes back.

No torch at import: the command line lists tasks without it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import click

from singan_toolkit.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from singan_toolkit.bundle import Bundle
    from singan_toolkit.imaging.pictures import Picture
    from singan_toolkit.imaging.video import Clip
    from singan_toolkit.pyramid.constraints import Constraint
    from singan_toolkit.pyramid.geometry import Step
    from singan_toolkit.pyramid.noise import NoiseSource


T = TypeVar("T")


@dataclass(frozen=True)
class Injection:
    """At which scale the user's picture enters the pyramid.

    Attributes:
        default: A scale, or a share of the pyramid as a float: 0.0 is the coarsest scale and 1.0 the finest.
        lowest: The coarsest scale that is admitted; 1 where a picture enters, since it enters above scale 0.
        pixels: Where given, the default is the coarsest scale whose longer side has that many instead.
    """

    default: int | float
    lowest: int = 1
    pixels: int | None = None

    def scale(self, scales: int, sizes: Sequence[tuple[int, int]] = ()) -> int:
        """The default in a pyramid of that many scales, of (height, width) ``sizes``."""
        if self.pixels:
            large = [n for n, size in enumerate(sizes) if max(size) >= self.pixels]
            return max(min(large, default=scales - 1), min(self.lowest, scales - 1))
        wanted = self.default if isinstance(self.default, int) else round(self.default * (scales - 1))
        return min(max(wanted, self.lowest), scales - 1)

    def admitted(self, scales: int) -> range:
        """All scales that are admitted in a pyramid of that many."""
        return range(min(self.lowest, scales - 1), scales)


@dataclass(frozen=True)
class Profile:
    """What training for a task changes.

    Attributes:
        settings: Training settings by name.
        why: One sentence: what a bundle trained without them costs the task.
        undoes: What the networks learn to undo: from copies of the training picture, (B, 3, H, W) in about -1..1, to
            changed ones, which are to come out as the picture. None trains them to draw samples.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    undoes: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Retraining:
    """A scale of the bundle, or all from it on, trained anew on changed pictures; the scales below stay.

    The bundle with what is new is kept beside the bundle's file, so that it is trained once.

    Attributes:
        scale: Which, one that has a network.
        change: From what enters the scale while it is trained, (B, 3, H, W) in about -1..1, to what enters it instead.
        name: What is done, for the kept file's name: ``art.sgb`` is kept as ``art.NAME-SCALE.sgb``. Two changes that
            differ need names that differ.
        restores: False trains the one scale on changed samples of the scales below. True trains all scales from it on,
            on changed copies of the training picture, which are to come out as the picture.
    """

    scale: int
    change: Callable[[Tensor], Tensor]
    name: str
    restores: bool = False


@dataclass(frozen=True)
class Candidates:
    """Layouts that are drawn for each sample, of which the one most like the training picture in its patches is walked.

    Attributes:
        number: How many for each; samples larger than the training picture get fewer.
        noise: What they are drawn from.
    """

    number: int
    noise: NoiseSource


@dataclass(frozen=True)
class Plan:
    """A walk through the pyramid, and what is needed to finish its picture.

    Attributes:
        route: Steps (scale, height, width); ``Geometry.route`` makes the usual ones.
        noise: Where the walk's noise comes from.
        start: (1 or len(samples), 3, h, w) in -1..1, what enters at the first step; None for zeros.
        samples: Numbers of the pictures to draw.
        candidates: For a walk from noise at the coarsest scale on: what layouts to choose among; None walks the samples
            as they are numbered. ``Task.finish`` finds the numbers that were chosen.
        given: (1, 3, H, W) in -1..1 of the last step's size: what the user gave. ``--scale auto`` compares with it.
        focus: (H, W) bool: where the change matters; everywhere by default.
        faithful: Whether scales of patches keep to what enters, and bring back nothing of the training picture that it
            lacks: where a user took something out. Else all that the training picture holds is to find a place.
        constraint: What every step of the walk must keep; see ``singan_toolkit.pyramid.constraints``.
        retraining: A scale to train anew before the walk.
        in_bytes: Whether what was walked is kept as uint8 in 0..255, in a quarter of the memory: for many pictures that
            are not worked on any more.
        material: Whatever ``Task.finish`` wants to find again.
    """

    route: Sequence[Step]
    noise: NoiseSource
    start: Tensor | None = None
    samples: Sequence[int] = (0,)
    candidates: Candidates | None = None
    given: Tensor | None = None
    focus: Tensor | None = None
    faithful: bool = False
    constraint: Constraint | None = None
    retraining: Retraining | None = None
    in_bytes: bool = False
    material: Any = None


@dataclass(frozen=True)
class Result:
    """A finished picture or clip, and a short label for its file name and its place on a contact sheet."""

    picture: Picture | Clip
    label: str = ""


@dataclass(frozen=True)
class Output:
    """What a task gives back: pictures, and notes for the user about what was decided for them."""

    results: Sequence[Result]
    notes: Sequence[str] = ()

    @property
    def arrays(self) -> list[np.ndarray]:
        """The bare pixels: (H, W, C) of a picture, (T, H, W, 3) of a clip."""
        from singan_toolkit.imaging.video import Clip

        pictures = [result.picture for result in self.results]
        return [picture.frames if isinstance(picture, Clip) else picture.pixels for picture in pictures]


class Task(ABC):
    """Base of all tasks. The first line of a task's docstring is its summary on the command line.

    Attributes:
        name: The task's name on the command line: lower case words joined by hyphens.
        options: Click options; their names, types and defaults are those of the command line and of Python.
        injection: Where a picture enters, which gives the task the option ``--scale``; None where none does.
        profile: What ``train --for`` this task changes, if anything.
        makes: Pictures or clips, so that a file's ending can be checked before the work.
        keeps: Names of options: the first of them that is given has the depth and the alpha of the result, so that it
            can be checked before the work whether a file's format holds it. Without any it is checked afterwards.
    """

    name: ClassVar[str]
    options: ClassVar[Sequence[click.Option]] = ()
    injection: ClassVar[Injection | None] = None
    profile: ClassVar[Profile] = Profile()
    makes: ClassVar[Literal["pictures", "clips"]] = "pictures"
    keeps: ClassVar[Sequence[str]] = ()

    def prepare(self, bundle: Bundle, **options: Any) -> dict[str, Any]:
        """What does not depend on the scale: done once, before one plan or, for several scales, many.

        Args:
            bundle: What was trained.
            options: A value for each of the task's own options.

        Returns:
            What ``plan`` gets in their place. By default the options themselves.

        Raises:
            TaskError: The options do not fit together or do not fit the bundle.
        """
        return options

    @abstractmethod
    def plan(self, bundle: Bundle, *, scale: int, seed: int, **prepared: Any) -> Plan:
        """Pre-processing: from what was prepared to a walk.

        Args:
            bundle: What was trained.
            scale: The injection scale to use; 0 for a task without one.
            seed: The seed of the noise.
            prepared: What ``prepare`` gave: the task's own options where it is left as it is.

        Raises:
            TaskError: The options do not fit together or do not fit the bundle.
        """

    @abstractmethod
    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """Post-processing: from the walk's pictures to the user's.

        Args:
            walked: (len(plan.samples), 3, H, W) in about -1..1, float32 on the CPU; H and W are the last step's. Where
                the plan wants it ``in_bytes``, uint8 in 0..255.
            plan: What ``plan`` returned.
        """

    @property
    def summary(self) -> str:
        """The first line of the docstring, without its full stop."""
        return (type(self).__doc__ or "").strip().split("\n")[0].rstrip(".")


def returned(task: Task, value: object, *kinds: type[T]) -> T:
    """What a task, or a plugin around it, gave back.

    Raises:
        PluginError: It is of none of these kinds.
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise PluginError(
            f"task {task.name}, or a plugin around it, returned an object of type {type(value).__name__} "
            f"where {wanted} is wanted"
        )
    return value


NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
"""What names a task."""

RESERVED = {
    *("bundle", "b", "output", "o", "scale", "seed", "device", "sheet", "force"),
    *("recursive", "r", "dry-run", "dry_run", "stale", "retry-failed", "retry_failed"),
    *("engine", "address", "jobs", "threads"),
    *("json", "as_json", "quiet", "q", "traceback", "console", "help", "h"),
}
"""Names and flags of options that every task has from the toolkit."""


def problem_with(task: object) -> str | None:
    """Why an object cannot serve as a task, or None."""
    if not isinstance(task, Task):
        return f"{task!r} is not a singan_toolkit.Task"
    if not re.fullmatch(NAME, getattr(task, "name", "")):
        return f"task {type(task).__name__} needs a name of lower case words joined by hyphens"
    if not task.summary:
        return f"task {task.name} needs a docstring: its first line is shown to users"
    flags = {flag.lstrip("-") for option in task.options for flag in (*option.opts, *option.secondary_opts)}
    if clash := (flags | {option.name for option in task.options}) & RESERVED:
        return f"task {task.name} declares options that are the toolkit's: {', '.join(sorted(map(str, clash)))}"
    return None
