"""Random samples: the picture's own world, drawn anew (paper section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from singan_toolkit import Candidates, Output, Plan, Result, Task, TaskError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from singan_toolkit import Bundle


class Generate(Task):
    """Draw new pictures with the same textures and objects, from noise.

    Coarse scales draw the layout: several for each picture, of which the one most like the training picture in its
    patches is kept. How far that goes from the training picture is the variety. With a start scale above 0 the layout
    below it is that of the training picture, and only what is finer varies (paper figure 8).
    """

    name = "generate"
    options = (
        click.Option(["-n", "--count"], type=click.IntRange(1), default=1, show_default=True, help="Pictures to draw."),
        click.Option(
            ["--variety"],
            type=click.FloatRange(0, 1),
            multiple=True,
            default=[0.5],
            help="How far from the training picture: 0 is the picture itself, 1 is free; several give each picture at "
            "each.  [default: 0.5]",
        ),
        click.Option(
            ["--start-scale"],
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Keep the training picture's layout below this scale.",
        ),
        click.Option(
            ["--candidates"],
            type=click.IntRange(1, 64),
            default=8,
            show_default=True,
            help="Layouts to draw for each picture, of which the most typical is kept.",
        ),
        click.Option(["--width"], type=click.IntRange(25, 8192), help="Width in pixels.  [default: as trained]"),
        click.Option(["--height"], type=click.IntRange(25, 8192), help="Height in pixels.  [default: as trained]"),
    )

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
        """All scales from noise, or from z* up to the start scale."""
        import torch

        from singan_toolkit.pyramid.noise import (
            AS_TRAINED,
            VARIETY,
            Gaussian,
            NoiseSource,
            Reconstruction,
            SwitchAt,
            Varied,
        )

        start, scales = options["start_scale"], len(bundle.geometry.sizes)
        height, width = bundle.geometry.finest
        size = options["height"] or height, options["width"] or width
        if start >= scales:
            raise TaskError(f"there is no scale {start} to start at: this bundle has scales 0 to {scales - 1}")
        if start and size != (height, width):
            raise TaskError(
                "a start scale keeps the training picture's layout, so width and height cannot be changed too"
            )
        varieties = tuple(options["variety"])
        z_star = torch.from_numpy(bundle.z_star)
        from_z_star = None if bundle.geometry.patch_scales else z_star
        if size != (height, width) and from_z_star is not None and min(varieties) < AS_TRAINED:
            raise TaskError(
                f"this bundle holds the picture at its own size only, to which --variety below {AS_TRAINED} leads: "
                "leave out width and height"
            )
        noise: NoiseSource = Varied(Gaussian(seed), varieties, from_z_star)
        if start:
            noise = SwitchAt(start, Reconstruction(z_star), noise)
        return Plan(
            route=bundle.geometry.route(finest=size),
            noise=noise,
            samples=[number + VARIETY * nth for number in range(options["count"]) for nth in range(len(varieties))],
            # At the same variety for all, so that the same layout is seen to go further.
            candidates=None if start else Candidates(options["candidates"], Gaussian(seed)),
            material=(seed, varieties),
        )

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """One picture a sample, named by the seed that draws it alone."""
        from singan_toolkit import Picture
        from singan_toolkit.imaging.tensors import to_bytes

        seed, varieties = plan.material
        results = []
        for place, one in enumerate(walked):
            number, nth = divmod(place, len(varieties))
            label = f"{seed + number:04d}" + (f" variety {varieties[nth]:g}" if varieties[1:] else "")
            results.append(Result(Picture(to_bytes(one), label), label))
        return Output(results)


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Generate()]
