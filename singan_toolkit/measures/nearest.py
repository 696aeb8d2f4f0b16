"""How near the patches of two pictures lie to each other: bidirectional similarity (Simakov et al. 2008)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.errors import InputError
from singan_toolkit.pyramid.resample import resize

SIDES = (24, 40, 64, 100)
"""Longer sides of the picture, in pixels, at which patches are compared: there one shows a thing and not a texture."""
PATCH = 9


@dataclass(frozen=True)
class PatchErrors:
    """RMS distances of patches to their nearest in the other picture, as shares of the picture's deviation.

    Attributes:
        structure: The mean of both directions over all resolutions.
        coherence: From the sample's patches to the picture's, at the finest resolution: what does not belong.
        coverage: From the picture's patches to the sample's, likewise: what is missing.
    """

    structure: float
    coherence: float
    coverage: float


def patch_errors(real: np.ndarray, sample: np.ndarray) -> PatchErrors:
    """Compare a sample with a picture by 9x9 patches, at longer sides of the picture of 24, 40, 64 and 100 pixels.

    The sample is shrunk by the same factor as the picture. All three are 0 for a copy, and about 1 where no patch is
    nearer than the picture is to one of its mean colour.

    Args:
        real: (H, W, 3), uint8: the training picture, not all of one colour.
        sample: (h, w, 3), uint8.

    Raises:
        InputError: A picture is too small or too thin for a patch at each of these sizes.
    """
    one, other = (torch.from_numpy(np.array(some)).permute(2, 0, 1)[None].float() for some in (real, sample))
    found = []
    for side in SIDES:
        factor = side / max(real.shape[:2])
        sizes = [[round(length * factor) for length in some.shape[:2]] for some in (real, sample)]
        if factor > 1 or min(map(min, sizes)) < PATCH:
            continue
        shrunk = [resize(some, (height, width)) for some, (height, width) in zip((one, other), sizes, strict=True)]
        found.append(_mean_distances(*(F.unfold(some, PATCH)[0].T for some in shrunk)))
    if not found:
        raise InputError(f"pictures of {_size(real)} and {_size(sample)} are too small or too thin to compare patches")
    errors = np.array(found) / real.std()
    return PatchErrors(float(errors.mean()), *map(float, errors[-1]))


def _mean_distances(real: Tensor, sample: Tensor) -> tuple[float, float]:
    """From the sample's patches to their nearest of the picture's, and the reverse. Both are (patches, values)."""
    center = real.mean(dim=0)  # about which squares lose the fewest digits
    real, sample = real - center, sample - center
    squares = torch.addmm(real.square().sum(dim=1), sample, real.T, alpha=-2)
    forth = squares.argmin(dim=1)
    back = squares.add_(sample.square().sum(dim=1, keepdim=True)).argmin(dim=0)
    return _distance(sample, real[forth]), _distance(real, sample[back])


def _distance(some: Tensor, others: Tensor) -> float:
    return float((some - others).square().mean(dim=1).sqrt().mean())


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
