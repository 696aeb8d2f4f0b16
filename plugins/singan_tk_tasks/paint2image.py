"""Paint to image: a crude painting becomes a photo of the training picture's world (paper section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from singan_toolkit import Injection, Output, PaintedFile, Plan, Result, Retraining, Task, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from singan_toolkit import Bundle, Picture

COLORS = 5
"""Colours that a quantized painting comes down to, as in the official code."""


class PaintToImage(Task):
    """Turn a painting into a picture with the textures of the training picture.

    Paint with flat colours taken from the training picture, at any size. The result has the painting's size. Where the
    painting is transparent the training picture shows through, stretched to that size.
    """

    name = "paint2image"
    injection = Injection(default=3)
    options = (
        click.Option(["--paint"], type=PaintedFile(keeps="layer"), required=True, help="The painting."),
        click.Option(
            ["--quantize"],
            is_flag=True,
            help=f"Bring the painting to the picture's {COLORS} main colours, and train its scale anew on pictures so "
            "reduced: slower the first time, kept beside the bundle, and closer to the painting's shapes.",
        ),
    )

    def prepare(self, bundle: Bundle, **options: Any) -> dict[str, Any]:
        """Read the painting, as a layer over the training picture where it is transparent."""
        import torch

        from singan_toolkit.imaging.pictures import read_picture
        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.pyramid.resample import resize

        painting = read_picture(options["paint"])
        given = to_tensor(painting.rgb)
        if painting.alpha is not None:
            alpha = torch.from_numpy(painting.alpha)
            given = given * alpha + resize(to_tensor(bundle.picture), painting.size).clamp(-1, 1) * (1 - alpha)
        return dict(painting=painting, given=given, quantize=options["quantize"])

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **prepared: Any) -> Plan:
        """Shrink the painting to below the injection scale, walk the scales above, and on to the painting's size."""
        from singan_toolkit.imaging.palette import Palette
        from singan_toolkit.pyramid.noise import Gaussian
        from singan_toolkit.pyramid.resample import resize

        painting, given, geometry = prepared["painting"], prepared["given"], bundle.geometry
        finest = geometry.fit(painting.size)
        start = resize(given, geometry.entry_size(scale, finest))
        retraining = None
        if prepared["quantize"]:
            palette = Palette.of_picture(bundle.picture, COLORS)
            start = palette.quantize(resize(start, geometry.size_at(scale, finest)))
            if scale >= geometry.patch_scales:  # patches take quantized colours as they are
                retraining = Retraining(scale, palette.quantize, "quantized")
        route = (*geometry.route(scale, finest), *geometry.upward(finest, painting.size))
        return Plan(
            route=route,
            noise=Gaussian(seed),
            start=start,
            given=resize(given, (route[-1].height, route[-1].width)).clamp(-1, 1),
            retraining=retraining,
            material=painting,
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """The picture at the painting's size."""
        from singan_toolkit import Picture
        from singan_toolkit.imaging.tensors import to_bytes
        from singan_toolkit.pyramid.resample import resize

        painting: Picture = plan.material
        return Output([Result(Picture(to_bytes(resize(walked, painting.size)[0]), painting.name))])


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [PaintToImage()]
