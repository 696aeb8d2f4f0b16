"""Editing: rough edits of the picture become part of it (paper section 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from singan_toolkit import (
    Change,
    Edge,
    Injected,
    Injection,
    MaskFile,
    PaintedFile,
    PictureFile,
    Task,
    TaskError,
    hookimpl,
)

if TYPE_CHECKING:
    import numpy as np

    from singan_toolkit import Bundle, Picture

EDGE = Edge(grow=0.02, fade=0.03)
"""Wide: a change has to grow together with what is around it."""


class Edit(Injected):
    """Make a rough edit of the training picture look as if it had always been there.

    Give the edited picture, at any resolution: regions moved, copied, stretched or painted over. Where it was edited is
    found by comparing it with the original, or told by a mask; outside the dilated and feathered mask the original
    stays, bit for bit.
    """

    name = "edit"
    keeps = ("picture", "edit")
    injection = Injection(default=2)
    edge = EDGE
    options = (
        click.Option(["--edit"], type=PaintedFile(over=("picture",)), required=True, help="The edited picture."),
        click.Option(["--mask"], type=MaskFile(of=("edit",)), help="White where it was edited.  [default: found]"),
        click.Option(
            ["--picture"],
            type=PictureFile(),
            help="The original, of the edited picture's size.  [default: the edited picture outside the mask]",
        ),
        EDGE.option,
    )

    def change(self, bundle: Bundle, options: dict[str, Any]) -> Change:
        """The edited picture and, told or found, where it was edited."""
        from singan_toolkit.imaging.masks import mask_of
        from singan_toolkit.imaging.pictures import Picture, read_picture

        edited = read_picture(options["edit"])
        if options["picture"]:
            outside = read_picture(options["picture"])
            if outside.size != edited.size:
                raise TaskError(
                    f"{outside.name} is {outside.size} pixels and {edited.name} {edited.size}: "
                    "give the original at the size of the edited picture"
                )
        else:
            trained = Picture(bundle.picture, "the training picture", edited.tags)
            alike = trained.pixels.shape == edited.pixels.shape and trained.white == edited.white
            alike = alike and not edited.tags.profile  # the bundle has sRGB
            outside = trained if alike else edited
        if options["mask"]:
            mask = mask_of(read_picture(options["mask"]), edited.size)
        else:
            original = Picture(bundle.picture, "the training picture") if outside is edited else outside
            mask = _difference(edited, original)
        return Change(edited, mask, outside, opaque=mask | (outside.pixels[..., -1] > 0))


def _difference(edited: Picture, original: Picture) -> np.ndarray:
    """Where a picture was edited: (H, W), bool. JPEG's noise, once smoothed away, and single pixels do not count.

    What is less opaque, or more, than the original was erased or added, whatever colours it hides.

    Raises:
        TaskError: Nowhere, or everywhere.
    """
    import numpy as np
    import torch
    from scipy.ndimage import gaussian_filter
    from skimage.morphology import closing, disk, opening

    from singan_toolkit.imaging.tensors import to_rgb, to_tensor
    from singan_toolkit.imaging.visible import visible_rgb
    from singan_toolkit.pyramid.resample import resize

    threshold = 0.08
    rgb = to_rgb(resize(to_tensor(visible_rgb(edited)), original.size)[0])
    difference = np.abs(gaussian_filter(rgb - visible_rgb(original), (1.5, 1.5, 0))).max(axis=2)
    changed = closing(opening(difference > threshold, disk(1)), disk(3))
    one, other = (np.float32(1) if p.alpha is None else p.alpha for p in (edited, original))
    erased = np.broadcast_to(np.abs(one - other) > 0.01, edited.size)  # an original of another size has no alpha
    if not changed.any() and not erased.any():
        raise TaskError(f"{edited.name} does not differ from the training picture: edit it, or give --mask")
    if erased.mean() > 0.75:
        raise TaskError(
            f"{edited.name} is transparent in {erased.mean():.0%} of its pixels where the training picture is not: "
            "save the whole picture and not a layer alone, or give --mask"
        )
    if changed.mean() > 0.75:
        raise TaskError(
            f"{edited.name} differs from the training picture in {changed.mean():.0%} of its pixels: "
            "edit the picture that the bundle was trained on, or give --mask"
        )
    mask: np.ndarray = resize(torch.from_numpy(changed)[None, None].float(), edited.size)[0, 0].numpy() >= 0.5
    return mask | erased


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Edit()]
