"""Retargeting: the picture in another shape, nothing stretched (paper section 4, figure 7)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, ClassVar

import click

from singan_toolkit import Injection, Output, PictureFile, Plan, Result, Task, TaskError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from singan_toolkit import Bundle
    from singan_toolkit.pyramid.geometry import Size

MAX_PIXELS = 64_000_000
MOST = 4
"""Longest shape: 4:1, or 1:4."""


class Retarget(Task):
    """Redraw the training picture in another shape: wider, taller, a banner, a phone's screen.

    Things keep their size and proportions; there are more or fewer of them, and the layout stays: a sky stays on top.
    """

    name = "retarget"
    keeps = ("picture",)
    injection: ClassVar[Injection] = Injection(default=1)
    options = (
        click.Option(["--width"], type=click.IntRange(25, 8192), help="Width in pixels."),
        click.Option(["--height"], type=click.IntRange(25, 8192), help="Height in pixels."),
        click.Option(["--aspect"], metavar="W:H", help="Shape, as 16:9; with one of width and height, or without."),
        click.Option(
            ["--from", "source"],
            type=click.Choice(["image", "noise"]),
            default="image",
            show_default=True,
            help="Start from the stretched picture, at --scale, or from noise alone, at the coarsest scale.",
        ),
        click.Option(
            ["--picture"],
            type=PictureFile(),
            help="The training picture in its full resolution: the result has that resolution and its detail.",
        ),
    )

    def prepare(self, bundle: Bundle, **options: Any) -> dict[str, Any]:
        """Read the original, if there is one, and find out which size is asked for."""
        from singan_toolkit.imaging.original import read_original

        original = read_original(options["picture"], bundle.picture) if options["picture"] else None
        now = original.size if original else bundle.geometry.finest
        return dict(original=original, now=now, wanted=_wanted(options, now), source=options["source"])

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **prepared: Any) -> Plan:
        """The scales stretched to the new shape, from the stretched picture or from noise."""
        import torch

        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.pyramid.noise import Gaussian
        from singan_toolkit.pyramid.resample import resize

        original, wanted, geometry = prepared["original"], prepared["wanted"], bundle.geometry
        finest = _walked(wanted, prepared["now"], geometry.finest)
        picture = to_tensor(bundle.picture)
        from_image = prepared["source"] == "image"
        if not from_image and scale != self.injection.scale(len(geometry.sizes)):
            raise TaskError("--scale goes with --from image; noise enters at the coarsest scale")
        route = geometry.route(scale if from_image else 0, finest)
        if not original:
            route += geometry.upward(finest, wanted)
        return Plan(
            route=route,
            noise=Gaussian(seed),
            start=resize(picture, geometry.entry_size(scale, finest)) if from_image else None,
            given=resize(picture, (route[-1].height, route[-1].width)).clamp(-1, 1),
            focus=torch.ones((route[-1].height, route[-1].width), dtype=torch.bool),
            material=(wanted, original, picture),
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """The picture at the size that was asked for."""
        from singan_toolkit import Picture
        from singan_toolkit.imaging.detail import transfer_detail
        from singan_toolkit.imaging.tensors import to_bytes
        from singan_toolkit.pyramid.resample import resize

        wanted, original, trained = plan.material
        if original:
            rgb = transfer_detail(original.rgb, trained, walked, wanted)
            return Output([Result(original.blank(wanted).with_rgb(rgb))])
        return Output([Result(Picture(to_bytes(resize(walked, wanted)[0])))])


def _wanted(options: dict[str, Any], now: Size) -> Size:
    """The size that is asked for; with a shape alone, one with as many pixels as now."""
    from singan_toolkit.pyramid.geometry import Size, nearest

    width, height, aspect = options["width"], options["height"], options["aspect"]
    if aspect:
        match = re.fullmatch(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)", aspect)
        if not match or not float(match[1]) or not float(match[2]):
            raise TaskError(f"aspect {aspect!r} is not a shape like 16:9")
        if width and height:
            raise TaskError("give two of --width, --height and --aspect at most")
        shape = float(match[1]) / float(match[2])
        if width:
            height = nearest(width / shape)
        else:
            height = height or max(1, nearest(math.sqrt(math.prod(now) / shape)))
            width = nearest(height * shape)
    elif not width and not height:
        raise TaskError("give the new shape: --width, --height, or --aspect")
    wanted = Size(now.height if height is None else height, now.width if width is None else width)
    if max(wanted) > MOST * (min(wanted) + 1):  # plus 1: sizes are rounded
        raise TaskError(f"{wanted} pixels is longer than {MOST}:1: give a shape from 1:{MOST} to {MOST}:1")
    if math.prod(wanted) > MAX_PIXELS:
        raise TaskError(f"{wanted} pixels are more than {MAX_PIXELS / 1e6:.0f} million: ask for fewer")
    return wanted


def _walked(wanted: Size, now: Size, finest: Size) -> Size:
    """The size at which to walk: things keep their size, unless the whole is asked for larger or smaller than now."""
    from singan_toolkit.pyramid.geometry import Size, nearest

    shares = wanted[0] / now[0], wanted[1] / now[1]
    larger = sorted((1.0, *shares))[1]
    return Size(max(1, nearest(finest[0] * shares[0] / larger)), max(1, nearest(finest[1] * shares[1] / larger)))


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Retarget()]
