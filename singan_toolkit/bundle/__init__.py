"""The bundle, ``.sgb``: a trained pyramid as one portable file, safe to open from a stranger.

A bundle is a safetensors file whose metadata hold a manifest; docs/bundle-format.md tells it field by field. Nothing in
it is ever unpickled or run. Opening one needs no torch, only ``Bundle.pyramid`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import singan_toolkit
from singan_toolkit.bundle.file import read_file, write_file
from singan_toolkit.bundle.manifest import Manifest, TrainingRecord
from singan_toolkit.pyramid.geometry import Geometry

if TYPE_CHECKING:
    from singan_toolkit.pyramid.walk import Pyramid


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained pyramid with its training picture and everything said about it.

    Attributes:
        manifest: What is not a tensor.
        tensors: Arrays by name; see ``Manifest.tensors``.
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

    @property
    def z_star(self) -> np.ndarray:
        """The reconstruction noise: (1, 1, h, w), float32; see ``Pyramid.z_star``."""
        return self.tensors["z_star"]

    @cached_property
    def _pyramid(self) -> Pyramid:
        from singan_toolkit.bundle.networks import pyramid_of

        return pyramid_of(self.manifest, self.tensors)

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
        from singan_toolkit.bundle.networks import parts_of

        return cls(*parts_of(pyramid, picture, training), name)

    def run(self, task: str, /, **options: Any) -> list[np.ndarray]:
        """Run an installed task, and give back its pictures as arrays: ``singan_toolkit.run`` without the rest.

        Args:
            task: Name of the task.
            options: Those of ``singan_toolkit.run``: ``scale``, ``seed``, ``device`` and the task's own.

        Returns:
            (H, W, C) of each picture, uint8 or uint16; (T, H, W, 3), uint8, of a clip.
        """
        return singan_toolkit.run(self, task, **options).arrays  # found by name: no room below the runner imports it

    def save(self, path: Path | str) -> None:
        """Write the bundle, whole or not at all.

        Raises:
            OSError: It cannot be written there; what stood there is untouched.
        """
        write_file(Path(path), self.manifest, self.tensors)

    def _repr_html_(self) -> str:
        """What a notebook shows: the training picture, and what the bundle is."""
        from base64 import b64encode
        from html import escape

        from singan_toolkit.imaging.pictures import Picture, encode_picture

        training, sizes = self.manifest.training, self.geometry.sizes
        shown = b64encode(encode_picture(Picture(self.picture), ".png")).decode()
        scales = ", ".join(f"{width}x{height}" for height, width in sizes)
        told = f"{self.name}: trained on {training.picture} with preset {training.preset}; scales {scales}"
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{shown}" alt="" style="max-width:320px">'
            f"<figcaption>{escape(told)}</figcaption></figure>"
        )

    @classmethod
    def load(cls, path: Path | str) -> Bundle:
        """Open a bundle. Nothing is allocated on the file's word before the manifest, the sizes and the digest agree.

        Raises:
            BundleError: The file is missing, is no bundle, is damaged, or was written by a newer format.
        """
        path = Path(path)
        return cls(*read_file(path), path.stem, path)
