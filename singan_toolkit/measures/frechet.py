"""The Frechet distance between Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor]
"""Mean, (C,), and covariance, (C, C), both float64."""


def moments(features: Tensor) -> Moments:
    """Mean and covariance of features.

    Args:
        features: (places, C), of any floating type; two places or more.
    """
    features = features.double()
    return features.mean(dim=0), features.T.cov()


def frechet_distance(one: Moments, other: Moments) -> float:
    """The squared Frechet distance between two Gaussians, as in the SIFID (paper section 3.2).

    |m - n|^2 + tr(C + D - 2 (C D)^(1/2)) for means m, n and covariances C, D (Dowson and Landau 1982).

    Args:
        one: Mean and covariance.
        other: Another, with as many channels.

    Returns:
        0 for equal ones, else above it, in the squared unit of the features.
    """
    (mean, covariance), (other_mean, other_covariance) = one, other
    # tr (C D)^(1/2) is that of the symmetric C^(1/2) D C^(1/2), which has the same eigenvalues.
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp_min(0).sqrt().sum()
    spread = covariance.trace() + other_covariance.trace() - 2 * cross
    return max(float((mean - other_mean).square().sum() + spread), 0.0)
