"""What harmonize and edit share: a changed picture enters the pyramid, and what comes of it is laid back in a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from singan_toolkit import Output, Plan, Result

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from singan_toolkit import Bundle, Picture


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
class _Material:
    outside: Picture
    rgb: np.ndarray
    before: Tensor
    weight: np.ndarray
    opaque: np.ndarray
    notes: Sequence[str]


def plan_injection(
    bundle: Bundle,
    changed: Picture,
    mask: np.ndarray,
    *,
    outside: Picture,
    scale: int,
    seed: int,
    edge: Edge,
    feather: float | None,
    opaque: np.ndarray,
    notes: Sequence[str] = (),
) -> Plan:
    """Shrink a changed picture to below the injection scale and walk the scales above (paper section 4.3).

    Args:
        bundle: What was trained.
        changed: The picture with the change on it.
        mask: (H, W), bool: where the change is.
        outside: The picture that stays where the mask is not; of the same size.
        scale: The injection scale.
        seed: Of the noise.
        edge: How the mask is widened.
        feather: Pixels over which the mask fades, or None for what the edge says.
        opaque: (H, W), bool: where the result is opaque, whatever ``outside`` is there.
        notes: For the user.
    """
    import torch

    from singan_toolkit.imaging.masks import feather as feathered
    from singan_toolkit.imaging.tensors import to_tensor
    from singan_toolkit.imaging.visible import as_seen_by
    from singan_toolkit.pyramid.noise import Gaussian
    from singan_toolkit.pyramid.resample import resize

    longer = max(changed.size)
    finest = bundle.geometry.fit(changed.size)
    rgb = as_seen_by(bundle.picture, changed)
    given = to_tensor(rgb)
    before = resize(given, finest).clamp(-1, 1)
    focus = resize(torch.from_numpy(mask)[None, None].float(), finest)[0, 0]
    weight = feathered(mask, edge.grow * longer, edge.fade * longer if feather is None else feather)
    return Plan(
        route=bundle.geometry.route(scale, finest),
        noise=Gaussian(seed),
        start=resize(given, bundle.geometry.size_at(scale - 1, finest)),
        given=before,
        focus=focus >= 0.5 * focus.max(),
        material=_Material(outside, rgb, before, weight, opaque, notes),
    )


def finish_injection(walked: Tensor, plan: Plan) -> Output:
    """Carry what the walk changed up to the picture's resolution, and lay it into the mask."""
    from singan_toolkit.imaging.composite import blend, carry_up

    material: _Material = plan.material
    rgb = carry_up(material.rgb, material.before, walked)
    return Output([Result(blend(material.outside, rgb, material.weight, material.opaque))], material.notes)
