"""Choosing the injection scale: the one that gains most likeness to the training picture for what it changes.

Coarse scales redraw freely, so their results look like the training picture but leave what the user gave; fine scales
keep it and change nothing. Likeness stands against drift: how far the structure of the result, blurred, lies from the
structure of what was given. Likeness is measured in one of two ways:

- where the plan names a focus, by the patches in it: how near they lie to their nearest patches in the training
  picture. What is wrong with a pasted object or an edit is that it holds patches that the picture does not;
- where the whole picture is redrawn, by the statistics of its textures. Every patch of a flat painting lies near to
  some smooth patch; what is wrong is that all of them are flat.

docs/architecture.md tells what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.measures.frechet import frechet_distance, moments
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.tasks.task import Plan

PATCH = 7
STRUCTURE = 4
"""Deviation of the blur that leaves structure only, in pixels of the finest scale."""
FILTERS = 48
SMALLEST = 32
"""Sides of a picture for which there is still something to measure at half the resolution."""
DRIFT = 15.0
"""What a drift of 1 costs where the whole is redrawn, in e-folds of the texture distance."""
CARE = 2.5
"""Power of the drift that a gain in a focus is divided by; with less, pasted objects come out too dissolved."""
MAX_QUERIES = 1500
MAX_REFERENCES = 12_000


@dataclass(frozen=True)
class Candidate:
    """One admitted scale, its plan and what the walk gave, (1, 3, H, W)."""

    scale: int
    plan: Plan
    walked: Tensor


def choose(candidates: Sequence[Candidate], training_picture: np.ndarray, default: int) -> tuple[Candidate, str]:
    """The best candidate, and a sentence that says why.

    Args:
        candidates: One a scale, all with the same ``plan.given`` and ``plan.focus``.
        training_picture: (H, W, 3), uint8.
        default: The task's default scale, for where no scale gains anything.
    """
    real = to_tensor(training_picture)
    worth = (_worth_of_whole if candidates[0].plan.focus is None else _worth_in_focus)(candidates, real)
    best = max(range(len(candidates)), key=worth.__getitem__)
    gains = worth[best] > 0
    chosen = candidates[best] if gains else next(one for one in candidates if one.scale == default)
    values = ", ".join(f"{one.scale}: {value:.2f}" for one, value in zip(candidates, worth, strict=True))
    if gains:
        why = "which gains most likeness to the training picture for what it changes in what was given"
    else:
        why = "the default: no scale was seen to make what was given more like the training picture"
    return chosen, f"chose scale {chosen.scale}, {why} ({values})"


def _worth_in_focus(candidates: Sequence[Candidate], real: Tensor) -> list[float]:
    """Gain of likeness for its drift."""
    first = candidates[0].plan
    assert first.given is not None
    before = _misfit(first.given, real, first.focus)
    gains = [before - _misfit(one.walked, real, one.plan.focus) for one in candidates]
    return [gain / max(_drift(one), 1e-3) ** CARE for gain, one in zip(gains, candidates, strict=True)]


def _worth_of_whole(candidates: Sequence[Candidate], real: Tensor) -> list[float]:
    """Order of magnitude of the gain, less the drift."""
    given = candidates[0].plan.given
    assert given is not None
    before = texture_distance(given, real)
    return [math.log(before / texture_distance(one.walked, real)) - DRIFT * _drift(one) for one in candidates]


def texture_distance(picture: Tensor, real: Tensor) -> float:
    """Frechet distance between the texture energies of two pictures, as a share of the real one's variance.

    A texture is seen as the local mean amplitude of the responses to random filters, at two resolutions (the energies
    of Malik and Perona 1990); Gaussians are fitted to them over the picture, as the SIFID fits them to deep features
    (paper section 3.2).

    Args:
        picture: (1, 3, H, W) in about -1..1.
        real: The same, of any size.

    Returns:
        From 0 for the same picture to some units for one without texture.
    """
    distances = []
    for theirs, ours in zip(_texture(real), _texture(picture), strict=True):
        expected, found = moments(theirs), moments(ours)
        distances.append(frechet_distance(expected, found) / float(expected[1].trace()))
    return max(fmean(distances), 1e-6)


def _texture(picture: Tensor) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    filters = torch.randn((FILTERS, 3, PATCH, PATCH), generator=random)
    filters -= filters.mean((2, 3), keepdim=True)
    filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]
    height, width = picture.shape[-2:]
    picture = resize(picture, (max(height, SMALLEST), max(width, SMALLEST))).clamp(-1, 1)
    energies = []
    for _ in range(2):
        amplitude = F.avg_pool2d(F.conv2d(picture, filters).abs(), 5, 2)
        energies.append(amplitude[0].flatten(1).T)
        picture = resize(picture, (picture.shape[-2] // 2, picture.shape[-1] // 2))
    return energies


def _misfit(picture: Tensor, real: Tensor, focus: Tensor | None) -> float:
    """Mean RMS distance of the patches in the focus to their nearest patch of the training picture."""
    weight = torch.ones(picture.shape[-2:]) if focus is None else focus.float()
    centers = F.avg_pool2d(weight[None, None], PATCH, 1).flatten()
    queries = _thin(_patches(picture)[centers >= min(0.25, centers.max().item())], MAX_QUERIES)
    references = _thin(_patches(real), MAX_REFERENCES)
    return float(torch.cdist(queries, references).amin(1).mean()) / math.sqrt(queries.shape[1])


def _patches(picture: Tensor) -> Tensor:
    return F.unfold(picture.clamp(-1, 1), PATCH)[0].T


def _thin(rows: Tensor, most: int) -> Tensor:
    return rows[:: max(1, -(-len(rows) // most))]


def _drift(candidate: Candidate) -> float:
    """RMS difference in the focus between result and given, both blurred to their structure."""
    from kornia.filters import gaussian_blur2d  # slow to import, and only this needs it

    given = candidate.plan.given
    assert given is not None
    focus = candidate.plan.focus
    weight = torch.ones(given.shape[-2:]) if focus is None else focus.float()
    difference = candidate.walked.clamp(-1, 1) - given.cpu()
    blurred = gaussian_blur2d(difference, 4 * STRUCTURE + 1, (STRUCTURE, STRUCTURE), border_type="replicate")
    if not weight.any():
        return 0.0
    return float(((blurred**2 * weight).sum() / (3 * weight.sum())).sqrt())
