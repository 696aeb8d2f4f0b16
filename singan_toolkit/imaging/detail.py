"""Carrying a new small picture up to the resolution of its original, with the original's own fine detail."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from scipy.ndimage import minimum_filter
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.errors import PictureError
from singan_toolkit.pyramid.resample import resize

_PATCH = 5
_PASSES = 6
_COHERENCE = 1.0
_FLAT = 2e-5  # squared difference of two values in 0..1 below which patches count as alike
_SEARCHED_AT_ONCE = 64
_STRIP_PIXELS = 1 << 18


@torch.no_grad()
def transfer_detail(
    rgb: np.ndarray,
    before: Tensor,
    after: Tensor,
    size: tuple[int, int],
    source: np.ndarray | None = None,
    where: np.ndarray | None = None,
) -> np.ndarray:
    """Enlarge a small picture, and add the fine detail that a large picture has at the places that look alike.

    Every pixel of ``after`` is matched with the place of ``before`` whose patch of 5x5 pixels is nearest; a place that
    continues a neighbour's match is preferred. What ``rgb`` has there and ``before`` cannot hold is copied, and copies
    that overlap are blended over one pixel of ``after``. Where ``after`` is ``before`` the result is ``rgb``.

    Memory is about four times that of the larger of ``rgb`` and the result, beyond ``rgb``. One core takes about 3
    seconds for each thousand million pairs of pixels to compare (9 for two whole pictures of 250x188, 1 for a tenth of
    one), and about 2 for each ten million pixels of the result.

    Args:
        rgb: (H, W, 3), float32 in 0..1: the original at its full resolution.
        before: (1, 3, h, w) in about -1..1: the original at the resolution of the new picture.
        after: (1, 3, h', w') in about -1..1: the new picture, of any shape.
        size: (height, width) of the result in pixels; about h' * H / h and w' * W / w, lest detail is drawn apart.
        source: (H, W), bool: what may be copied. Nothing else of ``rgb`` gets into the result, and no patch that
            holds a pixel of the rest is a match. All by default.
        where: (h', w'), bool: the pixels of ``after`` to find detail for; all others keep the detail of their own
            place, if ``source`` has it. ``after`` must then have the size of ``before``. All by default.

    Returns:
        (height, width, 3), float32 in 0..1.

    Raises:
        PictureError: ``source`` leaves no patch to copy.
        ValueError: ``source`` or ``where`` has another size than its picture, or ``where`` comes with two sizes.
    """
    full, small = (rgb.shape[0], rgb.shape[1]), (before.shape[-2], before.shape[-1])
    if source is not None and source.shape != full:
        raise ValueError(f"source is {source.shape} and its picture {full}")
    if where is not None and not where.shape == after.shape[-2:] == small:
        raise ValueError(f"where is {where.shape}, and the small pictures {tuple(after.shape[-2:])} and {small}")
    allowed = torch.ones(full) if source is None else torch.from_numpy(source).float()
    before, after = ((picture.float().cpu().clamp(-1, 1) + 1) / 2 for picture in (before, after))
    offsets = _match(before, after, _whole_patches(allowed, small), where)
    result = _enlarged(after, size)
    _add(result, torch.from_numpy(rgb) - _enlarged(before, full), allowed, offsets, small)
    return result.clamp_(0, 1).numpy()


def _enlarged(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return resize(picture, size)[0].permute(1, 2, 0).contiguous()


def _whole_patches(allowed: Tensor, small: tuple[int, int]) -> Tensor:
    """(h, w), bool: the centers of patches all of whose pixels are allowed, down to the last of the large picture."""
    wholly = F.adaptive_max_pool2d(1 - allowed[None], small)[0] == 0
    centers = torch.from_numpy(minimum_filter(wholly.numpy(), _PATCH, mode="nearest"))
    if not centers.any():
        raise PictureError("the mask leaves no part of the picture to copy detail from: paint it smaller")
    return centers


def _patches(picture: Tensor) -> Tensor:
    """(h * w, values of a patch), the edge's pixels repeated beyond it."""
    return F.unfold(F.pad(picture, [_PATCH // 2] * 4, mode="replicate"), _PATCH)[0].T.contiguous()


def _match(before: Tensor, after: Tensor, centers: Tensor, where: np.ndarray | None) -> Tensor:
    """(2, h', w'), int64: rows and columns from each pixel of ``after`` to its match in ``before``."""
    height, width = after.shape[-2:]
    pixels = torch.ones(height, width) if where is None else torch.from_numpy(where)
    rows, columns = pixels.nonzero(as_tuple=True)
    patches, wanted = _patches(before), _patches(after)[rows * width + columns]
    places = _nearest(wanted, patches, centers.flatten().nonzero()[:, 0])
    offsets = torch.zeros(2, height, width, dtype=torch.long)
    offsets[:, rows, columns] = torch.stack([places // before.shape[-1] - rows, places % before.shape[-1] - columns])
    distance = (wanted - patches[places]).square().sum(1).mean().nan_to_num()
    price = _COHERENCE * float(distance) + _FLAT * wanted.shape[1]
    for _ in range(_PASSES):
        offsets[:, rows, columns] = _coherent(offsets, rows, columns, wanted, patches, centers, price)
    return offsets


def _nearest(wanted: Tensor, patches: Tensor, places: Tensor) -> Tensor:
    """For each wanted patch, the place that has the nearest one."""
    table = patches[places]
    table = torch.cat([table, -table.square().sum(1, keepdim=True) / 2], dim=1).T.contiguous()
    likeness = torch.empty(_SEARCHED_AT_ONCE, len(places))
    best = [places[:0]]
    for chunk in torch.split(F.pad(wanted, [0, 1], value=1.0), _SEARCHED_AT_ONCE):
        found = torch.mm(chunk, table, out=likeness[: len(chunk)])
        best.append(places[found.numpy().argmax(axis=1)])
    return torch.cat(best)


def _coherent(
    offsets: Tensor, rows: Tensor, columns: Tensor, wanted: Tensor, patches: Tensor, centers: Tensor, price: float
) -> Tensor:
    """(2, n): for each pixel its own or a neighbour's offset, whichever costs least.

    An offset costs the distance of the patches, and the price for each of the eight neighbours that has another.
    """
    last_row, last_column = offsets.shape[1] - 1, offsets.shape[2] - 1
    around = torch.stack(
        [
            offsets[:, (rows + y).clamp(0, last_row), (columns + x).clamp(0, last_column)]
            for y, x in itertools.product((-1, 0, 1), repeat=2)
        ]
    )
    lowest = torch.full(rows.shape, torch.inf)
    chosen = around[4]
    height, width = centers.shape
    for offset in around:
        y, x = rows + offset[0], columns + offset[1]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        place = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
        cost = (wanted - patches[place]).square().sum(1) + price * (around != offset).any(1).sum(0)
        better = inside & centers.flatten()[place] & (cost < lowest)
        lowest = torch.where(better, cost, lowest)
        chosen = torch.where(better, offset, chosen)
    return chosen


def _add(result: Tensor, detail: Tensor, allowed: Tensor, offsets: Tensor, small: tuple[int, int]) -> None:
    """Add to (height, width, 3) what the offsets lead to in the detail, (H, W, 3), where it is allowed, (H, W)."""
    (height, width), full, (rows, columns) = result.shape[:2], detail.shape[:2], offsets.shape[1:]
    scale = torch.tensor([height / rows, width / columns])[:, None, None]
    ratio = torch.tensor([full[0] / small[0], full[1] / small[1]])[:, None, None]
    middles = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")) + 0.5
    moves = (offsets * ratio + middles * (ratio - scale)).round().long()
    margin = math.ceil(scale.max()) + 1  # a copy reaches one small pixel beyond its place's middle
    framed = torch.zeros(full[0] + 2 * margin, full[1] + 2 * margin, 4)
    inside = framed[margin:-margin, margin:-margin]
    inside[..., :3], inside[..., 3] = detail, 1
    inside *= allowed[..., None]
    stride = framed.shape[1]
    jumps, pixels = (moves[0] + margin) * stride + moves[1] + margin, framed.view(-1, 4)
    across = torch.arange(width)
    for part in torch.arange(height).tensor_split(math.ceil(height * width / _STRIP_PIXELS)):
        own = part[:, None] * stride + across
        votes = torch.zeros(len(part), width, 4)
        for (y, share_y), (x, share_x) in itertools.product(
            _corners(part, height, rows), _corners(across, width, columns)
        ):
            votes += pixels[own + jumps[y[:, None], x]] * (share_y[:, None] * share_x)[..., None]
        result[part] += votes[..., :3] / votes[..., 3:].clamp(min=1e-6)


def _corners(pixels: Tensor, length: int, short: int) -> list[tuple[Tensor, Tensor]]:
    """The two small pixels around each pixel of a side, and their shares of it."""
    at = (pixels + 0.5) * (short / length) - 0.5
    first = at.floor()
    return [((first + step).long().clamp(0, short - 1), 1 - (at - first - step).abs()) for step in (0, 1)]
