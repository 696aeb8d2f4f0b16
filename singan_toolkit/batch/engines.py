"""What carries out many jobs: the processes of this machine, or what a plugin brings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from singan_toolkit.batch.worker import Worker
from singan_toolkit.errors import Failed, UsageError
from singan_toolkit.jobs import Done, RunJob, TrainingJob
from singan_toolkit.machine import cores, default_jobs
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.training.events import Event
from singan_toolkit.words import did_you_mean

TICK_SECONDS = 5.0


@dataclass(frozen=True)
class Order:
    """A job that an engine is to carry out.

    Attributes:
        job: The job.
        checkpoint: The file that a training is to be kept in, if any.
        about: Whatever the one that orders knows it by; engines hand it back, and send it nowhere.
    """

    job: TrainingJob | RunJob
    checkpoint: Path | None = None
    about: Any = None


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is to go about it.

    Attributes:
        count: How many orders there are.
        jobs: How many at a time; None leaves it to the engine.
        threads: How many threads each computes with; None leaves it to the engine.
        address: Of the machines to work on, for engines that work on others.
        observer: To be called with each event of a training.
        tick: To be called every few seconds.
    """

    count: int
    jobs: int | None = None
    threads: int | None = None
    address: str | None = None
    observer: Callable[[Order, Event], object] = lambda order, event: None
    tick: Callable[[], object] = lambda: None


Ended = Generator[tuple[Order, Done | Failed], None, None]
"""What came of each order, in the order in which they end; closing it stops them."""
Engine = Callable[[Iterator[Order], EngineOptions], Ended]
"""A function that carries out orders. It takes the next one when there is room for it, and works only while what it
gives back is iterated."""


def engine_of(name: str) -> Engine:
    """The engine of that name: ``local``, ``ray``, or a plugin's.

    Raises:
        UsageError: There is none.
    """
    from singan_toolkit.batch.on_ray import on_ray

    engines: dict[str, Engine] = {"local": local, "ray": on_ray, **installed_plugins().engines}
    if name not in engines:
        near = did_you_mean(name, engines)
        raise UsageError(f"there is no engine {name}" + (near or f"; there are {', '.join(engines)}"))
    return engines[name]


def local(orders: Iterator[Order], options: EngineOptions) -> Ended:
    """Carry out orders in processes of this machine, several at a time.

    Each job is carried out in a process with few threads: networks this small do not keep several threads busy, so that
    jobs side by side get much more done than one after the other. By default there is one a core on the CPU and four on
    a GPU, as far as they fit into memory.

    Args:
        orders: What to carry out.
        options: How.

    Returns:
        What came of each order. One whose process dies is ``singan_toolkit.batch.worker.Died``.

    Raises:
        UsageError: An address is given.
        OSError: Processes cannot be started.
    """
    from singan_toolkit.pyramid.device import pick_device

    if options.address:
        raise UsageError(f"the local engine works on this machine alone: leave out the address {options.address}")
    if not (first := next(orders, None)):
        return
    orders = chain([first], orders)
    jobs = min(options.count, options.jobs or default_jobs(pick_device(first.job.device).type))
    threads = options.threads or max(1, cores() // jobs)
    workers: list[Worker] = []
    given: dict[int, Order] = {}

    def give(worker: Worker, order: Order | None) -> None:
        if order:
            given[id(worker)] = order
        worker.give(order.job if order else None, order.checkpoint if order else None)

    try:
        for order in islice(orders, jobs):
            workers.append(Worker(threads))
            give(workers[-1], order)
        while busy := {worker.connection: worker for worker in workers if worker.job}:
            options.tick()
            for connection in wait(list(busy), TICK_SECONDS):
                worker = busy[connection]  # type: ignore[index]
                order = given[id(worker)]
                match message := worker.receive():
                    case Failed() | Done():
                        give(worker, next(orders, None))
                        yield order, message
                    case Warning():
                        warnings.warn(message, stacklevel=2)
                    case None:
                        pass
                    case event:
                        options.observer(order, event)
    finally:
        for worker in workers:
            worker.stop()
