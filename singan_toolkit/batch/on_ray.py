"""The engine for those who outgrow one machine: a cluster of Ray.

The machines share a disk: jobs name files, and a training's checkpoint lies where all can go on with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singan_toolkit.batch.worker import Died
from singan_toolkit.errors import Failed, UnavailableError
from singan_toolkit.jobs import Done, RunJob, TrainingJob, carry_out

if TYPE_CHECKING:
    from singan_toolkit.batch.engines import Ended, EngineOptions, Order

MOST_LOSSES = 3
"""So often a job is done again elsewhere when the machine or the process that did it is lost."""
TICK_SECONDS = 5.0


def on_ray(orders: Iterator[Order], options: EngineOptions) -> Ended:
    """Carry out orders on a cluster of Ray, as many at a time as it has room for.

    Args:
        orders: What to carry out. Relative paths in it are taken from the current folder.
        options: How. Without an address a cluster of this machine alone is started, and ended again.

    Returns:
        What came of each order.

    Raises:
        UnavailableError: Ray is not installed, or there is no cluster at the address.
    """
    ray = _connected(options.address)
    if not (first := next(orders, None)):
        return
    threads = options.threads or 1
    remote = ray.remote(num_cpus=threads, max_retries=MOST_LOSSES)(_carry_out)
    running: dict[Any, Order] = {}

    def submit(order: Order) -> None:
        checkpoint = order.checkpoint.absolute() if order.checkpoint else None
        running[remote.remote(order.job.absolute(), checkpoint, threads)] = order

    try:
        submit(first)
        while running:
            # One more than there is room for, so that no machine waits for the next.
            window = options.jobs or int(ray.cluster_resources().get("CPU", 1)) // threads + 1
            while len(running) < window and (order := next(orders, None)):
                submit(order)
            ready, _ = ray.wait(list(running), timeout=TICK_SECONDS)
            options.tick()
            for reference in ready:
                order = running.pop(reference)
                try:
                    outcome = ray.get(reference)
                except ray.exceptions.RayError as error:
                    lost = str(error).strip().splitlines()[0]
                    outcome = Died("environment", f"the machine or the process that did it was lost: {lost}")
                yield order, outcome
    finally:
        for reference in running:
            with suppress(ray.exceptions.RayError):
                ray.cancel(reference, force=True)
        ray.shutdown()


def _connected(address: str | None) -> Any:
    """The module of Ray, connected to a cluster."""
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise UnavailableError("Ray is not installed: pip install 'singan-toolkit[ray]'") from error
    quiet: dict[str, Any] = dict(log_to_driver=False, configure_logging=False, ignore_reinit_error=True)
    try:
        ray.init(address=address or "local", **quiet, **({} if address else {"include_dashboard": False}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"at {address}" if address else "on this machine"
        raise UnavailableError(f"there is no cluster of Ray {where}: {error}") from error
    return ray


def _carry_out(job: TrainingJob | RunJob, checkpoint: Path | None, threads: int) -> Done | Failed:
    import torch

    from singan_toolkit.tasks.aside import aside

    torch.set_num_threads(threads)
    with aside():
        return carry_out(job, checkpoint=checkpoint)
