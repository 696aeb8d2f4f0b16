"""The bundle, ``.sgb``: a trained pyramid as one portable file, safe to open from a stranger.

A bundle is a safetensors file whose metadata hold a manifest; docs/bundle-format.md tells it field by field. Nothing in
it is ever unpickled or run. Opening one needs no torch, only :meth:`Bundle.pyramid` does.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from singan_toolkit.files import write_whole
from singan_toolkit.pyramid.architecture import LAYERS, MARGIN, PATCH, PICTURE_CHANNELS
from singan_toolkit.pyramid.geometry import Geometry

if TYPE_CHECKING:
    from singan_toolkit.pyramid.walk import Pyramid

FORMAT = "singan-toolkit-bundle"
FORMAT_VERSION: Literal[3] = 3
METADATA_KEY = "singan_toolkit"
MAX_HEADER_BYTES = 1 << 20
MAX_BYTES = 1 << 32
MAX_VALUE = 1000.0
"""Of a tensor's values: weights are of about 1 after training, and with 1,024 channels nothing overflows below this."""
NO_DIGEST = "0" * 64
BYTES = {"U8": 1, "F32": 4}

Pixels = Annotated[int, Field(ge=PATCH, le=65_536)]
Channels = Annotated[int, Field(ge=1, le=1024)]


class BundleError(ValueError):
    """A file is not a bundle that can be used; the message names the file and says why."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Architecture(_Record):
    """The networks that the tensors are for. Only one kind exists so far."""

    convolutions: Literal[5] = 5
    kernel: Literal[3] = 3
    slope: Annotated[float, Field(ge=0.2, le=0.2)] = 0.2
    picture_channels: Literal[3] = 3
    noise_padding: Literal["zeros", "noise"] = "zeros"
    """What continues the noise over the picture's sides."""
    picture_padding: Literal["zeros", "reflect"] = "zeros"
    """What continues the picture over its sides, and the noise that shares them, at every scale above 0."""


class ScaleRecord(_Record):
    """One scale: its size in pixels, the width of its convolutions and the deviation sigma_n of its noise."""

    height: Pixels
    width: Pixels
    channels: Channels | None
    """None where the scale has no network and rebuilds pictures from patches of the training picture."""
    noise_amplitude: Annotated[float, Field(ge=0, le=20)]


class TrainingRecord(_Record):
    """How the pyramid was trained."""

    picture: str
    """Name of the picture's file."""
    preset: str
    settings: dict[str, JsonValue]
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
    task: str | None = None
    """The task whose training profile was used, if any."""
    parent: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Digest of the bundle that one scale was trained anew of, if any."""
    seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    toolkit: str
    torch: str


class Manifest(_Record):
    """All of a bundle that is not a tensor."""

    format: Literal["singan-toolkit-bundle"] = "singan-toolkit-bundle"
    version: Literal[1, 2, 3] = FORMAT_VERSION
    architecture: Architecture = Architecture()
    factor: Annotated[float, Field(ge=1, le=16)]
    scales: Annotated[list[ScaleRecord], Field(min_length=1, max_length=256)]
    training: TrainingRecord
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = NO_DIGEST

    @property
    def patch_scales(self) -> int:
        """How many scales, the coarsest, have no network."""
        return sum(scale.channels is None for scale in self.scales)

    @property
    def geometry(self) -> Geometry:
        """Sizes of the scales."""
        return Geometry(tuple((s.height, s.width) for s in self.scales), self.factor, self.patch_scales)

    @model_validator(mode="after")
    def _patches_are_coarsest(self) -> Manifest:
        if self.patch_scales and self.version < 3:
            raise ValueError("scales without channels came with version 3")
        networks = self.scales[self.patch_scales :]
        if not networks:
            raise ValueError("no scale has channels")
        if any(scale.channels is None for scale in networks):
            raise ValueError("a scale without channels lies above one with them")
        return self

    @model_validator(mode="after")
    def _sizes_grow_by_the_factor(self) -> Manifest:
        sizes = self.geometry.sizes
        if any(small > large for pair in pairwise(sizes) for small, large in zip(*pair, strict=True)):
            raise ValueError("a scale is smaller than the one below it")
        for n, size in enumerate(reversed(sizes[self.patch_scales :])):
            if any(abs(side - whole / self.factor**n) > 1.01 for side, whole in zip(size, sizes[-1], strict=True)):
                raise ValueError("the sizes of the scales do not follow from the factor")
        return self

    @model_validator(mode="after")
    def _version_1_pads_with_zeros(self) -> Manifest:
        if self.version == 1 and self.architecture.picture_padding != "zeros":
            raise ValueError("architecture.picture_padding came with version 2")
        return self

    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name, safetensors type and shape of every tensor that the bundle must hold."""
        finest, coarsest = self.scales[-1], self.scales[0]
        margin = MARGIN if self.architecture.noise_padding == "noise" else 0
        expected: dict[str, tuple[str, tuple[int, ...]]] = {
            "picture": ("U8", (finest.height, finest.width, PICTURE_CHANNELS)),
            "z_star": ("F32", (1, 1, coarsest.height + 2 * margin, coarsest.width + 2 * margin)),
        }
        for n, scale in enumerate(self.scales):
            if scale.channels is None:
                continue
            widths = [PICTURE_CHANNELS, *[scale.channels] * (LAYERS - 1), PICTURE_CHANNELS]
            for layer, (inputs, outputs) in enumerate(pairwise(widths)):
                expected[_name(n, layer, "weight")] = ("F32", (outputs, inputs, 3, 3))
                expected[_name(n, layer, "bias")] = ("F32", (outputs,))
        return expected


class _Entry(_Record):
    """What the header says of one tensor."""

    dtype: str
    shape: list[int]
    data_offsets: Annotated[list[int], Field(min_length=2, max_length=2)]


def _name(scale: int, layer: int, part: str) -> str:
    return f"scales.{scale}.convolutions.{layer}.{part}"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained pyramid with its training picture and everything said about it.

    Attributes:
        manifest: What is not a tensor.
        tensors: Arrays by name; see :meth:`Manifest.tensors`.
        name: Name of the file without its ending, for naming results.
        path: The file that it was loaded from; None where it was not.
    """

    manifest: Manifest
    tensors: Mapping[str, np.ndarray]
    name: str = "bundle"
    path: Path | None = None

    @property
    def geometry(self) -> Geometry:
        """Sizes of the scales."""
        return self.manifest.geometry

    @property
    def picture(self) -> np.ndarray:
        """The training picture at the size it was trained at: (H, W, 3), uint8."""
        return self.tensors["picture"]

    @cached_property
    def _pyramid(self) -> Pyramid:
        import torch

        from singan_toolkit.imaging.tensors import to_tensor
        from singan_toolkit.pyramid.networks import Generator
        from singan_toolkit.pyramid.patch_scale import PatchScale, patch_scales
        from singan_toolkit.pyramid.walk import Pyramid, Scale

        geometry, patches = self.geometry, self.manifest.patch_scales
        scales: list[Scale | PatchScale] = [
            *patch_scales(to_tensor(self.picture), geometry.sizes[:patches], self.manifest.scales[0].noise_amplitude)
        ]
        for n, record in enumerate(self.manifest.scales[patches:], start=patches):
            assert record.channels is not None
            generator = Generator(record.channels, normalize=False)
            parameters = iter(list(generator.parameters()))
            with torch.no_grad():
                for layer in range(LAYERS):
                    for part in ("weight", "bias"):
                        next(parameters).copy_(torch.from_numpy(self.tensors[_name(n, layer, part)]))
            reflect = n > 0 and self.manifest.architecture.picture_padding == "reflect"
            scales.append(Scale(generator.eval().requires_grad_(False), record.noise_amplitude, reflect, n == 0))
        return Pyramid(geometry, tuple(scales), torch.from_numpy(self.tensors["z_star"]))

    def pyramid(self, device: str = "auto") -> Pyramid:
        """The pyramid, ready to walk.

        Args:
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

        Raises:
            ValueError: The device is not here.
        """
        from singan_toolkit.pyramid.device import pick_device

        return self._pyramid.to(pick_device(device))

    @classmethod
    def of_pyramid(
        cls, pyramid: Pyramid, picture: np.ndarray, training: TrainingRecord, name: str = "bundle"
    ) -> Bundle:
        """Bundle a trained pyramid with its training picture.

        Args:
            pyramid: On any device.
            picture: (H, W, 3), uint8, of the finest scale's size.
            training: How it was trained.
            name: For naming results.
        """
        from singan_toolkit.pyramid.patch_scale import PatchScale

        tensors = {"picture": np.ascontiguousarray(picture), "z_star": pyramid.z_star.cpu().numpy()}
        records = []
        for n, (scale, (height, width)) in enumerate(zip(pyramid.scales, pyramid.geometry.sizes, strict=True)):
            if isinstance(scale, PatchScale):
                records.append(
                    ScaleRecord(height=height, width=width, channels=None, noise_amplitude=scale.noise_amplitude)
                )
                continue
            parameters = [np.ascontiguousarray(p.detach().cpu().numpy()) for p in scale.generator.parameters()]
            for layer in range(LAYERS):
                tensors[_name(n, layer, "weight")], tensors[_name(n, layer, "bias")] = parameters[
                    2 * layer : 2 * layer + 2
                ]
            channels = parameters[0].shape[0]
            records.append(
                ScaleRecord(height=height, width=width, channels=channels, noise_amplitude=scale.noise_amplitude)
            )
        architecture = Architecture(
            noise_padding="noise" if pyramid.noise_margin else "zeros",
            picture_padding="reflect" if pyramid.networks[-1].reflect else "zeros",
        )
        manifest = Manifest(
            architecture=architecture, factor=pyramid.geometry.factor, scales=records, training=training
        )
        return cls(manifest, tensors, name)

    def run(self, task: str, /, **options: Any) -> list[np.ndarray]:
        """Run an installed task, and give back its pictures as arrays: :func:`singan_toolkit.run` without the rest.

        Args:
            task: Name of the task.
            options: As of :func:`singan_toolkit.run`: ``scale``, ``seed``, ``device`` and the task's own.

        Returns:
            (H, W, C) of each picture, uint8 or uint16; (T, H, W, 3), uint8, of a clip.
        """
        from singan_toolkit.tasks.runner import run

        return run(self, task, **options).arrays

    def save(self, path: Path | str) -> None:
        """Write the bundle, whole or not at all.

        Raises:
            OSError: It cannot be written there; what stood there is untouched.
        """
        content = partial(_content, self.tensors, self.manifest.model_copy(update={"version": FORMAT_VERSION}))
        write_whole(Path(path), content(hashlib.sha256(content(NO_DIGEST)).hexdigest()))

    @classmethod
    def load(cls, path: Path | str) -> Bundle:
        """Open a bundle. Nothing is allocated on the file's word before the manifest, the sizes and the digest agree.

        Raises:
            BundleError: The file is missing, is no bundle, is damaged, or was written by a newer format.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                file_size = path.stat().st_size
                header = _read_header(file, file_size)
                manifest, entries = _parse(header)
                starts = _starts(manifest, entries, file_size - 8 - len(header))
                content = bytearray(file_size - 8 - len(header))
                file.readinto(content)
            hashed = hashlib.sha256(len(header).to_bytes(8, "little"))
            hashed.update(_with_digest(header, manifest.digest, NO_DIGEST))
            hashed.update(content)
            if hashed.hexdigest() != manifest.digest:
                raise BundleError("it is damaged: its digest does not match its content")
            return cls(manifest, _tensors(content, manifest, starts), path.stem, path)
        except OSError as error:
            raise BundleError(f"cannot open bundle {path}: {error.strerror or error}") from error
        except BundleError as error:
            raise BundleError(f"cannot use bundle {path}: {error}") from error


def training_record(**fields: Any) -> TrainingRecord:
    """A training record with the versions of this toolkit and of torch filled in."""
    return TrainingRecord(toolkit=version("singan-toolkit"), torch=version("torch"), **fields)


def _content(tensors: Mapping[str, np.ndarray], manifest: Manifest, digest: str) -> bytes:
    """A whole file."""
    text = manifest.model_copy(update={"digest": digest}).model_dump_json()
    content: bytes = safetensors.numpy.save(dict(tensors), {METADATA_KEY: text})
    return content


def _read_header(file: Any, file_size: int) -> bytes:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(file_size - 8, MAX_HEADER_BYTES):
        raise BundleError("it is not a bundle, or only a part of one")
    header: bytes = file.read(length)
    return header


def _parse(header: bytes) -> tuple[Manifest, dict[str, Any]]:
    try:
        entries = _json(header)
        metadata = entries.pop("__metadata__")
        text = metadata[METADATA_KEY]
        said = _json(text)
        found = said["format"], said["version"]
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("safetensors' metadata are texts")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BundleError("it is not a bundle, or its header is damaged") from None
    if found[0] == FORMAT and isinstance(found[1], int) and found[1] > FORMAT_VERSION:
        raise BundleError(
            f"it has format version {found[1]}, and this toolkit reads up to {FORMAT_VERSION}: upgrade singan-toolkit"
        )
    try:
        return Manifest.model_validate_json(text), entries
    except (ValidationError, RecursionError) as error:
        raise BundleError(f"its manifest is not valid: {_first(error)}") from None


def _with_digest(header: bytes, old: str, new: str) -> bytes:
    """The header with another digest in the manifest, which stands in it as escaped JSON."""
    return re.sub(rb'(\\"digest\\"\s*:\s*\\")' + old.encode(), rb"\g<1>" + new.encode(), header, count=1)


def _json(text: bytes | str) -> Any:
    """Read JSON that all readers understand alike: no field twice, no number beyond a float's."""
    return json.loads(text, parse_constant=_number, parse_float=_number, object_pairs_hook=_object)


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(fields)) < len(fields):
        raise ValueError("a field stands twice")
    return found


def _quoted(value: object) -> str:
    """A stranger's text, short and without terminal escapes."""
    return ascii(value)[:80]


def _first(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    problem = error.errors()[0]
    if not problem["loc"]:
        return problem["msg"].removeprefix("Value error, ")
    return f"{_quoted('.'.join(str(part) for part in problem['loc']))}: {problem['msg']}"


def _starts(manifest: Manifest, entries: dict[str, Any], data_bytes: int) -> dict[str, int]:
    """Where each tensor's bytes begin, once what the file says it holds is what the manifest asks for."""
    expected = manifest.tensors()
    if surplus := entries.keys() - expected.keys():
        raise BundleError(f"it holds a tensor that does not belong there: {_quoted(min(surplus))}")
    total, starts = 0, {}
    for name, (dtype, shape) in expected.items():
        if name not in entries:
            raise BundleError(f"tensor {name} is missing")
        try:
            entry = _Entry.model_validate(entries[name])
        except ValidationError as error:
            raise BundleError(f"tensor {name} is not described as it should be: {_first(error)}") from None
        if entry.dtype != dtype or entry.shape != list(shape):
            raise BundleError(
                f"tensor {name} is {_quoted(entry.dtype)} {_quoted(entry.shape)}, and should be {dtype} {list(shape)}"
            )
        starts[name], size = entry.data_offsets[0], BYTES[dtype] * math.prod(shape)
        if entry.data_offsets[1] != starts[name] + size:
            raise BundleError(f"tensor {name} has {size} bytes, and its place is not that long")
        total += size
    if total != data_bytes:
        raise BundleError(
            f"it holds {data_bytes} bytes of tensors, and should hold {total}: it was cut short or added to"
        )
    if total > MAX_BYTES:
        raise BundleError(f"it holds {total} bytes of tensors, and at most {MAX_BYTES} are allowed")
    end = 0
    for name in sorted(starts, key=starts.__getitem__):
        if starts[name] != end:
            raise BundleError(f"tensor {name} does not lie right after the one before it")
        end += BYTES[expected[name][0]] * math.prod(expected[name][1])
    return starts


def _tensors(content: bytearray, manifest: Manifest, starts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The tensors, which share the memory of the bytes that were read."""
    tensors = {}
    for name, (dtype, shape) in manifest.tensors().items():
        values = np.frombuffer(content, {"U8": "u1", "F32": "<f4"}[dtype], math.prod(shape), starts[name])
        if dtype == "F32":
            largest = np.abs(values).max()
            if not np.isfinite(largest):
                raise BundleError(f"tensor {name} holds values that are no numbers")
            if largest > MAX_VALUE:
                raise BundleError(
                    f"tensor {name} holds values up to {largest:.3g}, and none that paints exceeds {MAX_VALUE:g}"
                )
        tensors[name] = values.reshape(shape)
    return tensors
