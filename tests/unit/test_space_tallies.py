"""Spatial tallies: the same from any parts, plain values out, sane at the edges."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import STATISTICS, Audit, measured
from wherefrom.auditing.lattice import Ground, land_lattice, uniform_on_land
from wherefrom.auditing.space.coverage import CoverageTally
from wherefrom.auditing.space.density import CellsTally
from wherefrom.auditing.space.duplicates import Duplicates, DuplicatesTally
from wherefrom.auditing.space.latitude import LatitudeTally
from wherefrom.auditing.space.pattern import pattern_of
from wherefrom.auditing.space.striping import StripingTally
from wherefrom.auditing.statistic import SPACE
from wherefrom.auditing.tally import RowSample, canonical_places
from wherefrom.earth.sphere import wrap_lon
from wherefrom.errors import WherefromError
from wherefrom.keys import mixed
from wherefrom.pool import Pool
from wherefrom.pool.batches import Batch

Floats = NDArray[np.float64]
LON, LAT = uniform_on_land(3000, np.random.default_rng(0))
LON[::50], LAT[::50] = LON[1::50], LAT[1::50]  # 60 repeats


def batches(cuts: list[int]) -> list[Batch]:
    edges = [0, *sorted(cuts), len(LON)]
    return [Batch(a, LON[a:b], LAT[a:b]) for a, b in pairwise(edges)]


def audit_of(lon: Any, lat: Any, weight: Floats | None = None) -> Audit:
    kinds = [kind for kind in STATISTICS if kind.section == SPACE]
    asked = Asked(Pool.from_table(pa.table({"lon": lon, "lat": lat})), wanted=(), weights=weight)
    return Audit({}, (), (), measured(asked, kinds))


def space_of(lon: Any, lat: Any, weight: Floats | None = None) -> Any:
    return audit_of(lon, lat, weight).space


def duplicates_of(lon: Floats, lat: Floats) -> Duplicates:
    tally = DuplicatesTally()
    tally.update(Batch(0, lon, lat))
    return tally.result()


MAKERS = {
    "rows": lambda: RowSample(100),
    "coverage": CoverageTally,
    "cells": lambda: CellsTally(18),
    "latitude": LatitudeTally,
    "striping": StripingTally,
    "duplicates": lambda: DuplicatesTally(capacity=500),
}


def state(tally: Any) -> dict[str, Any]:
    if isinstance(tally, DuplicatesTally):
        tally._settle()
    return vars(tally)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
@given(cuts=st.lists(st.integers(0, 3000), max_size=5), split=st.integers(0, 6))
@settings(max_examples=5)
def test_result_depends_on_how_the_pool_is_cut(name: str, cuts: list[int], split: int) -> None:
    whole, first, second = MAKERS[name](), MAKERS[name](), MAKERS[name]()
    whole.update(Batch(0, LON, LAT))
    for i, batch in enumerate(batches(cuts)):
        (first if i < split else second).update(batch)
    first.merge(pickle.loads(pickle.dumps(second)))
    merged = state(first)
    for field, value in state(whole).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(merged[field], value, rtol=1e-12, err_msg=field)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(merged[field], value, err_msg=field)
        else:
            assert merged[field] == pytest.approx(value), field


@pytest.mark.slow
def test_two_passes_with_equal_seeds_differ() -> None:
    one, two = audit_of(LON[:300], LAT[:300]), audit_of(LON[:300], LAT[:300])
    assert one.results == two.results
    assert one.to_dict() == two.to_dict()


@pytest.mark.slow
def test_a_number_of_the_result_is_no_json() -> None:
    for lon, lat in (([7.0], [90.0]), ([7.0, 8.0], [1.0, 1.0]), ([0.0] * 120, [0.0] * 120)):
        plain = audit_of(lon, lat).to_dict()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_no_places_give_a_traceback() -> None:
    with pytest.raises(WherefromError, match="weight 0"):
        space_of([1.0, 2.0], [3.0, 4.0], np.zeros(2))


@pytest.mark.slow
def test_one_place_is_compared_with_its_neighbours() -> None:
    found = space_of([10.0], [50.0])
    assert (found.counts.places, found.nearest, found.ripley) == (1, None, None)
    assert [e.effective for e in found.effective.sizes] == [1.0, 1.0, 1.0]
    assert found.density.sizes[0].variation is None
    assert found.striping.periods == ()


@pytest.mark.slow
def test_all_rows_equal_count_as_many_places() -> None:
    found = space_of(np.full(1500, 7.0), np.full(1500, 1.0))
    assert (found.counts.places, found.nearest) == (1, None)
    assert found.duplicates.repeats == pytest.approx(1.0 - 1.0 / 1500)
    assert found.duplicates.most[0].rows == 1500
    assert [e.effective for e in found.effective.sizes] == pytest.approx([1.0, 1.0, 1.0])
    assert found.coverage.radius_km > 18_000.0


@pytest.mark.slow
def test_millions_of_repeats_fill_the_memory() -> None:
    tally = DuplicatesTally()
    for i in range(10):
        tally.update(Batch(i << 20, np.full(1 << 20, 7.0), np.full(1 << 20, 1.0)))
        assert len(pickle.dumps(tally)) < 40e6
    tally._settle()
    assert len(tally._lon) == 1
    assert tally.result().repeats == pytest.approx(1.0, abs=1e-6)


def test_more_places_than_capacity_are_kept() -> None:
    lon, lat = uniform_on_land(40_000, np.random.default_rng(3))
    tally = DuplicatesTally(capacity=300)
    for i in range(0, 40_000, 8000):
        tally.update(Batch(i, lon[i : i + 8000], lat[i : i + 8000]))
    found = tally.result()
    assert 75 < len(tally._lon) <= 300
    assert not found.exact
    assert found.n_rows == 40_000
    assert len(tally._lon) == pytest.approx(40_000 * found.looked_at, rel=0.3)


@pytest.mark.slow
def test_a_row_without_weight_counts() -> None:
    weight = np.where(np.arange(300) % 3 == 0, 0.0, 1.0)
    used = np.flatnonzero(weight)
    lon, lat = LON[:300] + 1e-4 * np.arange(300), LAT[:300]  # each place once
    some = space_of(lon, lat, weight)
    assert some.counts.places == len(used) == some.counts.weight
    alone = space_of(lon[used], lat[used])
    assert some.density == alone.density
    assert some.latitude == alone.latitude
    assert some.striping == alone.striping
    assert some.duplicates == alone.duplicates
    assert some.coverage == alone.coverage


@pytest.mark.slow
def test_multiplicity_is_not_the_weight_of_a_place() -> None:
    weight = np.array([1.0, 3.0])
    found = space_of([0.0, 40.0], [10.0, 50.0], weight)
    assert found.counts.weight == 4.0
    assert found.latitude.mean == pytest.approx(40.0)
    # (1 + 3)^2 / (1 + 9): two places far apart, one three times.
    assert [e.effective for e in found.effective.sizes] == pytest.approx([1.6] * 3, rel=0.02)
    assert found.duplicates.repeats == 0.0


def test_the_same_place_written_in_two_ways_is_two() -> None:
    lon, lat = canonical_places([180.0, -180.0, 5.0, -5.0, -0.0], [1.0, 1.0, 90.0, 90.0, -0.0])
    assert len(set(zip(lon.tolist(), lat.tolist(), strict=True))) == 3
    found = duplicates_of(np.array([180.0, -180.0, 5.0, -5.0]), np.array([1.0, 1.0, 90.0, 90.0]))
    assert found.repeats == 0.5


def test_neighbours_across_the_antimeridian_or_a_pole_are_far() -> None:
    lon = np.array([179.9999, -179.9999, 0.0, 180.0, 10.0])
    lat = np.array([0.0, 0.0, 89.9999, 89.9999, 10.0])
    found = duplicates_of(lon, lat)
    assert found.within_1km == pytest.approx(0.8)
    assert found.within_10m == 0.0
    assert pattern_of(lon[:2], lat[:2]).nearest_km == pytest.approx(0.0222, rel=0.01)


@given(turn=st.floats(-360.0, 360.0), mirrored=st.booleans())
@settings(max_examples=25)
def test_distances_depend_on_where_the_meridians_are_cut(turn: float, mirrored: bool) -> None:
    lon, lat = LON[:80], LAT[:80]
    here = pattern_of(lon, lat)
    there = pattern_of(wrap_lon(lon + turn), -lat if mirrored else lat)
    assert there.nearest_km == pytest.approx(here.nearest_km, rel=1e-9)
    np.testing.assert_allclose(there.within, here.within, atol=1e-3)


def test_places_at_zero_are_lost_among_the_others() -> None:
    lon, lat = np.append(LON, [0.0, -0.0]), np.append(LAT, [0.0, 0.0])
    assert duplicates_of(lon, lat).at_zero == 2


def test_single_precision_hides_a_lattice() -> None:
    lon = LON.round(1).astype(np.float32).astype(np.float64)
    tally = StripingTally()
    tally.update(Batch(0, lon, LAT))
    rounded = {r.step: r for r in tally.result().rounded}
    assert rounded[0.1].lon == rounded[0.01].lon == 1.0
    assert rounded[1.0].lon < 0.2
    assert rounded[0.1].lat < 10 * rounded[0.1].chance


def test_hash_maps_two_rows_to_one() -> None:
    rows = np.concatenate([np.arange(50_000), np.arange(10**9, 10**9 + 50_000)])
    assert len(np.unique(mixed(rows))) == len(rows)


@pytest.mark.slow
def test_antarctica_is_covered_without_being_asked_for() -> None:
    assert land_lattice().lat.min() > -60.0
    assert land_lattice(ground=Ground(antarctica=True)).lat.min() < -85.0
    pole = Batch(0, np.array([0.0]), np.array([-85.0]))
    for antarctica in (False, True):
        tally = CellsTally(18, Ground(antarctica))
        tally.update(pole)
        assert tally.result().off_land == (0.0 if antarctica else 1.0)


@pytest.mark.slow
def test_gaps_name_one_desert_five_times() -> None:
    tally = CoverageTally()
    tally.update(Batch(0, LON, LAT))
    gaps = tally.result(3000, np.random.default_rng(0)).gaps
    assert [gap.km for gap in gaps] == sorted((gap.km for gap in gaps), reverse=True)
    for i, one in enumerate(gaps):
        for two in gaps[:i]:
            away = pattern_of(np.array([one.lon, two.lon]), np.array([one.lat, two.lat]))
            assert away.nearest_km > two.km


def test_tables_for_a_map_lose_places() -> None:
    cells, latitude = CellsTally(72), LatitudeTally()
    for tally in (cells, latitude):
        tally.update(Batch(0, LON, LAT))
    table, found = cells.table(), latitude.result()
    assert sum(table.places) == 3000
    assert sum(table.land) == pytest.approx(1.0)
    assert list(table.cell) == sorted(set(table.cell))
    assert found.south_of[-1] == found.land_south_of[-1] == 1.0
    assert len(found.latitude) == len(found.south_of) == 181
