"""Bundles that a stranger made to do harm: whole files with a digest that is right, and what using them costs."""

from __future__ import annotations

import json
import resource
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

import singan_toolkit as st
from bundle_files import NO_DIGEST, Forgery, Place, refusal
from singan_toolkit.bundle.manifest import Architecture, Manifest, ScaleRecord
from singan_toolkit.pyramid.geometry import Geometry, Size


def forged(path: Path, like: Path, place: Place, value: Any) -> Path:
    """A copy of a file with another value in its manifest."""
    forgery = Forgery(like.read_bytes())
    forgery.change(place, value)
    path.write_bytes(forgery.signed())
    return path


# Sizes


def test_sizes_of_scales_without_tensors_are_bounded(tiny_bundle_path: Path, tmp_path: Path) -> None:
    for value, why in [
        (60_000, "smaller than the one below|at most 268435456"),
        (39, "smaller|follow from the factor"),
    ]:
        path = forged(tmp_path / "a.sgb", tiny_bundle_path, ("scales", 2, "height"), value)
        with pytest.raises(st.BundleError, match=why):
            st.load(path)
    assert "follow from the factor" in refusal(forged(tmp_path / "a.sgb", tiny_bundle_path, ("factor",), 1.5))


@settings(deadline=None, max_examples=300)
@given(
    some.integers(12, 4000),
    some.integers(12, 4000),
    some.integers(12, 64),
    some.integers(12, 2000),
    some.floats(1.06, 4),
    some.sampled_from([0, 24, 60, 256]),
)
def test_every_division_of_a_picture_can_be_read_again(
    height: int, width: int, min_size: int, max_size: int, factor: float, patches_to: int
) -> None:
    try:
        geometry = Geometry.of_picture(height, width, min_size, max_size, factor, patches_to)
    except ValueError:
        return
    scales = [
        ScaleRecord(height=h, width=w, channels=None if n < geometry.patch_scales else 8, noise_amplitude=1.0)
        for n, (h, w) in enumerate(geometry.sizes)
    ]
    training = dict(picture="a.png", preset="draft", settings={}, seed=0, toolkit="0", torch="0")
    manifest = Manifest.model_validate(dict(factor=geometry.factor, scales=scales, training=training))
    assert manifest.geometry == geometry


@settings(deadline=None, max_examples=300)
@given(some.floats(1, 1.2), some.integers(1, 500), some.integers(1, 500), some.floats(1.01, 16))
def test_growing_beyond_the_finest_scale_ends(factor: float, height: int, width: int, growth: float) -> None:
    wanted = round(height * growth), round(width * growth)
    steps = Geometry((Size(5, 5), Size(5, 5)), factor).upward((height, width), wanted)
    assert len(steps) <= 60
    assert not steps or (steps[-1].height, steps[-1].width) == wanted


def test_a_picture_no_larger_than_the_coarsest_scale_is_enlarged(photo: Path, tiny_settings: dict[str, Any]) -> None:
    smallest = tiny_settings | dict(min_size=48, max_size=60, iterations=2, finest_iterations=2)
    bundle = st.train(photo, preset="draft", device="cpu", **smallest)
    assert bundle.manifest.factor == 1
    assert bundle.run("super-resolution", factor=2, device="cpu")[0].shape == (96, 120, 3)


# Values


@pytest.mark.parametrize("name", ["z_star", "scales.1.convolutions.2.weight", "scales.3.convolutions.4.bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -1e6, 1001])
def test_values_that_no_training_gives_are_told(
    tiny_bundle: st.Bundle, tmp_path: Path, name: str, value: float
) -> None:
    values = tiny_bundle.tensors[name].copy()
    values.flat[-1] = value
    replace(tiny_bundle, tensors={**tiny_bundle.tensors, name: values}).save(tmp_path / "a.sgb")
    message = refusal(tmp_path / "a.sgb")
    assert f"tensor {name} holds values" in message
    assert ("no numbers" if not np.isfinite(value) else "none beyond 1000") in message


def test_the_largest_values_that_are_read_do_not_overflow(tiny_bundle: st.Bundle) -> None:
    wild = {name: np.sign(values) * 1000 if "." in name else values for name, values in tiny_bundle.tensors.items()}
    picture = replace(tiny_bundle, tensors=wild).pyramid("cpu")
    from singan_toolkit.pyramid.noise import Gaussian
    from singan_toolkit.pyramid.walk import walk

    assert walk(picture, picture.geometry.route(), Gaussian(0)).isfinite().all()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("scales", 1, "noise_amplitude"), 21),
        (("scales", 0, "channels"), 1025),
        (("training", "seed"), 10**30),
        (("training", "seed"), 1 - 10**4000),
        (("training", "seconds"), 1e300),
    ],
    ids=lambda part: str(part)[:40],
)
def test_absurd_numbers_are_refused(tiny_bundle_path: Path, tmp_path: Path, place: Place, value: Any) -> None:
    assert str(place[-1]) in refusal(forged(tmp_path / "a.sgb", tiny_bundle_path, place, value))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "9" * 5000])
def test_numbers_that_are_none_are_refused_anywhere(forgery: Forgery, tmp_path: Path, number: str) -> None:
    forgery.change(("training", "settings", "more"), "HERE")
    (tmp_path / "a.sgb").write_bytes(forgery.signed(lambda text: text.replace('"HERE"', number)))
    refusal(tmp_path / "a.sgb")


@pytest.mark.parametrize("field", ['"factor": 1.5, ', '"digest": "' + NO_DIGEST + '", '])
def test_a_field_that_stands_twice_is_refused(forgery: Forgery, tmp_path: Path, field: str) -> None:
    (tmp_path / "a.sgb").write_bytes(forgery.signed(lambda text: "{" + field + text[1:]))
    assert f"field '{field[1 : field.index(':') - 1]}' stands twice" in refusal(tmp_path / "a.sgb")


# Settings, by which scales are trained anew


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("iterations", 1_000_000, "ask for 2,000,000 steps, and at most 120,000"),
        ("finest_iterations", 10**12, "finest_iterations is wrong"),
        ("channels", 100_000, "channels is wrong"),
        ("batch", "many", "batch is wrong"),
        ("pool_pixels", 10**15, "pixels of samples"),
    ],
)
@pytest.mark.parametrize("task", ["paint2image", "harmonize"])
def test_settings_that_ask_for_too_much_are_refused_before_a_training(
    tiny_bundle_path: Path, photo: Path, tmp_path: Path, task: str, setting: str, value: Any, why: str
) -> None:
    path = forged(tmp_path / "a.sgb", tiny_bundle_path, ("training", "settings", setting), value)
    started = time.monotonic()
    Image.fromarray(np.eye(48, 60, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    options: dict[str, Any] = dict(composite=photo, mask=tmp_path / "mask.png")
    if task == "paint2image":
        options = dict(paint=photo, quantize=True)
    with pytest.raises(st.BundleError, match=why):
        st.load(path).run(task, device="cpu", **options)
    assert time.monotonic() - started < 20
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.sgb", "mask.png"}


@pytest.mark.parametrize("seed", [1 << 64, -(1 << 63) - 1])
def test_no_picture_is_trained_on_with_a_seed_that_could_not_be_read_again(photo: Path, seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        st.train(photo, preset="draft", seed=seed, device="cpu")


def test_no_picture_is_trained_on_in_scales_that_could_not_be_read_again(photo: Path) -> None:
    with pytest.raises(ValueError, match="at most 268435456 are allowed"):
        Geometry.of_picture(16_384, 16_384, max_size=16_384)
    with pytest.raises(ValueError, match="patches_to and min_size"):
        Geometry.of_picture(4000, 4000, min_size=400, max_size=2000, patches_to=60)


# Memory


def test_a_file_is_held_once(tiny_bundle: st.Bundle, tmp_path: Path) -> None:
    wide = {
        name: np.zeros([512 if side == 8 else side for side in values.shape], np.float32) if "." in name else values
        for name, values in tiny_bundle.tensors.items()
    }
    scales = [scale.model_copy(update=dict(channels=512)) for scale in tiny_bundle.manifest.scales]
    manifest = tiny_bundle.manifest.model_copy(update=dict(scales=scales))
    path = tmp_path / "wide.sgb"
    replace(tiny_bundle, manifest=manifest, tensors=wide).save(path)
    size = path.stat().st_size
    tracemalloc.start()
    try:
        loaded = st.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 100_000_000
    assert peak < 1.2 * size
    assert loaded.manifest.scales[0].channels == 512


# Anything at all


NUMBERS = some.one_of(
    some.integers(-2, 70),
    some.sampled_from([2**16, 2**31, 2**63, 2**64, -(2**64), 10**30, 10**400]),
    some.floats(),
    some.floats(0, 4),
)
VALUES = some.recursive(
    some.one_of(some.none(), some.booleans(), NUMBERS, some.text(max_size=5)),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
SCALES = some.lists(
    some.tuples(some.integers(1, 48), some.integers(1, 48), some.sampled_from([None, None, 1, 2, 8])),
    min_size=1,
    max_size=5,
)


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where something stands in a manifest, to the last leaf."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*at, key)
        yield from places(below, (*at, key))


@some.composite
def hostile(draw: some.DrawFn, content: bytes) -> bytes:
    """A bundle's file with changes, mostly signed anew, so that what lies behind the digest is reached."""
    forgery = Forgery(content)
    manifest = forgery.manifest
    manifest["digest"] = NO_DIGEST
    kind = draw(some.sampled_from(["bytes", "manifest", "entry", "scales", "tensor", "text"]))
    if kind == "bytes":
        damaged = bytearray(content)
        for _ in range(draw(some.integers(1, 4))):
            damaged[draw(some.integers(0, len(content) - 1))] = draw(some.integers(0, 255))
        return bytes(damaged[: draw(some.integers(0, len(content)))]) if draw(some.booleans()) else bytes(damaged)
    if kind == "scales":  # sizes of all kinds, with the tensors that fit them
        sizes = draw(SCALES)
        if draw(some.booleans()):
            sizes.sort(key=lambda size: (size[2] is not None, size[0], size[1]))
        if draw(some.booleans()):
            manifest["factor"] = draw(some.floats(1, 16))
        amplitude = draw(some.floats(0, 20))
        manifest["scales"] = [
            dict(height=h, width=w, channels=channels, noise_amplitude=amplitude) for h, w, channels in sizes
        ]
        if draw(some.booleans()):  # such that they follow from the factor
            last, channels = sizes[-1], sizes[-1][2] or 1
            manifest["factor"] = factor = draw(some.floats(1, 3))
            manifest["scales"] = [
                dict(
                    height=max(1, round(last[0] / factor**n)),
                    width=max(1, round(last[1] / factor**n)),
                    channels=channels,
                    noise_amplitude=amplitude,
                )
                for n in reversed(range(draw(some.integers(1, 12))))
            ]
        forgery.entries, forgery.data = laid_out(manifest, draw(some.floats(-1100, 1100)))
    if kind == "tensor":
        at = draw(some.integers(0, len(forgery.data) // 4 - 1)) * 4
        value = np.float32(draw(some.floats(width=32))).tobytes()
        forgery.data = forgery.data[:at] + value + forgery.data[at + 4 :]
    if kind == "entry":
        entry = forgery.entries[draw(some.sampled_from(sorted(forgery.entries)))]
        entry[draw(some.sampled_from(["dtype", "shape", "data_offsets", "other"]))] = draw(VALUES)
    for _ in range(draw(some.integers(1, 2)) if kind == "manifest" else 0):
        place = draw(some.sampled_from(sorted(places(manifest), key=str)))
        target: Any = manifest
        for part in place[:-1]:
            target = target[part]
        if draw(some.integers(0, 4)):
            target[place[-1]] = draw(VALUES)
        else:
            del target[place[-1]]
    text = json.dumps(manifest)
    if kind == "text":
        at = draw(some.integers(0, len(text)))
        more = draw(some.sampled_from(["9" * 5000, "[" * 3000, '{"a":' * 500, "NaN", "1e999", '"', ",", "\\ud800", ""]))
        text = text[:at] + more + text[at + draw(some.integers(0, 3)) :]
    return forgery.signed(lambda _: text)


def laid_out(manifest: dict[str, Any], value: float) -> tuple[dict[str, Any], bytes]:
    """Entries and data of the tensors that a manifest asks for, all of one value."""
    unchecked = Manifest.model_construct(
        architecture=Architecture(**manifest["architecture"]),
        scales=[ScaleRecord.model_construct(**scale) for scale in manifest["scales"]],
    )
    entries, data = {}, b""
    for name, (dtype, shape) in unchecked.tensors().items():
        values = np.full(shape, 100 if dtype == "U8" else value / 100, np.uint8 if dtype == "U8" else np.float32)
        end = len(data) + values.nbytes
        entries[name] = dict(dtype=dtype, shape=list(shape), data_offsets=[len(data), end])
        data += values.tobytes()
    return entries, data


@pytest.fixture(scope="module")
def small_file(photo: Path, tiny_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two scales of patches and two of networks, and no more than some kilobytes."""
    small = dict(max_size=30, factor=1.5, patches_to=16, iterations=2, finest_iterations=2, channels=4, max_channels=4)
    path = tmp_path_factory.mktemp("small") / "small.sgb"
    st.train(photo, preset="draft", device="cpu", **(tiny_settings | small)).save(path)
    return path


def try_it(content: bytes, path: Path) -> bool:
    """Whether a file can be used; if not, it is refused in a sentence. Either takes little time and memory."""
    path.write_bytes(content)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        bundle = st.load(path)
    except st.BundleError as error:
        refused = str(error)
    else:
        refused = ""
    assert time.monotonic() - started < 1
    if refused:
        assert refused.isprintable()
        return False
    made = bundle.run("generate", count=1, candidates=2, device="cpu")[0]
    assert made.shape == (*bundle.geometry.finest, 3)
    assert time.monotonic() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
    return True


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.data())
def test_whatever_a_file_holds_it_is_refused_or_used(small_file: Path, tmp_path: Path, data: some.DataObject) -> None:
    try_it(data.draw(hostile(small_file.read_bytes())), tmp_path / "hostile.sgb")
