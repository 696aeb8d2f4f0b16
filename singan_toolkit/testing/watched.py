"""A task under watch: what it plans is looked at, and no network is run in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from singan_toolkit.bundle import Bundle
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.pyramid.networks import Generator
from singan_toolkit.pyramid.patch_scale import PatchScale
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.task import Output, Plan, Result, Task

BRIGHTEST = 1.5
"""What no value that enters reaches: it is about -1..1, and resizing may go beyond by a little."""


def wanted(task: Task, holds: object, sentence: str) -> None:
    """Raise an AssertionError with that sentence about the task, unless something holds."""
    if not holds:
        raise AssertionError(f"task {task.name}: {sentence}")


class Watched(Task):
    """Stands for a task: notes what it plans and what is walked for it, and lets it run no network.

    Attributes:
        change: What becomes of a plan before it is walked.
        within: The part of the task that runs, if any.
        planned: The last plan.
        walked: What was walked last.
    """

    planned: Plan
    walked: Tensor

    def __init__(self, task: Task, change: Callable[[Plan], Plan] | None = None) -> None:
        self.task, self.change, self.within = task, change, ""
        for name in ("name", "options", "injection", "profile", "makes", "keeps"):
            setattr(self, name, getattr(task, name))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        outer, self.within = self.within, name
        try:
            yield
        finally:
            self.within = outer

    def guarded(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*arguments, **options)

        return watched

    def prepare(self, bundle: Bundle, **options: Any) -> dict[str, Any]:
        return self.guarded(self.task.prepare, "prepare")(bundle, **options)  # type: ignore[no-any-return]

    def plan(self, bundle: Bundle, *, scale: int, seed: int, **prepared: Any) -> Plan:
        plan: Plan = self.guarded(self.task.plan, "plan")(bundle, scale=scale, seed=seed, **prepared)
        if not isinstance(plan, Plan):  # which the runner tells
            return plan
        check_plan(self.task, plan)
        self.planned = plan
        if plan.constraint:
            plan = replace(plan, constraint=self.guarded(plan.constraint, "a constraint"))
        return self.change(plan) if self.change else plan

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        self.walked = walked.clone()
        return self.guarded(self.task.finish, "finish")(walked, plan)  # type: ignore[no-any-return]

    @contextmanager
    def installed(self) -> Iterator[None]:
        """For a while the toolkit finds this task, and networks tell where they are run by it."""
        with ExitStack() as stack:
            stack.enter_context(mock.patch.dict(installed_plugins().tasks, {self.name: self}))
            for owner, method in ((Generator, "forward"), (PatchScale, "apply")):
                stack.enter_context(mock.patch.object(owner, method, self._telling(getattr(owner, method))))
            yield

    def _telling(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            wanted(
                self.task,
                not self.within,
                f"{self.within} runs a scale of the pyramid: a task plans a walk, and the toolkit walks it",
            )
            return method(*arguments, **options)

        return watched


class Walked(Watched):
    """As a watched task, which leaves the walk's pictures unfinished."""

    def finish(self, walked: Tensor, plan: Plan) -> Output:
        self.walked = walked.clone()
        return Output([Result(Picture(np.zeros((1, 1, 3), np.uint8)))])


def check_plan(task: Task, plan: Plan) -> None:
    """Whether what a plan holds has the sizes and ranges that ``Plan`` tells."""
    wanted(task, len(plan.route), "a plan has one step at least")
    wanted(task, len(plan.samples), "a plan has one sample at least")
    last, samples = (plan.route[-1].height, plan.route[-1].width), len(plan.samples)
    for name, tensor in (("start", plan.start), ("given", plan.given)):
        if tensor is None:
            continue
        numbers = {1, samples} if name == "start" else {1}
        right = tensor.ndim == 4 and tensor.shape[0] in numbers and tensor.shape[1] == 3
        shape = "(1 or a sample each, 3, h, w)" if name == "start" else "(1, 3, H, W)"
        wanted(task, right, f"Plan.{name} is {tuple(tensor.shape)}, where {shape} is wanted")
        within = tensor.isfinite().all() and tensor.abs().max() <= BRIGHTEST
        wanted(task, within, f"Plan.{name} has values outside -1..1: imaging.tensors.to_tensor gives such")
    size = f"the size of the route's last step, {last[0]} high and {last[1]} wide, is wanted"
    if plan.given is not None:
        wanted(task, plan.given.shape[-2:] == last, f"Plan.given is {tuple(plan.given.shape)}, where {size}")
    if plan.focus is not None:
        right = plan.focus.shape == last and plan.focus.dtype == torch.bool
        wanted(task, right, f"Plan.focus is {plan.focus.dtype} of {tuple(plan.focus.shape)}, where bool in {size}")
