"""What a bundle's file says of itself, and whether that can be so: all that is known before its tensors are read."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from itertools import pairwise
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from singan_toolkit.errors import BundleError
from singan_toolkit.pyramid.architecture import LAYERS, MARGIN, PATCH, PICTURE_CHANNELS
from singan_toolkit.pyramid.geometry import Geometry, Size

FORMAT = "singan-toolkit-bundle"
FORMAT_VERSION: Literal[5] = 5
METADATA_KEY = "singan_toolkit"
MAX_HEADER_BYTES = 1 << 20
MAX_BYTES = 1 << 32
MAX_CHANNELS = 1024
MAX_LOSSES = 100
NO_DIGEST = "0" * 64
BYTES = {"U8": 1, "F32": 4}

Pixels = Annotated[int, Field(ge=PATCH, le=65_536)]
Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS)]


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
    enlarging: Literal["smooth", "official"] = "smooth"
    """How the picture of the scale below is brought to this size."""


Curve = Annotated[list[float], Field(min_length=1, max_length=MAX_LOSSES)]


class LossRecord(_Record):
    """The losses of one scale as it was trained: means over equal parts of its iterations, from first to last."""

    discriminator: Curve
    """Mean score of the fake less that of the real picture, without the gradient penalty."""
    generator: Curve
    """Mean score of the fake, negated."""
    reconstruction: Curve
    """Mean square error in the picture's -1..1 range, before its weight."""

    @model_validator(mode="after")
    def _all_are_of_the_same_iterations(self) -> LossRecord:
        if len({len(self.discriminator), len(self.generator), len(self.reconstruction)}) > 1:
            raise ValueError("there are as many values of one loss as of another")
        return self


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
    seconds: Annotated[float, Field(ge=0, le=1e9, exclude=True)] = 0.0
    """How long training took, in files of older versions. Now equal trainings give equal files, and 0 stands here."""
    losses: Annotated[list[LossRecord | None], Field(max_length=256)] = []
    """Of each scale that has a network, coarsest first; none where not known, as in files of older versions."""
    toolkit: str
    torch: str


class Manifest(_Record):
    """All of a bundle that is not a tensor."""

    format: Literal["singan-toolkit-bundle"] = "singan-toolkit-bundle"
    version: Literal[1, 2, 3, 4, 5] = FORMAT_VERSION
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
        return Geometry(tuple(Size(s.height, s.width) for s in self.scales), self.factor, self.patch_scales)

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
    def _official_enlarging_is_between_networks(self) -> Manifest:
        official = [n for n, scale in enumerate(self.scales) if scale.enlarging == "official"]
        if official and self.version < 4:
            raise ValueError("official enlarging came with version 4")
        if official and official[0] <= self.patch_scales:
            raise ValueError("official enlarging is for scales that have a network, above another")
        return self

    @model_validator(mode="after")
    def _losses_are_of_the_networks(self) -> Manifest:
        if self.training.losses and self.version < 5:
            raise ValueError("training.losses came with version 5")
        if self.training.losses and len(self.training.losses) != len(self.scales) - self.patch_scales:
            raise ValueError("training.losses are not of as many scales as have a network")
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
                expected[tensor_name(n, layer, "weight")] = ("F32", (outputs, inputs, 3, 3))
                expected[tensor_name(n, layer, "bias")] = ("F32", (outputs,))
        return expected


def training_record(**fields: Any) -> TrainingRecord:
    """A training record with the versions of this toolkit and of torch filled in."""
    return TrainingRecord(toolkit=version("singan-toolkit"), torch=version("torch"), **fields)


class _Entry(_Record):
    """What the header says of one tensor."""

    dtype: str
    shape: list[int]
    data_offsets: Annotated[list[int], Field(min_length=2, max_length=2)]


def tensor_name(scale: int, layer: int, part: str) -> str:
    return f"scales.{scale}.convolutions.{layer}.{part}"


def read_header(file: BinaryIO, size: int) -> tuple[bytes, Manifest, dict[str, int]]:
    """Read what comes before the tensors, and compare it with itself and with the file's size.

    Args:
        file: A bundle's file, at its beginning; it is left where the tensors begin.
        size: The file's size in bytes.

    Returns:
        The header as it stands there, its manifest, and where among the tensors' bytes each tensor begins.

    Raises:
        BundleError: It is no bundle, is damaged, asks for too much, or was written by a newer format.
    """
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
        raise BundleError("it is not a bundle, or only a part of one")
    header = file.read(length)
    manifest, entries = _parse(header)
    return header, manifest, _starts(manifest, entries, size - 8 - length)


def _parse(header: bytes) -> tuple[Manifest, dict[str, Any]]:
    try:
        entries = _json(header)
        metadata = entries.pop("__metadata__")
        text = metadata[METADATA_KEY]
        said = _json(text)
        found = said["format"], said["version"]
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("safetensors' metadata are texts")
    except BundleError:
        raise
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


def _json(text: bytes | str) -> Any:
    """Read JSON that all readers understand alike: no field twice, no number beyond a float's."""
    return json.loads(text, parse_constant=_number, parse_float=_number, object_pairs_hook=_object)


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise BundleError(f"its header is damaged: it holds {text[:20]}, which is no number")
    return number


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields:
        if name in found:
            raise BundleError(f"its header is damaged: field {_quoted(name)} stands twice")
        found[name] = value
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
    """Where each tensor's bytes begin, after a check that the file holds exactly what the manifest asks for."""
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
