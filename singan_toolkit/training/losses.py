"""The losses of paper section 2.2: WGAN-GP over the whole patch map, and the reconstruction."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """What the discriminator minimizes, without the penalty: the mean score of fakes less that of the real picture.

    Args:
        real_scores, fake_scores: Score maps of any shape; the mean is over all patches.
    """
    return fake_scores.float().mean() - real_scores.float().mean()


def adversarial_loss(fake_scores: Tensor) -> Tensor:
    """What the generator minimizes: the mean score of its fakes, negated."""
    return -fake_scores.float().mean()


def reconstruction_loss(reconstruction: Tensor, real: Tensor) -> Tensor:
    """||G(z*) - x||^2 as a mean over pixels and channels (equation (8)); both in -1..1."""
    return torch.mean((reconstruction.float() - real) ** 2)


def gradient_penalty(slope_at: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Mean over pixels of (||d sum(D(x)) / dx|| - 1)^2 at x between real and fake (Gulrajani et al., equation (3)).

    As in the official code, the score is summed over the patch map, and the norm is taken over the colour channels at
    each pixel, not over the whole picture.

    Args:
        slope_at: Maps x, (B, 3, H, W), to d sum(D(x)) / dx; see ``singan_toolkit.training.slope``.
        real: (B, 3, H, W) or (1, 3, H, W).
        fake: (B, 3, H, W), no gradient is taken into it.
        mix: (B, 1, 1, 1) in 0..1, the share of ``real``.

    Returns:
        A scalar that can be differentiated by what the slope depends on: the discriminator's weights.
    """
    slope = slope_at(mix * real + (1 - mix) * fake.detach())
    return torch.mean((slope.to(real.dtype).norm(dim=1) - 1) ** 2)
