"""Scales and sizes: how a picture is divided into a pyramid, and routes through it.

Scale 0 is the coarsest and the last scale the finest, as in the official code; the paper counts the other way.
No torch here: geometry is asked for by commands that must start fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from singan_toolkit.errors import InputError
from singan_toolkit.pyramid.architecture import PATCH

MIN_SIZE = 25
MAX_SIZE = 250
FACTOR = 4 / 3
LEAST_FACTOR = 1.05
"""Below which growing beyond the finest scale takes ``FACTOR``: tiny pictures have factors of about 1."""
MAX_PIXELS = 1 << 28
"""The most pixels that all scales may have together."""
MAX_PAIRS = 1 << 33
"""The most pairs of patches, over all scales of patches: in each round the distances of all pairs are taken."""


class Size(NamedTuple):
    """(height, width) in pixels; as text WIDTHxHEIGHT."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Step:
    """One step of a route: run the generator of ``scale`` on a picture of ``height`` by ``width`` pixels."""

    scale: int
    height: int
    width: int


@dataclass(frozen=True)
class Geometry:
    """The sizes of a pyramid's scales.

    Attributes:
        sizes: (height, width) of every scale in pixels, coarsest first.
        factor: r >= 1, how much larger each scale is than the one below it (paper section 2).
        patch_scales: How many of them, the coarsest, rebuild pictures from patches and have no network.

    Raises:
        InputError: The scales have more pixels than a machine could work through.
    """

    sizes: tuple[Size, ...]
    factor: float
    patch_scales: int = 0

    def __post_init__(self) -> None:
        pixels = [height * width for height, width in self.sizes]
        if sum(pixels) > MAX_PIXELS:
            raise InputError(f"its scales have {sum(pixels)} pixels, at most {MAX_PIXELS} are allowed (see max_size)")
        if (pairs := sum(count**2 for count in pixels[: self.patch_scales])) > MAX_PAIRS:
            raise InputError(
                f"its scales of patches compare {pairs} pairs of patches, at most {MAX_PAIRS} are allowed "
                "(see patches_to and min_size)"
            )

    @classmethod
    def of_picture(
        cls,
        height: int,
        width: int,
        min_size: int = MIN_SIZE,
        max_size: int = MAX_SIZE,
        factor: float = FACTOR,
        patches_to: int = 0,
    ) -> Geometry:
        """Divide a picture into scales by the official rule (paper section 2 and supplementary).

        The picture is shrunk, never enlarged, until its longer side is ``max_size``; that is the finest scale. The
        number of scales follows from the nominal ``factor``, and the exact factor is then chosen so that the shorter
        side of the coarsest scale is ``min_size``.

        Args:
            height: Height of the picture in pixels.
            width: Width of the picture in pixels.
            min_size: Shorter side of the coarsest scale in pixels.
            max_size: Longer side of the finest scale in pixels.
            factor: Nominal ratio of neighbouring scales, more than 1.
            patches_to: Longer side in pixels up to which scales rebuild pictures from patches. They follow each other
                by 4/3, whatever the factor; the others divide what is left. 0 is none.

        Raises:
            InputError: The picture, or what ``max_size`` leaves of it, is too small or too large for a pyramid.
        """
        shorter, longer = min(height, width), max(height, width)
        if shorter < min_size:
            raise InputError(
                f"the picture is {Size(height, width)} pixels, and its shorter side must be at least {min_size}: "
                "enlarge it first"
            )
        shrink = min(max_size / longer, 1.0)
        finest = Size(_ceil(height * shrink), _ceil(width * shrink))
        if min(finest) < min_size:
            raise InputError(
                f"the picture is {Size(height, width)} pixels: shrunk to {max_size} on its longer side it is only "
                f"{min(finest)} on the shorter, and a pyramid needs {min_size}; crop it, or raise max_size to "
                f"{math.ceil(min_size * longer / shorter)} or more"
            )
        if patches_to:
            return _over_patches(finest, min_size, patches_to, factor)
        nominal = math.log(factor)
        levels = _ceil(math.log(shorter / min_size) / nominal) + 1 - _ceil(-math.log(shrink) / nominal)
        levels = max(levels, 1)
        exact = (min(finest) / min_size) ** (1 / levels)
        sizes = tuple(
            Size(_ceil(finest[0] * exact ** (n - levels)), _ceil(finest[1] * exact ** (n - levels)))
            for n in range(levels + 1)
        )
        return cls(sizes, exact)

    @property
    def finest(self) -> Size:
        """(height, width) of the finest scale: the size the picture is trained at."""
        return self.sizes[-1]

    def size_at(self, scale: int, finest: tuple[int, int] | None = None) -> Size:
        """Size of ``scale`` in a pyramid whose finest scale is stretched to ``finest`` (default: as trained)."""
        height, width = self.sizes[scale]
        if finest is None or finest == self.finest:
            return Size(height, width)
        return Size(
            max(1, nearest(height * finest[0] / self.finest[0])),
            max(1, nearest(width * finest[1] / self.finest[1])),
        )

    def entry_size(self, scale: int, finest: tuple[int, int] | None = None) -> Size:
        """The size that a picture is shrunk to before it enters at ``scale``: that of the scale below.

        A scale expects a picture that lacks its detail.
        """
        return self.size_at(scale - 1, finest)

    def fit(self, size: tuple[int, int]) -> Size:
        """The size at which a picture of ``size`` walks: its shape, with the area that the pyramid was trained at.

        So the patches that the networks see show as much of the picture as those that they were trained on.
        """
        if size == self.finest:
            return Size(*size)
        share = math.sqrt(math.prod(self.finest) / math.prod(size))
        return Size(max(1, nearest(size[0] * share)), max(1, nearest(size[1] * share)))

    def route(self, first: int = 0, finest: tuple[int, int] | None = None) -> tuple[Step, ...]:
        """Steps through scales ``first`` to the finest, ending at ``finest`` (default: as trained).

        Raises:
            ValueError: There is no scale ``first``.
        """
        if not 0 <= first < len(self.sizes):
            raise ValueError(f"there is no scale {first}: this pyramid has scales 0 to {len(self.sizes) - 1}")
        return tuple(Step(n, *self.size_at(n, finest)) for n in range(first, len(self.sizes)))

    def upward(self, size: tuple[int, int], wanted: tuple[int, int]) -> tuple[Step, ...]:
        """Steps beyond the finest scale: its generator again and again, growing by about the factor each time.

        Paper section 4.1: what the finest scale adds to the one below is taken to be what the next would add.

        Args:
            size: (height, width) to start from.
            wanted: (height, width) to end at; no steps lead to a size that is no larger.
        """
        growth = math.sqrt(math.prod(wanted) / math.prod(size))
        factor = self.factor if self.factor >= LEAST_FACTOR else FACTOR
        number = max(1, round(math.log(growth) / math.log(factor))) if growth > 1 else 0
        return tuple(
            Step(
                len(self.sizes) - 1,
                nearest(size[0] * (wanted[0] / size[0]) ** (n / number)),
                nearest(size[1] * (wanted[1] / size[1]) ** (n / number)),
            )
            for n in range(1, number + 1)
        )


def _over_patches(finest: Size, min_size: int, patches_to: int, factor: float) -> Geometry:
    """Scales of patches, and above them scales of networks in equal ratios near ``factor``."""
    longer, shorter = max(finest), min(finest)
    # A picture that is long and narrow needs some room for patches across; a small one needs a network on top.
    top = min(max(patches_to, math.ceil(2 * min_size * longer / shorter)), longer / factor)
    top = max(top, PATCH * longer / shorter)
    least = min(min_size, math.ceil(top * shorter / longer))
    coarse = _between(finest, least / shorter, top / longer, math.ceil(_ratios(top * shorter / longer / least, FACTOR)))
    ratio = longer / top
    levels = max(1, round(_ratios(ratio, factor)))
    fine = _between(finest, top / longer, 1.0, levels)[1:]
    return Geometry((*coarse, *fine), ratio ** (1 / levels), len(coarse))


def _ratios(ratio: float, factor: float) -> float:
    """How many times by ``factor`` make a ratio."""
    return max(math.log(ratio) / math.log(factor), 0.0)


def _between(finest: Size, first: float, last: float, levels: int) -> list[Size]:
    """Sizes of levels + 1 scales in equal ratios, as shares of the finest one's sides."""
    shares = [last * (first / last) ** ((levels - n) / levels) for n in range(levels + 1)] if levels else [last]
    return [Size(_ceil(finest[0] * share), _ceil(finest[1] * share)) for share in shares]


def nearest(value: float) -> int:
    """The nearest whole number, halves up: the rule for all sizes and places in pixels that a user asks for.

    A half that binary fractions miss is one still: 1.15 times 10 is 12.
    """
    return math.floor(value + 0.5 + 1e-9)


def _ceil(value: float) -> int:
    """Round up, but not over rounding noise: 25.000000000000004 is 25."""
    return math.ceil(value - 1e-9)
