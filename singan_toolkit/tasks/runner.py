"""Running a task: plan, walk, finish. The only place that takes a plan to the generators."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import PluginError, TaskError
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.tensors import to_tensor, to_values
from singan_toolkit.imaging.video import Clip
from singan_toolkit.imaging.visible import is_grey
from singan_toolkit.pyramid.layout import most_typical
from singan_toolkit.pyramid.noise import VARIETY
from singan_toolkit.pyramid.walk import Pyramid, walk
from singan_toolkit.tasks.manager import Plugins, installed_plugins
from singan_toolkit.tasks.options import complete_options
from singan_toolkit.tasks.task import Output, Plan, Result, Retraining, Task, returned
from singan_toolkit.training.events import Observer, ignore

BATCH_PIXELS = 500_000


def run(
    bundle: Bundle,
    task: str,
    /,
    *,
    scale: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    observer: Observer = ignore,
    **options: Any,
) -> Output:
    """Run an installed task on a bundle, as ``singan-tk run`` does.

    Args:
        bundle: What was trained.
        task: Name of the task.
        scale: The injection scale (1 is the coarsest at which a picture enters), ``"auto"``, ``"all"`` for one result a
            scale, or None for the task's default.
        seed: The seed of the noise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Told what happens where the task has a scale trained anew.
        options: The task's options, by the names of the command line with underscores for hyphens; what is not given
            has the command line's default.

    Returns:
        The finished pictures and notes on what was decided.

    Raises:
        TaskError: There is no such task or option, a value is wrong, or the options do not fit together.
        PictureError: A picture cannot be used.
        UnavailableError: The device is not here.
        PluginError: The task gives back what it should not.
        TrainingError: A scale that is to be trained anew diverged even with ever smaller steps.
    """
    plugins = installed_plugins()
    found = plugins.task(task)
    output = _Run(plugins, found, bundle, device, seed, observer, complete_options(found, options)).at(scale)
    if other := _not_trained_for(found, bundle):
        output = replace(output, notes=[*output.notes, other])
    return output


def _not_trained_for(task: Task, bundle: Bundle) -> str:
    """A sentence for the user where the bundle was trained otherwise than the task would have it."""
    trained = bundle.manifest.training.settings
    if all(trained.get(name) == value for name, value in task.profile.settings.items()):
        return ""
    return f"{bundle.name} was not trained with --for {task.name}: {task.profile.why}"


class _Run:
    def __init__(
        self,
        plugins: Plugins,
        task: Task,
        bundle: Bundle,
        device: str,
        seed: int,
        observer: Observer,
        options: dict[str, Any],
    ) -> None:
        self.hook, self.task, self.bundle, self.device = plugins.manager.hook, task, bundle, device
        self.seed, self.observer, self.given = seed, observer, options
        self.exact = bundle.pyramid(device)
        self.pyramid = self.exact.hastened()
        self.grey = is_grey(bundle.picture)
        self.trained_anew: dict[tuple[str, int], Pyramid] = {}

    @cached_property
    def options(self) -> dict[str, Any]:
        return self.task.prepare(self.bundle, **self.given)

    def at(self, scale: int | str | None) -> Output:
        scales = len(self.bundle.geometry.sizes)
        injection = self.task.injection
        if injection is None:
            if scale is not None:
                raise TaskError(f"{self.task.name} takes no injection scale: no picture enters the pyramid")
            return self._finish(self._plan(0))
        if scale is None:
            return self._finish(self._plan(injection.scale(scales, self.bundle.geometry.sizes)))
        admitted = injection.admitted(scales)
        if scale == "all":
            outputs = [(n, self._finish(self._plan(n))) for n in admitted]
            results = [replace(output.results[0], label=f"scale {n}") for n, output in outputs]
            return Output(results, outputs[0][1].notes)
        if scale == "auto":
            return self._auto(admitted, injection.scale(scales, self.bundle.geometry.sizes))
        if not isinstance(scale, int) or scale not in admitted:
            raise TaskError(
                f"scale {scale!r} is not one of {self.task.name}'s in this bundle: "
                f"give {admitted[0]} to {admitted[-1]}, auto or all"
            )
        return self._finish(self._plan(scale))

    def _auto(self, admitted: range, default: int) -> Output:
        plans = {n: self._plan(n) for n in admitted}
        if any(plan.given is None for plan in plans.values()):
            raise TaskError(f"{self.task.name} cannot choose its scale: give --scale a number, or all to see each")
        from singan_toolkit.tasks.choose import Candidate, choose  # slow to import

        candidates = [Candidate(n, plan, self._walk(plan)) for n, plan in plans.items()]
        chosen, why = choose(candidates, self.bundle.picture, default)
        output = self._finish(chosen.plan, chosen.walked)
        return replace(output, notes=[*output.notes, why])

    def _plan(self, scale: int) -> Plan:
        plan = self.hook.singan_plan(
            task=self.task, bundle=self.bundle, scale=scale, seed=self.seed, options=self.options
        )
        plan = returned(self.task, plan, Plan)
        return self._with_layouts(plan) if plan.candidates else plan

    def _with_layouts(self, plan: Plan) -> Plan:
        """The plan with the samples that have the most typical layouts; a sample has the same at each variety."""
        assert plan.candidates
        numbers = list(dict.fromkeys(sample % VARIETY for sample in plan.samples))
        chosen = most_typical(
            self.exact,
            to_tensor(self.bundle.picture),
            plan.route,
            plan.candidates.noise,
            numbers,
            plan.candidates.number,
        )
        layout = dict(zip(numbers, chosen, strict=True))
        return replace(plan, samples=[sample - sample % VARIETY + layout[sample % VARIETY] for sample in plan.samples])

    def _walk(self, plan: Plan) -> Tensor:
        """All samples of a plan, a batch of bounded memory at a time, on the CPU."""
        pixels = max(step.height * step.width for step in plan.route)
        batch = max(1, BATCH_PIXELS // pixels)
        samples = list(plan.samples)
        pyramid = self._retrained(plan.retraining) if plan.retraining else self.pyramid
        if plan.faithful:
            pyramid = pyramid.faithful()
        walked: Tensor | None = None
        for first in range(0, len(samples), batch):
            part, start = slice(first, first + batch), plan.start
            if start is not None and len(start) > 1:
                start = start[part]
            done = walk(pyramid, plan.route, plan.noise, start, samples[part], plan.constraint)
            if self.grey:
                done = done.mean(1, keepdim=True).expand_as(done)
            done = to_values(done).cpu() if plan.in_bytes else done.cpu()
            if walked is None:
                walked = torch.empty((len(samples), *done.shape[1:]), dtype=done.dtype)
            walked[part] = done
        assert walked is not None, "a plan has one sample at least"
        return walked

    def _retrained(self, retraining: Retraining) -> Pyramid:
        from singan_toolkit.tasks.retrain import retrained  # which imports all of training

        key = retraining.name, retraining.scale
        if key not in self.trained_anew:
            new = retrained(self.bundle, retraining, self.device, self.observer)
            self.trained_anew[key] = new.pyramid(self.device).hastened()
        return self.trained_anew[key]

    def _finish(self, plan: Plan, walked: Tensor | None = None) -> Output:
        output = returned(
            self.task,
            self.hook.singan_finish(task=self.task, walked=self._walk(plan) if walked is None else walked, plan=plan),
            Output,
        )
        if not returned(self.task, output.results, list, tuple):
            raise PluginError(f"task {self.task.name} returned no picture")
        for result in output.results:
            returned(self.task, returned(self.task, result, Result).picture, Picture, Clip)
        return output
