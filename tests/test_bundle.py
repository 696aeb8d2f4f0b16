"""The bundle's file: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

import singan_toolkit as st
from singan_toolkit.bundle.manifest import FORMAT_VERSION
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.walk import reconstruct, walk

NO_DIGEST = "0" * 64
MEMORY = 64 << 20

Entries = dict[str, Any]


def said(bundle: st.Bundle) -> dict[str, Any]:
    manifest: dict[str, Any] = bundle.manifest.model_dump(exclude={"digest"})
    return manifest


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def python(program: str, *arguments: object) -> str:
    """What a fresh process prints."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(path: Path, within: float = 1.0) -> str:
    """The message with which a file is refused, quickly and without a large allocation."""
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
    return message


def test_a_saved_bundle_comes_back_as_it_was(tiny_bundle: st.Bundle, tiny_bundle_path: Path) -> None:
    loaded = st.load(tiny_bundle_path)
    assert said(loaded) == said(tiny_bundle)
    assert loaded.tensors.keys() == tiny_bundle.tensors.keys()
    for name, array in tiny_bundle.tensors.items():
        assert loaded.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.tensors[name], array)
    assert loaded.name == "photo"
    assert loaded.geometry == tiny_bundle.geometry
    assert loaded.picture.shape == (*loaded.geometry.finest, 3)


def test_saving_what_was_loaded_gives_the_same_bytes(tiny_bundle_path: Path, tmp_path: Path) -> None:
    st.load(str(tiny_bundle_path)).save(str(tmp_path / "again.sgb"))
    assert (tmp_path / "again.sgb").read_bytes() == tiny_bundle_path.read_bytes()


def test_the_file_is_safetensors_with_a_digest_over_everything_else(tiny_bundle_path: Path) -> None:
    content = tiny_bundle_path.read_bytes()
    with safetensors.safe_open(tiny_bundle_path, framework="numpy") as file:
        manifest = json.loads(file.metadata()["singan_toolkit"])
        tensors = set(file.keys())
    assert manifest["format"] == "singan-toolkit-bundle"
    assert manifest["version"] == FORMAT_VERSION == 3
    assert len(tensors) == 2 + 10 * len(manifest["scales"])
    blank = content.replace(manifest["digest"].encode(), NO_DIGEST.encode())
    assert hashlib.sha256(blank).hexdigest() == manifest["digest"]


def test_the_manifest_tells_how_the_pyramid_was_trained(
    tiny_bundle: st.Bundle, tiny_settings: dict[str, Any], photo: Path
) -> None:
    training = tiny_bundle.manifest.training
    assert (training.picture, training.preset, training.seed, training.task) == (photo.name, "draft", 1, None)
    assert tiny_settings.items() <= training.settings.items()
    assert training.torch == torch.__version__.split("+")[0] or training.torch == torch.__version__
    assert 0 < training.seconds < 600
    assert tiny_bundle.manifest.scales[0].noise_amplitude == 1


def test_reconstruction_and_samples_survive_the_file(tiny_bundle: st.Bundle, tiny_bundle_path: Path) -> None:
    before, after = tiny_bundle.pyramid("cpu"), st.load(tiny_bundle_path).pyramid("cpu")
    assert torch.equal(reconstruct(after), reconstruct(before))
    route = before.geometry.route()
    expected = walk(before, route, Gaussian(9), samples=[0, 1])
    assert torch.equal(walk(after, route, Gaussian(9), samples=[0, 1]), expected)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_the_padding_of_the_picture_survives_the_file(tiny_bundle: st.Bundle, tmp_path: Path, padding: str) -> None:
    trained = tiny_bundle.pyramid("cpu")
    scales = [replace(scale, reflect=n > 0 and padding == "reflect") for n, scale in enumerate(trained.networks)]
    pyramid = replace(trained, scales=tuple(scales))
    st.Bundle.of_pyramid(pyramid, tiny_bundle.picture, tiny_bundle.manifest.training).save(tmp_path / "a.sgb")
    loaded = st.load(tmp_path / "a.sgb")
    assert loaded.manifest.architecture.picture_padding == padding
    assert torch.equal(reconstruct(loaded.pyramid("cpu")), reconstruct(pyramid))


FRESH = """
import sys
import numpy, torch
torch.set_num_threads(1)
import singan_toolkit as st
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.walk import reconstruct, walk
pyramid = st.load(sys.argv[1]).pyramid("cpu")
walked = walk(pyramid, pyramid.geometry.route(), Gaussian(21), samples=[0, 1, 2])
numpy.savez(sys.argv[2], walked=walked.numpy(), reconstruction=reconstruct(pyramid).numpy())
"""


def test_a_fresh_process_draws_the_same_samples(tiny_bundle: st.Bundle, tiny_bundle_path: Path, tmp_path: Path) -> None:
    python(FRESH, tiny_bundle_path, tmp_path / "there.npz")
    there = np.load(tmp_path / "there.npz")
    pyramid = tiny_bundle.pyramid("cpu")
    walked = walk(pyramid, pyramid.geometry.route(), Gaussian(21), samples=[0, 1, 2])
    np.testing.assert_array_equal(there["walked"], walked.numpy())
    np.testing.assert_array_equal(there["reconstruction"], reconstruct(pyramid).numpy())


def test_opening_a_bundle_imports_no_torch(tiny_bundle_path: Path) -> None:
    program = """
import sys
import singan_toolkit as st
bundle = st.load(sys.argv[1])
print(bundle.picture.shape, bundle.geometry.finest, "torch" in sys.modules)
"""
    assert python(program, tiny_bundle_path) == "(32, 40, 3) (32, 40) False\n"


def test_an_unknown_device_is_refused(tiny_bundle: st.Bundle) -> None:
    with pytest.raises(ValueError, match="'abacus' cannot be used here"):
        tiny_bundle.pyramid("abacus")


@pytest.mark.parametrize("picture", ["0" * 64 + ".png", "画.png", "a\\b\"c'.png", "f" * 64 + ".png"])
def test_any_picture_name_survives_the_file(tiny_bundle: st.Bundle, tmp_path: Path, picture: str) -> None:
    training = tiny_bundle.manifest.training.model_copy(update={"picture": picture})
    named = replace(tiny_bundle, manifest=tiny_bundle.manifest.model_copy(update={"training": training}))
    named.save(tmp_path / "named.sgb")
    assert st.load(tmp_path / "named.sgb").manifest.training.picture == picture


# Saving


def test_saving_makes_the_folders(tiny_bundle: st.Bundle, tiny_bundle_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "photo.sgb"
    tiny_bundle.save(target)
    assert target.read_bytes() == tiny_bundle_path.read_bytes()
    assert names(target.parent) == ["photo.sgb"]


def test_saving_replaces_at_once_with_a_whole_file(
    tiny_bundle: st.Bundle, tiny_bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "photo.sgb"
    target.write_bytes(b"old")
    synced: list[int] = []
    seen: list[tuple[bytes, bytes, Path, bool]] = []
    rename, sync = os.replace, os.fsync

    def watched_sync(handle: int) -> None:
        synced.append(handle)
        sync(handle)

    def watched_rename(source: str, goal: str) -> None:
        seen.append((Path(source).read_bytes(), Path(goal).read_bytes(), Path(source).parent, bool(synced)))
        rename(source, goal)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "replace", watched_rename)
    tiny_bundle.save(target)
    content = tiny_bundle_path.read_bytes()
    assert seen == [(content, b"old", tmp_path, True)]
    assert target.read_bytes() == content


@pytest.mark.parametrize("trouble", [OSError(5, "broken disk"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_failing_save_leaves_the_old_file(
    tiny_bundle: st.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, trouble: BaseException
) -> None:
    target = tmp_path / "photo.sgb"
    target.write_bytes(b"old")

    def fail(*arguments: Any, **options: Any) -> None:
        raise trouble

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(trouble)):
        tiny_bundle.save(target)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["photo.sgb"]


def test_a_full_disk_leaves_the_old_file(tiny_bundle_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    program = """
import resource, sys
import singan_toolkit as st
bundle = st.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    bundle.save(sys.argv[2])
except OSError as error:
    print("refused")
"""
    target = tmp_path / "photo.sgb"
    target.write_bytes(b"old")
    assert python(program, tiny_bundle_path, target) == "refused\n"
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["photo.sgb"]


def test_saving_over_a_folder_fails_and_leaves_no_trace(tiny_bundle: st.Bundle, tmp_path: Path) -> None:
    (tmp_path / "photo.sgb").mkdir()
    with pytest.raises(OSError, match=r"photo\.sgb"):
        tiny_bundle.save(tmp_path / "photo.sgb")
    assert names(tmp_path) == ["photo.sgb"]


@pytest.mark.skipif(os.name == "nt", reason="permissions are of POSIX")
def test_a_saved_file_has_the_usual_permissions(tiny_bundle: st.Bundle, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        tiny_bundle.save(tmp_path / "photo.sgb")
        assert (tmp_path / "photo.sgb").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="lengths are of POSIX")
def test_the_longest_file_name_can_be_saved(tiny_bundle: st.Bundle, tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".sgb")
    target.write_bytes(b"old")
    tiny_bundle.save(target)
    assert st.load(target).name == "n" * 251


# Damage


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nothing.sgb")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.sgb").mkdir()
    refusal(tmp_path / "folder.sgb")


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_file_is_refused(tiny_bundle_path: Path, tmp_path: Path, seed: int) -> None:
    content = tiny_bundle_path.read_bytes()
    draw = random.Random(seed)
    path = tmp_path / "cut.sgb"
    for _ in range(8):
        path.write_bytes(content[: draw.randrange(len(content))])
        refusal(path)
    header_end = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(content[: draw.randrange(header_end)])
    refusal(path)
    path.write_bytes(content[: -1 - seed])
    refusal(path)


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_byte_is_noticed_wherever_it_is(tiny_bundle_path: Path, tmp_path: Path, seed: int) -> None:
    content = tiny_bundle_path.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    digest = content.index(
        json.loads(json.loads(content[8:header_end])["__metadata__"]["singan_toolkit"])["digest"].encode()
    )
    draw = random.Random(seed)
    spots = [
        *[draw.randrange(8) for _ in range(2)],
        *[draw.randrange(8, header_end) for _ in range(10)],
        *[draw.randrange(digest, digest + 64) for _ in range(3)],
        *[draw.randrange(header_end, len(content)) for _ in range(5)],
    ]
    path = tmp_path / "flipped.sgb"
    for spot in spots:
        damaged = bytearray(content)
        damaged[spot] ^= draw.randrange(1, 256)
        path.write_bytes(damaged)
        refusal(path)


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"\0" * 4096])
def test_a_file_with_something_added_is_refused(tiny_bundle_path: Path, tmp_path: Path, extra: bytes) -> None:
    path = tmp_path / "longer.sgb"
    path.write_bytes(tiny_bundle_path.read_bytes() + extra)
    refusal(path)


@pytest.mark.parametrize("content", ["bundle", "nothing"])
def test_a_vast_file_is_refused_unread(tiny_bundle_path: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "vast.sgb"
    path.write_bytes(tiny_bundle_path.read_bytes() if content == "bundle" else b"")
    os.truncate(path, 1 << 29)
    refusal(path)


def headed(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


STRANGE = {
    "empty": b"",
    "one byte": b"\0",
    "seven bytes": b"\0" * 7,
    "eight bytes": b"\0" * 8,
    "nulls": b"\0" * 5000,
    "text": b"This is not a bundle, and never was one.\n" * 20,
    "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 200,
    "zip": b"PK\x03\x04" + b"\0" * 200,
    "pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94." + b"\0" * 200,
    "header of 2**60": struct.pack("<Q", 2**60) + b"{}" * 500,
    "header of 2**64 - 1": struct.pack("<Q", 2**64 - 1) + b"{}" * 500,
    "header of 2**31": struct.pack("<Q", 2**31) + b"{}" * 500,
    "header one too long": struct.pack("<Q", 3) + b"{}",
    "header of nothing": struct.pack("<Q", 0) + b"{}",
    "header of one byte": struct.pack("<Q", 1) + b"0" * 100,
    "not json": headed(b"{not json at all}"),
    "list": headed(b"[]"),
    "number": headed(b"17"),
    "null": headed(b"null"),
    "string": headed(b'"__metadata__"'),
    "no metadata": headed(b"{}"),
    "metadata of text": headed(b'{"__metadata__":"singan_toolkit"}'),
    "metadata of null": headed(b'{"__metadata__":null}'),
    "metadata of nothing": headed(b'{"__metadata__":{}}'),
    "manifest of null": headed(b'{"__metadata__":{"singan_toolkit":null}}'),
    "manifest of number": headed(b'{"__metadata__":{"singan_toolkit":1}}'),
    "manifest of text": headed(b'{"__metadata__":{"singan_toolkit":"hello"}}'),
    "manifest of a list": headed(b'{"__metadata__":{"singan_toolkit":"[]"}}'),
    "manifest of nothing": headed(b'{"__metadata__":{"singan_toolkit":"{}"}}'),
    "broken utf-8": headed(b'{"__metadata__":"\xff\xfe"}'),
    "utf-16": headed('{"__metadata__":{"singan_toolkit":"{}"}}'.encode("utf-16")),
    "deep list": headed(b"[" * 500_000),
    "deep objects": headed(b'{"a":' * 150_000),
    "deep closed list": headed(b"[" * 300_000 + b"]" * 300_000),
    "long number": headed(b'{"a":' + b"9" * 500_000 + b"}"),
    "header above a megabyte": headed(b'{"a":"' + b"x" * (1 << 20) + b'"}'),
    "many entries": headed(b"{" + b",".join(b'"%d":0' % n for n in range(80_000)) + b"}"),
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "strange.sgb"
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_are_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "random.sgb"
    draw = random.Random(seed)
    path.write_bytes(headed(draw.randbytes(draw.randrange(2, 3000)), draw.randbytes(500)))
    refusal(path)


# Forgery: files that are whole, with a digest that is right


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

    def signed(self, change_text: Callable[[str], str] = str, change_header: Callable[[str], str] = str) -> bytes:
        manifest = {**self.manifest, "digest": NO_DIGEST} if "digest" in self.manifest else self.manifest
        self.metadata["singan_toolkit"] = change_text(json.dumps(manifest))
        header = change_header(json.dumps({"__metadata__": self.metadata, **self.entries})).encode()
        blank = headed(header + b" " * (-len(header) % 8), self.data)
        return blank.replace(NO_DIGEST.encode(), hashlib.sha256(blank).hexdigest().encode())


@pytest.fixture
def forgery(tiny_bundle_path: Path) -> Forgery:
    return Forgery(tiny_bundle_path.read_bytes())


def test_a_file_signed_anew_without_a_change_is_a_bundle(forgery: Forgery, tmp_path: Path) -> None:
    (tmp_path / "true.sgb").write_bytes(forgery.signed())
    assert st.load(tmp_path / "true.sgb").manifest.training.seed == 1


# Version 1, which padded pictures with zeros and did not say so


@pytest.fixture
def first_version(forgery: Forgery, tmp_path: Path) -> Path:
    forgery.manifest["version"] = 1
    del forgery.manifest["architecture"]["picture_padding"]
    path = tmp_path / "first.sgb"
    path.write_bytes(forgery.signed())
    return path


def test_a_bundle_of_version_1_is_padded_with_zeros(tiny_bundle: st.Bundle, first_version: Path) -> None:
    first, second = st.load(first_version).pyramid("cpu"), tiny_bundle.pyramid("cpu")
    route = second.geometry.route()
    walked = walk(first, route, Gaussian(4), samples=[0, 1])
    with_zeros = replace(second, scales=tuple(replace(scale, reflect=False) for scale in second.networks))
    assert torch.equal(walked, walk(with_zeros, route, Gaussian(4), samples=[0, 1]))
    assert (walked - walk(second, route, Gaussian(4), samples=[0, 1])).abs().max() > 0.01


def test_a_bundle_of_version_1_is_saved_as_version_3_that_says_zeros(first_version: Path, tmp_path: Path) -> None:
    first = st.load(first_version)
    first.save(tmp_path / "again.sgb")
    written = Forgery((tmp_path / "again.sgb").read_bytes()).manifest
    assert (first.manifest.version, written["version"]) == (1, 3)
    assert written["architecture"]["picture_padding"] == "zeros"
    again = st.load(tmp_path / "again.sgb")
    assert said(again) == said(first) | {"version": 3}
    assert torch.equal(reconstruct(again.pyramid("cpu")), reconstruct(first.pyramid("cpu")))


def test_a_bundle_of_version_1_cannot_reflect(forgery: Forgery, tmp_path: Path) -> None:
    assert forgery.manifest["architecture"]["picture_padding"] == "reflect"
    forgery.manifest["version"] = 1
    path = tmp_path / "first.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert "picture_padding came with version 2" in message
    assert message.isprintable()


Place = tuple[str | int, ...]

WRONG_VALUES: list[tuple[Place, Any]] = [
    (("format",), "another-format"),
    (("format",), None),
    (("version",), 0),
    (("version",), -1),
    (("version",), "1"),
    (("version",), True),
    (("version",), 1.5),
    (("version",), None),
    (("version",), [1]),
    (("architecture", "kernel"), 5),
    (("architecture", "convolutions"), 10**9),
    (("architecture", "picture_channels"), 4),
    (("architecture", "slope"), 0.3),
    (("architecture", "noise_padding"), "reflect"),
    (("architecture", "picture_padding"), "noise"),
    (("architecture", "picture_padding"), None),
    (("architecture", "more"), 1),
    (("factor",), 0.5),
    (("factor",), -1),
    (("factor",), 1e300),
    (("factor",), float("nan")),
    (("factor",), float("inf")),
    (("factor",), "1.3"),
    (("scales",), []),
    (("scales",), None),
    (("scales",), {}),
    (("scales", 0), None),
    (("scales", 0, "height"), 0),
    (("scales", 0, "height"), -12),
    (("scales", 0, "height"), 12.5),
    (("scales", 0, "height"), "12"),
    (("scales", 0, "height"), True),
    (("scales", 0, "height"), 13),
    (("scales", 0, "height"), 10**30),
    (("scales", 4, "height"), 65_536),
    (("scales", 4, "width"), 65_536),
    (("scales", 4, "width"), 2**31),
    (("scales", 4, "width"), 2**63),
    (("scales", 4, "width"), 39),
    (("scales", 2, "channels"), 0),
    (("scales", 2, "channels"), 7),
    (("scales", 2, "channels"), 9),
    (("scales", 2, "channels"), 4096),
    (("scales", 2, "channels"), 2**40),
    (("scales", 1, "noise_amplitude"), float("nan")),
    (("scales", 1, "noise_amplitude"), float("inf")),
    (("scales", 1, "noise_amplitude"), -0.1),
    (("scales", 1, "noise_amplitude"), 1e30),
    (("scales", 1, "noise_amplitude"), None),
    (("scales", 1, "surprise"), 1),
    (("training",), None),
    (("training", "seed"), 1.5),
    (("training", "seconds"), -1),
    (("training", "seconds"), float("nan")),
    (("training", "picture"), 5),
    (("training", "picture"), "\ud800"),
    (("training", "settings"), []),
    (("training", "settings", "channels"), float("nan")),
    (("training", "command"), "rm -rf"),
    (("surprise",), 1),
    (("sur\x1b[31mprise",), 1),
    (("\ud800",), 1),
]


def change(manifest: Any, place: Place, value: Any) -> None:
    for part in place[:-1]:
        manifest = manifest[part]
    manifest[place[-1]] = value


@pytest.mark.parametrize(("place", "value"), WRONG_VALUES, ids=lambda part: ascii(part)[:40])
def test_a_forged_value_is_refused(forgery: Forgery, tmp_path: Path, place: Place, value: Any) -> None:
    change(forgery.manifest, place, value)
    path = tmp_path / "forged.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert message.isprintable()
    assert len(message) < len(str(path)) + 400


@pytest.mark.parametrize("field", ["format", "version", "factor", "scales", "training", "digest"])
def test_a_missing_field_is_refused(forgery: Forgery, tmp_path: Path, field: str) -> None:
    del forgery.manifest[field]
    path = tmp_path / "forged.sgb"
    path.write_bytes(forgery.signed())
    refusal(path)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99, 10**18])
def test_a_newer_version_asks_for_an_upgrade(forgery: Forgery, tmp_path: Path, version: int) -> None:
    forgery.manifest |= {"version": version, "layers": "unheard of"}
    path = tmp_path / "newer.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert "upgrade singan-toolkit" in message
    assert str(version) in message


@pytest.mark.parametrize("depth", [400, 900, 5_000, 100_000])
def test_a_deeply_nested_manifest_is_refused(forgery: Forgery, tmp_path: Path, depth: int) -> None:
    forgery.manifest["training"]["settings"]["nest"] = "NEST"
    path = tmp_path / "deep.sgb"
    path.write_bytes(forgery.signed(lambda text: text.replace('"NEST"', "[" * depth + "]" * depth)))
    refusal(path)


def no_scale(forged: Forgery) -> None:
    forged.manifest["scales"].pop()


def one_scale_more(forged: Forgery) -> None:
    forged.manifest["scales"].append(deepcopy(forged.manifest["scales"][-1]))


def thousand_scales(forged: Forgery) -> None:
    forged.manifest["scales"] *= 200


def huge_everything(forged: Forgery) -> None:
    forged.manifest["scales"] = [dict(height=65_536, width=65_536, channels=4096, noise_amplitude=1.0)] * 256


def huge_picture(forged: Forgery) -> None:
    forged.manifest["scales"][-1] |= dict(height=65_536, width=65_536)
    forged.entries["picture"]["shape"] = [65_536, 65_536, 3]


def huge_picture_with_its_offsets(forged: Forgery) -> None:
    huge_picture(forged)
    start = forged.entries["picture"]["data_offsets"][0]
    forged.entries["picture"]["data_offsets"] = [start, start + 3 * 65_536**2]


def huge_layers(forged: Forgery) -> None:
    forged.manifest["scales"][2]["channels"] = 4096
    for layer in range(5):
        weight = forged.entries[f"scales.2.convolutions.{layer}.weight"]
        weight["shape"] = [4096 if n == 8 else n for n in weight["shape"]]
        bias = forged.entries[f"scales.2.convolutions.{layer}.bias"]
        bias["shape"] = [4096 if n == 8 else n for n in bias["shape"]]


def missing(name: str) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        del forged.entries[name]

    return forge


def extra(name: str, entry: Any) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        forged.entries[name] = entry

    return forge


def entry(name: str, **fields: Any) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        forged.entries[name] |= fields

    return forge


def shifted(name: str, start: int, end: int) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        offsets = forged.entries[name]["data_offsets"]
        offsets[:] = [offsets[0] + start, offsets[1] + end]

    return forge


def spoilt(name: str, value: float) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        values = forged.tensor(name).copy()
        values[len(values) // 2] = value
        forged.put(name, values)

    return forge


def other_metadata(value: Any) -> Callable[[Forgery], None]:
    def forge(forged: Forgery) -> None:
        forged.metadata["other"] = value

    return forge


WEIGHT, BIAS = "scales.1.convolutions.2.weight", "scales.3.convolutions.4.bias"
FORGERIES: dict[str, Callable[[Forgery], None]] = {
    "a scale less": no_scale,
    "a scale more": one_scale_more,
    "a thousand scales": thousand_scales,
    "huge everything": huge_everything,
    "huge picture": huge_picture,
    "huge picture with its offsets": huge_picture_with_its_offsets,
    "huge layers": huge_layers,
    "no picture": missing("picture"),
    "no z_star": missing("z_star"),
    "no weight": missing(WEIGHT),
    "no bias": missing(BIAS),
    "empty extra tensor": extra("extra", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
    "extra tensor over another": extra("extra", {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
    "extra number": extra("extra", 1),
    "extra scale": extra("scales.9.convolutions.0.weight", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
    "extra name with an escape": extra("\x1b]0;title\x07", {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "extra name with a surrogate": extra("\ud800", {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "extra long name": extra("n" * 500_000, {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "float64 weight": entry(WEIGHT, dtype="F64"),
    "float16 weight": entry(WEIGHT, dtype="F16"),
    "int32 weight": entry(WEIGHT, dtype="I32"),
    "unknown type": entry(WEIGHT, dtype="PICKLE"),
    "type with an escape": entry(WEIGHT, dtype="\x1b[2J"),
    "no type": entry(WEIGHT, dtype=None),
    "signed picture": entry("picture", dtype="I8"),
    "flat weight": entry(WEIGHT, shape=[576]),
    "turned weight": entry(WEIGHT, shape=[3, 3, 8, 8]),
    "no shape": entry(WEIGHT, shape=None),
    "shape of floats": entry(WEIGHT, shape=[8.0, 8.0, 3.0, 3.0]),
    "negative shape": entry(WEIGHT, shape=[-8, -8, 3, 3]),
    "overflowing shape": entry(WEIGHT, shape=[2**62, 2**62, 3, 3]),
    "shape beyond 64 bits": entry(WEIGHT, shape=[2**70, 1, 3, 3]),
    "long shape": entry(WEIGHT, shape=[1] * 100_000),
    "turned z_star": entry("z_star", shape=[1, 1, 15, 12]),
    "bias of a map": entry(BIAS, shape=[3, 1]),
    "no offsets": entry(WEIGHT, data_offsets=None),
    "one offset": entry(WEIGHT, data_offsets=[0]),
    "negative offsets": entry(WEIGHT, data_offsets=[-2304, 0]),
    "offsets far out": entry(WEIGHT, data_offsets=[2**40, 2**40 + 2304]),
    "offsets beyond 64 bits": entry(WEIGHT, data_offsets=[2**64, 2**64 + 2304]),
    "offsets that overflow": entry(WEIGHT, data_offsets=[2**64 - 2304, 2**64 - 1]),
    "offsets the wrong way": entry(WEIGHT, data_offsets=[4000, 2000]),
    "offsets of another tensor": entry(WEIGHT, data_offsets=[0, 2304]),
    "early offsets": shifted(WEIGHT, -4, -4),
    "longer tensor": shifted(WEIGHT, 0, 4),
    "shorter tensor": shifted(WEIGHT, 4, 0),
    "metadata that is no text": other_metadata({"a": 1}),
    "NaN weight": spoilt(WEIGHT, float("nan")),
    "NaN bias": spoilt(BIAS, float("nan")),
    "infinite weight": spoilt(WEIGHT, float("inf")),
    "NaN z_star": spoilt("z_star", float("nan")),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_tensor_is_refused(forgery: Forgery, tmp_path: Path, forge: Callable[[Forgery], None]) -> None:
    forge(forgery)
    path = tmp_path / "forged.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert message.isprintable()
    assert len(message) < len(str(path)) + 400


@pytest.mark.parametrize("last", ["true", "false"])
def test_a_tensor_told_twice_is_refused_or_is_what_the_manifest_says(
    forgery: Forgery, tmp_path: Path, last: str
) -> None:
    key, told = f'"{WEIGHT}": ', json.dumps(forgery.entries[WEIGHT])
    false = json.dumps({**forgery.entries[WEIGHT], "shape": [576]})
    twice = f"{key}{false}, {key}{told}" if last == "true" else f"{key}{told}, {key}{false}"
    path = tmp_path / "twice.sgb"
    path.write_bytes(forgery.signed(change_header=lambda header: header.replace(key + told, twice)))
    try:
        bundle = st.load(path)
    except st.BundleError:
        return
    assert bundle.tensors[WEIGHT].shape == (8, 8, 3, 3)


def test_forged_sizes_take_no_memory(tiny_bundle_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    content = tiny_bundle_path.read_bytes()
    paths = []
    huge = [huge_everything, huge_picture, huge_picture_with_its_offsets, huge_layers, thousand_scales]
    for number, forge in enumerate(huge):
        forged = Forgery(content)
        forge(forged)
        paths.append(tmp_path / f"{number}.sgb")
        paths[-1].write_bytes(forged.signed())
    paths.append(tmp_path / "header.sgb")
    paths[-1].write_bytes(STRANGE["header of 2**60"])
    program = """
import resource, sys
import singan_toolkit as st
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
st.load(sys.argv[1])
before, refused = peak(), 0
for path in sys.argv[2:]:
    try:
        st.load(path)
    except st.BundleError:
        refused += 1
print(refused, peak() - before)
"""
    refused, grown = python(program, tiny_bundle_path, *paths).split()
    assert int(refused) == len(paths)
    assert int(grown) < MEMORY


class TestScalesOfPatches:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda scales: scales[0].update(height=6), "greater than or equal to 7"),
            (lambda scales: scales[1].update(width=3), "greater than or equal to 7"),
            (lambda scales: scales[1].update(height=65_536, width=65_536), "at most 268435456 are allowed"),
            (lambda scales: scales[1].update(height=600, width=600), "compare .* pairs of patches"),
            (lambda scales: scales[-1].update(channels=None), "above one with them"),
            (lambda scales: [one.update(channels=None) for one in scales], "no scale has channels"),
        ],
    )
    def test_are_refused_before_anything_is_made_of_them(
        self, patch_bundle: st.Bundle, tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], why: str
    ) -> None:
        patch_bundle.save(tmp_path / "a.sgb")
        forgery = Forgery((tmp_path / "a.sgb").read_bytes())
        change(forgery.manifest["scales"])
        (tmp_path / "a.sgb").write_bytes(forgery.signed())
        with pytest.raises(st.BundleError, match=why):
            st.load(tmp_path / "a.sgb")

    def test_of_version_2_cannot_have_them(self, patch_bundle: st.Bundle, tmp_path: Path) -> None:
        patch_bundle.save(tmp_path / "a.sgb")
        forgery = Forgery((tmp_path / "a.sgb").read_bytes())
        forgery.manifest["version"] = 2
        (tmp_path / "a.sgb").write_bytes(forgery.signed())
        with pytest.raises(st.BundleError, match="came with version 3"):
            st.load(tmp_path / "a.sgb")

    def test_the_noise_is_as_strong_as_the_file_says(self, patch_bundle: st.Bundle) -> None:
        coarsest, *others = patch_bundle.manifest.scales
        louder = coarsest.model_copy(update=dict(noise_amplitude=0.7))
        manifest = patch_bundle.manifest.model_copy(update=dict(scales=[louder, *others]))
        assert replace(patch_bundle, manifest=manifest).pyramid("cpu").scales[0].noise_amplitude == 0.7
        assert patch_bundle.pyramid("cpu").scales[0].noise_amplitude == coarsest.noise_amplitude
