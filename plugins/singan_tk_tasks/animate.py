"""Animation: the still picture moves (paper section 4.5 and supplementary material)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from singan_toolkit import Output, Plan, Profile, Result, Task, TaskError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from singan_toolkit import Bundle


CELLS, REACH = 4, 0.22
"""Cells of the grid on which the picture's places move, along a side, and how far, as a share of the side."""


class Animate(Task):
    """Make a short clip of the training picture, by a random walk in noise space around it.

    What moves is what the coarser scales may vary: flames, clouds, water, foliage. A higher start scale moves finer
    things only. The clip closes seamlessly unless --once is given, which starts it at the picture itself.
    """

    name = "animate"
    makes = "clips"
    profile = Profile(
        {"noise_padding": "noise", "patches_to": 0, "min_size": 25, "factor": 4 / 3},
        "the layout moves less, and the picture's sides less than its middle; train with --for animate",
    )
    options = (
        click.Option(["--frames"], type=click.IntRange(2, 600), default=60, show_default=True, help="Frames to make."),
        click.Option(["--fps"], type=click.FloatRange(1, 60), default=12, show_default=True, help="Frames per second."),
        click.Option(
            ["--loop/--once"], default=True, show_default=True, help="Whether the end leads to the beginning."
        ),
        click.Option(
            ["--start-scale"],
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Nothing moves below this scale: 0 moves the layout too, 3 only detail.",
        ),
        click.Option(
            ["--alpha"],
            type=click.FloatRange(0.02, 1),
            default=0.3,
            show_default=True,
            help="How strongly every frame is drawn back to the picture.",
        ),
        click.Option(
            ["--beta"],
            type=click.FloatRange(0, 0.99),
            default=0.95,
            show_default=True,
            help="How smoothly it moves: 0 is a jitter.",
        ),
    )

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **options: Any) -> Plan:
        """All scales, a frame a sample; z* below the start scale."""
        import torch

        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.pyramid.geometry import Step
        from singan_toolkit.pyramid.noise import RandomWalk, Reconstruction, SwitchAt
        from singan_toolkit.pyramid.patch_scale import cell_means, displaced
        from singan_toolkit.pyramid.resample import resize

        start, scales = options["start_scale"], len(bundle.geometry.sizes)
        if start >= scales:
            raise TaskError(f"there is no scale {start} to start at: this bundle has scales 0 to {scales - 1}")
        z_star, geometry = torch.from_numpy(bundle.z_star), bundle.geometry

        def wandering(seed: int) -> RandomWalk:
            return RandomWalk(z_star, options["frames"], options["loop"], options["alpha"], options["beta"], seed)

        plan = Plan(
            route=geometry.route(),
            noise=SwitchAt(start, Reconstruction(z_star), wandering(seed)),
            samples=range(options["frames"]),
            in_bytes=True,
            material=(options["fps"], options["loop"], bundle.name),
        )
        if start >= geometry.patch_scales:
            return plan
        # Patches would jump from one place to the next. What they would be laid to is displaced smoothly instead.
        height, width = geometry.sizes[0]
        places = wandering(seed + 1)(0, Step(0, height, width), plan.samples)
        still = resize(to_tensor(bundle.picture), geometry.sizes[geometry.patch_scales - 1])
        shift = REACH * cell_means(places[:, :2], (CELLS, CELLS))
        return replace(plan, route=geometry.route(geometry.patch_scales), start=displaced(still, shift))

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        """All frames as one clip."""
        from singan_toolkit.imaging.video import Clip

        fps, loops, name = plan.material
        return Output([Result(Clip(walked.permute(0, 2, 3, 1).numpy(), fps, loops, name))])


@hookimpl
def singan_tasks() -> list[Task]:
    """The one task of this plugin."""
    return [Animate()]
