"""Measuring samples against the picture that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np

from singan_toolkit.bundle import Bundle
from singan_toolkit.bundle.manifest import LossRecord
from singan_toolkit.errors import PictureError, UsageError
from singan_toolkit.evaluation.catalogue import MEASURES, Judged, check_measures, usual_measures
from singan_toolkit.imaging.pictures import Picture, read_picture

LEAST_SIDE = 24
"""Pixels; below, there are too few patches and features to speak of."""


@dataclass(frozen=True)
class Curve:
    """A loss while a bundle was trained: its values at each scale that has a network, coarsest first."""

    name: str
    parts: Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes:
        real: The picture: RGB, 8 bits.
        samples: What was held against it.
        each: By the measure's name a value for each sample, or one for all together.
        scales: Of a bundle, what it remembers of the picture at each scale, coarsest first.
        losses: Of a bundle that knows them, how its losses fell.
    """

    real: Picture
    samples: Sequence[Picture]
    each: dict[str, list[float]]
    scales: Sequence[Picture] = field(default=())
    losses: Sequence[Curve] = field(default=())

    @property
    def values(self) -> dict[str, float]:
        """The mean over samples, by the measure's name."""
        return {name: fmean(values) for name, values in self.each.items()}


def mean_of(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """The mean over pictures, by the measure's name. All must have been measured alike."""
    return {name: fmean(one.values[name] for one in evaluations) for name in evaluations[0].each}


def evaluate(
    real: object,
    samples: object,
    measures: Sequence[str] | None = None,
    *,
    inception: Path | str | None = None,
) -> dict[str, float]:
    """Measure samples against the picture that they were made of, as ``singan-tk evaluate`` does.

    Args:
        real: The picture: a path, an array, a PIL image or a Picture.
        samples: A list of the same, an array of (N, H, W, C), or one picture.
        measures: Their names; docs/evaluation.md tells what each means. By default those that say how good samples are
            and can be had: of SIFID the one whose weights are installed, and those of Inception v3 where its file is
            given; diversity where there are two samples or more.
        inception: A file with the weights of an Inception v3.

    Returns:
        By name, the mean over samples.

    Raises:
        PictureError: A picture cannot be read, is transparent, too small, or of another size than a measure needs.
        InputError: The file holds no weights.
        UsageError: There is no sample or no such measure, or it needs a file or more samples.
        UnavailableError: A measure needs a package that is not installed.
    """
    several = isinstance(samples, (list, tuple)) or (isinstance(samples, np.ndarray) and samples.ndim == 4)
    given = list(samples) if several else [samples]  # type: ignore[call-overload]  # which is one of these
    pictures = [opaque(one, f"sample {number}") for number, one in enumerate(given)]
    return measured(opaque(real, "the picture"), pictures, measures, inception).values


def of_files(
    real: Path, samples: Sequence[Path], measures: Sequence[str] | None = None, inception: Path | None = None
) -> Evaluation:
    """As ``evaluate``, of files."""
    return measured(opaque(real, str(real)), [opaque(one, str(one)) for one in samples], measures, inception)


def of_bundle(
    bundle: Bundle, count: int, seed: int, measures: Sequence[str] | None = None, inception: Path | None = None
) -> Evaluation:
    """As ``evaluate``, of a bundle's training picture and samples that are drawn here.

    Args:
        bundle: What was trained.
        count: How many samples are drawn.
        seed: Of the first one's noise; the next one's is one more.
        measures: As of ``evaluate``.
        inception: As of ``evaluate``.
    """
    drawn = bundle.run("generate", count=count, seed=seed)
    samples = [Picture(pixels, f"seed {seed + number}") for number, pixels in enumerate(drawn)]
    evaluation = measured(Picture(bundle.picture, str(bundle.path or bundle.name)), samples, measures, inception)
    return Evaluation(evaluation.real, samples, evaluation.each, _remembered(bundle), _losses(bundle))


def _losses(bundle: Bundle) -> list[Curve]:
    known = [one for one in bundle.manifest.training.losses if one]
    return [Curve(name, [getattr(one, name) for one in known]) for name in LossRecord.model_fields] if known else []


def _remembered(bundle: Bundle) -> list[Picture]:
    from singan_toolkit.imaging.tensors import to_bytes
    from singan_toolkit.pyramid.noise import Reconstruction
    from singan_toolkit.pyramid.walk import walk

    pyramid, route = bundle.pyramid("cpu"), bundle.geometry.route()
    noise = Reconstruction(pyramid.z_star)
    walked = [walk(pyramid, route[: number + 1], noise)[0] for number in range(len(route))]
    kinds = ["patches" if number < bundle.geometry.patch_scales else "network" for number in range(len(route))]
    return [
        Picture(to_bytes(one), f"scale {n}, {kind}") for n, (one, kind) in enumerate(zip(walked, kinds, strict=True))
    ]


def measured(
    real: Picture, samples: Sequence[Picture], measures: Sequence[str] | None, inception: Path | str | None
) -> Evaluation:
    """As ``evaluate``, of pictures in RGB of 8 bits; their names are those of messages."""
    if not samples:
        raise UsageError(f"there are no samples of {real.name}")
    names = usual_measures(len(samples), inception is not None) if measures is None else list(measures)
    check_measures(names, len(samples), inception is not None)
    _check(real, samples, names)
    judged = Judged(real.pixels, [one.pixels for one in samples], Path(inception) if inception else None)
    return Evaluation(real, samples, {name: MEASURES[name].of(judged) for name in names})


def check_real(real: Picture) -> None:
    """Find out that samples can be measured against a picture.

    Raises:
        PictureError: It is too small, or all of one grey.
    """
    _check_size(real)
    if not real.pixels.mean(axis=-1).std():
        raise PictureError(f"{real.name} is all of one grey, and differences are told as shares of its deviation")


def _check_size(picture: Picture) -> None:
    if min(picture.size) < LEAST_SIDE:
        raise PictureError(
            f"{picture.name} has {picture.size} pixels, and {LEAST_SIDE} are needed both ways to measure anything"
        )


def _check(real: Picture, samples: Sequence[Picture], names: Sequence[str]) -> None:
    check_real(real)
    for sample in samples:
        _check_size(sample)
    for name in names:
        if not (wanted := MEASURES[name].same_size):
            continue
        expected = real if wanted == "picture" else samples[0]
        if other := next((one for one in samples if one.size != expected.size), None):
            free = ",".join(other for other in names if not MEASURES[other].same_size)
            raise PictureError(
                f"{other.name} has {other.size} pixels and {expected.name} {expected.size}, and {name} compares pixels "
                f"one by one: bring them to one size" + (f", or give --measures {free}" if free else "")
            )


def opaque(source: object, name: str) -> Picture:
    """A picture in RGB of 8 bits.

    Args:
        source: A path, an array, a PIL image or a Picture.
        name: What messages call it.

    Raises:
        PictureError: It cannot be read, or is transparent.
    """
    picture = read_picture(source)
    if picture.alpha is not None and picture.alpha.min() < 1:
        raise PictureError(f"{name} is transparent, and measures see colours only: lay it on a background first")
    return Picture(np.rint(picture.rgb * 255).astype(np.uint8), name)
