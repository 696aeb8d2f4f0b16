"""Choosing the injection scale: the one that gains most likeness to the training picture for what it changes.

Coarse scales redraw freely, so their results look like the training picture but leave what the user gave; fine scales
keep it and change nothing. Two measures, both in the focus that the plan names, stand against each other:

- gain: how much nearer the patches of the result lie to their nearest patches in the training picture than those of
  what was given do;
- drift: how far the structure of the result lies from the structure of what was given.

The scale with the largest gain for its drift is chosen. docs/architecture.md tells what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.tasks.task import Plan

PATCH = 7
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
    first = candidates[0].plan
    assert first.given is not None
    before = _misfit(first.given, real, first.focus)
    worth = [(before - _misfit(one.walked, real, one.plan.focus)) / max(_drift(one), 1e-3) for one in candidates]
    best = max(range(len(candidates)), key=worth.__getitem__)
    values = ", ".join(f"{one.scale}: {value:.2f}" for one, value in zip(candidates, worth, strict=True))
    why = (
        f"chose scale {candidates[best].scale}, which gains most likeness to the training picture's patches "
        f"for what it changes in what was given ({values})"
    )
    return candidates[best], why


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
