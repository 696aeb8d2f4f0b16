"""Every knob of training."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from singan_toolkit.errors import UsageError
from singan_toolkit.pyramid import geometry
from singan_toolkit.pyramid.architecture import RECEPTIVE_FIELD
from singan_toolkit.training.presets import DEFAULT_PRESET, PRESETS


class Settings(BaseModel):
    """How a pyramid is trained. The defaults are preset ``paper``; docs/training.md tells each choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_size: int = Field(geometry.MIN_SIZE, ge=12, le=1024, description="shorter side of the coarsest scale, px")
    max_size: int = Field(geometry.MAX_SIZE, ge=12, le=16384, description="longer side of the finest scale, px")
    factor: float = Field(geometry.FACTOR, gt=1.05, le=4, description="nominal ratio of neighbouring scales")

    patches_to: int = Field(
        0, ge=0, le=256, description="longer side up to which scales rebuild from patches, untrained; 0 is none"
    )

    channels: int = Field(32, ge=4, le=1024, description="kernels at the coarsest scale, doubled every 4 scales")
    max_channels: int = Field(128, ge=4, le=1024, description="kernels at most")
    normalize_generator: bool = Field(True, description="batch norm in the generator while it is trained")
    normalize_discriminator: bool = Field(True, description="batch norm in the discriminator")

    iterations: int = Field(2000, ge=1, le=1_000_000, description="iterations of the coarsest scale")
    finest_iterations: int = Field(2000, ge=1, le=1_000_000, description="iterations of the finest; geometric between")
    discriminator_steps: int = Field(3, ge=1, le=20, description="discriminator steps an iteration")
    generator_steps: int = Field(3, ge=1, le=20, description="generator steps an iteration")

    optimizer: Literal["adam", "muon"] = Field("adam", description="of the hidden layers; the others have Adam")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="step size")
    beta1: float = Field(0.5, ge=0, lt=1, description="first moment decay, of both optimizers")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment decay")
    decay_at: float = Field(0.8, ge=0, le=1, description="share of the iterations after which the step size decays")
    decay: Literal["step", "linear"] = Field("step", description="to a tenth at once, or linearly towards zero")
    weight_average: float = Field(0.0, ge=0, lt=1, description="decay of the generator's moving average; 0 is none")

    gradient_penalty: float = Field(0.1, ge=0, le=1000, description="lambda of the gradient penalty")
    gradient_penalty_every: int = Field(1, ge=1, le=100, description="discriminator steps between penalties")
    reconstruction: float = Field(10.0, ge=0, le=1e6, description="alpha, weight of the reconstruction loss")
    noise_amplitude: float = Field(
        0.1, ge=0, le=10, description="noise of a scale, over the RMSE of the reconstruction that enters it"
    )
    noise_padding: Literal["zeros", "noise"] = Field(
        "zeros", description="noise beyond the picture's sides: none, or more of it"
    )

    crop: int = Field(0, ge=0, le=16384, description="side of the training crops, px; 0 is the whole picture")
    batch: int = Field(1, ge=1, le=256, description="fakes a step, at most")
    batch_pixels: int = Field(0, ge=0, description="fakes a step are fewer where they exceed this; 0 is no bound")
    reflect: bool = Field(False, description="pictures are continued by reflection, not by zeros, at their sides")
    pool_pixels: int = Field(0, ge=0, description="samples of the lower scales kept and reused, in px; 0 draws anew")
    precision: Literal["float32", "bfloat16", "auto"] = Field("auto", description="of the convolutions")

    @field_validator("crop")
    @classmethod
    def _crop_holds_a_patch(cls, crop: int) -> int:
        if 0 < crop < RECEPTIVE_FIELD:
            raise ValueError(f"must be 0 or at least {RECEPTIVE_FIELD}, the discriminator's receptive field")
        return crop

    def batch_at(self, height: int, width: int) -> tuple[int, int]:
        """Fakes a step at a scale of that size, and the pixels of each crop."""
        pixels = min(self.crop or height, height) * min(self.crop or width, width)
        fitting = self.batch_pixels // pixels if self.batch_pixels else self.batch
        return max(1, min(self.batch, fitting)), pixels

    def iterations_at(self, scale: int, scales: int) -> int:
        """Iterations of one scale: from ``iterations`` to ``finest_iterations`` in equal ratios."""
        share = scale / max(scales - 1, 1)
        return round(math.exp((1 - share) * math.log(self.iterations) + share * math.log(self.finest_iterations)))


def settings_of(preset: str = DEFAULT_PRESET, **changes: Any) -> Settings:
    """Settings of a preset, with some of them changed.

    Args:
        preset: ``draft``, ``fast`` or ``paper``.
        changes: Settings by name; numbers may be given as text.

    Raises:
        UsageError: No such preset or setting, or a value out of range.
    """
    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}")
    try:
        return Settings(**{**PRESETS[preset], **changes})
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors())
        raise UsageError("; ".join(problems)) from error
