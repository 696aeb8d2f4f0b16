"""Pyramids that the official SinGAN code trained: from its folder of ``.pth`` files to a bundle.

Only tensors, numbers and lists of them are read from there, and no object is unpickled, so a stranger's folder runs
nothing.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from singan_toolkit.bundle import Bundle
from singan_toolkit.bundle.file import MAX_VALUE
from singan_toolkit.bundle.manifest import MAX_CHANNELS, training_record
from singan_toolkit.errors import InputError
from singan_toolkit.imaging.tensors import to_bytes
from singan_toolkit.pyramid.architecture import LAYERS, MARGIN, PICTURE_CHANNELS
from singan_toolkit.pyramid.geometry import MAX_PIXELS, Geometry, Size
from singan_toolkit.pyramid.networks import Generator, fold
from singan_toolkit.pyramid.walk import Pyramid, Scale
from singan_toolkit.training.presets import OFFICIAL
from singan_toolkit.training.settings import settings_of

_BLOCKS = ("head", "body.block1", "body.block2", "body.block3")
_NORM = ("weight", "bias", "running_mean", "running_var")


def import_official(folder: Path) -> Bundle:
    """Make a bundle of a folder in which the official code keeps what it trained.

    Its walks are the official code's sampling: the same noise gives the same picture, up to rounding. Batch norm is
    folded into the convolutions with its running statistics, which are what that code draws samples with.

    Args:
        folder: ``TrainedModels/IMAGE/scale_factor=...``, which holds ``reals.pth``, ``Zs.pth``, ``NoiseAmp.pth`` and,
            for each scale N from 0 on, ``N/netG.pth``. Nothing else in it is read.

    Returns:
        A bundle named IMAGE. Settings that such a folder does not tell are recorded as the official defaults, and the
        seed, which it does not tell either, as 0.

    Raises:
        InputError: It is no such folder, it is not whole, or holds what cannot be in a bundle; one sentence says what.
    """
    try:
        return _imported(folder)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(f"cannot import {folder}: {place or 'its scales'}: {problem['msg']}") from error
    except InputError as error:
        raise InputError(f"cannot import {folder}: {error}") from error


def _imported(folder: Path) -> Bundle:
    _see_what_is_there(folder)
    reals = [
        _tensor(real, f"picture {n} of reals.pth", (1, PICTURE_CHANNELS, None, None))
        for n, real in enumerate(_list(folder / "reals.pth"))
    ]
    if len(reals) < 2:
        raise InputError(f"reals.pth holds {len(reals)} pictures, and a pyramid has at least 2 scales")
    sizes = tuple(Size(*real.shape[-2:]) for real in reals)
    said = {name: float(value) for name, value in re.findall("(scale_factor|alpha)=([0-9]+[.]?[0-9]*)", folder.name)}
    nominal = 1 / said["scale_factor"] if 0 < said.get("scale_factor", 0) < 1 else None
    geometry = Geometry(sizes, _factor(sizes, nominal))
    amplitudes = [_number(value, n) for n, value in enumerate(_list(folder / "NoiseAmp.pth"))]
    if len(amplitudes) != len(sizes):
        raise InputError(
            f"NoiseAmp.pth holds {len(amplitudes)} numbers and reals.pth {len(sizes)} pictures: the training stopped "
            "before its last scale, or the files are of two trainings"
        )
    z_star = _z_star(_list(folder / "Zs.pth"), sizes[0])
    generators = [_generator(folder / str(n) / "netG.pth") for n in range(len(sizes))]
    scales = [
        Scale(generator, amplitude, reflect=False, grey_noise=n == 0, official_enlarging=n > 0)
        for n, (generator, amplitude) in enumerate(zip(generators, amplitudes, strict=True))
    ]
    pyramid = Pyramid(geometry, tuple(scales), z_star)
    widths = [next(generator.parameters()).shape[0] for generator in generators]
    settings = settings_of("paper").model_dump() | dict(
        min_size=min(sizes[0]),
        max_size=max(sizes[-1]),
        factor=nominal or geometry.factor,
        reconstruction=said.get("alpha", 10.0),
        channels=widths[0],
        max_channels=max(widths),
        noise_padding="noise" if pyramid.noise_margin else "zeros",
    )
    name = folder.resolve().parent.name
    record = training_record(picture=name, preset=OFFICIAL, settings=settings, seed=0)
    return Bundle.of_pyramid(pyramid, to_bytes(reals[-1][0]), record, name=name)


def _see_what_is_there(folder: Path) -> None:
    """Refuse what is no folder of a model that is whole, before anything is read."""
    if not folder.is_dir():
        raise InputError("it is not a folder")
    needed = ("reals.pth", "Zs.pth", "NoiseAmp.pth")
    if not any((folder / name).exists() for name in (*needed, "Gs.pth")):
        raise InputError(
            "it holds no model that the official SinGAN code trained: give the folder with reals.pth and NoiseAmp.pth, "
            "as TrainedModels/IMAGE/scale_factor=0.750000,alpha=10"
        )
    if (folder / "Gs.pth").exists() and not (folder / "0" / "netG.pth").exists():
        raise InputError(
            "of its networks only Gs.pth is there, a pickle that can run any code and is not read: copy the folders of "
            "the scales too, 0/netG.pth, 1/netG.pth and so on, which hold the same weights as tensors"
        )
    for name in needed:
        if not (folder / name).exists():
            raise InputError(f"{name} is missing")


def _load(path: Path) -> Any:
    """What a file holds, if it holds nothing but tensors, numbers, texts and collections of them."""
    name = path.name if path.name != "netG.pth" else f"{path.parent.name}/{path.name}"
    try:
        content = io.BytesIO(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{name} is missing: the training stopped before, or not all was copied") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error
    try:
        return torch.load(content, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{name} is damaged, or holds more than tensors, and nothing else is unpickled") from error
    except Exception as error:  # whatever torch makes of a damaged file
        raise InputError(f"{name} is damaged") from error


def _list(path: Path) -> Sequence[Any]:
    found = _load(path)
    if not isinstance(found, list):
        raise InputError(f"{path.name} holds no list, as the official code writes it")
    return found


def _tensor(value: object, what: str, shape: Sequence[int | None]) -> Tensor:
    """A tensor of that shape, any where it says None, as float32; its values are finite."""
    plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    if not isinstance(value, Tensor) or not plain or not value.is_floating_point():
        raise InputError(f"{what} is no tensor of numbers")
    if len(value.shape) != len(shape) or any(
        wanted not in (None, found) for wanted, found in zip(shape, value.shape, strict=True)
    ):
        wanted = "x".join("any" if side is None else str(side) for side in shape)
        raise InputError(f"{what} has the shape {'x'.join(map(str, value.shape)) or 'of one number'}, not {wanted}")
    if value.numel() > MAX_PIXELS:
        raise InputError(f"{what} is too large")
    if not value.isfinite().all():
        raise InputError(f"{what} holds values that are no finite numbers")
    return value.detach().float()


def _number(value: object, n: int) -> float:
    """A scale's noise amplitude, which the official code keeps as a number or as a tensor of one."""
    if isinstance(value, Tensor):
        return _tensor(value, f"number {n} of NoiseAmp.pth", ()).item()
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"number {n} of NoiseAmp.pth is no finite number")
    return float(value)


def _factor(sizes: Sequence[Size], nominal: float | None) -> float:
    """The exact ratio of neighbouring scales, which no file holds: official sizes follow from it, rounded up.

    A side of the coarsest scale was to be some whole number of pixels, which rounding may have made one larger. Forks
    may keep to the nominal factor.
    """
    levels, (coarsest, finest) = len(sizes) - 1, (sizes[0], sizes[-1])
    sides = sorted(zip(coarsest, finest, strict=True))
    factors: list[float] = [
        (whole / meant) ** (1 / levels) for side, whole in sides for meant in (side, side - 1) if meant
    ]
    for factor in factors if nominal is None else (*factors, nominal):
        rounded = [
            side - whole * factor ** (n - levels)
            for n, size in enumerate(sizes)
            for side, whole in zip(size, finest, strict=True)
        ]
        if factor >= 1 and all(-1e-6 < up < 1 + 1e-6 for up in rounded):
            return factor
    raise InputError(
        f"the sizes of its scales, {', '.join(map(str, sizes))}, follow from no factor as those of the official code do"
    )


def _z_star(noises: Sequence[Any], coarsest: Size) -> Tensor:
    """The reconstruction noise as bundles keep it: without the margin of zeros, where it has one."""
    height, width = (side + 2 * MARGIN for side in coarsest)
    noise = _tensor(noises[0] if noises else None, "tensor 0 of Zs.pth", (1, PICTURE_CHANNELS, height, width))
    if not torch.equal(noise, noise[:, :1].expand_as(noise)):
        raise InputError("tensor 0 of Zs.pth holds three noises, and at scale 0 the official code repeats one")
    inner = noise[:, :1, MARGIN:-MARGIN, MARGIN:-MARGIN]
    padded = torch.nn.functional.pad(inner, (MARGIN,) * 4)
    return inner.contiguous() if torch.equal(padded, noise[:, :1]) else noise[:, :1].contiguous()


def _generator(path: Path) -> Generator:
    """A scale's generator, batch norm folded away. Layers narrower than the widest are filled up with zeros."""
    file, state = f"{path.parent.name}/{path.name}", _load(path)
    if not isinstance(state, Mapping):
        raise InputError(f"{file} holds no weights by name, as the official code writes them")
    names = [*(f"{block}.conv" for block in _BLOCKS), "tail.0"]
    extra = state.keys() - {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    extra -= {f"{block}.norm.{part}" for block in _BLOCKS for part in (*_NORM, "num_batches_tracked")}
    if extra:
        raise InputError(f"{file} holds {min(map(str, extra))!a}, and the official generator has no such weights")
    kernels = [_tensor(state.get(f"{name}.weight"), f"{name}.weight of {file}", (None, None, 3, 3)) for name in names]
    widths = [kernels[0].shape[1], *(kernel.shape[0] for kernel in kernels)]
    if (widths[0], widths[-1]) != (PICTURE_CHANNELS,) * 2:
        raise InputError(f"{file} is of pictures with {widths[0]} channels, and bundles are of 3")
    if any(kernel.shape[1] != width for kernel, width in zip(kernels, widths, strict=False)):
        raise InputError(f"the layers of {file} do not fit each other")
    if max(widths) > MAX_CHANNELS:
        raise InputError(f"the layers of {file} are up to {max(widths)} wide, and those of bundles {MAX_CHANNELS}")
    whole = Generator(max(widths[1:-1]))
    targets = whole.state_dict()
    for layer, (name, (inputs, outputs)) in enumerate(zip(names, pairwise(widths), strict=True)):
        parts: dict[str, tuple[str, tuple[int, ...]]] = {
            f"{name}.weight": (f"layers.{3 * layer}.weight", (outputs, inputs, 3, 3)),
            f"{name}.bias": (f"layers.{3 * layer}.bias", (outputs,)),
        }
        if layer < LAYERS - 1:
            norm = {f"{_BLOCKS[layer]}.norm.{part}": f"layers.{3 * layer + 1}.{part}" for part in _NORM}
            parts |= {theirs: (ours, (outputs,)) for theirs, ours in norm.items()}
        for theirs, (ours, shape) in parts.items():
            value = _tensor(state.get(theirs), f"{theirs} of {file}", shape)
            targets[ours].zero_()[tuple(slice(side) for side in shape)] = value
    if any((targets[f"layers.{3 * layer + 1}.running_var"] < 0).any() for layer in range(LAYERS - 1)):
        raise InputError(f"{file} holds a variance below zero")
    folded = fold(whole.eval().double())
    if not all(parameter.abs().max() <= MAX_VALUE for parameter in folded.parameters()):
        raise InputError(f"{file} holds weights beyond {MAX_VALUE:g} once batch norm is folded in")
    return folded
