"""Words that users spell nearly right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not known: ``: did you mean NAME?``, or nothing if none is near.

    Args:
        word: What was given, in whatever case.
        known: The names that there are.
    """
    names = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), names, 1)
    return f": did you mean {names[near[0]]}?" if near else ""
