"""How near a picture comes to the one that it should be, and how sharp it looks: scikit-image's measures."""

from __future__ import annotations

import numpy as np
from skimage.measure import blur_effect
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def psnr(real: np.ndarray, sample: np.ndarray) -> float:
    """Peak signal-to-noise ratio over the three channels, in decibels; infinite for a copy.

    Args:
        real: (H, W, 3), uint8: what the sample should be.
        sample: A picture of the same size.
    """
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(real, sample, data_range=255))


def ssim(real: np.ndarray, sample: np.ndarray) -> float:
    """Structural similarity, as Wang et al. (2004) set it up, as a mean over the three channels; 1 for a copy.

    Args:
        real: (H, W, 3), uint8, of 11 pixels or more both ways: what the sample should be.
        sample: A picture of the same size.
    """
    wang = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return float(structural_similarity(real, sample, data_range=255, channel_axis=-1, **wang))


def blur(sample: np.ndarray) -> float:
    """How much a picture looks blurred, without a reference (Crete et al. 2007): 0 sharp to 1.

    Args:
        sample: (H, W, 3), uint8.
    """
    return float(blur_effect(sample, channel_axis=-1))
