"""The slope of a discriminator by its picture, as something that can itself be differentiated by the weights.

Autograd would give it with ``create_graph``, and take the gradient penalty's second derivative through that. But it
gets a kernel's gradient there by a convolution with a kernel as large as the picture, several times slower than the
usual way; it passes backward through the whole network where leaky ReLUs leave nothing to pass; and its second
derivative of batch norm takes dozens of passes over the maps. Written as a chain of transposed convolutions, the slope
is differentiated as any network is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable
from torch.nn import functional as F

from singan_toolkit.pyramid.networks import Discriminator

MAP = (0, 2, 3)
"""The dimensions over which batch norm takes its statistics."""


def input_slope(discriminator: Discriminator, picture: Tensor) -> Tensor:
    """The derivative of sum(D(x)) by x, differentiable by the discriminator's weights.

    Args:
        discriminator: In training mode where it has batch norm, whose statistics are then those of the picture.
        picture: (B, 3, H, W).

    Returns:
        (B, 3, H, W).
    """
    entered = []
    normalized = any(isinstance(layer, nn.BatchNorm2d) for layer in discriminator.layers)
    with torch.set_grad_enabled(normalized):  # without batch norm the weights act on the slope by the chain below alone
        for layer in discriminator.layers:
            entered.append(picture)
            picture = layer(picture)
    slope = torch.ones_like(picture)
    for layer, before in zip(reversed(list(discriminator.layers)), reversed(entered), strict=True):
        if isinstance(layer, nn.Conv2d):
            slope = F.conv_transpose2d(slope, layer.weight)
        elif isinstance(layer, nn.LeakyReLU):
            slope = torch.ops.aten.leaky_relu_backward(slope, before.detach(), layer.negative_slope, False)
        else:
            assert isinstance(layer, nn.BatchNorm2d)
            slope = _NormSlope.apply(slope, before, layer.weight, layer.eps)  # type: ignore[no-untyped-call]
    return slope


class _NormSlope(Function):
    """The backward step through batch norm: it turns the slope by its output into the slope by its input.

    The slope g becomes w r (g - mean(g) - x^ mean(g x^)). Here x^ is the normalized map, w the weight and r one over
    the map's deviation; means are taken over a channel's map. The derivatives of that are written out below.
    """

    @staticmethod
    def forward(ctx: Any, slope: Tensor, entered: Tensor, weight: Tensor, eps: float) -> Tensor:
        shift = torch.zeros_like(weight)  # given in full precision, as the weight is, it has the statistics in that too
        _, mean, spread = torch.native_batch_norm(entered, weight, shift, None, None, True, 0.0, eps)
        narrow = slope.dtype
        r, offset = _by_channel(spread), _by_channel(-mean * spread)
        normal = torch.addcmul(offset.to(narrow), entered.to(narrow), r.to(narrow))
        mean_slope, mean_product = _mean(slope), _mean(slope * normal)
        gain = _by_channel(weight) * r
        ctx.save_for_backward(slope, normal, gain, r, mean_slope, mean_product)
        return _sum_of((slope, gain), (normal, -gain * mean_product), -gain * mean_slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        slope, normal, gain, r, a, b = ctx.saved_tensors
        (given,) = gradients
        c, d, e = _mean(given), _mean(given * normal), _mean(given * slope)
        narrow = slope.dtype
        by_slope = _sum_of((given, gain), (normal, -gain * d), -gain * c)
        by_entered = torch.addcmul(
            _sum_of((slope, -gain * r * d), (given, -gain * r * b), gain * r * (d * a + b * c)),
            normal,
            (-gain * r * (e - c * a - 3 * b * d)).to(narrow),
        )
        size = slope.numel() // slope.shape[1]
        by_weight = size * r * (e - c * a - d * b)
        return by_slope, by_entered, by_weight.flatten(), None


def _by_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


def _mean(values: Tensor) -> Tensor:
    """(1, C, 1, 1), the mean of each channel."""
    return values.float().mean(MAP, keepdim=True) if values.dtype != torch.float64 else values.mean(MAP, keepdim=True)


def _sum_of(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], constant: Tensor) -> Tensor:
    """Each map times its factors, by channel, plus the other, plus a constant by channel: as precise as the maps."""
    narrow = first[0].dtype
    partial = torch.addcmul(constant.to(narrow), first[0], first[1].to(narrow))
    return torch.addcmul(partial, second[0], second[1].to(narrow))
