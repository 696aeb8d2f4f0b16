"""How much of a training is done, and how long the rest takes."""

from __future__ import annotations

import time

from singan_toolkit.pyramid.architecture import channels_at
from singan_toolkit.pyramid.geometry import Geometry
from singan_toolkit.training.settings import Settings

REPORT_SECONDS = 0.25
"""Time between two words of where training is."""


class Clock:
    """Estimates how much of the training is done and how long the rest takes.

    An iteration is taken to cost a fixed overhead and an amount for every pixel and pair of channels. How long that is
    on this machine is seen from the scale in training.

    Args:
        geometry: Sizes of the scales.
        settings: How they are trained.
        iterations: The number for each scale; 0 where it is not trained.
    """

    OVERHEAD = 5e6  # of an iteration, in pixels times channels squared: what a core does in the time of the calls alone

    def __init__(self, geometry: Geometry, settings: Settings, iterations: tuple[int, ...]) -> None:
        steps = settings.discriminator_steps + settings.generator_steps
        self.iterations = iterations
        self.cost = []
        for n, (height, width) in enumerate(geometry.sizes):
            if n < geometry.patch_scales:
                self.cost.append(0.0)
                continue
            batch, pixels = settings.batch_at(height, width)
            channels = channels_at(n - geometry.patch_scales, settings.channels, settings.max_channels)
            self.cost.append(steps * (self.OVERHEAD + batch * pixels * channels**2))
        self.total = sum(cost * count for cost, count in zip(self.cost, iterations, strict=True))
        self._started = self._reported = time.monotonic()
        self._before = 0

    def start_scale(self, done: int = 0) -> None:
        """Take it that a scale's iterations go on from now, after those that are done."""
        self._started, self._before = time.monotonic(), done

    def report_due(self) -> bool:
        """Whether ``REPORT_SECONDS`` have passed since this was last true."""
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS:
            return False
        self._reported = now
        return True

    def at(self, scale: int, done: int) -> tuple[float, float]:
        """Share of the work done, and seconds left, after ``done`` iterations of ``scale``."""
        before = sum(cost * count for cost, count in zip(self.cost[:scale], self.iterations, strict=False))
        finished = before + done * self.cost[scale]
        seconds_per_cost = (time.monotonic() - self._started) / ((done - self._before) * self.cost[scale])
        return finished / self.total, (self.total - finished) * seconds_per_cost
