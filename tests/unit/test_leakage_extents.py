"""Leakage between footprints: the nearest by what they cover, not by their middles."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pyarrow as pa
import pytest
import shapely

from wherefrom.auditing import leakage as leaks
from wherefrom.auditing.faults import Opened, cleaned
from wherefrom.auditing.leakage import LeakageTally, tally_for
from wherefrom.auditing.tally import run
from wherefrom.earth.apart import Neighbours
from wherefrom.earth.footprints import middles, on_sphere
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.pool import Pool
from wherefrom.pool.batches import Batch


def tiles(count: int, seed: int, sizes: tuple[float, ...] = (0.02, 0.2, 4.0)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lon, lat = uniform_on_sphere(count, rng)
    lon[:5], lat[:3] = [179.99, -179.9, 180.0, -180.0, 179.5], [-89.9, 89.99, 84.0]
    half = rng.choice(sizes, count)
    south, north = np.maximum(lat - half, -90.0), np.minimum(lat + half, 90.0)
    return on_sphere(shapely.box(lon - half, south, lon + half, north))


def pool_of(shapes: np.ndarray) -> Pool:
    return Pool.from_table(pa.table({"tile": shapely.to_wkb(shapes)}), geometry="tile")


@pytest.mark.parametrize("sides", ["both", "train", "test"])
def test_a_footprint_that_is_nearest_is_left_out(
    sides: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "_AT_ONCE", 500)
    train, test = tiles(1500, 1), tiles(120, 2)
    x, y = middles(train)
    u, v = middles(test)
    train_shapes = None if sides == "test" else train
    test_shapes = None if sides == "train" else test
    at, true = Neighbours(x, y, train_shapes).nearest(u, v, test_shapes)
    assert (true == 0.0).any()
    assert (true > 100.0).any()
    tally = LeakageTally(u, v, shapes=test_shapes)
    other = copy.deepcopy(tally)
    for start in (0, 600):
        rows = slice(start, start + 600)
        shapes = None if train_shapes is None else train_shapes[rows]
        tally.update(Batch(start, x[rows], y[rows], footprints=shapes))
    shapes = None if train_shapes is None else train_shapes[1200:]
    other.update(Batch(1200, x[1200:], y[1200:], footprints=shapes))
    tally.merge(pickle.loads(pickle.dumps(other)))
    found = tally.result((0.0, 100.0))
    # A chord's last bits are some nanometres, near the antipode more.
    np.testing.assert_allclose(found.km, true, atol=1e-7)
    far = true > 0.0  # of what overlaps any may be named
    np.testing.assert_array_equal(found.train_row[far], at[far])
    np.testing.assert_array_equal(tally.train_lon[far], x[at[far]])
    assert [row.places for row in found.within] == [(true <= 0).sum(), (true <= 100).sum()]
    assert found.n_train == 1500


def test_tiles_that_overlap_do_not_leak() -> None:
    # Middles 2 km apart, tiles of 2.56 km: images that share pixels.
    side, step = 2.56 / 111.195, 2.0 / 111.195
    boxes = shapely.box(0.0, 0.0, side, side), shapely.box(step, 0.0, step + side, side)
    train, test = (pool_of(np.array([box])) for box in boxes)
    (tally,) = run(train, [tally_for(train, test)])
    found = tally.result((0.0, 1.0))
    assert [row.places for row in found.within] == [1, 1]
    assert found.nearest[0].km == 0.0
    points = Pool.from_table(pa.table({"lon": test.lon, "lat": test.lat}))
    (tally,) = run(points, [tally_for(points, train)])
    assert tally.result().km == pytest.approx([0.72], abs=1e-3)  # its edge from a middle
    left, removed = cleaned(Opened(pool_of(tiles(50, 4))), pool_of(tiles(50, 4)[10:20]))
    assert len(left) <= 40
    assert sum(removed.values()) >= 10


def test_what_is_within_by_chance_counts_middles() -> None:
    train, test = (pool_of(tiles(3000, seed, (0.1, 0.3))) for seed in (5, 6))
    sphere = 4.0 * np.pi * 6371.0088**2
    (tally,) = run(train, [tally_for(train, test, land_km2=sphere)])
    for row in tally.result((0.0, 10.0, 100.0)).within:
        assert row.by_chance == pytest.approx(row.share, abs=0.01 + 0.1 * row.share)
    assert tally.result((0.0,)).within[0].by_chance > 0.04
