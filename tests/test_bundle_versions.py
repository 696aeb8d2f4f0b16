"""Bundles of older and newer versions.

Version 1 padded pictures with zeros and did not say so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import singan_toolkit as st
from bundle_files import Forgery, refusal, said
from singan_toolkit.bundle.manifest import FORMAT_VERSION
from singan_toolkit.pyramid.noise import Gaussian
from singan_toolkit.pyramid.walk import reconstruct, walk


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


def test_a_bundle_of_version_1_is_saved_as_version_4_that_says_zeros(first_version: Path, tmp_path: Path) -> None:
    first = st.load(first_version)
    first.save(tmp_path / "again.sgb")
    written = Forgery((tmp_path / "again.sgb").read_bytes()).manifest
    assert (first.manifest.version, written["version"]) == (1, 4)
    assert written["architecture"]["picture_padding"] == "zeros"
    again = st.load(tmp_path / "again.sgb")
    assert said(again) == said(first) | {"version": 4}
    assert torch.equal(reconstruct(again.pyramid("cpu")), reconstruct(first.pyramid("cpu")))


def test_a_bundle_of_version_1_cannot_reflect(forgery: Forgery, tmp_path: Path) -> None:
    assert forgery.manifest["architecture"]["picture_padding"] == "reflect"
    forgery.manifest["version"] = 1
    path = tmp_path / "first.sgb"
    path.write_bytes(forgery.signed())
    assert "picture_padding came with version 2" in refusal(path)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99, 10**18])
def test_a_newer_version_asks_for_an_upgrade(forgery: Forgery, tmp_path: Path, version: int) -> None:
    forgery.manifest |= {"version": version, "layers": "unheard of"}
    path = tmp_path / "newer.sgb"
    path.write_bytes(forgery.signed())
    message = refusal(path)
    assert "upgrade singan-toolkit" in message
    assert str(version) in message
