"""Choosing among layouts drawn from noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.pyramid.architecture import PATCH
from singan_toolkit.pyramid.geometry import Step
from singan_toolkit.pyramid.noise import NoiseSource
from singan_toolkit.pyramid.patches import PIXELS_AT_ONCE, patch_misfits, sliced_wasserstein_distances
from singan_toolkit.pyramid.resample import resize
from singan_toolkit.pyramid.walk import Pyramid, walk

LAYOUT_STEPS = 3
"""Steps of a route after which a layout is judged: the coarsest scales draw it, the others refine it."""
CARE = 1.5
"""Power of a layout\'s change from the training picture by which its patch distance is divided, to judge it."""
SAME = 0.02
"""Added to that change, an RMS in the picture's -1..1, lest a layout that is hardly another one be judged by noise."""
PERFECT = 1e-4
"""Misfit, at the square of the picture's -1..1, below which patches lie side by side as well as in the picture."""
MOVED = 3
"""Half pixels by which a layout may be moved any way and is no other one."""
CANDIDATE = 1 << 40
"""The step from one candidate's sample number to the next one's."""


@torch.no_grad()
def most_typical(
    pyramid: Pyramid,
    real: Tensor,
    route: Sequence[Step],
    noise: NoiseSource,
    samples: Sequence[int],
    candidates: int,
) -> list[int]:
    """Choose among several layouts of each sample the one that is most like the training picture for what it changes.

    The distance of a layout's patches is divided by how far the layout lies from the training picture's own, to the
    power 1.5: the nearest alone would be the one that is nearly a copy. Layouts laid from patches hold as much of
    everything as the picture does, and are judged by their seams; of those that networks draw all patches together.

    A network that sees 11x11 pixels of white noise cannot know how much of anything there is elsewhere, so now and then
    a picture comes out all sky or all trees. (Batch norm with the statistics of the very sample, as while training,
    would hold it near the right mix; it is folded away, so that a sample can be of any size and be made in parts.)
    Layouts are tiny: drawing some and keeping the best costs little and needs no training.

    Args:
        pyramid: A trained pyramid.
        real: (1, 3, H, W) in -1..1, the training picture, of any size.
        route: From noise at the coarsest scale on.
        noise: The source of the samples' noise. Candidate c of sample i is sample i + c * 2^40.
        samples: Their numbers.
        candidates: Layouts to choose from, for each; of 1, sample i stays sample i, as where a layout is too small to
            hold a patch. Samples that are larger than the training picture get fewer, in proportion: they hold more of
            everything and differ less.

    Returns:
        Numbers of the chosen samples, to walk the whole route with.
    """
    steps = route[:LAYOUT_STEPS]
    trained = math.prod(pyramid.geometry.sizes[steps[-1].scale])
    candidates = round(candidates * min(1, trained / (steps[-1].height * steps[-1].width)))
    if candidates <= 1 or min(steps[-1].height, steps[-1].width) < PATCH:
        return list(samples)
    expected = resize(real.to(pyramid.device), pyramid.geometry.sizes[steps[-1].scale])
    still = resize(expected, (steps[-1].height, steps[-1].width))
    together = max(1, PIXELS_AT_ONCE // (candidates * steps[-1].height * steps[-1].width))
    chosen: list[int] = []
    for first in range(0, len(samples), together):
        part = samples[first : first + together]
        numbers = np.array([[sample + candidate * CANDIDATE for candidate in range(candidates)] for sample in part])
        layouts = walk(pyramid, steps, noise, samples=numbers.flatten().tolist())
        changes = _changes(layouts, still)
        if pyramid.geometry.patch_scales:
            distances = patch_misfits(expected, layouts) + PERFECT
        else:
            distances = sliced_wasserstein_distances(expected, layouts, directions=32)
        worth = (distances / (changes + SAME) ** CARE).reshape(numbers.shape)
        chosen += numbers[np.arange(len(part)), worth.argmin(axis=1)].tolist()
    return chosen


def _changes(layouts: Tensor, still: Tensor) -> np.ndarray:
    """How far each layout is from the picture's own: (B,), the least RMS where that is moved by up to `MOVED`.

    Moved by so little, a picture is the same to anyone.
    """
    height, width = (2 * side - 2 * MOVED for side in still.shape[2:])
    many, one = (F.interpolate(some, scale_factor=2, mode="bilinear") for some in (layouts, still))
    inner = many[:, :, MOVED : MOVED + height, MOVED : MOVED + width]
    distances = [
        (inner - one[:, :, y : y + height, x : x + width]).square().mean((1, 2, 3)).sqrt()
        for y in range(2 * MOVED + 1)
        for x in range(2 * MOVED + 1)
    ]
    return torch.stack(distances).amin(0).cpu().numpy()
