"""Checks of a layer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.testing.checks import BrokenPromiseError, checking, own_randomness, promise

__all__ = ["check_layer"]

AnyLayer = earth.Layer | earth.ValueLayer
Coordinates = NDArray[np.float64]

PLACES = 5000
CORNERS = [(-180.0, 0.0), (180.0, 0.0), (0.0, 90.0), (0.0, -90.0), (180.0, 90.0), (-180.0, -90.0),
           (0.0, 0.0), (-0.0, -0.0), (179.9999999, 89.9999999)]  # fmt: skip


@checking
def check_layer(layer: str | AnyLayer) -> None:
    """Check that a layer keeps what samplers, audits and tasks rely on.

    It must answer any place on Earth, poles and antimeridian included, the same way alone, in any
    order, in any company and from several threads; give int32 codes from -1 to the last label, or
    float32 values without infinities; leave its arguments as they are; refuse coordinates that are
    none; and use no global random generator.

    Parameters
    ----------
    layer : str, Layer or ValueLayer
        A name is opened by `wherefrom.earth.layer`.

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.

    Examples
    --------
    >>> check_layer("climate_zone")
    """
    opened = earth.layer(layer)
    _described(opened)
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(PLACES, rng)
    corners = np.array(CORNERS).T
    lon, lat = np.r_[corners[0], lon], np.r_[corners[1], lat]
    for values in (lon, lat):
        values.flags.writeable = False
    with own_randomness(f"layer {opened.name!r}"):
        found = _answers(opened, lon, lat)
    _of_its_kind(opened, found, len(lon))
    _pure(opened, lon, lat, found, rng)
    _refuses(opened)


def _described(layer: AnyLayer) -> None:
    name = layer.name
    promise(isinstance(name, str) and bool(name), "the layer has no name")
    promise(isinstance(layer.key, str) and bool(layer.key), f"layer {name!r} has no key")
    if isinstance(layer, earth.ValueLayer):
        promise(isinstance(layer.units, str), f"layer {name!r}: units must be text")
        return
    labels = layer.labels
    promise(
        isinstance(labels, tuple) and len(labels) > 0, f"layer {name!r}: labels must be a tuple"
    )
    promise(all(isinstance(label, str) for label in labels), f"layer {name!r}: labels must be text")
    promise("" not in labels, f'layer {name!r}: "" means no label and cannot be one')
    promise(len(set(labels)) == len(labels), f"layer {name!r} has a label twice")


def _answers(layer: AnyLayer, lon: Coordinates, lat: Coordinates) -> NDArray[np.generic]:
    try:
        return layer.codes(lon, lat) if isinstance(layer, earth.Layer) else layer(lon, lat)
    except ValueError as err:
        if "read-only" not in str(err):
            raise
        raise BrokenPromiseError(
            f"layer {layer.name!r} changes the coordinates it is given"
        ) from err


def _of_its_kind(layer: AnyLayer, found: NDArray[np.generic], places: int) -> None:
    name = layer.name
    promise(isinstance(found, np.ndarray), f"layer {name!r} gives no NumPy array")
    if isinstance(layer, earth.Layer):
        promise(found.shape == (places,), f"layer {name!r}: codes of shape {found.shape}")
        promise(found.dtype == np.int32, f"layer {name!r}: codes are {found.dtype}, not int32")
        codes = found.astype(np.int64)
        inside = codes.min() >= -1 and codes.max() < len(layer.labels)
        promise(inside, f"layer {name!r}: codes must be from -1 to {len(layer.labels) - 1}")
        return
    shaped = found.shape in ((places,), (places, 12))
    promise(shaped, f"layer {name!r}: values of shape {found.shape}, not (N,) or (N, 12)")
    promise(found.dtype == np.float32, f"layer {name!r}: values are {found.dtype}, not float32")
    finite = not np.isinf(found.astype(np.float64)).any()
    promise(finite, f"layer {name!r} gives infinities: no value is NaN")


def _pure(
    layer: AnyLayer,
    lon: Coordinates,
    lat: Coordinates,
    found: NDArray[np.generic],
    rng: np.random.Generator,
) -> None:
    name = layer.name
    _same(found, _answers(layer, lon, lat), f"layer {name!r} answers the same places differently")
    order = rng.permutation(len(lon))
    shuffled = _answers(layer, lon[order], lat[order])
    _same(found[order], shuffled, f"layer {name!r}: a place's answer depends on the order")
    some = order[:7]
    alone = [_answers(layer, lon[i : i + 1], lat[i : i + 1]) for i in some]
    _same(found[some], np.concatenate(alone), f"layer {name!r}: a place alone gets another answer")
    none = _answers(layer, lon[:0], lat[:0])
    promise(len(none) == 0 and none.dtype == found.dtype, f"layer {name!r} fails on no place")
    start = Barrier(4)

    def answer(_: int) -> NDArray[np.generic]:
        start.wait()  # or a loaded machine runs them one after the other
        return _answers(layer, lon, lat)

    with ThreadPoolExecutor(4) as threads:
        for other in threads.map(answer, range(4)):
            _same(found, other, f"layer {name!r} differs when threads ask at once")


def _same(a: NDArray[np.generic], b: NDArray[np.generic], broken: str) -> None:
    nan = np.issubdtype(a.dtype, np.floating)
    promise(a.shape == b.shape and np.array_equal(a, b, equal_nan=bool(nan)), broken)


def _refuses(layer: AnyLayer) -> None:
    for lon, lat in ((np.nan, 0.0), (0.0, np.nan), (0.0, 90.5), (180.5, 0.0)):
        try:
            layer(np.array([lon]), np.array([lat]))
        except WherefromError:
            continue
        raise BrokenPromiseError(
            f"layer {layer.name!r} answers lon {lon:g}, lat {lat:g}: refuse it"
        )
