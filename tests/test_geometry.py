"""The division of a picture into scales, and the routes through them."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from singan_toolkit.pyramid.geometry import Geometry, Size, Step, nearest

Sizes = list[tuple[int, int]]

# By the official rule (adjust_scales2image with min_size 25, max_size 250, scale_factor_init 0.75), worked out in
# rational arithmetic: every ceiling is that of the exact number.
OFFICIAL: list[tuple[tuple[int, int], Sizes]] = [
    (
        (250, 250),
        [
            *[(25, 25), (32, 32), (40, 40), (50, 50), (63, 63), (80, 80), (100, 100), (126, 126), (158, 158)],
            *[(199, 199), (250, 250)],
        ],
    ),
    (
        (188, 250),
        [
            *[(25, 34), (32, 42), (40, 53), (49, 66), (62, 82), (77, 102), (96, 128), (121, 160), (151, 200)],
            (188, 250),
        ],
    ),
    (
        (250, 188),
        [
            *[(34, 25), (42, 32), (53, 40), (66, 49), (82, 62), (102, 77), (128, 96), (160, 121), (200, 151)],
            (250, 188),
        ],
    ),
    (
        (160, 240),
        [(25, 38), (32, 48), (40, 60), (51, 76), (64, 95), (80, 120), (101, 151), (127, 191), (160, 240)],
    ),
    ((100, 100), [(25, 25), (32, 32), (40, 40), (50, 50), (63, 63), (80, 80), (100, 100)]),
    ((64, 48), [(34, 25), (40, 30), (47, 35), (55, 41), (64, 48)]),
    ((576, 1024), [(25, 45), (33, 57), (41, 73), (53, 94), (68, 120), (87, 153), (111, 196), (141, 250)]),
    ((1024, 576), [(45, 25), (57, 33), (73, 41), (94, 53), (120, 68), (153, 87), (196, 111), (250, 141)]),
    ((1500, 1000), [(38, 25), (50, 33), (65, 44), (85, 57), (111, 75), (146, 98), (191, 128), (250, 167)]),
    (
        (3000, 4000),
        [(25, 34), (33, 43), (42, 56), (54, 71), (69, 92), (89, 118), (114, 151), (147, 195), (188, 250)],
    ),
    (
        (512, 512),
        [
            *[(25, 25), (33, 33), (42, 42), (54, 54), (70, 70), (90, 90), (117, 117), (150, 150), (194, 194)],
            (250, 250),
        ],
    ),
    (
        (251, 251),
        [
            *[(25, 25), (33, 33), (42, 42), (54, 54), (70, 70), (90, 90), (117, 117), (150, 150), (194, 194)],
            (250, 250),
        ],
    ),
    (
        (211, 250),
        [
            *[(25, 30), (32, 38), (41, 48), (51, 61), (65, 77), (82, 97), (104, 123), (132, 156), (167, 198)],
            (211, 250),
        ],
    ),
    ((30, 250), [(25, 209), (28, 229), (30, 250)]),
    ((33, 120), [(25, 91), (29, 105), (33, 120)]),
    ((40, 26), [(39, 25), (40, 26), (40, 26)]),
    ((25, 25), [(25, 25), (25, 25)]),
    ((700, 70), [(250, 25), (250, 25)]),
]


@pytest.mark.parametrize(("picture", "sizes"), OFFICIAL, ids=[f"{h}x{w}" for (h, w), _ in OFFICIAL])
def test_sizes_follow_the_official_rule(picture: tuple[int, int], sizes: Sizes) -> None:
    geometry = Geometry.of_picture(*picture)
    assert list(geometry.sizes) == sizes
    assert geometry.finest == sizes[-1]
    assert geometry.factor == pytest.approx((min(sizes[-1]) / 25) ** (1 / (len(sizes) - 1)))


@pytest.mark.parametrize(
    ("picture", "options", "sizes"),
    [
        ((48, 60), (12, 40, 4 / 3), [(12, 15), (16, 20), (20, 25), (26, 32), (32, 40)]),
        ((480, 640), (32, 200, 1.5), [(32, 43), (44, 59), (60, 80), (81, 108), (111, 147), (150, 200)]),
        ((97, 61), (20, 64, 2.0), [(32, 20), (45, 29), (64, 41)]),
    ],
)
def test_sizes_follow_the_rule_with_other_limits(
    picture: tuple[int, int], options: tuple[int, int, float], sizes: Sizes
) -> None:
    min_size, max_size, factor = options
    assert list(Geometry.of_picture(*picture, min_size, max_size, factor).sizes) == sizes


sides = some.integers(1, 5000)


@settings(deadline=None, max_examples=400)
@given(sides, sides, some.integers(12, 64), some.integers(12, 600), some.floats(1.1, 3))
def test_every_picture_is_divided_or_refused(
    height: int, width: int, min_size: int, max_size: int, factor: float
) -> None:
    shorter, longer = min(height, width), max(height, width)
    shrunk = longer > max_size
    left = math.ceil(shorter * max_size / longer) if shrunk else shorter
    if shorter < min_size or left < min_size:
        with pytest.raises(ValueError, match=f"{width}x{height}") as refusal:
            Geometry.of_picture(height, width, min_size, max_size, factor)
        assert len(str(refusal.value).splitlines()) == 1
        return
    geometry = Geometry.of_picture(height, width, min_size, max_size, factor)
    sizes = geometry.sizes
    assert len(sizes) >= 2
    assert all(a <= b for small, large in itertools.pairwise(sizes) for a, b in zip(small, large, strict=True))
    assert min(sizes[0]) == min_size
    assert max(geometry.finest) == (max_size if shrunk else longer)
    assert min(geometry.finest) == left
    assert 1 <= geometry.factor <= factor * (1 + min_size**-1)
    assert geometry.finest == (height, width) or shrunk
    for h, w in sizes:
        exact = height / width
        assert (h - 1) / w <= exact * (1 + 1 / left) + 1e-9
        assert (w - 1) / h <= (1 + 1 / left) / exact + 1e-9


@settings(deadline=None, max_examples=100)
@given(some.integers(25, 3000), some.integers(25, 3000))
def test_turning_the_picture_turns_the_pyramid(height: int, width: int) -> None:
    assume(min(height, width) * 250 >= 25 * max(height, width))
    upright, lying = Geometry.of_picture(height, width), Geometry.of_picture(width, height)
    assert [(w, h) for h, w in upright.sizes] == list(lying.sizes)


@pytest.mark.parametrize("size", [(24, 300), (300, 24), (10, 10), (1, 1)])
def test_a_small_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="shorter side must be at least 25"):
        Geometry.of_picture(*size)


def test_a_thin_picture_is_refused_with_the_size_that_would_do() -> None:
    with pytest.raises(ValueError, match="raise max_size to 1000 or more"):
        Geometry.of_picture(50, 2000)
    assert min(Geometry.of_picture(50, 2000, max_size=1000).finest) == 25


GEOMETRY = Geometry.of_picture(120, 160)


def test_a_route_runs_from_its_first_scale_to_the_finest() -> None:
    sizes = GEOMETRY.sizes
    assert GEOMETRY.route() == tuple(Step(n, *size) for n, size in enumerate(sizes))
    assert GEOMETRY.route(first=len(sizes) - 1) == (Step(len(sizes) - 1, 120, 160),)
    assert GEOMETRY.route(first=2) == GEOMETRY.route()[2:]


@pytest.mark.parametrize("first", [-1, len(GEOMETRY.sizes), 1000])
def test_a_route_from_nowhere_is_refused(first: int) -> None:
    with pytest.raises(ValueError, match=f"no scale {first}: .* 0 to {len(GEOMETRY.sizes) - 1}"):
        GEOMETRY.route(first)


@settings(deadline=None)
@given(some.integers(1, 2000), some.integers(1, 2000))
def test_a_stretched_route_keeps_each_scales_share(height: int, width: int) -> None:
    route = GEOMETRY.route(finest=(height, width))
    assert [step.scale for step in route] == list(range(len(GEOMETRY.sizes)))
    assert (route[-1].height, route[-1].width) == (height, width)
    for step, (h, w) in zip(route, GEOMETRY.sizes, strict=True):
        assert (step.height, step.width) == GEOMETRY.size_at(step.scale, (height, width))
        assert abs(step.height * 120 - max(h * height, 120)) <= 60
        assert abs(step.width * 160 - max(w * width, 160)) <= 80


def test_size_at_without_a_stretch_is_the_trained_size() -> None:
    assert [GEOMETRY.size_at(n) for n in range(len(GEOMETRY.sizes))] == list(GEOMETRY.sizes)
    assert GEOMETRY.size_at(1, (120, 160)) == GEOMETRY.sizes[1]
    assert GEOMETRY.size_at(0, (240, 160)) == (2 * GEOMETRY.sizes[0][0], GEOMETRY.sizes[0][1])


@settings(deadline=None)
@given(some.integers(40, 4000), some.integers(40, 4000))
def test_a_fitted_size_has_the_pyramids_area_and_its_own_shape(height: int, width: int) -> None:
    assume(max(height, width) <= 8 * min(height, width))
    h, w = GEOMETRY.fit((height, width))
    share = math.sqrt(120 * 160 / (height * width))
    assert abs(h - height * share) <= 0.5
    assert abs(w - width * share) <= 0.5
    assert h * w == pytest.approx(120 * 160, rel=0.03)


def test_a_picture_of_the_trained_size_fits_as_it_is() -> None:
    assert GEOMETRY.fit((120, 160)) == (120, 160)
    assert GEOMETRY.fit((480, 640)) == (120, 160)
    assert GEOMETRY.fit((60, 80)) == (120, 160)


class TestNearest:
    @given(some.integers(0, 10**5), some.integers(1, 1600))
    def test_halves_up_as_on_paper(self, side: int, hundredths: int) -> None:
        exact = Fraction(side) * Fraction(hundredths, 100)
        assert nearest(side * (hundredths / 100)) == (exact + Fraction(1, 2)).__floor__()

    @pytest.mark.parametrize(("value", "whole"), [(102.5, 103), (152.5, 153), (1.5, 2), (-2.5, -2), (10 * 1.15, 12)])
    def test_examples(self, value: float, whole: int) -> None:
        assert nearest(value) == whole


def test_a_size_is_a_pair_and_reads_as_people_write_it() -> None:
    height, width = Size(3, 5)
    assert (height, width) == (3, 5) == Size(3, 5)
    assert f"{Size(3, 5)}" == str(Size(3, 5)) == "5x3"


def test_a_picture_enters_at_the_size_of_the_scale_below() -> None:
    finest = (2 * GEOMETRY.finest.height, GEOMETRY.finest.width)
    for scale in range(1, len(GEOMETRY.sizes)):
        assert GEOMETRY.entry_size(scale) == GEOMETRY.sizes[scale - 1]
        assert GEOMETRY.entry_size(scale, finest) == GEOMETRY.size_at(scale - 1, finest)
