"""Terms of a loss on several processor cores at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

T = TypeVar("T")

WORKERS = 2


class SideBySide:
    """Runs functions side by side, each in a thread that has its share of the cores.

    The convolutions of small pictures are too short to be shared among cores: two threads within each of them are 1.3
    times as fast as one, where two threads that have a convolution each are almost twice as fast. On a GPU, or with a
    single thread, functions run one after another.

    Args:
        device: Of the training.
    """

    def __init__(self, device: torch.device) -> None:
        self.threads = torch.get_num_threads()
        self.workers = WORKERS if device.type == "cpu" and self.threads >= WORKERS else 1
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> SideBySide:
        if self.workers > 1:
            share = self.threads // self.workers
            self._pool = ThreadPoolExecutor(self.workers, "terms", torch.set_num_threads, (share,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown()
            torch.set_num_threads(self.threads)  # which the workers have set for all threads to come

    def run(self, functions: Sequence[Callable[[], T]]) -> list[T]:
        """What each function returns, in their order; the longest should come first.

        Raises:
            Exception: What a function raises.
        """
        if not self._pool:
            return [function() for function in functions]
        return list(self._pool.map(lambda function: function(), functions))
