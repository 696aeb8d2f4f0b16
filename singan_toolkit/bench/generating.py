"""How long samples take, and how much memory."""

from __future__ import annotations

import time
from pathlib import Path

from singan_toolkit.bench.excerpt import real_picture, untrained_pyramid
from singan_toolkit.bench.machine import gpu_peak_memory
from singan_toolkit.bench.results import Generated
from singan_toolkit.bench.subject import Subject
from singan_toolkit.bundle import Bundle
from singan_toolkit.bundle.manifest import training_record
from singan_toolkit.imaging.tensors import to_bytes
from singan_toolkit.measuring import Emit, peak_memory


def measure_generating(emit: Emit, subject: Subject, size: tuple[int, int], samples: int) -> None:
    """Emit a ``Generated``.

    Args:
        emit: Takes the row.
        subject: Whose pyramid draws; its weights are random.
        size: (height, width) of the samples in pixels.
        samples: To be drawn at once, in batches as ``singan-tk run generate`` makes them.
    """
    bundle = untrained_bundle(subject)
    bundle.run("generate", device=subject.device)
    height, width = size
    started = time.perf_counter()
    bundle.run("generate", count=samples, width=width, height=height, device=subject.device)
    seconds = (time.perf_counter() - started) / samples
    emit(Generated(subject.preset, width, height, samples, seconds, peak_memory(), gpu_peak_memory()))


def save_untrained(emit: Emit, subject: Subject, path: Path) -> None:
    """Write a bundle with random weights there; emits nothing."""
    untrained_bundle(subject).save(path)


def untrained_bundle(subject: Subject) -> Bundle:
    """A bundle of the subject's sizes and widths, with random weights."""
    settings = subject.settings.model_dump()
    record = training_record(picture=subject.picture.name, preset=subject.preset, settings=settings, seed=subject.seed)
    return Bundle.of_pyramid(untrained_pyramid(subject).to("cpu"), to_bytes(real_picture(subject)[0]), record)
