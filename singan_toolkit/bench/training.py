"""How long training takes scale by scale, how near that is to the machine's peak, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from singan_toolkit.bench.flops import count_flops
from singan_toolkit.bench.machine import gpu_peak_memory
from singan_toolkit.bench.results import Doing, Machine, Trained, TrainedScale
from singan_toolkit.bench.subject import Subject
from singan_toolkit.bundle import Bundle
from singan_toolkit.imaging.pictures import Picture, write_picture
from singan_toolkit.measures import samples as quality
from singan_toolkit.measures.features import FeatureDistance, features_installed
from singan_toolkit.measuring import Emit, fresh, peak_memory
from singan_toolkit.training import events
from singan_toolkit.training.bundles import train_bundle
from singan_toolkit.training.events import Event

SAMPLES = 10


def measure_training(subject: Subject, machine: Machine) -> Iterator[Doing | TrainedScale | Trained]:
    """A whole training, in a process of its own.

    Args:
        subject: What to train.
        machine: Whose peak the speed is held against.

    Yields:
        What is being done, a row for every scale when it is done, and at last one for the whole.

    Raises:
        PictureError: The picture cannot be trained on.
        TrainingError: A scale diverged even with ever smaller steps.
    """
    yield Doing(f"training {subject}", "counting operations")
    (flops,) = fresh(count_flops, subject)
    yield from fresh(_train, subject, machine, flops)


def _train(emit: Emit, subject: Subject, machine: Machine, flops: Sequence[float]) -> None:
    watch = _Watch(emit, subject, machine, flops)
    started = time.perf_counter()
    bundle = train_bundle(
        subject.picture,
        subject.settings,
        preset=subject.preset,
        seed=subject.seed,
        device=subject.device,
        observer=watch.observe,
    )
    seconds, memory, gpu_memory = time.perf_counter() - started, peak_memory(), gpu_peak_memory()
    emit(Doing(watch.what, f"comparing {SAMPLES} samples with the picture"))
    real, samples = bundle.picture, bundle.run("generate", count=SAMPLES, device=subject.device)
    height, width = bundle.geometry.finest
    if subject.keep:
        name = f"{Path(subject.picture.name).stem}-{subject.preset}-{max(height, width)}"
        _keep(bundle, samples, subject.keep / name)
    frechet = list(map(FeatureDistance(real), samples)) if features_installed() else []
    emit(
        Trained(
            preset=subject.preset,
            width=width,
            height=height,
            precision=watch.precision,
            seconds=seconds,
            cost=seconds * peak / 1e3 if (peak := machine.peak(watch.precision)) else None,
            memory_mib=memory,
            gpu_memory_mib=gpu_memory,
            reconstruction_rmse=watch.reconstruction_rmse,
            patch_distance=mean(quality.patch_distances(real, samples)),
            novelty=mean(quality.novelty(real, sample) for sample in samples),
            diversity=quality.diversity(real, samples),
            frechet_2=mean(half for half, _ in frechet) if frechet else None,
            frechet_4=mean(quarter for _, quarter in frechet) if frechet else None,
        )
    )


def _keep(bundle: Bundle, samples: Sequence[np.ndarray], base: Path) -> None:
    base.mkdir(parents=True, exist_ok=True)
    bundle.save(base.with_name(f"{base.name}.sgb"))
    for number, sample in enumerate(samples):
        write_picture(Picture(sample), base / f"{number:04d}.png")


class _Watch:
    """Makes rows of a training's events. A scale's iterations are timed up to its last report, which waits for them."""

    def __init__(self, emit: Emit, subject: Subject, machine: Machine, flops: Sequence[float]) -> None:
        self.emit, self.subject, self.machine, self.flops = emit, subject, machine, flops
        self.what = f"training {subject}"
        self.geometry, self.kernels = subject.geometry, subject.kernels
        self.precision, self.iterations = "", tuple[int, ...]()
        self.started = self.iterated = self.reconstruction_rmse = 0.0

    def observe(self, event: Event) -> None:
        match event:
            case events.TrainingStarted():
                self.precision, self.iterations = event.precision, event.iterations
            case events.ScaleStarted() | events.ScaleRestarted():
                self.started = time.perf_counter()
            case events.Progress():
                self.iterated = time.perf_counter() - self.started
                where = f"scale {event.scale} of 0-{len(self.iterations) - 1}"
                minutes, seconds = divmod(round(event.seconds_left), 60)
                self.emit(Doing(self.what, f"{where}, {event.done:.0%}, {minutes}:{seconds:02d} left"))
            case events.ScaleFinished():
                self.reconstruction_rmse = event.reconstruction_rmse
                self.emit(self._row(event.scale, event.seconds))

    def _row(self, scale: int, seconds: float) -> TrainedScale:
        height, width = self.geometry.sizes[scale]
        an_iteration = self.iterated / self.iterations[scale]
        gflops = self.flops[scale] / an_iteration / 1e9 or None
        peak = self.machine.peak(self.precision)
        return TrainedScale(
            preset=self.subject.preset,
            scale=scale,
            width=width,
            height=height,
            kernels=self.kernels[scale],
            iterations=self.iterations[scale],
            seconds=seconds,
            iteration_ms=an_iteration * 1e3,
            gflops=gflops,
            share=gflops / peak if gflops and peak else None,
        )
