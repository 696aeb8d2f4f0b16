"""Inpainting: a region is filled from the picture's own statistics, whatever was there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from singan_toolkit import Injection, MaskFile, Output, PictureFile, Plan, Result, Task, TaskError, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from singan_toolkit import Bundle, Picture

singan_contract = 1

GROW, FADE = 0.01, 0.01
"""Dilation and feathering of the mask, as shares of the picture's longer side."""


@dataclass(frozen=True)
class _Filled:
    """A picture with its hole, first at its own size, then at that of the walk: what is around, and a rough fill."""

    picture: Picture
    rgb: np.ndarray
    mask: np.ndarray
    weight: np.ndarray
    hole: Tensor
    given: Tensor
    start: Tensor


class Inpaint(Task):
    """Fill a region of the picture from the rest of it, or take an object out.

    Give a mask, white where to fill. What was there has no part in the result; outside the dilated and feathered mask
    every pixel stays, bit for bit.
    """

    name = "inpaint"
    keeps = ("picture",)
    injection = Injection(default=2)
    options = (
        click.Option(
            ["--mask"],
            type=MaskFile(of=("picture",)),
            required=True,
            help="White where to fill; of the picture's size.",
        ),
        click.Option(
            ["--picture"], type=PictureFile(), help="What to fill, at any size.  [default: the training picture]"
        ),
        click.Option(["-n", "--count"], type=click.IntRange(1), default=1, show_default=True, help="Variants to draw."),
    )

    def prepare(self, bundle: Bundle, **options: Any) -> dict[str, Any]:
        """Fill the hole roughly."""
        import torch

        from singan_tk_inpaint.filling import filled, shrunk
        from singan_toolkit.imaging.masks import feather
        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.imaging.visible import as_seen_by, smoothed
        from singan_toolkit.pyramid.resample import resize

        picture, mask = _given(bundle, options)
        rgb = as_seen_by(bundle.picture, picture)
        longer = max(picture.size)
        weight = feather(mask, GROW * longer, FADE * longer)
        finest = bundle.geometry.fit(picture.size)
        emptied = to_tensor(rgb * (weight == 0)[..., None])
        hole = shrunk(torch.from_numpy(weight > 0), finest)
        given = smoothed(resize(emptied, finest), hole)
        start = filled(given, hole, bundle.geometry.size_at(0, finest))
        return dict(filled=_Filled(picture, rgb, mask, weight, hole, given, start), count=options["count"])

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **prepared: Any) -> Plan:
        """Redraw the hole from the injection scale up, so that it goes with what is around it."""
        from singan_tk_inpaint.filling import Seamless
        from singan_toolkit.pyramid.noise import Gaussian
        from singan_toolkit.pyramid.resample import resize

        filled: _Filled = prepared["filled"]
        geometry = bundle.geometry
        finest = geometry.fit(filled.picture.size)
        return Plan(
            route=geometry.route(scale, finest),
            noise=Gaussian(seed),
            start=resize(filled.start, geometry.entry_size(scale, finest)),
            samples=range(prepared["count"]),
            given=filled.given,  # smooth and without focus: --scale auto then looks for texture where there is none
            faithful=True,
            constraint=Seamless(filled.given, filled.hole),
            material=(filled, seed),
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """Lay each variant into the picture at its full resolution; one is named by the seed that draws it alone."""
        from singan_toolkit.imaging.composite import blend
        from singan_toolkit.imaging.detail import transfer_detail
        from singan_toolkit.imaging.tensors import to_rgb

        filled: _Filled
        filled, seed = plan.material
        picture, weight = filled.picture, filled.weight
        results = []
        for sample, one in zip(plan.samples, walked, strict=True):
            if one.shape[-2:] == picture.size:
                rgb = to_rgb(one)
            else:
                rgb = transfer_detail(
                    filled.rgb, one[None], one[None], picture.size, source=weight == 0, where=filled.hole.numpy()
                )
            results.append(
                Result(
                    blend(picture, rgb, weight, filled.mask | (picture.pixels[..., -1] > 0)),
                    f"{seed + sample:04d}",
                )
            )
        return Output(results)


def _given(bundle: Bundle, options: dict[str, Any]) -> tuple[Picture, np.ndarray]:
    """The picture and its mask."""
    from singan_toolkit.imaging.masks import mask_of
    from singan_toolkit.imaging.pictures import Picture, read_picture

    mask = read_picture(options["mask"])
    if options["picture"]:
        picture = read_picture(options["picture"])
    else:
        picture = Picture(bundle.picture, "the training picture")
        if mask.size != picture.size:
            raise TaskError(
                f"mask {mask.name} is {mask.size} pixels, and the training picture in the bundle {picture.size}: "
                "give the picture that it was painted for with --picture"
            )
    return picture, mask_of(mask, picture.size)


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Inpaint()]
