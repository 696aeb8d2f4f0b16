"""A process that trains one picture after the other.

It writes nothing, and sends bundles to the process that started it. So it can be stopped at any moment, and one that
dies costs one picture.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import Failed, failure
from singan_toolkit.processes import start_process
from singan_toolkit.tasks.aside import aside
from singan_toolkit.tasks.inputs import check_storable
from singan_toolkit.training.events import Event

STOP_SECONDS = 5.0


class Worker:
    """A process that trains one picture after the other; started when there is one, and anew when it has died.

    Attributes:
        picture: What it trains on; None where it has nothing to do.
        connection: To the process.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.picture: Path | None = None
        self.ready = False
        self.process: Any = None
        self.connection: Connection[Any, Any]

    def give(self, picture: Path | None, options: dict[str, Any]) -> None:
        self.picture = picture
        if picture is None:
            self.stop()
            return
        if self.process is None:
            self.process, self.connection = start_process(_serve, self.threads)
        with suppress(OSError):  # it has died, as receiving will show
            self.connection.send((picture, options))

    def receive(self) -> Bundle | Event | Failed | None:
        """A bundle or what was wrong where training has ended, an event where it goes on, None where it is about to."""
        try:
            message: Bundle | Event | Failed | None = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            status, self.process = self.process.exitcode, None
            self.connection.close()
            if not self.ready:
                raise OSError(
                    f"a process to train in ended with status {status} before it began; "
                    'does a script call train_many outside of if __name__ == "__main__":?'
                ) from None
            self.ready = False
            if status >= 0:
                return Failed("environment", f"the process that trained it ended with status {status}")
            why = f"the process that trained it was ended by signal {-status}: with too little memory, use fewer jobs"
            return Failed("environment", why)
        self.ready = True
        return message

    def stop(self) -> None:
        """End the process: at once where it trains, else when it sees that nothing comes any more."""
        if self.process is None:
            return
        self.connection.close()
        if self.process.pid is not None:
            if self.picture is None:
                self.process.join(STOP_SECONDS)
            self.process.kill()
            self.process.join()
        self.process = None


def _serve(connection: Connection[Any, Any], threads: int) -> None:
    """Run in a worker process: train on what comes, until nothing can come any more."""
    import torch

    torch.set_num_threads(min(threads, torch.get_num_threads()))
    with aside(), suppress(EOFError, ConnectionError):  # the process that wants the bundles has gone
        connection.send(None)
        while True:
            picture, options = connection.recv()
            connection.send(_train(picture, options, connection.send))


def _train(picture: Path, options: dict[str, Any], observer: Callable[[Event], None]) -> Bundle | Failed:
    import torch

    from singan_toolkit.tasks.train import train

    try:
        check_storable(picture)
        return train(picture, observer=observer, **options)
    except ConnectionError:
        raise
    except (MemoryError, torch.cuda.OutOfMemoryError):
        return Failed("environment", "memory does not suffice: use fewer jobs, or a smaller max_size")
    except Exception as error:
        failed = failure(error)
        if failed.kind == "defect":
            return Failed("defect", f"{failed.sentence}; train it alone with --traceback to see where this arose")
        return failed
