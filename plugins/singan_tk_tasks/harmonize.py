"""Harmonization: a pasted object takes on the picture's look (paper section 4.3)."""

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

GROW, FADE = 0.02, 0.03
"""Dilation and feathering of the mask, as shares of the picture's longer side."""

_file = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class _Material:
    composite: Picture
    before: Tensor
    weight: np.ndarray
    notes: tuple[str, ...]


class Harmonize(Task):
    """Blend a pasted object into the picture the bundle was trained on.

    Give a cut-out to paste, or a picture with the object already on it and a mask of the object. The result has that
    picture's size; outside the dilated and feathered mask it is that picture, bit for bit.
    """

    name = "harmonize"
    injection = Injection(default=0.6)
    options = (
        click.Option(["--paste"], type=_file, help="Cut-out to paste: a picture with alpha, or with --mask."),
        click.Option(["--composite"], type=_file, help="Picture with the object already pasted; needs --mask."),
        click.Option(["--mask"], type=_file, help="White where the object is: in the cut-out, or in the composite."),
        click.Option(["--background"], type=_file, help="Picture to paste on.  [default: the training picture]"),
        click.Option(
            ["--at"],
            help="Where to paste: X,Y in pixels (top left corner), X%,Y%, or top-left, bottom ...  [default: center]",
        ),
        click.Option(
            ["--size"],
            help="Size to paste at: WxH or N (longer side) in pixels, or N% of the picture.  [default: its own]",
        ),
        click.Option(
            ["--feather"],
            type=click.FloatRange(0),
            help="Pixels over which the edge fades.  [default: 3% of the longer side]",
        ),
    )

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
        """Paste, shrink to below the injection scale, and walk the scales above."""
        import torch

        from singan_toolkit.imaging.masks import feather
        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.pyramid.noise import Gaussian
        from singan_toolkit.pyramid.resample import resize

        composite, mask, notes = _composite(bundle, options)
        longer = max(composite.size)
        fade = FADE * longer if options["feather"] is None else options["feather"]
        finest = bundle.geometry.fit(composite.size)
        given = to_tensor(composite.rgb)
        before = resize(given, finest).clamp(-1, 1)
        focus = resize(torch.from_numpy(mask)[None, None].float(), finest)[0, 0]
        focus = focus >= 0.5 * focus.max()
        return Plan(
            route=bundle.geometry.route(scale, finest),
            noise=Gaussian(seed),
            start=resize(given, bundle.geometry.size_at(scale - 1, finest)),
            given=before,
            focus=focus,
            material=_Material(composite, before, feather(mask, GROW * longer, fade), notes),
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """Lay the harmonized object back into the composite at its full resolution."""
        from singan_toolkit.imaging.composite import carry_over

        material: _Material = plan.material
        picture = carry_over(material.composite, material.before, walked, material.weight)
        return Output([Result(picture)], material.notes)


def _composite(bundle: Bundle, options: dict[str, Any]) -> tuple[Picture, np.ndarray, tuple[str, ...]]:
    """The picture with the object on it, the object's mask, and notes for the user."""
    from singan_toolkit.imaging.masks import mask_of
    from singan_toolkit.imaging.paste import paste
    from singan_toolkit.imaging.pictures import Picture, PictureError, read_picture

    if (options["paste"] is None) == (options["composite"] is None):
        raise TaskError("give either --paste with a cut-out, or --composite with a picture that has the object on it")
    mask_picture = read_picture(options["mask"]) if options["mask"] else None
    if options["composite"]:
        if mask_picture is None:
            raise TaskError("--composite needs --mask: a picture of the same size, white where the object is")
        if options["background"]:
            raise TaskError("--background goes with --paste; a composite has its background already")
        if options["at"] or options["size"]:
            raise TaskError("--at and --size go with --paste; a composite has its object in place already")
        composite = read_picture(options["composite"])
        return composite, mask_of(mask_picture, composite.size), ()
    cutout = read_picture(options["paste"])
    background = (
        read_picture(options["background"])
        if options["background"]
        else Picture(bundle.picture, "the training picture")
    )
    mask = mask_of(mask_picture, cutout.size) if mask_picture else None
    try:
        pasted = paste(background, cutout, mask=mask, at=options["at"] or "center", size=options["size"] or "")
    except PictureError:
        raise
    except ValueError as error:
        raise TaskError(str(error)) from error
    return pasted.picture, pasted.mask, (pasted.note,) if pasted.note else ()


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Harmonize()]
