"""Measuring in a process of its own, so that neither memory nor caches of what went before count."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from singan_toolkit.processes import start_process

Emit = Callable[[Any], None]
"""Hands over a row, or word of what is being done, as soon as it is known."""


@dataclass(frozen=True)
class _Failed:
    error: Exception
    where: str


@dataclass(frozen=True)
class _Done:
    pass


def fresh(measure: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """What ``measure(emit, *arguments)`` emits in a new process, as it emits it.

    Args:
        measure: A function of a module.
        arguments: What it needs; picklable, as what it emits.

    Raises:
        Exception: What ``measure`` raises.
        OSError: The process ended without a word, as one does that is ended for want of memory.
    """
    process, near = start_process(_serve)
    try:
        near.send((measure, arguments))
        while not isinstance(item := near.recv(), _Done):
            if isinstance(item, _Failed):
                raise item.error from RuntimeError(item.where)
            yield item
    except (EOFError, ConnectionError):
        process.join()
        raise OSError(
            f"the measuring process ended with exit status {process.exitcode}"
            + (", perhaps for want of memory" if process.exitcode == -9 else "")
        ) from None
    finally:
        process.terminate()
        process.join()
        near.close()


def peak_memory() -> float | None:
    """The most memory that this process has had resident, in MiB; None where the system does not tell.

    Linux's ``VmHWM`` and not ``getrusage``, which counts what the parent had when it started this process.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def _serve(connection: Connection[Any, Any]) -> None:
    """Run in the new process. It ends where nobody listens any more."""
    with suppress(EOFError, ConnectionError):
        try:
            measure, arguments = connection.recv()
            measure(connection.send, *arguments)
            connection.send(_Done())
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            connection.send(_Failed(error, traceback.format_exc()))
