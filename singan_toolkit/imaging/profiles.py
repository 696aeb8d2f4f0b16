"""Between the colours of a picture's ICC profile and sRGB."""

from __future__ import annotations

from functools import lru_cache

import imagecodecs
import numpy as np

SRGB: bytes = imagecodecs.cms_profile("srgb")
_LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32)
_SPACES = {b"GRAY": ("gray", 1), b"RGB ": ("rgb", 3), b"CMYK": ("cmyk", 4)}
_ALIKE = 1 / 1024
"""Difference of colours in 0..1 up to which a profile is taken for sRGB itself, as most are."""


def to_srgb(color: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Colours as sRGB.

    Args:
        color: (H, W, C), uint8 or uint16: C is 1 for grey, 3 for RGB, 4 for CMYK, which needs a profile.
        profile: An ICC profile that ``fits``; None for sRGB.

    Returns:
        (H, W, 3), float32 in 0..1; what sRGB cannot show is clipped.
    """
    if profile is None or _is_srgb(profile):
        values: np.ndarray = color.astype(np.float32) / np.iinfo(color.dtype).max
        return values.repeat(3, axis=2) if color.shape[2] == 1 else values
    return _transformed(color, profile, SRGB).clip(0, 1)


def srgb_values(color: np.ndarray, profile: bytes) -> np.ndarray:
    """As ``to_srgb``, in integers of the same depth."""
    values: np.ndarray = np.rint(to_srgb(color, profile) * np.iinfo(color.dtype).max).astype(color.dtype)
    return values


def from_srgb(rgb: np.ndarray, profile: bytes | None, grey: bool) -> np.ndarray:
    """Colours of a profile for those of sRGB.

    Args:
        rgb: (H, W, 3), float in 0..1; clipped.
        profile: An ICC profile that can be ``written``; None for sRGB.
        grey: Whether one intensity is wanted instead of three colours.

    Returns:
        (H, W, 1 or 3), float32 in 0..1.
    """
    rgb = np.clip(rgb, 0, 1).astype(np.float32)
    color: np.ndarray = (rgb @ _LUMA)[..., None] if grey else rgb
    if profile is None or _is_srgb(profile):
        return color
    return _transformed(color.repeat(3, axis=2) if grey else color, SRGB, profile).clip(0, 1)


def fits(profile: bytes, channels: int) -> bool:
    """Whether a profile says what colours of 1, 3 or 4 channels (grey, RGB, CMYK) look like.

    One that is damaged does not, and one of another kind of colours; viewers pass over both.
    """
    return _space(profile)[1] == channels and _works(profile, SRGB)


def written(profile: bytes) -> bool:
    """Whether a profile that fits leads back from sRGB too, as some scanners' do not."""
    return _works(SRGB, profile)


def _space(profile: bytes) -> tuple[str, int]:
    return _SPACES.get(profile[16:20], ("", 0))


@lru_cache(8)
def _works(profile: bytes, target: bytes) -> bool:
    try:
        _transformed(np.zeros((1, 1, _space(profile)[1]), np.uint8), profile, target)
    except Exception:  # of the library's own kinds, for whatever is wrong with a profile
        return False
    return True


@lru_cache(8)
def _is_srgb(profile: bytes) -> bool:
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    channels = _space(profile)[1]
    if channels == 4:
        return False
    color = np.stack(np.meshgrid(*[steps] * channels), axis=-1).reshape(-1, 1, channels)
    return bool(np.abs(_transformed(color, profile, SRGB) - color / np.float32(255)).max() < _ALIKE)


def _transformed(color: np.ndarray, profile: bytes, target: bytes) -> np.ndarray:
    """(H, W, C), float32, unclipped; integers are taken as shares of their largest value."""
    transformed: np.ndarray = imagecodecs.cms_transform(
        color,
        profile,
        target,
        colorspace=_space(profile)[0],
        outcolorspace=_space(target)[0],
        planar=False,
        outplanar=False,
        outdtype=np.float32,
    )
    return transformed.reshape(*color.shape[:2], -1)
