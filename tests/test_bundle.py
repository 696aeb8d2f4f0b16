"""Bundles: what comes back from a file, and how it is saved."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

import singan_toolkit as st
from bundle_files import NO_DIGEST, python, said
from singan_toolkit.bundle.manifest import FORMAT_VERSION
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.walk import reconstruct, walk


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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
    assert manifest["version"] == FORMAT_VERSION
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
    assert python(program, tiny_bundle_path) == "(32, 40, 3) 40x32 False\n"


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
