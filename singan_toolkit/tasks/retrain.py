"""Training scales of a bundle anew, as a plan may ask for, and keeping the new bundle beside it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import gettempdir

from filelock import FileLock

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import BundleError
from singan_toolkit.tasks.task import Retraining
from singan_toolkit.training.bundles import retrain_scale
from singan_toolkit.training.events import Observer, ignore


def retrained(bundle: Bundle, retraining: Retraining, device: str = "auto", observer: Observer = ignore) -> Bundle:
    """The bundle with scales trained anew; taken from beside the bundle's file where it was done before.

    What was made of the bundle as it was before is replaced.

    Args:
        bundle: What was trained. One that has no file is trained anew each time.
        retraining: Which scales, and on what.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Told what happens.

    Raises:
        BundleError: What is beside the bundle is damaged, or was not made so.
        TrainingError: The scale diverged even with ever smaller steps.
        OSError: It cannot be kept beside the bundle.
    """
    if bundle.path is None:
        return retrain_scale(bundle, retraining.scale, retraining.change, retraining.restores, device, observer)
    path = bundle.path.with_suffix(f".{retraining.name}-{retraining.scale}.sgb")
    with _one_at_a_time(path):
        if path.exists():
            kept = Bundle.load(path)
            if kept.manifest.training.parent is None:
                raise BundleError(f"{path} is no bundle made from {bundle.path}, whose name it has: rename it")
            if kept.manifest.training.parent == bundle.manifest.digest:
                return kept
        if not os.access(path.parent, os.W_OK):
            raise OSError(f"cannot keep {path.name} beside {bundle.path}: the folder cannot be written to")
        new = retrain_scale(bundle, retraining.scale, retraining.change, retraining.restores, device, observer)
        new.save(path)
    return new


def _one_at_a_time(path: Path) -> FileLock:
    """What of this machine's processes one alone holds: the others wait for what it makes."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return FileLock(Path(gettempdir()) / f"singan-tk-{name}.lock", mode=0o666)
