"""Preset ``paper`` beside the plain implementation, in turns in one process."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from singan_toolkit.bench.excerpt import cycle, real_picture, train_until, untrained_pyramid
from singan_toolkit.bench.plain import PlainScale
from singan_toolkit.bench.results import Comparison, Doing
from singan_toolkit.bench.subject import Subject
from singan_toolkit.measuring import Emit
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid
from singan_toolkit.training.events import Event, Progress

ROUNDS = 3
LONG_SECONDS = 30.0
"""A scale that has taken so long gets no further round."""
SECONDS = 1.0
"""The least time that each is measured for, at each scale in each round, after a warm-up."""
PLAIN_ITERATIONS = 2
"""The least iterations of the plain implementation that are timed; of ours it is one cycle."""
ENDLESS = 1_000_000


def measure_comparison(emit: Emit, subject: Subject, seconds: float = SECONDS) -> None:
    """Emit a ``Comparison`` for every scale and one for their sum.

    Args:
        emit: Takes the rows, and word of what is being done.
        subject: What both train, with preset ``paper``.
        seconds: What ``SECONDS`` says.
    """
    pyramid, real = untrained_pyramid(subject), real_picture(subject)
    pictures = [resize(real, size) for size in subject.geometry.sizes]
    plain_sum = toolkit_sum = 0.0
    for n, (height, width) in enumerate(subject.geometry.sizes):
        plain_scale = PlainScale(pictures[: n + 1], subject.kernels[: n + 1], subject.settings)
        plain, toolkit, started = math.inf, math.inf, time.monotonic()
        for turn in range(ROUNDS):
            if turn and time.monotonic() - started > LONG_SECONDS:
                break
            emit(Doing("the plain implementation beside preset paper", f"scale {n}, round {turn + 1} of {ROUNDS}"))
            plain = min(plain, _plain_ms(plain_scale, seconds))
            toolkit = min(toolkit, _toolkit_ms(subject, pyramid, real, n, seconds))
        plain_sum, toolkit_sum = plain_sum + plain, toolkit_sum + toolkit
        emit(Comparison(n, width, height, subject.kernels[n], plain, toolkit, plain / toolkit))
    height, width = subject.geometry.finest
    emit(Comparison("sum", width, height, None, plain_sum, toolkit_sum, plain_sum / toolkit_sum))


def _plain_ms(scale: PlainScale, seconds: float) -> float:
    """Milliseconds of an iteration of the plain implementation."""
    scale.iterate()
    started = _now(scale.real.device)
    iterations = 0
    while iterations < PLAIN_ITERATIONS or _now(scale.real.device) - started < seconds:
        scale.iterate()
        iterations += 1
    return (_now(scale.real.device) - started) / iterations * 1e3


def _toolkit_ms(subject: Subject, pyramid: Pyramid, real: Tensor, scale: int, seconds: float) -> float:
    """Milliseconds of an iteration of ours, from its reports; what comes before the first warms up."""
    settings = subject.settings.model_copy(update=dict(iterations=ENDLESS, finest_iterations=ENDLESS))
    fewest = cycle(settings, pyramid.geometry.sizes[scale])
    marks: list[tuple[int, float]] = []

    def enough(event: Event) -> bool:
        if not isinstance(event, Progress):
            return False
        marks.append((event.iteration, time.perf_counter()))
        return marks[-1][0] - marks[0][0] >= fewest and marks[-1][1] - marks[0][1] >= seconds

    train_until(pyramid, real, settings, scale, subject.seed, enough)
    (first, began), (last, ended) = marks[0], marks[-1]
    return (ended - began) / (last - first) * 1e3


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
