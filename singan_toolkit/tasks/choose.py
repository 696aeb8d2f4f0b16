"""Choosing the injection scale: the result that looks most like the training picture and least unlike what was given.

Coarse scales redraw freely, so their results fit the training picture's patches but leave what the user gave; fine
scales keep it and change nothing. Two measures stand against each other, each relative to its largest value over the
candidates:

- misfit: how far the patches of the result lie from their nearest patches in the training picture;
- drift: how far the structure of the result lies from the structure of what was given.

The scale with the smallest sum is chosen. docs/architecture.md tells what was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.tasks.task import Plan

PATCH = 7
LEVELS = 3
STRUCTURE = 4
"""Deviation of the blur that leaves structure only, in pixels of the finest scale."""
MAX_QUERIES = 1500
MAX_REFERENCES = 12_000


@dataclass(frozen=True)
class Candidate:
    """One admitted scale, its plan and what the walk gave, (1, 3, H, W)."""

    scale: int
    plan: Plan
    walked: Tensor


def choose(candidates: Sequence[Candidate], training_picture: np.ndarray) -> tuple[Candidate, str]:
    """The best candidate, and a sentence that says why.

    Args:
        candidates: One a scale, all with the same ``plan.given`` and ``plan.focus``.
        training_picture: (H, W, 3), uint8.
    """
    real = to_tensor(training_picture)
    misfit = torch.tensor([_misfit(one.walked, real, one.plan.focus) for one in candidates])
    drift = torch.tensor([_drift(one) for one in candidates])
    total = misfit / misfit.max().clamp_min(1e-9) + drift / drift.max().clamp_min(1e-9)
    best = int(total.argmin())
    sums = ", ".join(f"{one.scale}: {value:.2f}" for one, value in zip(candidates, total.tolist(), strict=True))
    why = (
        f"chose scale {candidates[best].scale}, where unlikeness to the training picture's patches "
        f"plus drift from what was given is least ({sums})"
    )
    return candidates[best], why


def _misfit(walked: Tensor, real: Tensor, focus: Tensor | None) -> float:
    """Mean RMS distance of patches in the focus to their nearest training patch, over a few halvings of resolution."""
    distances = []
    weight = torch.ones(walked.shape[-2:]) if focus is None else focus.float()
    for level in range(LEVELS):
        if min(*walked.shape[-2:], *real.shape[-2:]) < 2 * PATCH:
            break
        centers = F.avg_pool2d(weight[None, None], PATCH, 1).flatten() > 0.25
        queries = _thin(_patches(walked)[centers], MAX_QUERIES)
        references = _thin(_patches(real), MAX_REFERENCES)
        if len(queries):
            distances.append(torch.cdist(queries, references).amin(1).mean().item() / queries.shape[1] ** 0.5)
        if level < LEVELS - 1:
            walked, real = (resize(x, (x.shape[-2] // 2, x.shape[-1] // 2)) for x in (walked, real))
            weight = F.interpolate(weight[None, None], walked.shape[-2:], mode="area")[0, 0]
    return float(np.mean(distances)) if distances else 0.0


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
