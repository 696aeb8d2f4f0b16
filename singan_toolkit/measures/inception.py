"""Single-image Frechet distance (SIFID) on the first features of an Inception v3, from a file of its weights.

SinGAN section 3 takes the features before the second pooling layer: those have 192 channels. Values on those before the
first one, of 64 channels, are published too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singan_toolkit.errors import InputError
from singan_toolkit.measures.frechet import frechet_distance, moments

USUAL = "pt_inception-2015-12-05-6726825d.pth"
"""The file with which the FID is mostly measured. torchvision's weights, which SinGAN's script takes, fit as well."""


class InceptionDistance:
    """The Frechet distance of samples to one picture, between Gaussians fitted to the features of all places.

    Args:
        real: (H, W, 3), uint8, of 24 pixels or more both ways: the training picture. It is not resized.
        file: A state dict of Inception v3 with torchvision's names, as ``torch.save`` writes it. It is read with
            ``weights_only``, so nothing that it names is called.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """

    def __init__(self, real: np.ndarray, file: Path) -> None:
        self.network = _loaded(file)
        self.real = [moments(features) for features in self.network(real)]

    def __call__(self, sample: np.ndarray) -> tuple[float, float]:
        """The distances of a picture, (H, W, 3), uint8, by 64 and by 192 channels."""
        of_sample = [moments(features) for features in self.network(sample)]
        first, second = (frechet_distance(a, b) for a, b in zip(self.real, of_sample, strict=True))
        return first, second


class _Front(nn.Module):
    """The convolutions up to the second pooling layer (Szegedy et al. 2016), named as in the file of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)

    @torch.inference_mode()
    def forward(self, picture: np.ndarray) -> list[Tensor]:
        """From (H, W, 3), uint8, to the features before both pooling layers: (places, channels), float64."""
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
        first = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        second = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(first, 3, 2)))
        return [features[0].flatten(1).T.double() for features in (first, second)]


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _loaded(file: Path) -> _Front:
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # torch has no class of its own for what it cannot read
        raise _no_weights(file) from error
    network = _Front().eval()
    try:
        network.load_state_dict(
            {name: weights[name] for name in network.state_dict() if "num_batches" not in name}, False
        )
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        raise _no_weights(file) from error
    if not all(value.isfinite().all() for value in network.state_dict().values()):
        raise InputError(f"{file} holds weights that are no numbers: it is damaged")
    return network


def _no_weights(file: Path) -> InputError:
    return InputError(f"{file} does not hold the weights of an Inception v3: give a state dict such as {USUAL}")
