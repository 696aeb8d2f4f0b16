"""A process that carries out one job after the other.

It writes nothing, and sends what jobs give to the process that started it. So it can be stopped at any moment, and
one that dies costs one job.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from singan_toolkit.errors import Failed
from singan_toolkit.jobs import Done, RunJob, TrainingJob, carry_out
from singan_toolkit.machine import give_back_memory
from singan_toolkit.processes import start_process
from singan_toolkit.tasks.aside import aside
from singan_toolkit.training.events import Event

STOP_SECONDS = 5.0
MOST_JOBS = 100
"""So many a process carries out: torch holds a little more after each training, and gives it back to nobody."""


class Died(Failed):
    """A job whose process ended with it."""


class Worker:
    """A process that carries out one job after the other; started when there is one, and anew when it died or is old.

    Attributes:
        job: What it does; None where it has nothing to do.
        connection: To the process.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.job: TrainingJob | RunJob | None = None
        self.checkpoint: Path | None = None
        self.ready = False
        self.jobs = 0
        self.process: Any = None
        self.connection: Connection[Any, Any]

    def give(self, job: TrainingJob | RunJob | None, checkpoint: Path | None = None) -> None:
        """Have it do this next, and keep a training in a checkpoint meanwhile; without a job, end the process."""
        if job is None or self.jobs == MOST_JOBS:
            self.job = None
            self.stop()
        self.job, self.checkpoint = job, checkpoint
        if job is None:
            return
        if self.process is None:
            self.process, self.connection = start_process(_serve, self.threads)
            self.jobs = 0
        self.jobs += 1
        with suppress(OSError):  # it has died, as receiving will show
            self.connection.send((job, checkpoint))

    def receive(self) -> Done | Failed | Event | Warning | None:
        """What came of the job where it has ended, an event or a warning while it goes on, None before it."""
        try:
            message: Done | Failed | Event | Warning | None = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            status, self.process = self.process.exitcode, None
            self.connection.close()
            if not self.ready:
                raise OSError(
                    f"a process to work in ended with status {status} before it began; "
                    'does a script do this outside of if __name__ == "__main__":?'
                ) from None
            self.ready = False
            if status >= 0:
                return Died("environment", f"the process that did it ended with status {status}")
            why = f"the process that did it was ended by signal {-status}: with too little memory, use fewer jobs"
            return Died("environment", why)
        self.ready = True
        return message

    def stop(self) -> None:
        """End the process: when it sees that nothing comes any more, or at once where a job would be lost anyhow."""
        if self.process is None:
            return
        self.connection.close()
        if self.process.pid is not None:
            if self.job is None or self.checkpoint:
                self.process.join(STOP_SECONDS)
            self.process.kill()
            self.process.join()
        self.process, self.ready = None, False


def _serve(connection: Connection[Any, Any], threads: int) -> None:
    """Run in a worker process: carry out what comes, until nothing can come any more."""
    import torch

    torch.set_num_threads(min(threads, torch.get_num_threads()))
    warnings.simplefilter("always", UserWarning)
    warnings.showwarning = lambda message, *_, **__: connection.send(UserWarning(str(message)))
    with aside(), suppress(EOFError, ConnectionError):  # the process that wants the results has gone
        connection.send(None)
        while True:
            job, checkpoint = connection.recv()
            outcome = carry_out(job, connection.send, checkpoint)
            if isinstance(outcome, Failed) and outcome.kind == "defect":
                why = f"{outcome.sentence}; do it alone with --traceback to see where this arose"
                outcome = Failed("defect", why)
            connection.send(outcome)
            del outcome
            give_back_memory()
