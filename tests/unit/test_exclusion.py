"""Exclusion: nothing near what is tested on is drawn, and what remains as likely as it is said."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from wherefrom.compose import drawn, sampler
from wherefrom.compose.exclusion import Exclusion, candidates, drawn_apart
from wherefrom.earth.apart import Neighbours
from wherefrom.earth.footprints import on_sphere
from wherefrom.earth.sphere import nearest_km, uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, open_pool
from wherefrom.pool.batches import Ask
from wherefrom.pool.rows import PoolRows
from wherefrom.pool.scan import PoolScan

BLOCK, PART = 64, 256
PLACES = 2000
FIELDS = on_sphere(np.array([shapely.box(170, -40, 200, 10), shapely.box(-30, 0, 60, 50)]))
SPECS = (
    "uniform",
    "uniform-area:cell_km=1500",
    "stratified:layer=use,short=cap",
    "grid:spacing_km=2000",
    "clustered:around=forest,clusters=30,radius_km=1500",
    "entropy:column=value",
    "mixture:parts=0.5*uniform+0.5*spread",
    "kmeans:over=value",
)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("wherefrom.pool"):
            for constant, value in (("BLOCK", BLOCK), ("PART", PART)):
                if hasattr(module, constant):
                    monkeypatch.setattr(module, constant, value)


def made() -> Pool:
    rng = np.random.default_rng(3)
    lon, lat = uniform_on_sphere(PLACES, rng)
    use = np.where((lon > -10) & (lon < 40) & (lat > 10) & (lat < 40), "inside", "a")
    use[rng.random(PLACES) < 0.3] = "b"
    forest = np.where(rng.random(PLACES) < 0.4, "forest", "")
    ids = [f"t{i}" for i in range(PLACES)]
    value = rng.random(PLACES)
    table = {"id": ids, "lon": lon, "lat": lat, "use": use, "forest": forest, "value": value}
    return Pool.from_table(pa.table(table))


def both(tmp_path: Path, pool: Pool) -> tuple[Pool, PoolScan]:
    (tmp_path / "pool").mkdir()
    for part in range(3):  # row groups of two blocks
        rows = slice(part * 700, (part + 1) * 700)
        table = pool.table[rows]
        pq.write_table(table, tmp_path / "pool" / f"{part}.parquet", row_group_size=128)
    files = open_pool(tmp_path / "pool")
    assert isinstance(files, PoolScan)
    assert len(files.parts()) > 4
    return pool, files


EXCLUSIONS = (
    Exclusion(Neighbours([0, 0], [0, 0], FIELDS), 300.0, "fields.parquet"),
    Exclusion.around([-80.0, 100.0], [-10.0, 30.0], 1000.0),
)


def test_a_pool_in_files_is_kept_apart_otherwise_than_in_memory(tmp_path: Path) -> None:
    pool, files = both(tmp_path, made())
    left, counts = candidates(pool, EXCLUSIONS)
    rows, same = candidates(files, EXCLUSIONS)
    assert isinstance(left, Pool)
    assert isinstance(rows, PoolRows)
    assert counts.tolist() == same.tolist()
    assert len(left) == len(rows) < PLACES - max(counts)
    ask = Ask(codes=("use",), values=("value",), ids=True)
    for pieces in (rows, pickle.loads(pickle.dumps(rows))):
        seen = list(pieces.batches(ask))
        assert [b.start for b in seen] == np.cumsum([0, *map(len, seen)])[:-1].tolist()
        np.testing.assert_array_equal(np.concatenate([b.asked_ids() for b in seen]), left.ids)
        np.testing.assert_array_equal(np.concatenate([b.lon for b in seen]), left.lon)
        use = np.concatenate([b.codes["use"] for b in seen])
        np.testing.assert_array_equal(use, left.codes("use")[0])
    assert rows.labels("use") == left.labels("use") == ("a", "b", "inside")
    assert rows.labels_key("use") == left.labels_key("use")
    loaded = rows.load()
    assert loaded.key == left.key
    assert loaded.table.column("value").to_pylist() == left.table.column("value").to_pylist()
    assert candidates(files, EXCLUSIONS)[0].key == rows.key != files.key
    # As the places themselves say, near as the others are.
    in_fields = shapely.intersects(FIELDS[:, None], shapely.points(left.lon, left.lat))
    assert not in_fields.any()
    assert nearest_km(left.lon, left.lat, [-80, 100], [-10, 30]).min() >= 1000


@pytest.mark.parametrize("spec", SPECS)
def test_a_sampler_draws_otherwise_from_files_or_near_what_is_excluded(
    tmp_path: Path, spec: str
) -> None:
    pool, files = both(tmp_path, made())
    one, other = (drawn_apart(each, spec, 40, 5, EXCLUSIONS) for each in (pool, files))
    assert one.key == other.key
    assert one.provenance == other.provenance
    assert one.provenance["pool"]["places"] == PLACES
    told = one.provenance["excluded"]
    assert [each["file"] for each in told["by"]] == ["fields.parquet", ""]
    left, counts = candidates(pool, EXCLUSIONS)
    assert told["candidates"] == PLACES - len(left)
    assert [each["candidates"] for each in told["by"]] == counts.tolist()
    assert isinstance(left, Pool)
    assert np.isin(one.ids, left.ids).all()
    if spec != SPECS[-2]:  # of spread the first place alone is random
        alone = drawn(left, spec, 40, 5)
        np.testing.assert_array_equal(one.inclusion_probability, alone.inclusion_probability)


@pytest.mark.slow
def test_a_place_that_remains_is_likelier_than_it_is_said() -> None:
    pool = made()
    left, _ = candidates(pool, EXCLUSIONS)
    assert isinstance(left, Pool)
    stated = sampler("stratified:layer=use").inclusion(left, 200)
    assert stated.sum() == pytest.approx(200)
    draws, seen = 60, np.zeros(len(left))
    for seed in range(draws):
        one = drawn_apart(pool, "stratified:layer=use", 200, seed, EXCLUSIONS)
        rows = left.take(one.ids)  # none is elsewhere
        np.testing.assert_array_equal(one.inclusion_probability, stated[rows])
        seen[rows] += 1.0 / draws
    score = (seen - stated) / np.sqrt(stated * (1 - stated) / draws)
    assert np.abs(score).max() < 5.0
    assert (score**2).mean() == pytest.approx(1.0, abs=0.25)


def test_of_a_tile_the_middle_alone_counts(tmp_path: Path) -> None:
    west = np.array([0.0, 10.0, 20.0])
    table = pa.table({"tile": shapely.to_wkb(shapely.box(west, 0, west + 2, 2))})
    pool = Pool.from_table(table, geometry="tile")
    pool.write(tmp_path / "pool" / "tiles.parquet")
    touched = [
        Exclusion(Neighbours([12.0], [2.0]), 0.0, "corner.csv"),
        Exclusion(Neighbours([0], [0], on_sphere(np.array([shapely.box(21.9, 1, 25, 9)]))), 0.0),
    ]
    for each in (pool, open_pool(tmp_path / "pool")):
        left, counts = candidates(each, touched)
        assert counts.tolist() == [1, 1]
        assert [batch.lon.round(9).tolist() for batch in left.batches(Ask())] == [[1.0]]
    left, _ = candidates(pool, [Exclusion.around([13.0], [1.0], 111.0)])
    assert len(left) == 3  # the tile ends 111.2 km from there
    left, _ = candidates(pool, [Exclusion.around([13.0], [1.0], 112.0)])
    assert len(left) == 2


def test_an_exclusion_that_leaves_nothing_is_a_pool() -> None:
    pool = made()
    world = Neighbours([0], [0], np.array([shapely.box(-180, -90, 180, 90)]))
    with pytest.raises(WherefromError, match=r"all 2,000 places .* in one of 1 polygon of w.gpkg"):
        candidates(pool, [Exclusion(world, 0.0, "w.gpkg")])
    points = Pool.from_table(pa.table({"lon": [0.0], "lat": [0.0]}))
    with pytest.raises(WherefromError, match=r"a.csv holds points.*buffer_km=10"):
        Exclusion.of(points, None, "a.csv")
    with pytest.raises(WherefromError, match=r"of 2,000 candidates .* within 5000 km of one of 1"):
        drawn_apart(pool, "uniform", 1990, 0, [Exclusion.of(points, 5000.0, "a.csv")])
