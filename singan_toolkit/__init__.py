"""SinGAN Toolkit: train a pyramid of tiny GANs on one picture, keep it as one file, and make new pictures with it.

    import singan_toolkit as st

    bundle = st.train("photo.jpg", preset="draft")
    bundle.save("photo.sgb")
    output = st.run(st.load("photo.sgb"), "generate", count=4, seed=7)

Everything is imported at first use, so that importing the package, and writing a plugin against it, costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from singan_toolkit.bundle import Bundle
    from singan_toolkit.errors import (
        BundleError,
        InputError,
        PictureError,
        TaskError,
        ToolkitError,
        TrainingError,
        UnavailableError,
        UsageError,
    )
    from singan_toolkit.evaluation.evaluate import evaluate
    from singan_toolkit.imaging.pictures import Picture
    from singan_toolkit.jobs import train
    from singan_toolkit.tasks.fields import Angle, Extent, MaskFile, Mirror, PaintedFile, PictureFile, Position
    from singan_toolkit.tasks.hooks import CONTRACT, hookimpl
    from singan_toolkit.tasks.injection import Change, Edge, Injected
    from singan_toolkit.tasks.runner import run
    from singan_toolkit.tasks.system import System
    from singan_toolkit.tasks.task import Candidates, Injection, Output, Plan, Profile, Result, Retraining, Task

    load = Bundle.load

__all__ = [
    "CONTRACT",
    "Angle",
    "Bundle",
    "BundleError",
    "Candidates",
    "Change",
    "Edge",
    "Extent",
    "Injected",
    "Injection",
    "InputError",
    "MaskFile",
    "Mirror",
    "Output",
    "PaintedFile",
    "Picture",
    "PictureError",
    "PictureFile",
    "Plan",
    "Position",
    "Profile",
    "Result",
    "Retraining",
    "System",
    "Task",
    "TaskError",
    "ToolkitError",
    "TrainingError",
    "UnavailableError",
    "UsageError",
    "evaluate",
    "hookimpl",
    "load",
    "run",
    "train",
]

_ROOMS = {
    "bundle": ("Bundle",),
    "errors": (
        *("BundleError", "InputError", "PictureError", "TaskError"),
        *("ToolkitError", "TrainingError", "UnavailableError", "UsageError"),
    ),
    "evaluation.evaluate": ("evaluate",),
    "imaging.pictures": ("Picture",),
    "jobs": ("train",),
    "tasks.fields": ("Angle", "Extent", "MaskFile", "Mirror", "PaintedFile", "PictureFile", "Position"),
    "tasks.hooks": ("CONTRACT", "hookimpl"),
    "tasks.injection": ("Change", "Edge", "Injected"),
    "tasks.runner": ("run",),
    "tasks.system": ("System",),
    "tasks.task": ("Candidates", "Injection", "Output", "Plan", "Profile", "Result", "Retraining", "Task"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "load":
        return __getattr__("Bundle").load
    if name in _ROOM_OF:
        return getattr(import_module(f"singan_toolkit.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
