"""Super-resolution: the training picture, larger and sharper (paper section 4.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from singan_toolkit import Output, PictureFile, Plan, Profile, Result, Task, TaskError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from singan_toolkit import Bundle, Picture

MAX_PIXELS = 64_000_000


class SuperResolution(Task):
    """Enlarge the training picture, with detail as sharp as it has at its own size.

    A picture's small structures look like its larger ones shrunk: so what the finest scale adds to the one below is
    added again, several times, to the picture itself. After each time the result is corrected such that, shrunk, it is
    the picture that was given. Another picture needs a bundle of its own.
    """

    name = "super-resolution"
    keeps = ("picture",)
    profile = Profile(
        {"factor": 1.26, "min_size": 18, "reconstruction": 100.0},
        "its steps are coarser and its details freer than they should be for this; train with --for super-resolution",
    )
    options = (
        click.Option(["--factor"], type=click.FloatRange(1.1, 16), default=4, show_default=True, help="Enlargement."),
        click.Option(
            ["--picture"],
            type=PictureFile(),
            help="The training picture in its full resolution.  [default: at the size it was trained at]",
        ),
    )

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
        """From the picture itself, the finest scale k times, each time larger by the k-th root of the factor."""
        from singan_toolkit import Picture
        from singan_toolkit.imaging.original import read_original
        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.pyramid.constraints import BackProjection
        from singan_toolkit.pyramid.geometry import Size, nearest
        from singan_toolkit.pyramid.noise import Silence

        file, factor = options["picture"], options["factor"]
        picture = read_original(file, bundle.picture) if file else Picture(bundle.picture, bundle.name)
        wanted = Size(*(nearest(side * factor) for side in picture.size))
        if math.prod(wanted) > MAX_PIXELS:
            raise TaskError(
                f"{factor:g} times {picture.size} is {wanted} pixels, "
                f"more than {MAX_PIXELS / 1e6:.0f} million: give a smaller --factor"
            )
        start = to_tensor(picture.rgb)
        return Plan(
            route=bundle.geometry.upward(picture.size, wanted),
            noise=Silence(),
            start=start,
            constraint=BackProjection(start),
            material=picture,
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """The enlarged picture, in the depth and greyness of the one that was given."""
        from singan_toolkit.imaging.tensors import to_rgb

        picture: Picture = plan.material
        size = walked.shape[-2], walked.shape[-1]
        return Output([Result(picture.blank(size).with_rgb(to_rgb(walked[0])))])


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [SuperResolution()]
