"""What a walk must keep: applied to the picture after each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from singan_toolkit.pyramid.resample import resize

Constraint = Callable[[Tensor], Tensor]
"""From a step's picture, (B, 3, h, w) in about -1..1 of any size, to one that keeps to something."""


@dataclass(frozen=True)
class BackProjection:
    """Keeps what the picture shows at low resolution (iterative back-projection, Irani and Peleg 1991).

    Attributes:
        picture: (1, 3, h, w) in -1..1: what a larger picture must come to when it is shrunk to this size.
        rounds: How many times to correct.
    """

    picture: Tensor
    rounds: int = 2

    def __call__(self, picture: Tensor) -> Tensor:
        low = self.picture.to(picture.device)
        small, large = (low.shape[-2], low.shape[-1]), (picture.shape[-2], picture.shape[-1])
        for _ in range(self.rounds):
            picture = picture + resize(low - resize(picture, small), large)
        return picture
