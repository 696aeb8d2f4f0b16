"""Direct patch distribution matching (Elnekave, Weiss, "Generating natural images with direct patch distributions
matching", ECCV 2022), from the paper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_tk_systems.levels import grey_noise, levels
from singan_toolkit.imaging.tensors import to_bytes
from singan_toolkit.pyramid.resample import resize

PATCH, COARSEST, FACTOR = 7, 28, 1 / 0.85
STEPS, DIRECTIONS, RATE = 150, 256, 0.05
"""As in the authors' code for the table of their paper: Adam's steps and step size, and directions of each step."""


def prepare(picture: np.ndarray) -> Callable[[float, int], np.ndarray]:
    """What draws samples whose patches are distributed as the picture's.

    Args:
        picture: (H, W, 3), uint8.

    Returns:
        A function of the deviation of the noise that is added to the coarsest level, in the picture's range of -1..1,
        and a seed. The authors add 1.5 to grey, so that nothing of the layout is left; here it is added to the picture.
    """
    reals = levels(picture, COARSEST, FACTOR)

    def draw(strength: float, seed: int) -> np.ndarray:
        sample = reals[0] + strength * grey_noise(reals[0], seed)
        directions = torch.Generator().manual_seed(seed)
        for real in reals:
            sample = _matched(resize(sample, (real.shape[-2], real.shape[-1])), real, directions)
        drawn: np.ndarray = to_bytes(sample[0])
        return drawn

    return draw


def _matched(sample: Tensor, real: Tensor, generator: torch.Generator) -> Tensor:
    """The sample after steps down the sliced Wasserstein distance of its patches to the real picture's."""
    sample = sample.clone().requires_grad_()
    optimizer = torch.optim.Adam([sample], lr=RATE)
    for _ in range(STEPS):
        directions = torch.randn(DIRECTIONS, 3, PATCH, PATCH, generator=generator)
        directions /= directions.std(dim=(1, 2, 3), keepdim=True)
        optimizer.zero_grad()
        wanted = np.sort(F.conv2d(real, directions).flatten(2).numpy())
        found = F.conv2d(sample, directions).flatten(2)
        # Where sorting would put them; its gradient is that of the values themselves.
        ranked = np.empty_like(wanted)
        np.put_along_axis(ranked, found.detach().numpy().argsort(), wanted, axis=-1)
        (found - torch.from_numpy(ranked)).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return sample.detach().clamp(-1, 1)
