"""Constants of the networks (paper section 2.1). No torch here."""

from __future__ import annotations

LAYERS = 5
"""3x3 convolutions in a network, none of them padded."""
MARGIN = LAYERS
"""Pixels that they take off each side."""
RECEPTIVE_FIELD = 2 * MARGIN + 1
PICTURE_CHANNELS = 3
PATCH = 7
"""Side in pixels of the patches of a scale that has no network."""
SLOPE = 0.2
"""The slope of the leaky ReLU below zero."""


def channels_at(scale: int, channels: int = 32, maximum: int = 128) -> int:
    """Kernels per convolution at ``scale``: ``channels`` at the coarsest, doubled every 4 scales up to ``maximum``."""
    return min(channels << scale // 4, maximum)
