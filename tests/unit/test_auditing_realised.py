"""Planned against realised: the same places found again, losses counted by label."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom.auditing import realised as losses
from wherefrom.auditing.matching import matching
from wherefrom.auditing.realised import compare
from wherefrom.earth.sphere import offset, uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

Floats = np.ndarray
LON, LAT = uniform_on_sphere(400, np.random.default_rng(5))


def pool_of(lon: Floats, lat: Floats, **columns: object) -> Pool:
    return Pool.from_table(pa.table({"lon": lon, "lat": lat, **columns}))


def test_row_numbers_of_another_table_are_taken_for_ids() -> None:
    planned = pool_of(LON, LAT)
    realised = pool_of(LON[100:], LAT[100:])  # its ids are 0 to 299 again
    found = compare(planned, realised, [])
    assert found.matched_by == "coordinates"
    assert (found.lost, found.share, found.unplanned) == (100.0, 0.25, 0.0)


def test_an_id_is_lost_because_its_tile_was_moved_by_a_pixel() -> None:
    ids = np.arange(400)
    lon, lat = offset(LON, LAT, 45.0, 0.3)
    found = compare(pool_of(LON, LAT, id=ids), pool_of(lon[::2], lat[::2], id=ids[::2]), [])
    assert (found.matched_by, found.lost) == ("id", 200.0)


def test_text_ids_of_other_widths_do_not_meet() -> None:
    ids = [f"tile {'x' * (i % 7)}{i}" for i in range(400)]
    short = [name for name in ids if len(name) < 10]
    rows = [ids.index(name) for name in short]
    found = compare(
        pool_of(LON, LAT, id=ids), pool_of(LON[rows][::-1] + 0.0, LAT[rows], id=short), []
    )
    # The longitudes are those of other places: text ids stand whatever the coordinates say.
    assert found.matched_by == "id"
    assert found.lost == 400 - len(short)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (lambda x: x, "coordinates"),
        (lambda x: x.astype(np.float32), "coordinates in single precision"),
        (lambda x: np.round(x, 7), "coordinates to 7 decimals"),
        (lambda x: np.round(x, 5), "coordinates to 5 decimals"),
        (lambda x: np.round(x, 3), "coordinates to 3 decimals"),
    ],
)
def test_a_download_that_rounds_coordinates_loses_everything(
    stored: Callable[[Floats], Floats], name: str
) -> None:
    rows = np.random.default_rng(0).permutation(400)[:390]
    found = compare(pool_of(LON, LAT), pool_of(stored(LON[rows]), stored(LAT[rows])), [])
    assert (found.matched_by, found.lost, found.unplanned) == (name, 10.0, 0.0)


def test_the_antimeridian_or_a_negative_zero_is_another_place() -> None:
    planned = pool_of(np.array([180.0, -0.0, 5.0]), np.array([0.0, -0.0, 1.0]))
    realised = pool_of(np.array([0.0, -180.0, 7.0]), np.array([0.0, 0.0, 7.0]))
    found = compare(planned, realised, [])
    assert (found.lost, found.unplanned) == (1.0, 1.0)


def test_lists_of_other_places_are_compared() -> None:
    with pytest.raises(WherefromError, match="none of the first 400 places is among the planned"):
        matching(pool_of(LON, LAT), pool_of(LON, LAT[::-1]))


def test_losses_by_label_differ_from_those_worked_by_hand() -> None:
    lon = np.arange(20.0)
    belt = ["a"] * 10 + ["b"] * 8 + [None] * 2
    gone = [0, 10, 11, 12, 13, 14, 18]
    kept = np.setdiff1d(np.arange(20), gone)
    found = compare(pool_of(lon, lon, belt=belt), pool_of(lon[kept], lon[kept]), ["belt"])
    assert (found.planned, found.realised, found.lost, found.share) == (20, 13, 7.0, 0.35)
    layer = found.layers["belt"]
    assert (layer.none_planned, layer.none_lost) == (2.0, 1.0)
    first, second = layer.rows
    assert (first.label, first.planned, first.lost, first.share) == ("b", 8.0, 5.0, 0.625)
    assert first.excess == pytest.approx(5 - 8 * 0.35)
    assert first.z == pytest.approx(2.2 / np.sqrt(8 * 0.35 * 0.65 * 12 / 19))
    # P(at least 5 of 8): (56 * 66 + 28 * 12 + 8 * 1) / C(20, 7) = 4040 / 77520, twice.
    assert first.p == pytest.approx(2 * 4040 / 77520)
    assert (second.label, second.excess) == ("a", pytest.approx(1 - 3.5))
    assert found.largest == (first,)
    json.dumps(found.entries(), allow_nan=False)


def test_nothing_or_everything_lost_gives_a_z_that_is_no_number() -> None:
    planned = pool_of(LON, LAT, belt=["a"] * 399 + ["b"])
    whole = compare(planned, pool_of(LON, LAT), ["belt"])
    assert whole.lost == 0.0
    assert [(row.z, row.p) for row in whole.layers["belt"].rows] == [(None, None)] * 2
    assert whole.layers["belt"].p is None
    assert whole.largest == ()
    one = compare(planned, pool_of(LON[-1:], LAT[-1:]), ["belt"])
    assert [(row.label, row.lost) for row in one.layers["belt"].rows] == [("a", 399.0), ("b", 0.0)]


repeats = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8)


@settings(max_examples=40)
@given(repeats, st.integers(1, 3))
def test_repeated_places_are_lost_twice_or_not_at_all(
    counts: list[tuple[int, int]], rounds: int
) -> None:
    spot = np.arange(len(counts), dtype=np.float64)
    asked, came = (np.repeat(spot, [pair[i] for pair in counts]) for i in (0, 1))
    both = sum(min(pair) for pair in counts)
    if not both:
        return
    belt = [f"{x:.0f}" for x in asked]
    planned, realised = pool_of(asked, asked, belt=belt), pool_of(came, came)
    held = losses._HELD
    losses._HELD = -(-len(came) // rounds)
    try:
        found = compare(planned, realised, ["belt"])
    finally:
        losses._HELD = held
    assert found.lost == len(asked) - both
    assert found.unplanned == len(came) - both
    by_label = {row.label: row.lost for row in found.layers["belt"].rows}
    for i, (wanted, had) in enumerate(counts):
        if wanted:
            assert by_label[str(i)] == pytest.approx(max(wanted - had, 0), abs=1e-6)


def test_places_of_weight_zero_are_taken_for_realised() -> None:
    weights = np.zeros(400)
    weights[50:80] = 2.0
    for planned in (pool_of(LON, LAT), pool_of(LON[::-1].copy(), LAT[::-1].copy())):
        found = compare(planned, pool_of(LON, LAT), [], weights=weights)
        assert (found.realised, found.lost, found.unplanned) == (30, 370.0, 0.0)
    with pytest.raises(WherefromError, match="no realised place has a weight above 0"):
        compare(planned, pool_of(LON, LAT), [], weights=np.zeros(400))
    with pytest.raises(WherefromError, match="3 weights for 400 places"):
        compare(planned, pool_of(LON, LAT), [], weights=np.ones(3))
