"""How varied a place looks from above: spectral entropy of windows of the Blue Marble."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.fetch import digest_of, path_of
from wherefrom.earth.kept import keep
from wherefrom.earth.rasters import Grid, pixels_of
from wherefrom.errors import WherefromError

__all__ = ["BINS", "BLUE_MARBLE_ENTROPY", "CELL", "reach_of", "window_entropy"]

#: Bins of the 256 values of a band, equally wide.
BINS = 64
#: Side of a cell in pixels; a window is of five cells, and is moved cell by cell.
CELL, _SIDE = 5, 5
#: Raised by hand when the numbers change: what was kept is then made again.
_VERSION = 1

Floats = NDArray[np.float64]


def reach_of(rows: int) -> NDArray[np.int64]:
    """Return for each row of cells of the whole Earth how many cells a window reaches each way.

    It is as wide on the ground as it is high, to half a cell on either side.

    >>> reach_of(18).tolist()[:3], reach_of(18).tolist()[8]
    ([28, 9, 5], 2)
    """
    lat = (np.arange(rows) + 0.5) * (np.pi / rows) - np.pi / 2
    reach: NDArray[np.int64] = np.rint((_SIDE / np.cos(lat) - 1) / 2).astype(np.int64)
    return reach


def window_entropy(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the spectral entropy of the window around each cell of a picture of the Earth.

    Parameters
    ----------
    image : (bands, 5 R, 10 R) uint8 array
        North up, from 180 W eastwards.

    Returns
    -------
    (R, 2 R) float32 array
        Nats: Shannon entropy of each band's values in `BINS` bins, mean over the bands, as
        ``wherefrom.auditing.spectral.spectral_entropy`` has it. At most ``ln(BINS)``.

    Notes
    -----
    A window is five cells of 5 pixels high, cut off at the poles, and ``5 / cos(lat)`` cells wide.
    Counts of cells are summed up, so that the cost does not grow with the window.

    Examples
    --------
    >>> plain = np.zeros((1, 90, 180), np.uint8)
    >>> float(window_entropy(plain).max())
    0.0
    """
    bands, height, width = image.shape
    rows, columns = height // CELL, width // CELL
    if rows * CELL != height or columns * CELL != width or columns != 2 * rows:
        raise WherefromError(
            f"a picture of {width} x {height} pixels cannot be cut into cells of {CELL}: give one "
            "that is twice as wide as high"
        )
    reach = np.minimum(reach_of(rows), (columns - 1) // 2)
    result = np.zeros((rows, columns))
    cell = np.repeat(np.arange(columns), CELL) * BINS
    for band in image:
        at = (band // (256 // BINS)).astype(np.int64) + cell
        counts = np.stack(
            [
                np.bincount(at[top : top + CELL].ravel(), minlength=columns * BINS)
                for top in range(0, height, CELL)
            ]
        ).reshape(rows, columns, BINS)
        for row in range(rows):
            half = _SIDE // 2
            high = counts[max(0, row - half) : row + half + 1].sum(axis=0)
            result[row] += _entropy(_around(high, int(reach[row])))
    return np.asarray(result / bands, dtype=np.float32)


def _around(counts: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Sum the counts (columns, BINS) of the cells to both sides of each; the Earth is round."""
    wrapped = np.concatenate([counts[-reach:], counts, counts[:reach]])
    sums = np.concatenate([np.zeros((1, BINS), np.int64), np.cumsum(wrapped, axis=0)])
    return np.asarray(sums[2 * reach + 1 :] - sums[: len(counts)])


def _entropy(counts: NDArray[np.int64]) -> Floats:
    total = counts.sum(axis=1)
    terms = (counts * np.log(np.maximum(counts, 1))).sum(axis=1)
    entropy: Floats = np.log(total) - terms / total
    return np.where(entropy < 1e-12, 0.0, entropy)  # rounding of a single bin


def _lookup() -> Any:
    name = f"blue-marble-entropy-{digest_of('blue-marble')[:16]}-{_VERSION}.npy"

    def make() -> NDArray[np.float32]:
        return window_entropy(pixels_of(path_of("blue-marble"))[0])

    def write(made: NDArray[np.float32], path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, made)

    def read(file: BinaryIO) -> NDArray[np.float32]:
        return np.asarray(np.load(file, allow_pickle=False), dtype=np.float32)

    values = keep(name, make, write, read)
    return Grid(values, west=-180.0, north=90.0, step=360.0 / values.shape[1]).at


BLUE_MARBLE_ENTROPY = UnopenedLayer(
    "blue_marble_entropy",
    "blue-marble",
    _lookup,
    f"nats, spectral entropy of display colours in a window of 185 km, {BINS} bins a band, mean "
    "over the bands; one date, sea and all",
    units="nats",
)
