"""What one training step sees: crops of the real scale, of samples from below, and of the reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from singan_toolkit.pyramid.architecture import MARGIN, PICTURE_CHANNELS
from singan_toolkit.pyramid.networks import pad, reflected, with_noise

FRESH = 16
"""Fresh samples are drawn in batches of this many ahead of their use."""


@dataclass(frozen=True)
class ScaleData:
    """One scale's training material, on the training device.

    Attributes:
        real: (1, 3, H, W) in -1..1.
        samples: (P, 3, H, W): samples of the scales below, brought to this size; zeros (P = 1) at scale 0.
        fresh: Draws the samples of these numbers, each to be used once; without it ``samples`` are used over and over.
        reconstruction_base: (1, 3, H, W): the reconstruction of the scales below; zeros at scale 0.
        reconstruction_noise: z* at scale 0, zeros above: (1, 3, H, W), or (1, 3, H + 10, W + 10) with noise padding.
        noise_amplitude: sigma_n.
        coarsest: Scale 0: its noise is one channel repeated three times.
        reflect: The generator's input is continued by reflection over the sides; otherwise with zeros.
        restores: The samples are changed copies of the real picture, and are to come out as it.
    """

    real: Tensor
    samples: Tensor
    fresh: Callable[[Sequence[int]], Tensor] | None
    reconstruction_base: Tensor
    reconstruction_noise: Tensor
    noise_amplitude: float
    coarsest: bool
    reflect: bool = False
    restores: bool = False


@dataclass(frozen=True)
class Batch:
    """Crops of h by w pixels, taken at the same B places from everything, the networks' margin of 5 included.

    Attributes:
        real: (B, 3, h, w), or (1, 3, h, w) of the whole picture.
        base: (B, 3, h, w): what the generator's residual is added to.
        noisy: (B, 3, h + 10, w + 10): the generator's input.
        reconstruction_base: (B, 3, h, w), or (1, 3, h, w) of the whole picture.
        reconstruction_noisy: (B, 3, h + 10, w + 10), or 1.
    """

    real: Tensor
    base: Tensor
    noisy: Tensor
    reconstruction_base: Tensor
    reconstruction_noisy: Tensor


class Cropper:
    """Draws batches from a scale's material.

    The networks see 11x11 patches, so a random crop of the padded input gives them what the whole picture would, and
    the cost of a step no longer grows with the picture. Crops at one place are drawn from real and fake alike: the
    discriminator cannot tell places, and the difference of the two scores varies less.

    Args:
        data: The scale's material.
        crop: Side of the crops in pixels; 0 for the whole picture.
        batch: Fakes a batch.
        random: Source of places and noise, on the data's device.
    """

    def __init__(self, data: ScaleData, crop: int, batch: int, random: torch.Generator) -> None:
        self.data, self.batch, self.random = data, batch, random
        height, width = data.real.shape[-2:]
        self.height, self.width = (min(crop, height), min(crop, width)) if crop else (height, width)
        self._whole = (self.height, self.width) == (height, width)
        self._samples = pad(data.samples, data.reflect)
        # Where noise shares the picture's margin, that mirrors it too.
        mirrors = data.reflect and data.reconstruction_noise.shape == data.real.shape
        self._mirrors = [reflected(size, data.real.device) for size in (height, width)] if mirrors else []
        self._left, self._drawn = 0, 0
        self._next = torch.zeros((), dtype=torch.long, device=data.real.device)
        self._noisy = with_noise(
            torch.zeros_like(data.real[:, :1]), torch.ones_like(data.reconstruction_noise[:, :1]), 1, data.reflect
        )
        self._reconstruction = with_noise(data.reconstruction_base, data.reconstruction_noise, 1, data.reflect)

    def draw(self) -> Batch:
        """A batch of random samples at random places."""
        data, device = self.data, self.data.real.device
        samples = self._pick()
        rows, columns = self._places()
        base_padded = _cut(self._samples, samples, rows, columns, self._whole)
        noise_channels = 1 if data.coarsest else PICTURE_CHANNELS
        noise = torch.randn((self.batch, noise_channels, *base_padded.shape[-2:]), generator=self.random, device=device)
        if self._mirrors:
            places = zip(self._mirrors, (rows, columns), strict=True)
            mirrored = [mirror[at] + MARGIN - at[:, :1] for mirror, at in places]
            noise = _cut(noise, torch.arange(self.batch, device=device), mirrored[0], mirrored[1], whole=False)
        first = torch.zeros_like(samples[:1] if self._whole else samples)
        noisy = _cut(self._noisy, first, rows, columns, self._whole)
        inner_rows, inner_columns = rows[:, : -2 * MARGIN], columns[:, : -2 * MARGIN]
        return Batch(
            real=_cut(data.real, first, inner_rows, inner_columns, self._whole),
            base=base_padded[..., MARGIN:-MARGIN, MARGIN:-MARGIN],
            noisy=base_padded + data.noise_amplitude * noise * noisy,
            reconstruction_base=_cut(data.reconstruction_base, first, inner_rows, inner_columns, self._whole),
            reconstruction_noisy=_cut(self._reconstruction, first, rows, columns, self._whole),
        )

    def refill(self, draws: int) -> None:
        """Make sure of fresh samples, where they are wanted, for the next so many draws; call it before them."""
        if self.data.fresh is None:
            return
        if draws * self.batch > self._left:
            self._left = max(FRESH, draws * self.batch)
            fresh = pad(self.data.fresh(range(self._drawn, self._drawn + self._left)), self.data.reflect)
            self._drawn += self._left
            self._next.zero_()
            if self._samples.shape == fresh.shape:
                self._samples.copy_(fresh)  # in place, for steps that were recorded
            else:
                self._samples = fresh
        self._left -= draws * self.batch

    def skip(self, times: int, draws: int) -> None:
        """Be where one is that was refilled so many times, and drew all that it was refilled for each time."""
        if self.data.fresh is None or not times:
            return
        wanted = draws * self.batch
        uses = max(FRESH, wanted) // wanted
        whole, again = divmod(times - 1, uses)
        self._drawn, self._left = whole * max(FRESH, wanted), 0
        self.refill(draws)
        self._left -= again * wanted
        self._next += (again + 1) * wanted

    def _pick(self) -> Tensor:
        """Numbers of the samples to use, (B,)."""
        device = self.data.real.device
        if self.data.fresh is None:
            return torch.randint(len(self._samples), (self.batch,), generator=self.random, device=device)
        numbers = self._next + torch.arange(self.batch, device=device)
        self._next += self.batch
        return numbers

    def _places(self) -> tuple[Tensor, Tensor]:
        """Rows (B, h + 10) and columns (B, w + 10) of the padded picture."""
        height, width = self.data.real.shape[-2:]
        device = self.data.real.device
        spans = []
        for size, crop in ((height, self.height), (width, self.width)):
            # Places that reach over the border are moved inside, or a border pixel would be seen crop times more rarely
            # than one in the middle. Twice the crop, since the border, where the padding shows, is harder to learn.
            over = 2 * crop if crop < size else 0
            first = torch.randint(-over, size - crop + 1 + over, (self.batch, 1), generator=self.random, device=device)
            first = first.clamp(0, size - crop)
            spans.append(first + torch.arange(crop + 2 * MARGIN, device=device))
        return spans[0], spans[1]


def _cut(pictures: Tensor, which: Tensor, rows: Tensor, columns: Tensor, whole: bool) -> Tensor:
    """Crop pictures[which[b]] to rows[b] by columns[b]: (B, C, len(rows[b]), len(columns[b]))."""
    if whole:
        return pictures[which]
    cut = pictures.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2)
