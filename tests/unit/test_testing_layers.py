"""check_layer finds each broken promise, and passes every layer of ours."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wherefrom import earth
from wherefrom.testing import BrokenPromiseError, check_layer

LABELS = ("south", "north")


def _north(lon: Any, lat: Any) -> Any:
    return (lat > 0).astype(np.int32)


def _layer(lookup: Any, labels: tuple[str, ...] = LABELS) -> earth.Layer:
    return earth.Layer("halves", labels, (), "k1", lookup)


def _values(lookup: Any) -> earth.ValueLayer:
    return earth.ValueLayer("numbers", "m", (), "k2", lookup)


def _in_place(lon: Any, lat: Any) -> Any:
    lat += 1.0
    return _north(lon, lat)


def _global(lon: Any, lat: Any) -> Any:
    return (np.random.random(len(lat)) > 2).astype(np.int32)  # noqa: NPY002


_shared = np.zeros(6000)


def _racing(lon: Any, lat: Any) -> Any:
    _shared[: len(lat)] = lat
    time.sleep(0.01)
    found = (_shared[: len(lat)] > 0).astype(np.int32)
    _shared[: len(lat)] = -1.0
    return found


BROKEN = [
    ("changes the coordinates", _layer(_in_place)),
    ("global random", _layer(_global)),
    ("int64, not int32", _layer(lambda lon, lat: (lat > 0).astype(np.int64))),
    ("codes must be from -1", _layer(lambda lon, lat: _north(lon, lat) * 5)),
    ("codes must be from -1", _layer(lambda lon, lat: _north(lon, lat) - 2)),
    ("codes of shape", _layer(lambda lon, lat: np.zeros((len(lat), 1), np.int32))),
    ("depends on the order", _layer(lambda lon, lat: _north(lon, np.r_[lat[:1], lat[:-1]]))),
    ("alone gets another", _layer(lambda lon, lat: np.full(len(lat), len(lat) > 99, np.int32))),
    ("fails on no place", _layer(lambda lon, lat: np.array([1] * len(lat)).astype(
        np.int32 if len(lat) else np.float64))),
    ("threads ask at once", _layer(_racing)),
    ("label twice", _layer(_north, ("a", "a"))),
    ("cannot be one", _layer(_north, ("", "a"))),
    ("infinities", _values(lambda lon, lat: np.where(lat > 0, np.inf, 0).astype(np.float32))),
    ("not float32", _values(lambda lon, lat: lat)),
    ("values of shape", _values(lambda lon, lat: np.zeros((len(lat), 3), np.float32))),
    ("no name", replace(_layer(_north), name="")),
    ("no key", replace(_layer(_north), key="")),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "layer"), BROKEN)
def test_no_broken_layer_passes(broken: str, layer: earth.Layer | earth.ValueLayer) -> None:
    with pytest.raises(BrokenPromiseError, match=broken):
        check_layer(layer)


def test_a_sound_layer_is_not_refused() -> None:
    check_layer(_layer(_north))
    check_layer(_values(lambda lon, lat: lat.astype(np.float32)))
    check_layer(_values(lambda lon, lat: np.zeros((len(lat), 12), np.float32)))


@pytest.mark.parametrize("name", [*earth.CATEGORICAL, *earth.VALUES])
def test_no_layer_of_ours_breaks_a_promise(name: str) -> None:
    if not earth.available(name):
        pytest.skip(f"the data of {name} are not on this machine")
    check_layer(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["biome", "ecoregion"])
def test_no_layer_of_the_ecoregions_breaks_a_promise(name: str, resolve_data: object) -> None:
    check_layer(name)
