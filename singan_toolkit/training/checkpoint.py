"""What a training that was stopped goes on from: a file of safetensors and JSON, as a bundle is one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Mapping
from copy import copy
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from singan_toolkit.files import write_whole
from singan_toolkit.pyramid import networks
from singan_toolkit.training.events import CheckpointProblem, Event, Progress
from singan_toolkit.training.loop import RETRIES, PyramidTraining
from singan_toolkit.training.scale import copy_all, empty_history

KEY, DIGEST_KEY = "singan_toolkit_checkpoint", "digest"
SECONDS = 30.0
"""Between two checkpoints within a scale."""
MAX_BYTES = 1 << 32
MAX_SAMPLES = 256


class Place(BaseModel):
    """All of a checkpoint that is not a tensor: whose it is, and how far that training has come."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    version: Literal[1] = 1
    job: str
    toolkit: str
    torch: str
    precision: Literal["float32", "bfloat16"]
    amplitudes: list[Annotated[float, Field(ge=0, le=20)]]
    """The deviation of the noise of each network that is done."""
    attempt: Annotated[int, Field(ge=0, le=RETRIES)]
    done: Annotated[int, Field(ge=1)]
    """Steps of the scale in training."""


class Checkpoint:
    """The file that one training is kept in while it goes on, and goes on from when it was stopped.

    What is there but cannot be used is told as an event, left alone at first, and replaced by the next checkpoint.

    Args:
        path: The file; there, perhaps, from a training that was stopped.
        job: A digest of what is trained on and how, but for the precision.
        precision: What was asked for; ``auto`` goes on in what was begun in.

    Attributes:
        place: How far the training has come that is gone on with; None where one begins.
    """

    def __init__(self, path: Path, job: str, precision: str) -> None:
        self.path, self.job = path, job
        self.place: Place | None = None
        self.tensors: dict[str, Tensor] = {}
        self.problem = ""
        self.told = False
        self.written = time.monotonic()
        try:
            place, self.tensors = _read(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except Exception:  # whatever a damaged file does to its readers
            self.problem = "it is no checkpoint, or is damaged"
            return
        if place.job != job or precision not in ("auto", place.precision):
            self.problem = "it is of a training with another picture, task, setting, seed or device"
        elif (place.toolkit, place.torch) != _versions():
            self.problem = f"it was written by version {place.toolkit} with torch {place.torch}"
        else:
            self.place = place

    def resume(self, training: PyramidTraining) -> bool:
        """Bring a training that has not begun to where the checkpoint is, and say whether that could be done."""
        if self.place:
            before, training.below = training.below, copy(training.below)
            try:
                _go_on(training, self.place, self.tensors)
            except ValueError as error:
                training.below, training.current, training.attempt, training.histories = before, None, 0, {}
                self.place, self.problem = None, f"it is damaged: {error}"
        self.tensors = {}
        return self.place is not None

    def events(self, training: PyramidTraining) -> Generator[Event]:
        """The events of a training that has not begun, from where the checkpoint is.

        Checkpoints are written on the way, and one more where the events are closed before they end.
        """
        self.resume(training)
        if self.problem:
            yield CheckpointProblem(
                f"{self.path} is not used: {self.problem}; training starts anew, and will replace it"
            )
        for event in training.events():
            try:
                yield event
            except GeneratorExit:
                self._write(training)
                raise
            if isinstance(event, Progress) and training.current:
                ended = training.current.done == training.current.iterations
                if (ended or time.monotonic() - self.written > SECONDS) and (problem := self._write(training)):
                    yield CheckpointProblem(f"{problem}; training goes on, and could not be resumed")

    def _write(self, training: PyramidTraining) -> str:
        """Write the file if a scale is in training, and say what hinders that, once."""
        if training.current is None:
            return ""
        toolkit, engine = _versions()
        place = Place(
            job=self.job,
            toolkit=toolkit,
            torch=engine,
            precision=str(training.dtype).removeprefix("torch."),  # type: ignore[arg-type]
            amplitudes=[scale.noise_amplitude for scale in training.below.pyramid.networks],
            attempt=training.attempt,
            done=training.current.done,
        )
        tensors, text = _tensors(training), place.model_dump_json()
        try:
            metadata = {KEY: text, DIGEST_KEY: _digest(text, tensors)}
            write_whole(self.path, safetensors.torch.save(tensors, metadata))
        except OSError as error:
            told, self.told = self.told, True
            return "" if told else str(error)
        finally:
            self.written = time.monotonic()
        return ""


def _tensors(training: PyramidTraining) -> dict[str, Tensor]:
    assert training.current
    below, current = training.below, training.current
    named = {f"scale.{name}": value for name, value in current.tensors().items()}
    for n, scale in enumerate(below.pyramid.networks):
        named |= {f"networks.{n}.{name}": value for name, value in scale.generator.state_dict().items()}
    named |= {f"histories.{n}": history for n, history in training.histories.items()}
    named |= {"samples": below.samples, "reconstruction": below.reconstruction, "random": current.random.get_state()}
    return {name: value.detach().cpu().contiguous() for name, value in named.items()}


def _go_on(training: PyramidTraining, place: Place, tensors: Mapping[str, Tensor]) -> None:
    """Be where the training was that the place and the tensors are of.

    Raises:
        ValueError: They are of no such training.
    """
    n = training.patches + len(place.amplitudes)
    if n > training.last or place.done > training.iterations[n]:
        raise ValueError("it has more scales or steps than the training")
    kept = {name: tensors[name] for name in ("samples", "reconstruction", "random") if name in tensors}
    if len(kept) < 3:
        raise ValueError("it does not hold the tensors that it should")
    coarsest, size = (1, 3, *training.geometry.sizes[0]), training.geometry.sizes[max(n - 1, 0)]
    number = len(kept["samples"]) if kept["samples"].ndim else 0
    pools = coarsest, (number, 3, *size)
    if not 1 <= number <= MAX_SAMPLES or tuple(kept["samples"].shape) not in pools:
        raise ValueError("tensor samples is not as it should be")
    if tuple(kept["reconstruction"].shape) != (1, 3, *size):
        raise ValueError("tensor reconstruction is not as it should be")
    if any(
        value.dtype != torch.float32 or not value.isfinite().all()
        for value in (kept["samples"], kept["reconstruction"])
    ):
        raise ValueError("its pictures hold values that are no numbers")
    generators = [
        _generator(training.channels(training.patches + number), _under(f"networks.{number}.", tensors))
        for number in range(len(place.amplitudes))
    ]
    training.below.take(
        [generator.to(training.device) for generator in generators],
        place.amplitudes,
        kept["samples"].to(training.device),
        kept["reconstruction"].to(training.device),
    )
    training.below.restores = training.restores and n > training.changed_from
    training.histories = {scale: empty_history(training.iterations[scale]) for scale in range(training.patches, n)}
    copy_all(_under("histories.", tensors), {str(scale): one for scale, one in training.histories.items()})
    training.attempt = place.attempt
    current = training.beginning(n, training.material(n))
    current.go_on(place.done, _under("scale.", tensors), kept["random"])
    training.current = current


def _generator(channels: int, tensors: Mapping[str, Tensor]) -> networks.Generator:
    generator = networks.Generator(channels, normalize=False)
    copy_all(tensors, generator.state_dict())
    if not all(value.isfinite().all() for value in tensors.values()):
        raise ValueError("its weights hold values that are no numbers")
    return generator.eval().requires_grad_(False)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[Place, dict[str, Tensor]]:
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES)
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    place = Place.model_validate_json(metadata[KEY])
    tensors: dict[str, Tensor] = safetensors.torch.load(content)
    if _digest(metadata[KEY], tensors) != metadata[DIGEST_KEY]:
        raise ValueError("its digest does not match its content")
    return place, tensors


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        hashed.update(f"{name} {tuple(tensors[name].shape)}".encode())
        hashed.update(tensors[name].numpy().tobytes())
    return hashed.hexdigest()


def _versions() -> tuple[str, str]:
    return version("singan-toolkit"), version("torch")
