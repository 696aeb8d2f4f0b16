"""How much samples look like the picture, and how little they copy it or each other.

Pictures are (H, W, 3), uint8, all of one size. Grey is the mean of the three channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from singan_toolkit.pyramid import patches


def patch_distances(real: np.ndarray, samples: Sequence[np.ndarray]) -> list[float]:
    """Sliced Wasserstein distance of each sample's patches to the picture's, in grey levels of 255.

    Of patches of 7x7 pixels, in 256 directions, over 4 levels; ``singan_toolkit.pyramid.patches`` has the formula.

    Args:
        real: The training picture.
        samples: To be compared with it.

    Raises:
        ValueError: The picture is smaller than a patch.
    """
    one, others = (torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2).float() for some in ([real], samples))
    distances: list[float] = patches.sliced_wasserstein_distances(one, others).tolist()
    return distances


def novelty(real: np.ndarray, sample: np.ndarray) -> float:
    """How far a sample is from a copy: mean |grey(sample) - grey(real)| / mean |grey(real) - mean grey(real)|.

    Args:
        real: The training picture, not all of one grey.
        sample: A picture of the same size.
    """
    grey = _grey(real)
    return float(np.abs(_grey(sample) - grey).mean() / np.abs(grey - grey.mean()).mean())


def diversity(real: np.ndarray, samples: Sequence[np.ndarray]) -> float:
    """SinGAN section 3: each pixel's grey deviation over samples, as a mean over pixels, by the picture's deviation.

    Args:
        real: The training picture, not all of one grey.
        samples: Two or more, of the same size.
    """
    return float(np.std([_grey(sample) for sample in samples], axis=0).mean() / _grey(real).std())


def _grey(picture: np.ndarray) -> np.ndarray:
    grey: np.ndarray = picture.astype(np.float64).mean(axis=-1)
    return grey
