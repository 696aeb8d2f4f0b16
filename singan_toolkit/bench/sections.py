"""The sections of a benchmark, in the order that they run in."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from singan_toolkit.bench.comparison import measure_comparison
from singan_toolkit.bench.generating import measure_generating
from singan_toolkit.bench.machine import measure_machine
from singan_toolkit.bench.results import Doing, Machine, Row
from singan_toolkit.bench.start import measure_start
from singan_toolkit.bench.subject import Subject
from singan_toolkit.bench.training import measure_training
from singan_toolkit.measuring import fresh
from singan_toolkit.pyramid.geometry import Size

SAMPLES = 32


def measure(
    sections: Collection[str], subjects: Sequence[Subject], paper: Subject, large: tuple[int, int]
) -> Iterator[Doing | Row]:
    """Measure, each section in processes of its own.

    Args:
        sections: Any of ``start``, ``generate``, ``plain`` and ``train``; the machine is measured in any case.
        subjects: To train; the first one is also what starts and generates.
        paper: Preset ``paper``, to be compared with the plain implementation.
        large: (height, width) of the large sample in pixels.

    Yields:
        Rows as soon as they are known, and between them what is being done.

    Raises:
        UnavailableError: The device is not here.
        PictureError: The picture cannot be used.
        OSError: A process ended without a word.
        TrainingError: A scale diverged even with ever smaller steps.
    """
    first = subjects[0]
    yield Doing("the machine's convolution peak")
    machine: Machine
    (machine,) = fresh(measure_machine, first.device)
    yield machine
    if "start" in sections:
        yield from measure_start(first)
    if "generate" in sections:
        for size, samples in ((first.geometry.finest, SAMPLES), (large, 1)):
            yield Doing("generating", str(Size(*size)))
            yield from fresh(measure_generating, first, size, samples)
    if "plain" in sections:
        yield from fresh(measure_comparison, paper)
    if "train" in sections:
        for subject in subjects:
            yield from measure_training(subject, machine)
