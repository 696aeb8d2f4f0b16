"""Tasks that enter a changed picture into the pyramid, and lay what comes of the change back in a mask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import click

from singan_toolkit.tasks.task import Output, Plan, Result, Task

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from singan_toolkit.bundle import Bundle
    from singan_toolkit.imaging.pictures import Picture
    from singan_toolkit.pyramid.geometry import Size


@dataclass(frozen=True)
class Edge:
    """How far around a change the networks' picture is taken: dilation and feathering of the mask.

    Attributes:
        grow: Dilation, as a share of the picture's longer side.
        fade: Feathering around that, likewise.
    """

    grow: float
    fade: float

    @property
    def option(self) -> click.Option:
        """``--feather``, which sets the feathering in pixels."""
        text = f"Pixels over which the edge fades.  [default: {self.fade:.1%} of the longer side]"
        return click.Option(["--feather"], type=click.FloatRange(0), help=text)


@dataclass(frozen=True)
class Change:
    """A picture that is changed in places, and what the result is laid into.

    Attributes:
        picture: The picture with the change on it.
        mask: (H, W), bool: where the change is.
        outside: The picture that stays where the mask is not; of the same size.
        opaque: (H, W), bool: where the result is opaque, whatever ``outside`` is there.
        notes: For the user.
    """

    picture: Picture
    mask: np.ndarray
    outside: Picture
    opaque: np.ndarray
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Entering:
    """A change, ready to enter at any scale: its colours as given and at the size of the walk, and its mask."""

    change: Change
    rgb: np.ndarray
    given: Tensor
    finest: Size
    before: Tensor
    focus: Tensor
    weight: np.ndarray


class Injected(Task):
    """A task that enters a changed picture, and lays what comes of the change into a picture that stays around it.

    Attributes:
        edge: How the mask is widened. Its option belongs to the task's.
    """

    edge: ClassVar[Edge]

    @abstractmethod
    def change(self, bundle: Bundle, options: dict[str, Any]) -> Change:
        """What is changed, and where.

        Args:
            bundle: What was trained.
            options: A value for each of the task's own options.

        Raises:
            TaskError: The options do not fit together or do not fit the bundle.
        """

    def prepare(self, bundle: Bundle, **options: Any) -> dict[str, Any]:
        """The change as it enters, and the task's own options."""
        import torch

        from singan_toolkit.imaging.masks import feather
        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.imaging.visible import as_seen_by
        from singan_toolkit.pyramid.resample import resize

        change = self.change(bundle, options)
        longer, fade = max(change.picture.size), options["feather"]
        finest = bundle.geometry.fit(change.picture.size)
        rgb = as_seen_by(bundle.picture, change.picture)
        given = to_tensor(rgb)
        before = resize(given, finest).clamp(-1, 1)
        focus = resize(torch.from_numpy(change.mask)[None, None].float(), finest)[0, 0]
        weight = feather(change.mask, self.edge.grow * longer, self.edge.fade * longer if fade is None else fade)
        entering = _Entering(change, rgb, given, finest, before, focus >= 0.5 * focus.max(), weight)
        return {**options, "entering": entering}

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **prepared: Any) -> Plan:
        """Shrink the changed picture to below the injection scale and walk the scales above (paper section 4.3)."""
        from singan_toolkit.pyramid.noise import Gaussian
        from singan_toolkit.pyramid.resample import resize

        entering: _Entering = prepared["entering"]
        return Plan(
            route=bundle.geometry.route(scale, entering.finest),
            noise=Gaussian(seed),
            start=resize(entering.given, bundle.geometry.entry_size(scale, entering.finest)),
            faithful=True,
            given=entering.before,
            focus=entering.focus,
            material=entering,
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """Carry what the walk changed up to the picture's resolution, and lay it into the mask."""
        from singan_toolkit.imaging.composite import blend, carry_up

        entering: _Entering = plan.material
        change, rgb = entering.change, carry_up(entering.rgb, entering.before, walked)
        return Output([Result(blend(change.outside, rgb, entering.weight, change.opaque))], change.notes)
