"""A bundle's file, as bytes: written whole, and read only where manifest, sizes and digest agree."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.numpy

from singan_toolkit.bundle.manifest import FORMAT_VERSION, METADATA_KEY, NO_DIGEST, Manifest, read_header
from singan_toolkit.errors import BundleError
from singan_toolkit.files import write_whole

MAX_VALUE = 1000.0
"""The largest value that a tensor may hold. Trained weights are about 1, and with 1,024 channels nothing overflows
below this."""


def write_file(path: Path, manifest: Manifest, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a bundle's file, whole or not at all, with its digest.

    Raises:
        OSError: It cannot be written there; what stood there is untouched.
    """
    content = partial(_content, tensors, manifest.model_copy(update={"version": FORMAT_VERSION}))
    write_whole(path, content(hashlib.sha256(content(NO_DIGEST)).hexdigest()))


def read_file(path: Path) -> tuple[Manifest, dict[str, np.ndarray]]:
    """Read a bundle's file. Nothing is allocated on its word before the manifest, the sizes and the digest agree.

    Raises:
        BundleError: The file is missing, is no bundle, is damaged, or was written by a newer format.
    """
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
        return manifest, _tensors(content, manifest, starts)
    except OSError as error:
        raise BundleError(f"cannot open bundle {path}: {error.strerror or error}") from error
    except BundleError as error:
        raise BundleError(f"cannot use bundle {path}: {error}") from error


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
