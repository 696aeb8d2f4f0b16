"""Harmonization: a pasted object takes on the picture's look (paper section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from singan_tk_tasks.disturbed import disturbed
from singan_toolkit import (
    Angle,
    Change,
    Edge,
    Extent,
    Injected,
    Injection,
    MaskFile,
    Mirror,
    PictureFile,
    Plan,
    Position,
    Profile,
    Retraining,
    Task,
    TaskError,
    UsageError,
    hookimpl,
)

if TYPE_CHECKING:
    from singan_toolkit import Bundle

T = TypeVar("T")

EDGE = Edge(grow=0.008, fade=0.012)
"""Narrow: what the networks lay around an object has less of the picture's stroke than the picture has there."""


class Harmonize(Injected):
    """Blend pasted objects into the picture the bundle was trained on.

    Give cut-outs to paste, or a picture with the objects already on it and a mask of them. The result has that
    picture's size; outside the dilated and feathered mask it is that picture, bit for bit.

    --paste may be given several times. --mask, --at, --size, --rotate and --flip are then given once for all, or once
    for each, in the same order.
    """

    name = "harmonize"
    keeps = ("composite", "background")
    injection = Injection(default=1.0, pixels=250)
    edge = EDGE
    profile = Profile(undoes=disturbed)
    options = (
        click.Option(
            ["--paste"], type=PictureFile(), multiple=True, help="Cut-out: a picture with alpha, or with --mask."
        ),
        click.Option(["--composite"], type=PictureFile(), help="Picture with the object already pasted; needs --mask."),
        click.Option(
            ["--mask"],
            type=MaskFile(of=("composite", "paste")),
            multiple=True,
            help="White where the object is: in the cut-out, or in the composite.",
        ),
        click.Option(
            ["--background"], type=PictureFile(), help="Picture to paste on.  [default: the training picture]"
        ),
        click.Option(
            ["--at"],
            type=Position("paste", on=("background",)),
            multiple=True,
            help="Where to paste: X,Y in pixels (top left corner), X%,Y%, or top-left, bottom ...  [default: center]",
        ),
        click.Option(
            ["--size"],
            type=Extent("paste", on=("background",)),
            multiple=True,
            help="Size to paste at: WxH or N (longer side) in pixels, or N% of the picture.  [default: its own]",
        ),
        click.Option(
            ["--rotate"],
            type=Angle("paste", on=("background",)),
            multiple=True,
            help="Degrees to turn it by, counter-clockwise.  [default: 0]",
        ),
        click.Option(["--flip"], type=Mirror("paste", on=("background",)), multiple=True, help="Mirror it."),
        click.Option(
            ["--adapt/--as-trained"],
            default=True,
            show_default=True,
            help="Train the networks anew to give what does not belong the picture's palette and stroke: a minute or "
            "two the first time, kept beside the bundle. Or take them as they are.",
        ),
        EDGE.option,
    )

    def change(self, bundle: Bundle, options: dict[str, Any]) -> Change:
        """The picture with the objects on it, pasted here or given so."""
        if bool(options["paste"]) == bool(options["composite"]):
            raise TaskError(
                "give either --paste with a cut-out, or --composite with a picture that has the object on it"
            )
        return _composite(options) if options["composite"] else _pasted(bundle, options)

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **prepared: Any) -> Plan:
        """Walk the scales above the injection scale, with networks trained for it where that is asked for."""
        plan = super().plan(bundle, scale=scale, seed=seed, **prepared)
        if not prepared["adapt"] or bundle.manifest.training.task == self.name:
            return plan
        first = max(1, bundle.geometry.patch_scales)
        return replace(plan, retraining=Retraining(first, disturbed, "adapted", restores=True))


def _composite(options: dict[str, Any]) -> Change:
    from singan_toolkit.imaging.masks import mask_of
    from singan_toolkit.imaging.pictures import read_picture

    if len(options["mask"]) != 1:
        raise TaskError("--composite needs --mask, once: a picture of the same size, white where the object is")
    if options["background"]:
        raise TaskError("--background goes with --paste; a composite has its background already")
    if any(options[name] for name in ("at", "size", "rotate", "flip")):
        raise TaskError(
            "--at, --size, --rotate and --flip go with --paste; a composite has its object in place already"
        )
    composite = read_picture(options["composite"])
    mask = mask_of(read_picture(options["mask"][0]), composite.size)
    # Half-transparent rims are a rough cut's; those of a cut-out are its shape.
    return Change(composite, mask, composite, opaque=composite.pixels[..., -1] > 0)


def _pasted(bundle: Bundle, options: dict[str, Any]) -> Change:
    import numpy as np

    from singan_toolkit.imaging.masks import mask_of
    from singan_toolkit.imaging.paste import paste
    from singan_toolkit.imaging.pictures import Picture, read_picture

    background = options["background"]
    picture = read_picture(background) if background else Picture(bundle.picture, "the training picture")
    objects, notes = np.zeros(picture.size, dtype=bool), []
    number = len(options["paste"])
    for file, mask_file, at, size, rotate, flip in zip(
        options["paste"],
        _each(options, "mask", None, number),
        _each(options, "at", "center", number),
        _each(options, "size", "", number),
        _each(options, "rotate", 0.0, number),
        _each(options, "flip", "", number),
        strict=True,
    ):
        cutout = read_picture(file)
        mask = mask_of(read_picture(mask_file), cutout.size) if mask_file else None
        try:
            pasted = paste(picture, cutout, mask=mask, at=at, size=size, rotate=rotate, flip=flip)
        except UsageError as error:
            raise TaskError(str(error)) from error
        picture, objects = pasted.picture, objects | pasted.mask
        notes += [pasted.note] if pasted.note else []
    return Change(picture, objects, picture, np.zeros_like(objects), notes)


def _each(options: dict[str, Any], name: str, default: T, number: int) -> Sequence[T]:
    """An option's value for each paste."""
    values: Sequence[T] = options[name] or (default,)
    if len(values) not in (1, number):
        raise TaskError(f"there are {number} --paste and {len(values)} --{name}: give one for all, or one for each")
    return values if len(values) == number else list(values) * number


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Harmonize()]
