"""The bundle, ``.sgb``: a trained pyramid as one portable file, safe to open from a stranger.

A bundle is a safetensors file whose metadata hold a manifest; docs/bundle-format.md tells it field by field. Nothing in
it is ever unpickled or run. Opening one needs no torch, only :meth:`Bundle.pyramid` does.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from singan_toolkit.errors import BundleError
from singan_toolkit.files import write_whole
from singan_toolkit.manifest import (
    FORMAT_VERSION,
    METADATA_KEY,
    NO_DIGEST,
    Architecture,
    Manifest,
    ScaleRecord,
    TrainingRecord,
    read_header,
    tensor_name,
)
from singan_toolkit.pyramid.architecture import LAYERS
from singan_toolkit.pyramid.geometry import Geometry

if TYPE_CHECKING:
    from singan_toolkit.pyramid.walk import Pyramid

MAX_VALUE = 1000.0
"""Of a tensor's values: weights are of about 1 after training, and with 1,024 channels nothing overflows below this."""


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
                        next(parameters).copy_(torch.from_numpy(self.tensors[tensor_name(n, layer, part)]))
            reflect = n > 0 and self.manifest.architecture.picture_padding == "reflect"
            scales.append(Scale(generator.eval().requires_grad_(False), record.noise_amplitude, reflect, n == 0))
        return Pyramid(geometry, tuple(scales), torch.from_numpy(self.tensors["z_star"]))

    def pyramid(self, device: str = "auto") -> Pyramid:
        """The pyramid, ready to walk.

        Args:
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

        Raises:
            UnavailableError: The device is not here.
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
                tensors[tensor_name(n, layer, "weight")], tensors[tensor_name(n, layer, "bias")] = parameters[
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
                header, manifest, starts = read_header(file, file_size)
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


def _with_digest(header: bytes, old: str, new: str) -> bytes:
    """The header with another digest in the manifest, which stands in it as escaped JSON."""
    return re.sub(rb'(\\"digest\\"\s*:\s*\\")' + old.encode(), rb"\g<1>" + new.encode(), header, count=1)


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
                    f"tensor {name} holds values up to {largest:.3g}, and training gives none beyond {MAX_VALUE:g}"
                )
        tensors[name] = values.reshape(shape)
    return tensors
