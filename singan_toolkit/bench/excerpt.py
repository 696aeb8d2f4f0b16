"""A few iterations of one scale's training, without training what lies below it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from singan_toolkit.bench.subject import Subject
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.architecture import MARGIN
from singan_toolkit.pyramid.device import pick_device
from singan_toolkit.pyramid.networks import Generator, initialize
from singan_toolkit.pyramid.patch_scale import PatchScale, patch_scales
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid, Scale
from singan_toolkit.training.below import unchanged
from singan_toolkit.training.crops import FRESH
from singan_toolkit.training.events import Event
from singan_toolkit.training.loop import PyramidTraining
from singan_toolkit.training.settings import Settings

NOISE_AMPLITUDE = 0.1


def real_picture(subject: Subject) -> Tensor:
    """The picture at its size of training, on its device: (1, 3, H, W) in -1..1."""
    return resize(to_tensor(subject.picture.rgb), subject.geometry.finest).to(pick_device(subject.device))


def untrained_pyramid(subject: Subject) -> Pyramid:
    """A pyramid of the sizes and widths that training would give, with random weights, on the subject's device.

    It does as much work as a trained one.
    """
    random = torch.Generator().manual_seed(subject.seed)
    patches = subject.geometry.patch_scales
    scales: list[Scale | PatchScale] = [*patch_scales(real_picture(subject).cpu(), subject.geometry.sizes[:patches])]
    for n, kernels in enumerate(subject.kernels[patches:], start=patches):
        generator = Generator(kernels, normalize=False)
        initialize(generator, random)
        reflect = n > 0 and subject.settings.reflect
        scales.append(Scale(generator.eval().requires_grad_(False), NOISE_AMPLITUDE, reflect, n == 0))
    margin = 2 * MARGIN if subject.settings.noise_padding == "noise" else 0
    height, width = subject.geometry.sizes[0]
    z_star = torch.randn(1, 1, height + margin, width + margin, generator=random) * (not patches)
    return Pyramid(subject.geometry, tuple(scales), z_star).to(pick_device(subject.device))


def cycle(settings: Settings, size: tuple[int, int]) -> int:
    """Iterations in which everything happens about as often as in the long run, the seldom things included.

    Those are the gradient penalty and, without a pool, the drawing of samples of the lower scales ahead of their use.

    Args:
        settings: How to train.
        size: (height, width) of the scale.
    """
    every = settings.gradient_penalty_every
    if settings.pool_pixels:
        return every
    batch, _ = settings.batch_at(*size)
    return every * max(1, FRESH // (settings.discriminator_steps * batch * every))


def train_until(
    pyramid: Pyramid, real: Tensor, settings: Settings, scale: int, seed: int, enough: Callable[[Event], bool]
) -> None:
    """Train one scale of a pyramid, whose lower scales are kept, until an event is enough. What was learned is lost.

    Args:
        pyramid: Any pyramid.
        real: (1, 3, H, W) in -1..1, of the size of the finest scale.
        settings: How to train.
        scale: Which scale.
        seed: The seed of everything random.
        enough: Told every event; training ends when it returns true.
    """
    training = PyramidTraining.anew(pyramid, real, settings, scale, unchanged, seed=seed)
    any(map(enough, training.events()))
