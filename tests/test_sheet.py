"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from picture_files import noise
from singan_toolkit.imaging.pictures import Picture
from singan_toolkit.imaging.sheet import contact_sheet


def shows(sheet: Picture, pixels: np.ndarray) -> bool:
    """Whether a picture lies somewhere on a sheet, pixel for pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet.pixels, pixels.shape)
    return bool((windows == pixels).all(axis=(-3, -2, -1)).any())


class TestSheet:
    @pytest.mark.parametrize("number", [1, 2, 3, 5])
    def test_shows_all(self, number: int) -> None:
        pictures = [Picture(noise(10, 14, 3, seed=seed)) for seed in range(number)]
        sheet = contact_sheet(pictures, [""] * number)
        assert sheet.pixels.dtype == np.uint8
        assert sheet.pixels.shape[2] == 3
        assert all(shows(sheet, picture.pixels) for picture in pictures)
        assert not shows(sheet, noise(10, 14, 3, seed=99))

    def test_size(self) -> None:
        pictures = [Picture(noise(10, 14, 3))] * 6
        shapes = {columns: contact_sheet(pictures, [""] * 6, columns).size for columns in (1, 2, 6)}
        assert shapes[1][0] > 60 > shapes[1][1] > 14
        assert shapes[6][1] > 84 > shapes[6][0] > 10
        assert 30 < shapes[2][0] < shapes[1][0]
        assert 28 < shapes[2][1] < shapes[6][1]

    def test_large_pictures_are_shrunk_and_small_ones_stay(self) -> None:
        small = Picture(noise(10, 14, 3))
        height, width = contact_sheet([Picture(noise(100, 300, 3)), small], ["", ""], columns=1, cell=30).size
        assert width < 60
        assert height < 80
        assert shows(contact_sheet([Picture(noise(100, 300, 3)), small], ["", ""], cell=30), small.pixels)

    def test_grey_and_deep_pictures(self) -> None:
        grey, deep = noise(10, 14, 1), noise(10, 14, 3, np.uint16)
        sheet = contact_sheet([Picture(grey), Picture(deep)], ["", ""])
        assert shows(sheet, grey.repeat(3, axis=2))
        assert shows(sheet, np.rint(deep / 257).astype(np.uint8))

    def test_transparency_shows_the_paper(self) -> None:
        clear = np.zeros((10, 14, 4), np.uint8)
        sheet = contact_sheet([Picture(clear)], [""])
        assert sheet.pixels.min() > 200
        clear[..., 3] = 255
        assert contact_sheet([Picture(clear)], [""]).pixels.min() == 0

    def test_labels_are_drawn_beside_the_pictures(self) -> None:
        white = np.full((20, 60, 3), 255, np.uint8)
        plain, labelled = (contact_sheet([Picture(white)] * 2, labels) for labels in (["", ""], ["scale 1", "scale 2"]))
        assert plain.pixels.min() > 200
        assert labelled.pixels.min() < 100
        assert labelled.size[0] > plain.size[0]
        assert shows(labelled, white)
