"""A task's picture on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from singan_toolkit.batch.results import sheet_of
from singan_toolkit.errors import UsageError
from singan_toolkit.imaging.pictures import encode_picture
from singan_toolkit.imaging.video import Clip
from singan_toolkit.tasks.task import Result


def write_to_stdout(results: Sequence[Result], as_sheet: bool) -> None:
    """Write one picture, or a sheet of them, to stdout as PNG.

    Raises:
        UsageError: There are several, or they are clips.
    """
    result = sheet_of(results) if as_sheet else results[0]
    if (len(results) > 1 and not as_sheet) or isinstance(result.picture, Clip):
        raise UsageError("one picture at a time can be written to stdout: give a folder, or --sheet")
    sys.stdout.buffer.write(encode_picture(result.picture, ".png"))
