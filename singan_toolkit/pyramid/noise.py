"""Noise sources: where the randomness of a walk comes from.

Every source is a pure function of (place in the route, sample), so a sample does not depend on the batch that it was
drawn in, nor on the device: noise is drawn on the CPU and then moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """White Gaussian noise; sample number i of seed s is sample 0 of seed s + i."""

    seed: int = 0

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        return torch.stack([self._one(place, step, sample) for sample in samples])

    def _one(self, place: int, step: Step, sample: int) -> Tensor:
        state = np.random.SeedSequence([(self.seed + sample) % 2**64, place]).generate_state(1)[0]
        source = torch.Generator().manual_seed(int(state))
        # The coarsest scale's first channel is drawn by itself: networks there take it alone (see Scale.grey_noise).
        channels = (1, PICTURE_CHANNELS - 1) if step.scale == 0 else (PICTURE_CHANNELS,)
        return torch.cat([torch.randn(count, step.height, step.width, generator=source) for count in channels])


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
class Silence:
    """No noise at all."""

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        return torch.zeros((len(samples), PICTURE_CHANNELS, step.height, step.width))


@dataclass(frozen=True, eq=False)
class RandomWalk:
    """A random walk in noise space around the reconstruction noise; sample i is frame i (supplementary, animation).

    z_{t+1} = alpha z* + (1 - alpha) (z_t + beta (z_t - z_{t-1}) + (1 - beta) u_t), u_t white. The deviation from z*
    then follows a linear recurrence, which forgets: a walk that loops is that recurrence driven by noise that repeats
    after the last frame, begun so long before the first frame that its beginning no longer matters. So the last frame
    leads to the first as any frame does to the next. Only the latest frame is kept, so frames are best asked for in
    order.

    Attributes:
        z_star: (1, 1, h, w), h and w those of the noise of scale 0.
        frames: Length of the walk.
        loops: Whether it ends where it began. One that does not starts at z*, at the picture itself.
        alpha: Above 0 and up to 1, how strongly the walk is drawn back to z*.
        beta: In 0..1, how much of its speed it keeps.
        seed: The seed of u.
    """

    z_star: Tensor
    frames: int
    loops: bool
    alpha: float
    beta: float
    seed: int
    _reached: dict[tuple[int, Step], tuple[int, Tensor, Tensor]] = field(default_factory=dict)

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        center = Reconstruction(self.z_star)(place, step, samples)
        return center + torch.stack([self._deviation(place, step, frame) for frame in samples])

    def _deviation(self, place: int, step: Step, frame: int) -> Tensor:
        """(3, height, width)."""
        drag = 1 - self.alpha
        time, here, before = self._reached.get((place, step), (frame + 1, self.z_star, self.z_star))
        if time > frame:
            time = -self._memory() if self.loops else 0
            here = before = torch.zeros((PICTURE_CHANNELS, step.height, step.width))
        for earlier in range(time, frame):
            push = Gaussian(self.seed)(place, step, [earlier % self.frames])[0]
            here, before = drag * (here + self.beta * (here - before) + (1 - self.beta) * push), here
        self._reached[place, step] = frame, here, before
        return here

    def _memory(self) -> int:
        """Frames after which a push is down to a millionth."""
        drag = 1 - self.alpha
        fading = max(abs(np.roots([1, -drag * (1 + self.beta), drag * self.beta])))
        return math.ceil(math.log(1e-6) / math.log(fading)) if fading > 1e-6 else 1


AS_TRAINED = 0.5
"""The variety at which noise is as it was in training."""
VARIETY = 1 << 48
"""The step from a sample's number at one variety to its number at the next."""


@dataclass(frozen=True)
class Varied:
    """Noise between the reconstruction noise, which gives the picture, and fresh noise, which gives any other.

    With share s, twice the variety, it is sqrt(1 - s^2) z* + s u, of unit deviation, u being the fresh noise. Beyond
    the share of 1 only a coarsest scale of patches goes on, which the noise displaces: networks know no stronger noise.

    Attributes:
        fresh: Where u comes from.
        varieties: In 0..1; sample i + k * 2^48 is sample i at the k-th of them, from the same u.
        z_star: (1, 1, h, w), h and w those of the noise of scale 0; None where the coarsest scale is of patches, whose
            reconstruction noise is zero at any size.
    """

    fresh: NoiseSource
    varieties: Sequence[float]
    z_star: Tensor | None

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        drawn = self.fresh(place, step, [sample % VARIETY for sample in samples])
        shares = torch.tensor([self.varieties[sample // VARIETY] / AS_TRAINED for sample in samples])
        if self.z_star is not None or step.scale > 0:
            shares = shares.clamp(max=1)
        shares = shares[:, None, None, None]
        if self.z_star is None or bool((shares == 1).all()):
            return shares * drawn
        return (1 - shares**2).sqrt() * Reconstruction(self.z_star)(place, step, samples) + shares * drawn


@dataclass(frozen=True)
class SwitchAt:
    """One source below ``scale``, another from ``scale`` on: what lies below is fixed, what lies above varies."""

    scale: int
    below: NoiseSource
    above: NoiseSource

    def __call__(self, place: int, step: Step, samples: Sequence[int]) -> Tensor:
        source = self.below if step.scale < self.scale else self.above
        return source(place, step, samples)
