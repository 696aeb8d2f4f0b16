"""The task generate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sample_task import difference, pixels_of
from singan_toolkit import Bundle, TaskError, run
from singan_toolkit.imaging.tensors import to_bytes
from singan_toolkit.pyramid.walk import reconstruct


class TestGenerate:
    def test_count_and_size(self, tiny_bundle: Bundle) -> None:
        output = run(tiny_bundle, "generate", count=3, seed=4)
        assert [result.label for result in output.results] == ["0004", "0005", "0006"]
        first, second, third = pixels_of(output)
        assert first.shape == tiny_bundle.picture.shape
        assert first.dtype == np.uint8
        assert difference(first, second).max() > 1
        assert difference(second, third).max() > 1

    def test_sample_of_a_seed_is_the_next_seed_s_first(self, tiny_bundle: Bundle) -> None:
        together = pixels_of(run(tiny_bundle, "generate", count=3, seed=11))
        alone = [pixels_of(run(tiny_bundle, "generate", seed=seed))[0] for seed in (11, 12, 13)]
        assert max(difference(one, other).max() for one, other in zip(together, alone, strict=True)) <= 1
        assert difference(alone[0], alone[1]).max() > 1

    def test_the_same_seed_draws_the_same(self, tiny_bundle: Bundle) -> None:
        once, again = (pixels_of(run(tiny_bundle, "generate", seed=3))[0] for _ in range(2))
        np.testing.assert_array_equal(once, again)

    @pytest.mark.parametrize(
        ("size", "expected"),
        [({"width": 64}, (32, 64)), ({"height": 25}, (25, 40)), ({"width": 31, "height": 57}, (57, 31))],
    )
    def test_other_sizes(self, tiny_bundle: Bundle, size: dict[str, Any], expected: tuple[int, int]) -> None:
        assert tiny_bundle.geometry.finest == (32, 40)
        (pixels,) = tiny_bundle.run("generate", **size)
        assert pixels.shape[:2] == expected

    def test_start_scale_keeps_what_is_coarser(self, tiny_bundle: Bundle) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        rebuilt = to_bytes(reconstruct(tiny_bundle.pyramid("cpu"))[0])
        near, far = (
            np.mean([difference(one, rebuilt).mean() for one in pixels_of(output)])
            for output in (run(tiny_bundle, "generate", count=3, start_scale=start) for start in (top, 0))
        )
        assert near < 4
        assert far > 2 * near

    def test_start_scale_still_varies(self, tiny_bundle: Bundle) -> None:
        first, second = pixels_of(run(tiny_bundle, "generate", count=2, start_scale=1))
        assert difference(first, second).max() > 1

    def test_start_scale_and_size(self, tiny_bundle: Bundle) -> None:
        with pytest.raises(TaskError, match="start scale"):
            run(tiny_bundle, "generate", start_scale=1, width=64)
        height, width = tiny_bundle.geometry.finest
        assert run(tiny_bundle, "generate", start_scale=1, width=width, height=height).results

    def test_start_scale_that_is_not_there(self, tiny_bundle: Bundle) -> None:
        top = len(tiny_bundle.geometry.sizes) - 1
        with pytest.raises(TaskError, match=f"no scale {top + 1} .* 0 to {top}"):
            run(tiny_bundle, "generate", start_scale=top + 1)

    @pytest.mark.parametrize("scale", [1, "auto", "all"])
    def test_takes_no_injection_scale(self, tiny_bundle: Bundle, scale: int | str) -> None:
        with pytest.raises(TaskError, match="no injection scale"):
            run(tiny_bundle, "generate", scale=scale)

    @pytest.mark.parametrize("options", [{"count": 0}, {"count": "many"}, {"width": 3}, {"start_scale": -1}])
    def test_wrong_values(self, tiny_bundle: Bundle, options: dict[str, Any]) -> None:
        with pytest.raises(TaskError, match="generate: "):
            run(tiny_bundle, "generate", **options)
