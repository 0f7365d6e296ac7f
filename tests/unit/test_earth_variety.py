"""Entropy of windows: the same number as of the pixels themselves, all around the Earth."""

from __future__ import annotations

import numpy as np
import pytest

from wherefrom.auditing.spectral import BinSpec, spectral_entropy
from wherefrom.earth import ValueLayer, layer, made_of
from wherefrom.earth.variety import BINS, CELL, reach_of, window_entropy
from wherefrom.errors import WherefromError

#: Bins of four values each.
BINNED = BinSpec((0.0,), (256.0,), BINS)


def pixels_around(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """Cut the window around a cell out of the picture, pixel by pixel."""
    rows, columns = image.shape[1] // CELL, image.shape[2] // CELL
    reach = min(int(reach_of(rows)[row]), (columns - 1) // 2)
    down = np.arange(max(0, row - 2) * CELL, min(rows, row + 3) * CELL)
    across = np.arange((column - reach) * CELL, (column + reach + 1) * CELL) % image.shape[2]
    return image[:, down][:, :, across].reshape(len(image), -1)


def test_running_counts_give_another_entropy_than_the_windows_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 18 * CELL, 36 * CELL), dtype=np.uint8)
    image[:, :, : 10 * CELL] //= 8  # half dull
    made = window_entropy(image)
    assert made.shape == (18, 36)
    # Poles, the antimeridian from both sides, and the middle.
    for row, column in [(0, 0), (17, 35), (9, 0), (9, 35), (8, 17), (3, 1), (14, 30)]:
        expected = spectral_entropy(pixels_around(image, row, column)[None], BINNED)
        assert made[row, column] == pytest.approx(expected[0], abs=1e-6)


def test_windows_shrink_towards_the_poles() -> None:
    reach = reach_of(540)
    lat = (np.arange(540) + 0.5) / 540 * 180 - 90
    wide = (2 * reach + 1) * np.cos(np.radians(lat))
    assert np.abs(wide - 5).max() <= 1.0  # of a window five cells wide, a cell at most
    assert wide[np.abs(lat) < 70].min() > 4.1


def test_a_picture_of_another_shape_is_cut_askew() -> None:
    with pytest.raises(WherefromError, match="12 x 10 pixels cannot be cut into cells of 5"):
        window_entropy(np.zeros((3, 10, 12), np.uint8))


def test_the_layer_has_values_that_no_window_can_have() -> None:
    opened = layer("blue_marble_entropy")
    assert isinstance(opened, ValueLayer)
    assert opened.units == "nats"
    # The middle of the Pacific is of one colour; fields, hills and coasts are not.
    sea, alps, ice = opened([-140.0, 10.0, 0.0], [-40.0, 46.5, -85.0]).tolist()
    assert 0 <= sea < 0.5
    assert 2.5 < alps <= np.log(BINS)
    assert ice < alps
    assert made_of("blue_marble_entropy") == {"blue-marble"}
