"""Training as users ask for it: a picture's file, a preset, a task to train for, and plugins that look on."""

from __future__ import annotations

import warnings
from typing import Any

from singan_toolkit.bundle import Bundle
from singan_toolkit.imaging.pictures import read_picture
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.task import Profile
from singan_toolkit.training.events import Event, Observer, ignore
from singan_toolkit.training.presets import DEFAULT_PRESET
from singan_toolkit.training.settings import settings_of
from singan_toolkit.training.train import train_bundle


def train(
    picture: object,
    *,
    preset: str = DEFAULT_PRESET,
    task: str | None = None,
    seed: int = 0,
    device: str = "auto",
    observer: Observer = ignore,
    **settings: Any,
) -> Bundle:
    """Train a pyramid on one picture, as ``singan-tk train`` does.

    Args:
        picture: Path of the picture; or an array, a PIL image or a Picture.
        preset: ``draft``, ``fast`` or ``paper``.
        task: Name of a task whose training profile is laid over the preset.
        seed: The same seed trains the same pyramid, on the same machine with the same versions.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Called with each event of :mod:`singan_toolkit.training.events`.
        settings: Single settings of :class:`singan_toolkit.training.settings.Settings`, laid over both.

    Returns:
        The bundle; its ``save`` writes it.

    Raises:
        PictureError: The picture cannot be read or trained on.
        TaskError: There is no such task.
        UsageError: No such preset or setting, or a value out of range.
        UnavailableError: The device is not here.
        TrainingError: A scale diverged even with ever smaller steps.
    """
    plugins = installed_plugins()
    profile = plugins.task(task).profile if task else Profile()

    def tell(event: Event) -> None:
        observer(event)
        try:
            plugins.manager.hook.singan_training_event(event=event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's observer may raise anything, and training takes hours
            warnings.warn(f"a plugin's singan_training_event raised {type(error).__name__}: {error}", stacklevel=2)

    return train_bundle(
        read_picture(picture),
        settings_of(preset, **{**profile.settings, **settings}),
        preset=preset,
        task=task,
        seed=seed,
        device=device,
        observer=tell,
        undoes=profile.undoes,
    )
