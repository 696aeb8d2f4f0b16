"""The presets: what they change in the settings, whose defaults are preset ``paper``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FAST: dict[str, Any] = dict(
    max_size=1000,
    min_size=14,
    factor=1.68,
    patches_to=60,
    channels=48,
    max_channels=48,
    normalize_generator=False,
    normalize_discriminator=False,
    iterations=350,
    finest_iterations=350,
    discriminator_steps=1,
    generator_steps=1,
    optimizer="muon",
    learning_rate=8e-4,
    decay="linear",
    decay_at=0.5,
    weight_average=0.99,
    gradient_penalty_every=4,
    noise_amplitude=0.06,
    reconstruction=30,
    crop=96,
    batch=4,
    batch_pixels=9216,
    reflect=True,
    pool_pixels=1_500_000,
)

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "draft": _FAST | dict(max_size=250, iterations=190, finest_iterations=190),
    "fast": _FAST,
    "paper": {},
}
DEFAULT_PRESET = "fast"
OFFICIAL = "official"
"""What is recorded in a preset's place where the official code trained."""
