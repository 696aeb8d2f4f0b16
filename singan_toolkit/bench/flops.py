"""Counting the floating point operations of training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from singan_toolkit.bench.excerpt import cycle, real_picture, train_until, untrained_pyramid
from singan_toolkit.bench.subject import Subject
from singan_toolkit.measuring import Emit
from singan_toolkit.pyramid.walk import Pyramid
from singan_toolkit.training.events import Event, Progress, ScaleStarted


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of the convolutions and matrix products run inside it, first and second derivatives too.

    By torch's own formulas: a multiplication and an addition are two operations. Torch's ``FlopCounterMode`` has the
    same numbers but cannot follow the slope inside a gradient penalty.

    Attributes:
        total: Operations so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def count_flops(emit: Emit, subject: Subject) -> None:
    """Emit a list: the operations of a training iteration at every scale, the samples of lower scales it uses included.

    Of a scale that is not trained it is 0.

    They are counted over one cycle of iterations, and on the CPU: what a GPU replays from a recording is not seen.

    Args:
        emit: Takes the list of floats.
        subject: What would be trained.
    """
    subject = replace(subject, device="cpu")
    pyramid, real = untrained_pyramid(subject), real_picture(subject)
    patches = pyramid.geometry.patch_scales
    emit([0.0] * patches + [_count(subject, pyramid, real, n) for n in range(patches, len(pyramid.scales))])


def _count(subject: Subject, pyramid: Pyramid, real: Tensor, scale: int) -> float:
    settings = subject.settings
    iterations = cycle(settings, pyramid.geometry.sizes[scale])
    few = dict(iterations=iterations, finest_iterations=iterations, pool_pixels=min(settings.pool_pixels, 1))
    before = 0

    def enough(event: Event) -> bool:
        nonlocal before
        if isinstance(event, ScaleStarted):
            before = count.total
        return isinstance(event, Progress) and event.iteration == iterations

    with FlopCount() as count:
        train_until(pyramid, real, settings.model_copy(update=few), scale, subject.seed, enough)
    return float(count.total - before) / iterations
