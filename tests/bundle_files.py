"""Files of bundles: what they hold, how they are refused, and how they are forged."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import singan_toolkit as st

NO_DIGEST = "0" * 64
MEMORY = 64 << 20

Entries = dict[str, Any]
Place = tuple[str | int, ...]
"""Of a value in a manifest: names of fields and numbers of list entries, from the outside in."""


def said(bundle: st.Bundle) -> dict[str, Any]:
    manifest: dict[str, Any] = bundle.manifest.model_dump(exclude={"digest"})
    return manifest


def python(program: str, *arguments: object) -> str:
    """What a fresh process prints."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(path: Path, within: float = 1.0) -> str:
    """The message with which a file is refused, quickly and without a large allocation; it steers no terminal."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(st.BundleError) as error:
            st.load(path)
        seconds = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < within
    assert peak < MEMORY
    message = str(error.value)
    assert str(path) in message
    assert message.isprintable()
    return message


def headed(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


class Forgery:
    """The parts of a bundle's file, to be changed and signed anew."""

    def __init__(self, content: bytes) -> None:
        end = 8 + int.from_bytes(content[:8], "little")
        self.entries: Entries = json.loads(content[8:end])
        self.metadata: dict[str, Any] = self.entries.pop("__metadata__")
        self.manifest: dict[str, Any] = json.loads(self.metadata["singan_toolkit"])
        self.data = content[end:]

    def tensor(self, name: str) -> np.ndarray:
        start, end = self.entries[name]["data_offsets"]
        return np.frombuffer(self.data[start:end], {"F32": "<f4", "U8": "u1"}[self.entries[name]["dtype"]])

    def put(self, name: str, values: np.ndarray) -> None:
        start, end = self.entries[name]["data_offsets"]
        assert values.nbytes == end - start
        self.data = self.data[:start] + values.tobytes() + self.data[end:]

    def change(self, place: Place, value: Any) -> None:
        """Put a value into the manifest."""
        target: Any = self.manifest
        for part in place[:-1]:
            target = target[part]
        target[place[-1]] = value

    def signed(self, change_text: Callable[[str], str] = str, change_header: Callable[[str], str] = str) -> bytes:
        manifest = {**self.manifest, "digest": NO_DIGEST} if "digest" in self.manifest else self.manifest
        self.metadata["singan_toolkit"] = change_text(json.dumps(manifest))
        header = change_header(json.dumps({"__metadata__": self.metadata, **self.entries})).encode()
        blank = headed(header + b" " * (-len(header) % 8), self.data)
        return blank.replace(NO_DIGEST.encode(), hashlib.sha256(blank).hexdigest().encode())


@pytest.fixture
def forgery(tiny_bundle_path: Path) -> Forgery:
    return Forgery(tiny_bundle_path.read_bytes())
