"""Fixtures shared by all tests: a small picture and a pyramid trained on it in a few seconds.

Modules beside this one that are no tests hold what several files of tests share; those with fixtures are named here.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import singan_toolkit as st
from singan_toolkit.tasks.hooks import GROUP
from singan_toolkit.tasks.manager import installed_plugins, load_plugins

pytest_plugins = ["bundle_files", "command_line", "sample_task", "training_runs"]

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def with_inpaint() -> Iterator[None]:
    """The task of ``plugins/singan-tk-inpaint``, as if its package were installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins" / "singan-tk-inpaint"))
        plugins = load_plugins([EntryPoint("inpaint", "singan_tk_inpaint", GROUP)])
        patch.setitem(installed_plugins().tasks, "inpaint", plugins.task("inpaint"))
        yield


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landscape of 60x48 pixels: smooth sky, textured ground, three blobs."""
    random = np.random.default_rng(12)
    height, width = 48, 60
    rows, columns = np.mgrid[:height, :width].astype(float)
    picture = np.stack([90 + rows, 140 + rows * 1.2, 220 - rows * 0.5], axis=-1)
    ground = rows > 28 + 4 * np.sin(columns / 9)
    stripes = 22 * np.sin(columns * 0.9 + 2 * np.sin(rows / 3))
    texture = stripes + random.normal(0, 8, (height, width))
    soil = np.stack([110 + texture, 95 + texture * 0.8, 50 + texture * 0.4], axis=-1)
    picture[ground] = soil[ground]
    for row, column, radius, color in [
        (14, 16, 6, (235, 60, 50)),
        (20, 44, 8, (40, 90, 60)),
        (36, 30, 5, (240, 220, 90)),
    ]:
        blob = np.clip(radius + 0.5 - np.hypot(rows - row, columns - column), 0, 1)[..., None]
        picture = picture * (1 - blob) + np.array(color) * blob
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.clip(picture, 0, 255).round().astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def tiny_settings() -> dict[str, Any]:
    """Settings that train a pyramid of five scales in about two seconds; it looks like nothing much."""
    return dict(
        min_size=12,
        max_size=40,
        factor=4 / 3,
        patches_to=0,
        channels=8,
        max_channels=8,
        iterations=30,
        finest_iterations=20,
        discriminator_steps=1,
        generator_steps=1,
        crop=24,
        batch=2,
        noise_amplitude=0.1,
        precision="float32",
    )


@pytest.fixture(scope="session")
def tiny_bundle(photo: Path, tiny_settings: dict[str, Any]) -> st.Bundle:
    """A bundle trained on the photo with the tiny settings."""
    return st.train(photo, preset="draft", seed=1, device="cpu", **tiny_settings)


@pytest.fixture(scope="session")
def tiny_bundle_path(tiny_bundle: st.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle's file; not to be changed."""
    path = tmp_path_factory.mktemp("bundle") / "photo.sgb"
    tiny_bundle.save(path)
    return path


@pytest.fixture(scope="session")
def patch_bundle(photo: Path, tiny_settings: dict[str, Any]) -> st.Bundle:
    """As the tiny bundle, with two scales of patches below two with networks, as the default preset has them."""
    settings = tiny_settings | dict(max_size=60, factor=1.5, patches_to=24)
    return st.train(photo, preset="draft", seed=1, device="cpu", **settings)


@pytest.fixture(scope="session")
def noise_padded_bundle(photo: Path, tiny_settings: dict[str, Any]) -> st.Bundle:
    """As the tiny bundle, trained for animation: with noise over the picture's sides."""
    return st.train(photo, preset="draft", seed=1, device="cpu", noise_padding="noise", **tiny_settings)
