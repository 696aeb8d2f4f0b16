"""The presets: what they change in the settings, whose defaults are preset ``paper``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FAST: dict[str, Any] = dict(
    max_channels=64,
    normalize_generator=False,
    normalize_discriminator=False,
    iterations=3000,
    finest_iterations=700,
    discriminator_steps=1,
    generator_steps=1,
    decay="linear",
    decay_at=0.5,
    weight_average=0.99,
    gradient_penalty_every=2,
    crop=48,
    batch=2,
    batch_pixels=2304,
    joint=True,
    pool_pixels=1_500_000,
    precision="auto",
)

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "draft": _FAST | dict(iterations=500, finest_iterations=250),
    "fast": _FAST,
    "paper": {},
}
DEFAULT_PRESET = "fast"
