"""What can go wrong, and through whom: every error knows its kind, and the exit status of a command that it ends."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

Kind = Literal["usage", "input", "environment", "defect"]
"""What has to change before the same can be tried again: what was asked for, a file, the machine, or a program."""
_NO_MEMORY = re.compile("out of memory|allocate memory|bad_alloc")
"""In what torch raises where there is too little, which on the CPU is no error of a kind of its own."""


class ToolkitError(Exception):
    """Base of the errors that are told in one sentence, without a traceback.

    Attributes:
        kind: Through whom it arose.
        exit_status: The exit status of a command that it ends.
    """

    kind: ClassVar[Kind] = "defect"
    exit_status: ClassVar[int] = 1


class UsageError(ToolkitError, ValueError):
    """What was asked for cannot be; the message says why and what to change."""

    kind = "usage"
    exit_status = 2


class TaskError(UsageError):
    """A task cannot do what was asked; the message says why and what to change."""


class InputError(ToolkitError, ValueError):
    """What was given cannot be worked on; the message says what is wrong with it."""

    kind: ClassVar[Kind] = "input"


class PictureError(InputError):
    """A file is not a picture that can be used, or cannot be written; the message names it and says why."""


class PictureNotWrittenError(PictureError):
    """A picture or clip cannot be written for want of room, rights or an encoder; the message names the file."""

    kind = "environment"


class BundleError(InputError):
    """A file is not a bundle that can be used; the message names the file and says why."""


class PluginError(ToolkitError, ValueError):
    """A plugin gives back what it should not; the message names it and says what."""


class TrainingError(ToolkitError, RuntimeError):
    """Training cannot go on; the message says why and what to change."""

    kind = "input"


class UnavailableError(ToolkitError, ValueError):
    """This machine lacks what is needed, a device say or memory; the message says what."""

    kind = "environment"


@dataclass(frozen=True)
class Failed:
    """Why something could not be done: through whom, and one sentence that says what is wrong."""

    kind: Kind
    sentence: str


def failure(error: Exception) -> Failed:
    """What an error comes to. One that is not told in a sentence is a defect, numpy's and torch's included."""
    sentence = str(error) or type(error).__name__
    if isinstance(error, ToolkitError):
        return Failed(error.kind, sentence)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(sentence)):
        return Failed("environment", "memory does not suffice: use fewer jobs at a time, or a smaller picture")
    if isinstance(error, OSError):
        named = error.filename is not None and error.strerror
        return Failed(
            "environment", f"cannot use {os.fsdecode(error.filename)}: {error.strerror}" if named else sentence
        )
    return Failed("defect", f"unexpected {type(error).__name__}: {sentence}")
