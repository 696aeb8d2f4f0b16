"""What was asked for, as values: they can be compared, written down as JSON and carried out anywhere."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import click
from pydantic import BaseModel, ConfigDict, JsonValue

from singan_toolkit.bundle import Bundle
from singan_toolkit.errors import Failed, failure
from singan_toolkit.imaging.origin import MAX_BYTES
from singan_toolkit.imaging.pictures import Picture, read_picture
from singan_toolkit.tasks.manager import installed_plugins
from singan_toolkit.tasks.options import complete_options
from singan_toolkit.tasks.task import Output, Profile, Result
from singan_toolkit.training.events import Event, Observer, ignore
from singan_toolkit.training.presets import DEFAULT_PRESET
from singan_toolkit.training.settings import Settings, settings_of


def digest_of(path: Path) -> str:
    """SHA-256 over what a file holds, in hexadecimal.

    Raises:
        OSError: It cannot be read, or is no ordinary file: a pipe could not be read twice.
    """
    if not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Job(BaseModel, ABC):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that it reads."""

    @property
    def digest(self) -> str:
        """SHA-256 over all that was asked for, the names of the files and what they hold; not over where they lie.

        Raises:
            OSError: A file cannot be read.
        """
        return self.digest_over([digest_of(path) for path in self.files])

    def digest_over(self, contents: Sequence[str]) -> str:
        """As ``digest``, where the digest of each of the files is known."""
        names = {str(path): path.name for path in self.files}
        asked = _replaced(self.model_dump(mode="json"), names)
        return hashlib.sha256(json.dumps([type(self).__name__, asked, contents], sort_keys=True).encode()).hexdigest()

    def absolute(self) -> Self:
        """The same job with its files' paths from the root on, for another process or machine that shares the disk."""
        paths = {str(path): str(path.absolute()) for path in self.files}
        return self.model_validate(_replaced(self.model_dump(mode="json"), paths))


class TrainingJob(_Job):
    """Train a pyramid on a picture.

    Attributes:
        picture: The picture's file; of a picture in memory its name.
        preset: Name of the preset that the settings came from.
        task: Name of the task whose training profile they hold, if any.
        seed: The seed of everything random.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        settings: All of them.
    """

    picture: Path
    preset: str
    task: str | None
    seed: int
    device: str
    settings: Settings

    @classmethod
    def of(
        cls,
        picture: Path | str,
        *,
        preset: str = DEFAULT_PRESET,
        task: str | None = None,
        seed: int = 0,
        device: str = "auto",
        **settings: Any,
    ) -> TrainingJob:
        """Complete what was asked for: the task's profile is laid over the preset, and single settings over both.

        Raises:
            UsageError: There is no such task, preset or setting, or a value is out of range.
        """
        profile = installed_plugins().task(task).profile if task else Profile()
        merged = settings_of(preset, **{**profile.settings, **settings})
        return cls(picture=Path(picture), preset=preset, task=task, seed=seed, device=device, settings=merged)

    @property
    def files(self) -> Sequence[Path]:
        """The picture."""
        return (self.picture,)

    def settled(self) -> Self:
        """The same job with what ``auto`` means on this machine, for its device and for its precision.

        Raises:
            UnavailableError: The device is not here.
        """
        from singan_toolkit.pyramid.device import pick_device
        from singan_toolkit.training.precision import settled

        device = pick_device(self.device)
        return self.model_copy(update=dict(device=str(device), settings=settled(self.settings, device)))

    def run(
        self,
        observer: Observer = ignore,
        picture: Picture | None = None,
        checkpoint: Path | None = None,
        partial: bool = False,
    ) -> Bundle:
        """Train.

        Args:
            observer: Called with each event of the training.
            picture: What to train on, instead of what the file holds.
            checkpoint: As of ``train``.
            partial: Train no more, and bundle the scales that are done in the checkpoint.

        Raises:
            ToolkitError: The picture cannot be trained on, the device is not here, or a scale diverged.
        """
        from singan_toolkit.training.bundles import train_bundle

        plugins = installed_plugins()

        def tell(event: Event) -> None:
            observer(event)
            try:
                plugins.manager.hook.singan_training_event(event=event)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a stranger's observer may raise anything, and training takes hours
                warnings.warn(f"a plugin's singan_training_event raised {type(error).__name__}: {error}", stacklevel=2)

        return train_bundle(
            picture or read_picture(self.picture),
            self.settings,
            preset=self.preset,
            task=self.task,
            seed=self.seed,
            device=self.device,
            observer=tell,
            undoes=plugins.task(self.task).profile.undoes if self.task else None,
            checkpoint=checkpoint,
            partial=partial,
        )


class RunJob(_Job):
    """Run a task on a bundle.

    Attributes:
        bundle: The bundle's file.
        task: Name of the task.
        scale: The injection scale, ``auto``, ``all``, or None for the task's default.
        seed: The seed of the noise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        options: All of the task's own.
    """

    bundle: Path
    task: str
    scale: int | str | None
    seed: int
    device: str
    options: dict[str, JsonValue]

    @classmethod
    def of(
        cls,
        bundle: Path | str,
        task: str,
        /,
        *,
        scale: int | str | None = None,
        seed: int = 0,
        device: str = "auto",
        **options: Any,
    ) -> RunJob:
        """Complete what was asked for with the defaults of the task's options.

        Raises:
            TaskError: There is no such task or option, or a value is wrong.
        """
        complete = complete_options(installed_plugins().task(task), options)
        jsonable = {name: _jsonable(value) for name, value in complete.items()}
        return cls(bundle=Path(bundle), task=task, scale=scale, seed=seed, device=device, options=jsonable)

    @property
    def files(self) -> Sequence[Path]:
        """The bundle, and the files among the options."""
        options = installed_plugins().task(self.task).options
        values = [self.options[str(option.name)] for option in options if isinstance(option.type, click.Path)]
        listed = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return (self.bundle, *(Path(one) for one in listed if isinstance(one, str)))

    def run(self, observer: Observer = ignore) -> Output:
        """Run the task.

        Args:
            observer: Told what happens where the task has a scale trained anew.

        Raises:
            ToolkitError: The bundle or a picture cannot be used, the options do not fit together, or the device is not
                here.
        """
        from singan_toolkit.tasks.runner import run

        how = dict(scale=self.scale, seed=self.seed, device=self.device, observer=observer)
        output = run(Bundle.load(self.bundle), self.task, **how, **self.options)  # type: ignore[arg-type]
        origin = self.origin
        return replace(output, results=[_marked(result, origin) for result in output.results])

    @property
    def origin(self) -> str:
        """What results say of how they were made, as JSON in ASCII: the names of files and no paths, and their digests.

        Empty where that is more than a picture's file should hold.
        """
        names = {str(path): path.name for path in self.files}
        files = [{"name": path.name, "sha256": _digest_or_none(path)} for path in self.files]
        asked = _replaced(self.model_dump(mode="json"), names)
        text = json.dumps({"toolkit": version("singan-toolkit"), **asked, "files": files}, sort_keys=True)
        return text if len(text) <= MAX_BYTES else ""


@dataclass(frozen=True)
class Done:
    """What a job gave.

    Attributes:
        result: The bundle of a training, the output of a task.
        seconds: How long it took.
    """

    result: Bundle | Output
    seconds: float


def carry_out(job: TrainingJob | RunJob, observer: Observer = ignore, checkpoint: Path | None = None) -> Done | Failed:
    """Do what a job asks for. Nothing is written but a training's checkpoint, and nothing raised but what ends all."""
    started = time.monotonic()
    try:
        result = job.run(observer, checkpoint=checkpoint) if isinstance(job, TrainingJob) else job.run(observer)
        return Done(result, time.monotonic() - started)
    except SystemExit as end:
        return Failed("defect", f"a plugin ended the program: {end.code}")
    except Exception as error:
        return failure(error)


def train(
    picture: object,
    *,
    preset: str = DEFAULT_PRESET,
    task: str | None = None,
    seed: int = 0,
    device: str = "auto",
    observer: Observer = ignore,
    checkpoint: Path | str | None = None,
    **settings: Any,
) -> Bundle:
    """Train a pyramid on one picture, as ``singan-tk train`` does.

    Args:
        picture: Path of the picture; or an array, a PIL image or a Picture.
        preset: ``draft``, ``fast`` or ``paper``.
        task: Name of a task whose training profile is laid over the preset.
        seed: The same seed trains the same pyramid, on the same machine with the same versions.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        observer: Called with each event of ``singan_toolkit.training.events``. What it raises stops the training.
        checkpoint: A file to keep the training in while it goes on, every half minute, at the end of every scale and
            where the observer stops it. If it holds a training that was stopped and that was asked for in the same way,
            that is gone on with, to the same bundle. When the bundle is saved the file is of no more use.
        settings: Single settings of ``singan_toolkit.training.settings.Settings``, laid over both.

    Returns:
        The bundle; its ``save`` writes it.

    Raises:
        PictureError: The picture cannot be read or trained on.
        TaskError: There is no such task.
        UsageError: No such preset or setting, or a value out of range.
        UnavailableError: The device is not here.
        TrainingError: A scale diverged even with ever smaller steps.
    """
    read = read_picture(picture)
    job = TrainingJob.of(read.name, preset=preset, task=task, seed=seed, device=device, **settings)
    return job.run(observer, read, Path(checkpoint) if checkpoint else None)


def _digest_or_none(path: Path) -> str | None:
    try:
        return digest_of(path)
    except OSError:  # a pipe, which was read and is empty now
        return None


def _marked(result: Result, origin: str) -> Result:
    picture = result.picture
    if not isinstance(picture, Picture) or not origin:
        return result
    return replace(result, picture=replace(picture, tags=replace(picture.tags, origin=origin)))


def _jsonable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_jsonable(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _replaced(value: Any, names: dict[str, str]) -> Any:
    """JSON with some of its texts replaced."""
    if isinstance(value, dict):
        return {key: _replaced(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value
