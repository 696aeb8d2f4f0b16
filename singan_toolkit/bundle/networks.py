"""From a bundle's tensors to a pyramid that can walk, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from singan_toolkit.bundle.manifest import Architecture, Manifest, ScaleRecord, TrainingRecord, tensor_name
from singan_toolkit.imaging.tensors import to_tensor
from singan_toolkit.pyramid.architecture import LAYERS
from singan_toolkit.pyramid.networks import Generator
from singan_toolkit.pyramid.patch_scale import PatchScale, patch_scales
from singan_toolkit.pyramid.walk import Pyramid, Scale


def pyramid_of(manifest: Manifest, tensors: Mapping[str, np.ndarray]) -> Pyramid:
    """The pyramid that a manifest describes, made of its tensors, on the CPU."""
    geometry, patches = manifest.geometry, manifest.patch_scales
    scales: list[Scale | PatchScale] = [
        *patch_scales(to_tensor(tensors["picture"]), geometry.sizes[:patches], manifest.scales[0].noise_amplitude)
    ]
    for n, record in enumerate(manifest.scales[patches:], start=patches):
        assert record.channels is not None
        generator = Generator(record.channels, normalize=False)
        parameters = iter(list(generator.parameters()))
        with torch.no_grad():
            for layer in range(LAYERS):
                for part in ("weight", "bias"):
                    next(parameters).copy_(torch.from_numpy(tensors[tensor_name(n, layer, part)]))
        reflect = n > 0 and manifest.architecture.picture_padding == "reflect"
        official = record.enlarging == "official"
        scales.append(Scale(generator.eval().requires_grad_(False), record.noise_amplitude, reflect, n == 0, official))
    return Pyramid(geometry, tuple(scales), torch.from_numpy(tensors["z_star"]))


def parts_of(pyramid: Pyramid, picture: np.ndarray, training: TrainingRecord) -> tuple[Manifest, dict[str, np.ndarray]]:
    """The manifest and the tensors of a pyramid, which may be on any device.

    Args:
        pyramid: A trained pyramid.
        picture: Its training picture: (H, W, 3), uint8, of the finest scale's size.
        training: How it was trained.
    """
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
            ScaleRecord(
                height=height,
                width=width,
                channels=channels,
                noise_amplitude=scale.noise_amplitude,
                enlarging="official" if scale.official_enlarging else "smooth",
            )
        )
    architecture = Architecture(
        noise_padding="noise" if pyramid.noise_margin else "zeros",
        picture_padding="reflect" if pyramid.networks[-1].reflect else "zeros",
    )
    manifest = Manifest(architecture=architecture, factor=pyramid.geometry.factor, scales=records, training=training)
    return manifest, tensors
