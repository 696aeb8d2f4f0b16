"""Inpainting: a region is filled from the picture's own statistics, whatever was there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from singan_toolkit import Injection, Output, Plan, Result, Task, TaskError, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from singan_toolkit import Bundle, Picture

GROW, FADE = 0.01, 0.01
"""Dilation and feathering of the mask, as shares of the picture's longer side."""

_file = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class _Material:
    picture: Picture
    rgb: np.ndarray
    mask: np.ndarray
    weight: np.ndarray
    hole: Tensor
    seed: int


class Inpaint(Task):
    """Fill a region of the picture from the rest of it, or take an object out.

    Give a mask, white where to fill. What was there has no part in the result; outside the dilated and feathered mask
    every pixel stays, bit for bit.
    """

    name = "inpaint"
    keeps = ("picture",)
    injection = Injection(default=2)
    options = (
        click.Option(["--mask"], type=_file, required=True, help="White where to fill; of the picture's size."),
        click.Option(["--picture"], type=_file, help="What to fill, at any size.  [default: the training picture]"),
        click.Option(["-n", "--count"], type=click.IntRange(1), default=1, show_default=True, help="Variants to draw."),
    )

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
        """Fill the hole roughly, and redraw it from the injection scale up, so that it goes with what is around it."""
        import torch

        from singan_tk_inpaint.filling import Seamless, filled, shrunk
        from singan_toolkit.imaging.masks import feather
        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.imaging.visible import as_seen_by, smoothed
        from singan_toolkit.pyramid.noise import Gaussian
        from singan_toolkit.pyramid.resample import resize

        picture, mask = _given(bundle, options)
        rgb = as_seen_by(bundle.picture, picture)
        longer = max(picture.size)
        weight = feather(mask, GROW * longer, FADE * longer)
        geometry = bundle.geometry
        finest = geometry.fit(picture.size)
        emptied = to_tensor(rgb * (weight == 0)[..., None])
        hole = shrunk(torch.from_numpy(weight > 0), finest)
        given = smoothed(resize(emptied, finest), hole)
        start = filled(given, hole, geometry.size_at(0, finest))
        return Plan(
            route=geometry.route(scale, finest),
            noise=Gaussian(seed),
            start=resize(start, geometry.size_at(scale - 1, finest)),
            samples=range(options["count"]),
            given=given,  # smooth and without focus: --scale auto then looks for texture where there is none
            constraint=Seamless(given, hole),
            material=_Material(picture, rgb, mask, weight, hole, seed),
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """Lay each variant into the picture at its full resolution; one is named by the seed that draws it alone."""
        from singan_toolkit.imaging.composite import blend
        from singan_toolkit.imaging.detail import transfer_detail
        from singan_toolkit.imaging.tensors import to_rgb

        material: _Material = plan.material
        picture, weight = material.picture, material.weight
        results = []
        for sample, one in zip(plan.samples, walked, strict=True):
            if one.shape[-2:] == picture.size:
                rgb = to_rgb(one)
            else:
                rgb = transfer_detail(
                    material.rgb, one[None], one[None], picture.size, source=weight == 0, where=material.hole.numpy()
                )
            results.append(
                Result(
                    blend(picture, rgb, weight, material.mask | (picture.pixels[..., -1] > 0)),
                    f"{material.seed + sample:04d}",
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
                f"mask {mask.name} is {_size(mask)} pixels, and the training picture in the bundle {_size(picture)}: "
                "give the picture that it was painted for with --picture"
            )
    return picture, mask_of(mask, picture.size)


def _size(picture: Picture) -> str:
    return f"{picture.size[1]}x{picture.size[0]}"


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Inpaint()]
