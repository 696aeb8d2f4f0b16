"""Steps that are recorded once and replayed: on small pictures a GPU waits longer for each call than it computes."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP = 3
"""Runs before recording, in which libraries choose their algorithms and optimizers make their state."""


class Replayed:
    """A step that on a CUDA device is run a few times, then recorded as a CUDA graph and replayed from then on.

    The step must draw its random numbers from the given generator, never wait for the device, and keep what changes
    from run to run in tensors that it changes in place. Elsewhere it is called as it is.

    Args:
        step: What to run.
        random: Where the step draws from; its device is the step's.
    """

    def __init__(self, step: Callable[[], None], random: torch.Generator) -> None:
        self.step, self.random, self.runs = step, random, 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run the step once."""
        if self.random.device.type != "cuda":
            self.step()
        elif self.runs < WARM_UP:
            self._warm_up()
        else:
            if self.graph is None:
                self.graph = torch.cuda.CUDAGraph()
                self.graph.register_generator_state(self.random)
                with torch.cuda.graph(self.graph):
                    self.step()
            self.graph.replay()
        self.runs += 1

    def _warm_up(self) -> None:
        aside, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            self.step()
        current.wait_stream(aside)
