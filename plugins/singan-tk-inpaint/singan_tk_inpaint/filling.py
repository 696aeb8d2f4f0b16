"""A first fill of a hole, and what keeps it without a seam while a pyramid redraws it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.imaging.detail import transfer_detail
from singan_toolkit.imaging.tensors import to_rgb, to_tensor
from singan_toolkit.imaging.visible import smoothed
from singan_toolkit.pyramid.resample import resize

PATCH = 5
ROUNDS = 10
OUTLIER = 2
"""The largest correction that a pixel at the rim of a hole passes on into the hole, over the median of all of them.

Where the mask cuts through a thing, that would be far larger, and the thing's colour would bleed into the hole."""


def shrunk(hole: Tensor, size: tuple[int, int]) -> Tensor:
    """A hole at another size: every pixel of which the hole covers more than a hundredth.

    Args:
        hole: (H, W), bool.
        size: (h, w) in pixels.

    Returns:
        (h, w), bool.
    """
    return resize(hole.float()[None, None], size)[0, 0].abs() > 0.01


def filled(picture: Tensor, hole: Tensor, coarsest: tuple[int, int]) -> Tensor:
    """Fill a hole with what continues its surroundings.

    At the coarsest size the hole is laid with patches of the picture that agree with each other and with its rim
    (Wexler, Shechtman and Irani 2007); the finer detail of places that look alike is then added.

    Args:
        picture: (1, 3, H, W) in -1..1, smooth in the hole.
        hole: (H, W), bool.
        coarsest: (h, w) in pixels: some tens, where a patch shows layout.

    Returns:
        (1, 3, H, W) in -1..1.

    Raises:
        PictureError: There is no patch left outside the hole.
    """
    size = (picture.shape[-2], picture.shape[-1])
    where = shrunk(hole, coarsest)
    patched = resize(_patched(resize(picture, coarsest), where), size)
    laid = Seamless(picture, hole)(patched)
    low = resize(laid, coarsest)
    rgb = transfer_detail(to_rgb(laid[0]), low, low, size, source=~hole.numpy(), where=where.numpy())
    return torch.where(hole, to_tensor(rgb), picture)


@dataclass(frozen=True)
class Seamless:
    """Lays known pixels over a picture, and shifts the colours in the hole so that they meet them.

    The shift is the smoothest that leads from what the rim needs to what the other side needs (Perez, Gangnet and Blake
    2003).

    Attributes:
        picture: (1, 3, H, W) in -1..1; what it holds in the hole has no influence.
        hole: (H, W), bool: what is not known.
    """

    picture: Tensor
    hole: Tensor

    def __call__(self, picture: Tensor) -> Tensor:
        """The picture, (B, 3, h, w) of any size, with what is known laid over."""
        size = (picture.shape[-2], picture.shape[-1])
        hole = shrunk(self.hole, size).to(picture.device)
        rim = F.max_pool2d(hole[None].float(), 3, 1, 1)[0].bool() & ~hole
        if not rim.any():
            return picture
        known = resize(self.picture, size).to(picture.device)
        missing = known - picture
        most = OUTLIER * missing[..., rim].abs().flatten(1).median(dim=1).values[:, None, None, None]
        return torch.where(hole, picture + smoothed(missing.clamp(-most, most), hole), known)


def _patched(picture: Tensor, hole: Tensor) -> Tensor:
    """A picture, (1, 3, h, w), whose hole, (h, w), is the mean of patches from outside that overlap there.

    Each round takes for every patch that touches the hole the nearest one that does not.
    """
    height, width = hole.shape
    half = PATCH // 2
    touches = F.max_pool2d(hole[None].float(), PATCH, 1, half)[0].bool()
    whole = ~touches
    whole[:half] = whole[-half:] = whole[:, :half] = whole[:, -half:] = False
    if not whole.any():
        return picture
    weight = touches.flatten().float().expand(3 * PATCH**2, -1)[None]
    framed = (height + PATCH - 1, width + PATCH - 1)
    votes = F.fold(weight, framed, PATCH).clamp(min=1)
    for _ in range(ROUNDS):
        patches = F.unfold(F.pad(picture, [half] * 4, mode="replicate"), PATCH)
        table = patches[0, :, whole.flatten()].T
        nearest = torch.cdist(patches[0, :, touches.flatten()].T, table).argmin(1)
        patches[0, :, touches.flatten()] = table[nearest].T
        mean = F.fold(patches * weight, framed, PATCH) / votes
        picture = torch.where(hole, mean[..., half:-half, half:-half], picture)
    return picture
