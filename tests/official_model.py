"""What the official code trains and how it draws samples, in plain torch and NumPy, sharing no code with ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


class Block(nn.Sequential):
    """A convolution, batch norm and a leaky ReLU, with the official names."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(inputs, outputs, 3))
        self.add_module("norm", nn.BatchNorm2d(outputs))
        self.add_module("LeakyRelu", nn.LeakyReLU(0.2))


class Network(nn.Module):
    """A generator: its first layer is ``widest``, each other half as wide as the last, but not below ``least``."""

    def __init__(self, widest: int, least: int) -> None:
        super().__init__()
        widths = [max(widest >> n, least) for n in range(4)]
        self.head = Block(3, widest)
        self.body = nn.Sequential()
        for n in (1, 2, 3):
            self.body.add_module(f"block{n}", Block(widths[n - 1], widths[n]))
        self.tail = nn.Sequential(nn.Conv2d(widths[3], 3, 3), nn.Tanh())

    def forward(self, noised: Tensor, below: Tensor) -> Tensor:
        residual: Tensor = self.tail(self.body(self.head(noised)))
        return residual + below[..., 5:-5, 5:-5]


@dataclass
class OfficialModel:
    """A pyramid as the official code has it in memory."""

    networks: list[Network]
    noises: list[Tensor]
    reals: list[Tensor]
    amplitudes: list[float | Tensor]
    factor: float
    """Of neighbouring scales; below 1, as there."""

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        for n, (network, noise) in enumerate(zip(self.networks, self.noises, strict=True)):
            (folder / str(n)).mkdir()
            torch.save(network.state_dict(), folder / str(n) / "netG.pth")
            torch.save(noise, folder / str(n) / "z_opt.pth")
        torch.save(self.noises, folder / "Zs.pth")
        torch.save(self.reals, folder / "reals.pth")
        torch.save(self.amplitudes, folder / "NoiseAmp.pth")
        torch.save(self.networks, folder / "Gs.pth")
        return folder

    def sample(self, drawn: Sequence[Tensor]) -> tuple[Tensor, float]:
        """A sample from noises that have their margins, and how near a value came to a step between two levels."""
        picture, nearest = torch.zeros_like(self.reals[0]), 1.0
        with torch.no_grad():
            for n, (network, z) in enumerate(zip(self.networks, drawn, strict=True)):
                if n:
                    values = (255 * ((picture + 1) / 2)).clamp(0, 255)
                    inner = values[(values > 0) & (values < 255)]
                    nearest = min(nearest, float((inner - inner.round()).abs().min()))
                    picture = imresize(picture, 1 / self.factor)
                    picture = picture[..., : self.reals[n].shape[2], : self.reals[n].shape[3]]
                padded = nn.ZeroPad2d(5)(picture)
                picture = network.eval()(self.amplitudes[n] * z + padded, padded)
        return picture, nearest


def imresize(picture: Tensor, scale: float) -> Tensor:
    """One picture, (1, 3, h, w) in -1..1, resized by way of bytes; each side rounded up."""
    bytes_ = (255 * ((picture + 1) / 2).clamp(0, 1)).numpy().astype(np.uint8)
    rows, columns = (_bicubic(side, scale) for side in bytes_.shape[2:])
    resized = torch.from_numpy(rows @ bytes_.astype(float) @ columns.T / 255).float()
    return ((resized - 0.5) * 2).clamp(-1, 1)


def _bicubic(side: int, scale: float) -> np.ndarray:
    """The matrix that resizes a side: mirrored at its end, cut off at its beginning."""

    def keys(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    matrix = np.zeros((math.ceil(side * scale), side))
    for row, weights in enumerate(matrix):
        place = (row + 0.5) / scale - 0.5
        for column in range(max(0, math.floor(place) - 2), math.floor(place) + 4):
            weights[column if column < side else 2 * side - 1 - column] += keys(place - column)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def official_model(
    height: int = 20,
    width: int = 26,
    least: int = 9,
    scales: int = 4,
    channels: Sequence[tuple[int, int]] = ((6, 6),),
    noise_padding: bool = False,
    seed: int = 0,
) -> OfficialModel:
    """A small pyramid with random weights, of the sizes that the official code would give it.

    Args:
        height: Of the finest scale.
        width: Of the finest scale.
        least: The shorter side that the coarsest scale was to have.
        scales: How many.
        channels: (widest, least) width of each scale's layers, repeated from the beginning where they are fewer.
        noise_padding: As it trains for animation.
        seed: Of everything random.
    """
    torch.manual_seed(seed)
    factor = math.pow(least / min(height, width), 1 / (scales - 1))
    sizes = [[math.ceil(side * math.pow(factor, scales - 1 - n)) for side in (height, width)] for n in range(scales)]
    networks = [_random(Network(*channels[n % len(channels)])) for n in range(scales)]
    reals = [torch.rand(1, 3, *size) * 2 - 1 for size in sizes]
    first = torch.randn(1, 1, sizes[0][0] + 10, sizes[0][1] + 10)
    if not noise_padding:
        first = nn.ZeroPad2d(5)(first[..., 5:-5, 5:-5])
    noises = [first.expand(1, 3, -1, -1), *(torch.zeros(1, 3, h + 10, w + 10) for h, w in sizes[1:])]
    amplitudes: list[float | Tensor] = [1, *(torch.tensor(0.1 + 0.05 * n) for n in range(1, scales))]
    return OfficialModel(networks, noises, reals, amplitudes, factor)


def _random(network: Network) -> Network:
    """Weights and statistics under which every layer matters and the residual is neither tiny nor saturated."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.75 / (module.in_channels * 9) ** 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.2, 0.6)
    return network
