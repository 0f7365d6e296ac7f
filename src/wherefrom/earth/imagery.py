"""What a place looks like from above: frozen features of the Blue Marble.

The features are the plain statistics of a window and random convolutional features: patches of
the image itself serve as filters, as in Rolf et al. (2021), *A generalizable and accessible
approach to machine learning with global satellite imagery* (MOSAIKS), Nature Communications 12,
4392. Nothing is trained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from wherefrom.earth import catalog, fetch
from wherefrom.earth.base import checked_places
from wherefrom.earth.rasters import pixels_of
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError, unknown
from wherefrom.keys import generator, key_of

__all__ = ["IMAGES", "ImageFeatures", "available"]

#: Names of the images, as in the catalog: one date, or all twelve months.
IMAGES = ("blue-marble", "blue-marble-monthly")

_PATCH = 3  # side of a filter in pixels
_STRIP = 64  # rows of the image worked on together
_LOOKUP = 8192  # places looked up together


def available(source: str) -> bool:
    """Tell whether an image can be had without a network."""
    if source not in IMAGES:
        raise unknown("image", source, IMAGES)
    return fetch.find(source) is not None


@dataclass(frozen=True)
class ImageFeatures:
    """Frozen features of the image around a place.

    Per channel the mean and spread over the window and the value at its centre, then the mean
    over the window of each random filter's response, rectified. The window is a square of constant
    size on the ground: it widens in longitude by 1 / cos(latitude).

    Parameters
    ----------
    source : {"blue-marble", "blue-marble-monthly"}
        One date, or twelve months.
    window_km : float, default 60
        Side of the window.
    filters : int, default 64
        Number of random filters: patches of 3 x 3 pixels, over all channels.
    seed : int, default 0
        Of the draw of the patches.

    Notes
    -----
    The filters run over the whole image once and running sums give the mean over any window, so
    the cost depends little on the number of places. The patches are drawn uniformly by area
    from the varied half of the image (which leaves out most of the sea) and whitened.

    Examples
    --------
    >>> features = ImageFeatures(filters=8)
    >>> features.compute(np.array([13.4, 2.35]), np.array([52.5, 48.9])).shape
    (2, 17)
    """

    source: str = "blue-marble"
    window_km: float = 60.0
    filters: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.source not in IMAGES:
            raise unknown("image", self.source, IMAGES)
        if not 10 <= self.window_km <= 2000:
            raise WherefromError(f"window_km must lie between 10 and 2000, not {self.window_km}")
        if self.filters < 0:
            raise WherefromError(f"filters must be 0 or more, not {self.filters}")

    def spec(self) -> dict[str, Any]:
        """Give the settings as plain values."""
        return {"image": "random-filters", **asdict(self)}

    @cached_property
    def key(self) -> str:
        """Hash of the settings and of the image's files."""
        return key_of([self.spec(), fetch.digest_of(self.source)])

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return 3 * len(catalog.source(self.source).files)

    @property
    def size(self) -> int:
        """Number F of features."""
        return 3 * self.channels + self.filters

    def compute(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Look up the features of N places.

        Parameters
        ----------
        lon, lat : (N,) arrays
            Degrees.

        Returns
        -------
        (N, F) float32 array
            Columns: C means, C spreads, C centres (channels from 0 to 1), then the filters.

        Raises
        ------
        WherefromError
            If a coordinate is missing or out of range, or the image is not on this machine and
            cannot be fetched.
        """
        image = _read(self.source)
        channels, height, width = image.shape
        x, y = _pixel(lon, lat, height, width)
        weights, bias = _filters(image, self.filters, self.seed)
        half = self.window_km / 2 / (np.pi * EARTH_RADIUS_KM / height)
        result = np.empty((len(x), self.size), np.float32)
        strip = np.minimum(y, height - 0.5).astype(np.int64) // _STRIP
        for number in np.unique(strip):
            first = max(0, int(np.floor(number * _STRIP - half)))
            last = min(height, int(np.ceil((number + 1) * _STRIP + half)))
            sums = _running_sums(image, first, last, weights, bias)
            inside = np.flatnonzero(strip == number)
            for start in range(0, len(inside), _LOOKUP):
                part = inside[start : start + _LOOKUP]
                mean = _window_mean(sums, first, height, x[part], y[part], half)
                square = mean[:, channels : 2 * channels]
                mean[:, channels : 2 * channels] = np.sqrt(
                    np.maximum(square - mean[:, :channels] ** 2, 0)
                )
                result[part, : 2 * channels] = mean[:, : 2 * channels]
                result[part, 3 * channels :] = mean[:, 2 * channels :]
        rows = np.minimum(y, height - 0.5).astype(np.int64)
        result[:, 2 * channels : 3 * channels] = image[:, rows, x.astype(np.int64) % width].T / 255
        return result


def _read(source: str) -> np.ndarray:
    """Read an image of the whole Earth, shape (C, H, W) uint8: north up, from 180 W eastwards."""
    if source not in IMAGES:
        raise unknown("image", source, IMAGES)
    first = fetch.path_of(source)
    files = catalog.source(source).files
    image = np.concatenate([pixels_of(first.parent / file.name)[0] for file in files])
    if image.shape[2] != 2 * image.shape[1]:
        raise WherefromError(f"{first} is {image.shape[2]} x {image.shape[1]} pixels, not 2 to 1")
    return image


def _pixel(
    lon: np.ndarray, lat: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Turn degrees to continuous pixel coordinates: x in [0, W), y in [0, H] from the north."""
    lon, lat = checked_places(lon, lat)
    return (lon + 180) % 360 * (width / 360), (90 - lat) * (height / 180)


def _patches(image: np.ndarray, first: int, last: int) -> np.ndarray:
    """Lay out the patch around each pixel of some rows, shape (W, rows, 9 C) float32.

    Columns wrap; beyond a pole the outermost row repeats.
    """
    r = _PATCH // 2
    rows = np.arange(first - r, last + r).clip(0, image.shape[1] - 1)
    columns = np.arange(-r, image.shape[2] + r) % image.shape[2]
    pixels = image[:, rows].transpose(2, 1, 0)[columns].astype(np.float32)
    pixels /= 255
    view = sliding_window_view(pixels, (_PATCH, _PATCH), axis=(0, 1))
    return view.reshape(*view.shape[:2], -1)


def _filters(image: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw filters: weights (9 C, K) and bias (K,) float32, the whitening folded into both."""
    height, width = image.shape[1:]
    rng = generator("image-filters", seed)
    drawn = max(20_000, 10 * count)
    # Rows of a whole-Earth picture shrink towards the poles: uniform by area, as in z.
    rows = (np.arccos(rng.uniform(-1, 1, drawn)) * (height / np.pi)).astype(np.int64)
    columns = rng.integers(0, width, drawn)
    step = np.arange(_PATCH) - _PATCH // 2
    across = (columns[:, None, None] + step[:, None]) % width
    down = (rows[:, None, None] + step).clip(0, height - 1)
    patches = image[:, down, across].transpose(1, 0, 2, 3) / 255.0
    flat = patches.reshape(drawn, -1)
    spread = patches.std(axis=(2, 3)).mean(1)
    # Strictly: the sea may be of one colour over more than half of the image.
    flat = flat[spread > np.median(spread)]
    mean = flat.mean(0)
    values, vectors = np.linalg.eigh(np.cov((flat - mean).T))
    # The floor keeps the camera's and the JPEG's noise from being blown up to the size of signal.
    whiten = vectors / np.sqrt(values + 1e-3 * values[-1]) @ vectors.T
    chosen = (flat[rng.choice(len(flat), count, replace=False)] - mean) @ whiten
    chosen /= np.linalg.norm(chosen, axis=1, keepdims=True)
    weights = whiten @ chosen.T
    return weights.astype(np.float32), (-mean @ weights).astype(np.float32)


def _running_sums(
    image: np.ndarray, first: int, last: int, weights: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Sum pixels, their squares and filter responses along some rows, (W + 1, rows, 2 C + K).

    Entry [j, i] sums the first j pixels of row i.
    """
    channels, _, width = image.shape
    patches = _patches(image, first, last)
    sums = np.empty((width + 1, last - first, 2 * channels + weights.shape[1]))
    sums[0] = 0
    pixels = image[:, first:last].transpose(2, 1, 0) / 255.0
    sums[1:, :, :channels] = pixels
    sums[1:, :, channels : 2 * channels] = pixels**2
    response = patches.reshape(-1, patches.shape[2]) @ weights
    response += bias
    response = response.reshape(*patches.shape[:2], -1)
    np.maximum(response, 0, out=sums[1:, :, 2 * channels :])
    # Five times as fast as np.cumsum along this axis.
    for column in range(width):
        np.add(sums[column + 1], sums[column], out=sums[column + 1])
    return sums


def _window_mean(
    sums: np.ndarray, first: int, height: int, x: np.ndarray, y: np.ndarray, half: float
) -> np.ndarray:
    """Average over the window of `half` rows to each side of a place, cut off at the poles."""
    width = len(sums) - 1
    top, bottom = np.maximum(y - half, 0), np.minimum(y + half, height)
    mean = np.zeros((len(x), sums.shape[2]))
    start = np.floor(top).astype(np.int64)
    for offset in range(int(np.ceil(2 * half)) + 1):
        row = start + offset
        share = np.clip(np.minimum(row + 1, bottom) - np.maximum(row, top), 0, None)
        used = np.flatnonzero(share > 0)
        if not len(used):
            continue
        row = row[used]
        cosine = np.cos((row + 0.5) / height * np.pi - np.pi / 2)
        reach = np.minimum(half / cosine, width / 2)
        total = _sum_to(sums, row - first, x[used] + reach)
        total -= _sum_to(sums, row - first, x[used] - reach)
        mean[used] += total * (share[used] / (2 * reach))[:, None]
    mean /= (bottom - top)[:, None]
    return mean


def _sum_to(sums: np.ndarray, row: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sum each row from its start to a fractional column, which may lie beyond either end."""
    width = len(sums) - 1
    turns, inside = np.divmod(x, width)
    column = np.minimum(inside.astype(np.int64), width - 1)
    result: np.ndarray = sums[column, row]
    result += (inside - column)[:, None] * (sums[column + 1, row] - result)
    result += turns[:, None] * sums[width, row]
    return result
