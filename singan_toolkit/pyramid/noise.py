"""Noise sources: where the randomness of a walk comes from.

Every source is a pure function of (place in the route, sample), so a sample does not depend on the batch that it was
drawn in, nor on the device: noise is drawn on the CPU and then moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from singan_toolkit.pyramid.architecture import PICTURE_CHANNELS
from singan_toolkit.pyramid.geometry import Step


class NoiseSource(Protocol):
    """Anything that can fill one step of a walk with noise."""

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        """Noise of unit deviation, before the scale's amplitude.

        Args:
            place: Position of the step in its route, from 0.
            step: The step's scale, and the size of the noise: the picture's, or 10 pixels more with noise padding.
            samples: Numbers of the samples of this batch.

        Returns:
            (len(samples), 3, step.height, step.width), on the CPU.
        """
        ...


@dataclass(frozen=True)
class Gaussian:
    """White Gaussian noise; sample number i of seed s is sample 0 of seed s + i.

    The coarsest scale gets one channel repeated three times, as in the official code: grey noise there leaves the
    colours to the network.
    """

    seed: int = 0

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        return torch.stack([self._one(place, step, sample) for sample in samples])

    def _one(self, place: int, step: Step, sample: int) -> Tensor:
        state = np.random.SeedSequence([(self.seed + sample) % 2**64, place]).generate_state(1)[0]
        source = torch.Generator().manual_seed(int(state))
        channels = 1 if step.scale == 0 else PICTURE_CHANNELS
        drawn = torch.randn(channels, step.height, step.width, generator=source)
        return drawn.expand(PICTURE_CHANNELS, -1, -1)


@dataclass(frozen=True)
class Reconstruction:
    """The fixed noise that the pyramid was taught to turn into its training picture: z* at scale 0, none above.

    Paper section 2.2: {z_N*, 0, ..., 0}.

    Attributes:
        z_star: (1, 1, h, w), h and w those of the noise of scale 0.
    """

    z_star: Tensor

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        size = (len(samples), PICTURE_CHANNELS, step.height, step.width)
        if step.scale > 0:
            return torch.zeros(size)
        if tuple(self.z_star.shape[-2:]) != size[-2:]:
            raise ValueError("z* reconstructs the training picture at its own size only")
        return self.z_star.cpu().expand(size)


@dataclass(frozen=True)
class SwitchAt:
    """One source below ``scale``, another from ``scale`` on: what lies below is fixed, what lies above varies."""

    scale: int
    below: NoiseSource
    above: NoiseSource

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        source = self.below if step.scale < self.scale else self.above
        return source(place, step, samples)
