"""Ways of drawing samples side by side, on the same pictures and at about the same novelty."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from singan_toolkit.errors import Failed, UnavailableError, UsageError, failure
from singan_toolkit.evaluation.catalogue import usual_measures
from singan_toolkit.evaluation.evaluate import Evaluation, mean_of, measured
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.measures.samples import novelty
from singan_toolkit.measuring import Emit, fresh, peak_memory
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.words import did_you_mean

NOVELTY = 0.75
"""What each system's strength is chosen for: what published samples of this field have, and ours with no option set."""
TOLERANCE = 0.25
"""How far from it samples may be and still be called of like novelty."""
MAX_SIZE = 128
"""Longer side, in pixels, to which pictures are shrunk: at 250 some systems take minutes a sample on a processor."""
COUNT = 4
TRIALS = 2
"""Samples by whose mean novelty a strength is chosen; they are the first of those that are measured."""
_PICTURES = (
    *("astronaut.png", "chelsea.png", "coffee.png"),
    *("hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg"),
)


@dataclass(frozen=True, eq=False)
class Entry:
    """What a system made of a picture.

    Attributes:
        system: Its name.
        strength: The one that was chosen, in the system's own unit.
        prepare_seconds, sample_seconds: What has to be done once took, as training, and a sample, as a mean.
        memory_mib: Peak resident memory of the process that did nothing else; None where the system does not tell.
        evaluation: What was measured of the samples, novelty among it.
    """

    system: str
    strength: float
    prepare_seconds: float
    sample_seconds: float
    memory_mib: float | None
    evaluation: Evaluation

    @property
    def picture(self) -> str:
        """The picture's name."""
        return self.evaluation.real.name

    @property
    def is_alike(self) -> bool:
        """Whether the samples are about as novel as was aimed at."""
        return abs(self.evaluation.values["novelty"] - NOVELTY) <= TOLERANCE


@dataclass(frozen=True)
class Missing:
    """A system that failed on a picture, and why."""

    system: str
    picture: str
    why: Failed


@dataclass(frozen=True)
class Means:
    """Of one system, over the pictures that none failed on.

    Attributes:
        prepare_seconds, sample_seconds: Means.
        memory_mib: The most that a picture took.
        alike: On how many of the pictures the samples are about as novel as was aimed at.
        values: By the measure's name.
    """

    prepare_seconds: float
    sample_seconds: float
    memory_mib: float | None
    alike: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class _Drawn:
    strength: float
    prepare_seconds: float
    sample_seconds: float
    memory_mib: float | None
    samples: list[np.ndarray]


def suite_pictures() -> list[Path]:
    """The pictures that everybody has: photos inside scikit-image.

    Raises:
        UnavailableError: This version of scikit-image lacks one.
    """
    import skimage

    paths = [Path(skimage.__file__).parent / "data" / name for name in _PICTURES]
    for path in paths:
        if not path.exists():
            raise UnavailableError(f"scikit-image came without {path}: install another version of it")
    return paths


def check_systems(names: Sequence[str] | None) -> list[str]:
    """The systems to compare: all that are installed where none is named.

    Raises:
        UsageError: There is none of that name.
    """
    systems = installed_plugins().systems
    for name in names or ():
        if name not in systems:
            near = did_you_mean(name, systems) or f"; installed are {', '.join(sorted(systems))}"
            raise UsageError(f"there is no system {name!r}{near}")
    return list(dict.fromkeys(systems if names is None else names))


def shrunk_to(picture: Picture, longer: int) -> Picture:
    """The picture with its longer side at most so many pixels."""
    image = Image.fromarray(picture.pixels)
    image.thumbnail((longer, longer), Image.Resampling.LANCZOS)
    return Picture(np.asarray(image), picture.name)


def compare(
    pictures: Sequence[Picture],
    systems: Sequence[str],
    *,
    count: int,
    seed: int,
    measures: Sequence[str] | None,
    inception: Path | None,
    tell: Callable[[str], None],
) -> Iterator[Entry | Missing]:
    """What each system makes of each picture, as soon as it is known.

    Args:
        pictures: RGB of 8 bits.
        systems: Names of installed ones.
        count: Samples of each that are measured.
        seed: Of what is prepared and of the first sample; the next one's is one more.
        measures: As of ``singan_toolkit.evaluation.evaluate.evaluate``; novelty is always taken.
        inception: Likewise.
        tell: Told what is being done.
    """
    names = usual_measures(count, inception is not None) if measures is None else list(measures)
    names += [] if "novelty" in names else ["novelty"]
    for number, picture in enumerate(pictures):
        for system in systems:
            tell(f"{picture.name}, {number + 1} of {len(pictures)}: {system}")
            try:
                (drawn,) = fresh(_draw, system, picture.pixels, count, seed)
                samples = [Picture(pixels, f"seed {seed + nth}") for nth, pixels in enumerate(drawn.samples)]
                evaluation = measured(picture, samples, names, inception)
            except Exception as error:  # what a stranger's system raises costs no more than its own rows
                yield Missing(system, picture.name, failure(error))
                continue
            yield Entry(
                system, drawn.strength, drawn.prepare_seconds, drawn.sample_seconds, drawn.memory_mib, evaluation
            )


def means(entries: Sequence[Entry]) -> tuple[dict[str, Means], list[str]]:
    """By system the means, and the names of the pictures that they are over: those that all systems did."""
    systems = list(dict.fromkeys(entry.system for entry in entries))
    names = [
        name
        for name in dict.fromkeys(entry.picture for entry in entries)
        if sum(entry.picture == name for entry in entries) == len(systems)
    ]
    of = {system: [one for one in entries if one.system == system and one.picture in names] for system in systems}
    return {system: _means(those) for system, those in of.items() if those}, names


def _means(entries: Sequence[Entry]) -> Means:
    memory = [entry.memory_mib for entry in entries if entry.memory_mib is not None]
    return Means(
        fmean(entry.prepare_seconds for entry in entries),
        fmean(entry.sample_seconds for entry in entries),
        max(memory, default=None),
        sum(entry.is_alike for entry in entries),
        mean_of([entry.evaluation for entry in entries]),
    )


def _draw(emit: Emit, name: str, picture: np.ndarray, count: int, seed: int) -> None:
    """Emit what a system draws at the strength whose novelty comes nearest to what is aimed at."""
    system = installed_plugins().systems[name]
    started = time.perf_counter()
    draw = system.prepare(picture, seed)
    prepared, seconds = time.perf_counter() - started, list[float]()

    def sample(strength: float, nth: int) -> np.ndarray:
        started = time.perf_counter()
        drawn = draw(strength, seed + nth)
        seconds.append(time.perf_counter() - started)
        if not isinstance(drawn, np.ndarray) or drawn.dtype != np.uint8 or drawn.shape != picture.shape:
            raise TypeError(f"system {name} drew no sample of {picture.shape}, uint8")
        return drawn

    trials = {strength: [sample(strength, nth) for nth in range(min(count, TRIALS))] for strength in system.strengths}
    missed = {
        strength: abs(fmean(novelty(picture, one) for one in drawn) - NOVELTY) for strength, drawn in trials.items()
    }
    strength = min(missed, key=missed.__getitem__)
    samples = trials[strength] + [sample(strength, nth) for nth in range(TRIALS, count)]
    emit(_Drawn(strength, prepared, fmean(seconds), peak_memory(), samples))
