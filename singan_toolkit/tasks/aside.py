"""Keeping what others print away from the results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def aside() -> Iterator[None]:
    """Whatever is printed in here goes to stderr: by Python, by compiled code and by processes that are started."""
    if sys.stdout:
        sys.stdout.flush()
    kept = None
    with suppress(OSError):  # one of the two is closed, and there is nothing to keep apart
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)
