"""What is measured: one picture, at one size, with one preset. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singan_toolkit.errors import InputError, PictureError
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.pyramid.architecture import channels_at
from singan_toolkit.pyramid.geometry import Geometry
from singan_toolkit.training.settings import Settings, settings_of


@dataclass(frozen=True)
class Subject:
    """A picture and how a pyramid is to be trained on it.

    Attributes:
        picture: The picture in full.
        preset: Name of the preset that the settings came from.
        settings: How to train; ``max_size`` is the size that it is measured at.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        seed: The seed of everything random.
        keep: Folder for the bundle and the samples that a training gives, named after the picture; None to drop them.
    """

    picture: Picture
    preset: str
    settings: Settings
    device: str = "auto"
    seed: int = 0
    keep: Path | None = None

    @classmethod
    def of_preset(cls, picture: Picture, preset: str, size: int, changes: Mapping[str, Any], **how: Any) -> Subject:
        """A picture at one size, with a preset's settings and some of them changed.

        Args:
            picture: The picture in full.
            preset: ``draft``, ``fast`` or ``paper``.
            size: Longer side in pixels.
            changes: Settings by name.
            how: ``device``, ``seed`` and ``keep``.

        Raises:
            UsageError: A setting is out of range.
            PictureError: The picture cannot be trained on at that size.
        """
        if size > max(picture.size):
            raise PictureError(
                f"{picture.name} is {picture.size} pixels, and is not enlarged to {size}: give a larger one"
            )
        subject = cls(picture, preset, settings_of(preset, **{**changes, "max_size": size}), **how)
        try:
            _ = subject.geometry
        except InputError as error:
            raise PictureError(f"cannot train on {picture.name}: {error}") from error
        return subject

    @property
    def geometry(self) -> Geometry:
        """Sizes of the scales.

        Raises:
            InputError: The picture is too small for a pyramid.
        """
        settings = self.settings
        return Geometry.of_picture(
            *self.picture.size, settings.min_size, settings.max_size, settings.factor, settings.patches_to
        )

    @property
    def kernels(self) -> list[int]:
        """The number of each hidden convolution's kernels, by scale; 0 where a scale has no network."""
        settings, patches = self.settings, self.geometry.patch_scales
        networks = range(len(self.geometry.sizes) - patches)
        return [0] * patches + [channels_at(n, settings.channels, settings.max_channels) for n in networks]

    def __str__(self) -> str:
        return f"preset {self.preset} at {self.geometry.finest}"
