"""Bringing pictures down to a few colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Palette:
    """A few colours.

    Attributes:
        colors: (K, 3), float32 in -1..1.
    """

    colors: Tensor

    @classmethod
    def of_picture(cls, picture: np.ndarray, number: int) -> Palette:
        """The main colours of a picture: the centers of k-means over its pixels. The same every time.

        Args:
            picture: (H, W, 3), uint8.
            number: How many colours there are at most.
        """
        pixels = picture.reshape(-1, 3).astype(np.float64) / 127.5 - 1
        number = min(number, len(np.unique(pixels, axis=0)))
        centers, _ = kmeans2(pixels, number, minit="++", seed=np.random.default_rng(0))
        return cls(torch.from_numpy(centers[np.lexsort(centers.T)]).float())

    def quantize(self, picture: Tensor) -> Tensor:
        """Each pixel's nearest colour.

        Args:
            picture: (B, 3, H, W), about -1..1.

        Returns:
            (B, 3, H, W) in -1..1, of the palette's colours only.
        """
        colors = self.colors.to(picture.device)
        pixels = picture.permute(0, 2, 3, 1)
        nearest = torch.cdist(pixels.reshape(-1, 3), colors).argmin(1)
        return colors[nearest].view(pixels.shape).permute(0, 3, 1, 2)
