"""Copies of the training picture whose colours, sharpness and grain are off in places, as a pasted object's are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TINT = 0.6
"""Deviation of how much each colour channel takes of each."""
SHIFT = 0.5
"""Deviation of what is added to a channel, in the picture's -1..1."""
CONTRAST = 0.4
"""Deviation of the contrast's logarithm."""
GRAIN = 0.15
"""Most noise."""
PLACES = 4
"""Cells along a side in which it is drawn whether colours are off."""


def disturbed(pictures: Tensor) -> Tensor:
    """Pictures with wrong colours, blur and noise in smooth regions that cover about half of each.

    Training that undoes this learns to give what does not belong the picture's palette and stroke, and to keep its form
    (harmonization in Hinz et al., "Improved techniques for training single-image GANs", 2021).

    Args:
        pictures: (B, 3, H, W) in about -1..1.

    Returns:
        Of the same shape, in -1..1, and the same for the same pictures.
    """
    import torch
    from torch.nn import functional as F

    random = torch.Generator().manual_seed(0)
    number, _, height, width = pictures.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn((number, *shape), generator=random).to(pictures.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand((number, *shape), generator=random).to(pictures.device)

    off = torch.einsum("bij,bjhw->bihw", torch.eye(3, device=pictures.device) + TINT * normal(3, 3), pictures)
    grey = off.mean(1, keepdim=True)
    off = grey + (off - grey) * 1.5 * uniform(1, 1, 1)
    off = off * torch.exp(CONTRAST * normal(1, 1, 1)) + SHIFT * normal(3, 1, 1)
    blurred = F.avg_pool2d(F.pad(off, (2, 2, 2, 2), mode="replicate"), 5, 1)
    off = torch.lerp(off, blurred, uniform(1, 1, 1))
    off = off + GRAIN * uniform(1, 1, 1) * normal(3, height, width)
    where = F.interpolate(normal(1, PLACES, PLACES), (height, width), mode="bicubic")
    return torch.lerp(pictures, off.clamp(-1, 1), torch.sigmoid(8 * where))
