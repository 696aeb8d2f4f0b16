"""Starting processes of our own, which only the process that started them ends."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_SPAWN = multiprocessing.get_context("spawn")  # torch does not survive a fork

Serve = Callable[..., None]


def start_process(serve: Serve, *arguments: Any) -> tuple[BaseProcess, Connection[Any, Any]]:
    """Start a process that Ctrl-C does not reach: the one that starts it is to end it.

    Args:
        serve: A function of a module, which is called there with the far end of a connection and the arguments.
        arguments: What it needs; picklable.

    Returns:
        The process, and the near end of the connection.

    Raises:
        OSError: It cannot be started.
    """
    near, far = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_run, args=(serve, far, *arguments), daemon=True)
    if sys.platform == "win32":
        process.start()
    else:
        resource_tracker.ensure_running()  # starting it later would let interrupts through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    far.close()
    return process, near


@contextmanager
def first_interrupt_held() -> Iterator[Callable[[], None]]:
    """Hold the first Ctrl-C back until it is asked for. A second one interrupts at once.

    Yields:
        A function that raises KeyboardInterrupt if there was a Ctrl-C.
    """
    held = False

    def hold(*_: object) -> None:
        nonlocal held
        held = True
        signal.signal(signal.SIGINT, before)

    def let_go() -> None:
        if held:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield let_go
    finally:
        signal.signal(signal.SIGINT, before)


def _run(serve: Serve, connection: Connection[Any, Any], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(connection, *arguments)
