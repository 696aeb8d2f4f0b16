"""The generator and the patch discriminator of one scale (paper section 2.1 and figure 4).

Both are five 3x3 convolutions without padding inside, so that one output pixel sees 11x11 input pixels. The padding is
laid once around the noise and the picture instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singan_toolkit.pyramid.architecture import LAYERS, MARGIN, PICTURE_CHANNELS, SLOPE


def pad(picture: Tensor, reflect: bool = False) -> Tensor:
    """Lay the network's margin around (B, C, H, W), giving (B, C, H + 10, W + 10).

    Args:
        picture: A picture of any size; it may be smaller than the margin.
        reflect: The margin continues the picture by reflection; otherwise it is of zeros, as published.
    """
    if not reflect:
        return F.pad(picture, (MARGIN,) * 4)
    rows, columns = (reflected(size, picture.device) for size in picture.shape[-2:])
    return picture[..., rows, :][..., columns]


def reflected(size: int, device: torch.device) -> Tensor:
    """For a row of ``size`` pixels that reflection continues to size + 10: the index of the pixel that each shows."""
    around = torch.arange(-MARGIN, size + MARGIN, device=device) % max(2 * size - 2, 1)
    return torch.minimum(around, 2 * size - 2 - around)


def with_noise(picture: Tensor, noise: Tensor, amplitude: float, reflect: bool = False) -> Tensor:
    """A generator's input: the picture in its margin, plus amplitude times the noise.

    Args:
        picture: (B, C, H, W).
        noise: (B, C, H, W), which gets a margin as the picture does, or (B, C, H + 10, W + 10), which brings its own:
            noise padding, as published for animation (supplementary material).
        amplitude: The noise's amplitude.
        reflect: How the picture is continued; see ``pad``.

    Returns:
        (B, C, H + 10, W + 10).
    """
    if noise.shape[-2:] == picture.shape[-2:]:
        return pad(picture + amplitude * noise, reflect)
    return pad(picture, reflect) + amplitude * noise


def _layers(channels: int, outputs: int, normalize: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = PICTURE_CHANNELS
    for _ in range(LAYERS - 1):
        layers.append(nn.Conv2d(inputs, channels, 3))
        if normalize:
            layers.append(nn.BatchNorm2d(channels))
        layers.append(nn.LeakyReLU(SLOPE))
        inputs = channels
    layers.append(nn.Conv2d(inputs, outputs, 3))
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """psi of the paper's equation (5): the residual that a scale adds to the upsampled picture of the scale below.

    Args:
        channels: Kernels per convolution.
        normalize: With batch norm (while training), or with batch norm folded away (see ``fold``).
    """

    def __init__(self, channels: int, normalize: bool = True) -> None:
        super().__init__()
        self.layers = _layers(channels, PICTURE_CHANNELS, normalize)

    def forward(self, padded: Tensor) -> Tensor:
        """From noise plus padded picture, (B, 3, H + 10, W + 10), to the residual, (B, 3, H, W) in -1..1."""
        return torch.tanh(self.layers(padded))


class Discriminator(nn.Module):
    """Scores every 11x11 patch of a picture (paper section 2.1): a Markovian discriminator without an end activation.

    Args:
        channels: Kernels per convolution.
        normalize: With batch norm after the first four convolutions, as published, or without.
    """

    def __init__(self, channels: int, normalize: bool = True) -> None:
        super().__init__()
        self.layers = _layers(channels, 1, normalize)

    def forward(self, picture: Tensor) -> Tensor:
        """From (B, 3, H, W) to a map of unbounded scores, (B, 1, H - 10, W - 10); higher is more real."""
        scores: Tensor = self.layers(picture)
        return scores


def initialize(network: Generator | Discriminator, random: torch.Generator) -> None:
    """Draw fresh weights: the official code's N(0, 0.02) with batch norm, He's without.

    Without batch norm a deviation of 0.02 would shrink the signal by two thirds at each layer; and a generator starts
    with a small residual, near the picture that it is to refine.
    """
    modules = list(network.layers)
    normalized = any(isinstance(module, nn.BatchNorm2d) for module in modules)
    with torch.no_grad():
        for module in modules:
            if isinstance(module, nn.Conv2d):
                inputs = module.in_channels * 9
                deviation = 0.02 if normalized else (2 / ((1 + SLOPE**2) * inputs)) ** 0.5
                if module is modules[-1] and not normalized:
                    deviation *= 0.1
                module.weight.copy_(_normal(module.weight, deviation, random))
                assert module.bias is not None
                module.bias.copy_((torch.rand(module.bias.shape, generator=random) * 2 - 1) * inputs**-0.5)
                if not normalized:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(1 + _normal(module.weight, 0.02, random))
                module.bias.zero_()
                module.reset_running_stats()


def _normal(like: Tensor, deviation: float, random: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=random) * deviation


def fold(trained: Generator) -> Generator:
    """The same generator with each batch norm's running statistics multiplied into the convolution before it.

    Args:
        trained: A generator with batch norm; left as it is.

    Returns:
        A generator without batch norm, in evaluation mode, whose output equals ``trained.eval()``'s up to rounding.
    """
    convolutions: list[tuple[Tensor, Tensor]] = []
    for module in trained.layers:
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            convolutions.append((module.weight.detach(), module.bias.detach()))
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            gain = module.weight.detach() * torch.rsqrt(module.running_var + module.eps)
            weight, bias = convolutions[-1]
            shift = module.bias.detach() - module.running_mean * gain
            convolutions[-1] = (weight * gain[:, None, None, None], bias * gain + shift)
    first = convolutions[0][0]
    folded = Generator(first.shape[0], normalize=False).to(first.device)
    with torch.no_grad():
        plain = [module for module in folded.layers if isinstance(module, nn.Conv2d)]
        for module, (weight, bias) in zip(plain, convolutions, strict=True):
            module.weight.copy_(weight)
            assert module.bias is not None
            module.bias.copy_(bias)
    return folded.eval().requires_grad_(False)
