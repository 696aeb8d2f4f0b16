"""Muon, and which parameters of a network it steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from singan_toolkit.training.settings import Settings


def optimizers_of(network: nn.Module, settings: Settings, learning_rate: float) -> list[Optimizer]:
    """The optimizers that together step all of a network's parameters.

    Args:
        network: A generator or a discriminator.
        settings: Muon takes the kernels of the hidden layers, Adam the rest, or Adam takes all.
        learning_rate: Root mean square of a step, for both.
    """
    parameters = list(network.parameters())
    hidden = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)][1:-1]
    muon: list[Optimizer] = []
    device = parameters[0].device
    fused = device.type in ("cpu", "cuda")
    recorded = device.type == "cuda"
    step = torch.tensor(learning_rate, device=device) if recorded else learning_rate  # a recorded step sees it change
    if settings.optimizer == "muon":
        muon = [Muon(hidden, step, settings.beta1)]
        parameters = [parameter for parameter in parameters if not any(parameter is kernel for kernel in hidden)]
    return [*muon, Adam(parameters, step, (settings.beta1, settings.beta2), fused=fused, capturable=recorded)]


def remembered(optimizer: Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers from step to step: the tensors themselves, by the parameter's number and a name."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {
        f"{number}.{name}": value
        for number, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
    }


class Muon(Optimizer):
    """Steps along the orthogonalized momentum of the gradient (Jordan et al., "Muon", 2024).

    Every direction in which a kernel can move gets a step of the same length, so that the few strong directions of the
    gradient do not leave the many weak ones behind. Steps are scaled to a root mean square of the learning rate, as
    Adam's have (Liu et al., "Muon is scalable for LLM training", 2025, section 2.2), so that both share one schedule.

    Args:
        kernels: Convolution kernels of one shape, (O, I, h, w), each taken as a matrix of O by I h w.
        lr: Root mean square of a step.
        momentum: Decay of the moving average of the gradients, 0 to 1.
    """

    def __init__(self, kernels: Iterable[Tensor], lr: float | Tensor, momentum: float) -> None:
        super().__init__(kernels, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step all kernels by their gradients."""
        for group in self.param_groups:
            gradients = torch.stack([kernel.grad.flatten(1) for kernel in group["params"]])
            average = self.state[group["params"][0]].setdefault("average", torch.zeros_like(gradients))
            average.lerp_(gradients, 1 - group["momentum"])
            directions = orthogonalize(gradients.lerp(average, group["momentum"]))
            scale = group["lr"] * max(directions.shape[1:]) ** 0.5
            for kernel, direction in zip(group["params"], directions, strict=True):
                kernel.sub_(scale * direction.view_as(kernel))


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """U V' of each matrix U S V', with singular values that are not all 1 but within 0.7 to 1.2.

    By the quintic Newton-Schulz iteration with Jordan's coefficients, which makes even small singular values large in
    few steps, at the price of not converging. Each of its steps multiplies X by a polynomial of X X', so all but the
    first and the last product are of square matrices, which are small.

    Args:
        matrices: (B, rows, columns), with no more rows than columns for speed.
        steps: Iterations.
    """
    start = matrices / (matrices.flatten(1).norm(dim=1)[:, None, None] + 1e-12)
    square = start @ start.mT
    eye = torch.eye(square.shape[-1], dtype=square.dtype, device=square.device)
    product = eye
    for _ in range(steps):
        factor = 3.4445 * eye - 4.7750 * square + 2.0315 * square @ square
        product = factor @ product
        square = factor @ square @ factor
    orthogonal: Tensor = product @ start
    return orthogonal
