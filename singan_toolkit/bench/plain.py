"""The paper's training steps as one would first write them: what the toolkit's own are held against.

After the official code: whole pictures in float32 with channels first, batch norm in both networks, a walk through all
lower scales for every discriminator step, and a backward pass for every term. Only its speed is of interest here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singan_toolkit.training.settings import Settings

MARGIN = 5
NOISE_AMPLITUDE = 0.1


def network(kernels: int, outputs: int) -> nn.Sequential:
    """Five 3x3 convolutions without padding, from 3 channels; batch norm and leaky ReLU after the first four."""
    layers: list[nn.Module] = []
    for inputs in (3, kernels, kernels, kernels):
        layers += [nn.Conv2d(inputs, kernels, 3), nn.BatchNorm2d(kernels), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(kernels, outputs, 3))


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean over pixels of (||d sum(D(x)) / dx|| - 1)^2 at x between real and fake (Gulrajani et al., equation (3)).

    Args:
        discriminator: Maps (B, 3, H, W) to scores.
        real, fake: (B, 3, H, W).
        share: The share of ``real``, in 0..1; broadcast over both.
    """
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    scores = discriminator(mixed)
    (slope,) = torch.autograd.grad(scores, mixed, torch.ones_like(scores), create_graph=True)
    penalty: Tensor = ((slope.norm(2, dim=1) - 1) ** 2).mean()
    return penalty


class PlainScale:
    """The training of one scale.

    Args:
        pictures: The picture at this scale's size last, and at those of all lower scales before: (1, 3, H, W).
        kernels: The number of each hidden convolution's kernels, by scale likewise.
        settings: Numbers of steps, weights of losses, and Adam's.
    """

    def __init__(self, pictures: Sequence[Tensor], kernels: Sequence[int], settings: Settings) -> None:
        self.pictures, self.real, self.settings = pictures, pictures[-1], settings
        *lower, self.generator = (network(width, 3).to(self.real.device) for width in kernels)
        self.lower = [generator.eval().requires_grad_(False) for generator in lower]
        self.discriminator = network(kernels[-1], 1).to(self.real.device)
        betas = settings.beta1, settings.beta2
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), settings.learning_rate, betas)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), settings.learning_rate, betas)
        self.z_star = noise_like(pictures[0], grey=True)
        self.rebuilt_below = self._walk(lambda n, picture: torch.zeros_like(picture) if n else self.z_star)

    def iterate(self) -> None:
        """One iteration: the discriminator's steps, then the generator's."""
        real, settings = self.real, self.settings
        for _ in range(settings.discriminator_steps):
            self.discriminator.zero_grad()
            torch.autograd.backward(-self.discriminator(real).mean())
            below, noise = self._walk(self._noise), self._noise(len(self.lower), real)
            fake = self._fake(below, noise)
            torch.autograd.backward(self.discriminator(fake.detach()).mean())
            share = torch.rand(1, 1, 1, 1, device=real.device)
            penalty = gradient_penalty(self.discriminator, real, fake.detach(), share)
            torch.autograd.backward(settings.gradient_penalty * penalty)
            self.discriminator_adam.step()
        for step in range(settings.generator_steps):
            if step:
                fake = self._fake(below, noise)
            self.generator.zero_grad()
            torch.autograd.backward(-self.discriminator(fake).mean())
            rebuilt = self._fake(self.rebuilt_below, torch.zeros_like(real) if self.lower else self.z_star)
            torch.autograd.backward(settings.reconstruction * F.mse_loss(rebuilt, real))
            self.generator_adam.step()

    def _fake(self, below: Tensor, noise: Tensor) -> Tensor:
        return _apply(self.generator, below, noise, NOISE_AMPLITUDE if self.lower else 1.0)

    @staticmethod
    def _noise(scale: int, picture: Tensor) -> Tensor:
        return noise_like(picture, grey=scale == 0)

    @torch.no_grad()
    def _walk(self, noise: Callable[[int, Tensor], Tensor]) -> Tensor:
        """A picture from the lower scales, brought to this one's size; zeros at scale 0."""
        picture = torch.zeros_like(self.pictures[0])
        for n, generator in enumerate(self.lower):
            drawn = noise(n, self.pictures[n])
            picture = _apply(generator, picture, drawn, NOISE_AMPLITUDE if n else 1.0)
            size = self.pictures[n + 1].shape[-2:]
            picture = F.interpolate(picture, size, mode="bicubic", align_corners=False, antialias=True)
        return picture


def _apply(generator: nn.Module, picture: Tensor, noise: Tensor, amplitude: float) -> Tensor:
    padded = F.pad(picture, (MARGIN,) * 4) + amplitude * F.pad(noise, (MARGIN,) * 4)
    return picture + torch.tanh(generator(padded))


def noise_like(picture: Tensor, grey: bool) -> Tensor:
    """White noise of a picture's size, (1, 3, H, W); the same in all three channels where it is grey."""
    return torch.randn_like(picture[:, :1]).expand_as(picture) if grey else torch.randn_like(picture)
