"""Which samples belong to which of many pictures, by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from singan_toolkit.errors import UsageError

_BETWEEN = ("/", "_", "-")


def paired(reals: Mapping[str, Path], samples: Mapping[Path, str]) -> tuple[dict[str, list[Path]], list[Path]]:
    """The samples of each picture.

    Those of a picture ``1`` are in a folder ``1``, or are named ``1``, ``1_...`` or ``1-...``. Where names of several
    pictures fit, the longest counts.

    Args:
        reals: The pictures, by their names without ending.
        samples: By path, their names without ending, with the folders inside the one that was given.

    Returns:
        The samples of each picture by its name, and those that belong to none.

    Raises:
        UsageError: A picture has no samples.
    """
    found: dict[str, list[Path]] = {name: [] for name in reals}
    others = []
    for path, sample in samples.items():
        plain = sample.replace("\\", "/")
        fitting = [name for name in reals if plain == name or plain.startswith(tuple(name + sign for sign in _BETWEEN))]
        if fitting:
            found[max(fitting, key=len)].append(path)
        else:
            others.append(path)
    if missing := [name for name, paths in found.items() if not paths]:
        name = missing[0]
        raise UsageError(
            f"there are no samples of {reals[name]}"
            + (f" nor of {len(missing) - 1} other pictures" if missing[1:] else "")
            + f": name them {name}_1.png and so on, or put them into a folder {name}"
        )
    return found, others


def refuse_itself(real: Path, samples: Sequence[Path]) -> None:
    """See to it that no picture counts as a sample of itself.

    Raises:
        UsageError: One does.
    """
    for sample in samples:
        if sample.exists() and real.exists() and sample.samefile(real):
            raise UsageError(f"{sample} is the real picture itself: leave it out of the samples")
