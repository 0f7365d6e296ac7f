"""Places with an extent: kept by every way of reading, and counted by audits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

import wherefrom
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import measured
from wherefrom.auditing.space.coverage import Coverage
from wherefrom.auditing.space.footprints import Footprints
from wherefrom.earth.footprints import areas_km2, middles
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, label, open_pool, scan
from wherefrom.pool.batches import Ask

GEO = {
    b"geo": b'{"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": '
    b'{"encoding": "WKB", "geometry_types": ["Polygon"]}}}'
}


def table_of(shapes: Any, **columns: Any) -> pa.Table:
    table = pa.table({"geometry": shapely.to_wkb(np.asarray(shapes)), **columns})
    return table.replace_schema_metadata(GEO)


def tiles(count: int, seed: int = 0) -> Any:
    """Tiles of about 20 km anywhere, across the antimeridian too."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, count), rng.uniform(-60, 75, count)
    lon[0] = 180.0
    return shapely.box(lon - 0.1, lat - 0.1, lon + 0.1, lat + 0.1)


def test_an_extent_is_lost_on_the_way(tmp_path: Path) -> None:
    shapes = tiles(500)
    pq.write_table(table_of(shapes, use=["a", "b"] * 250), tmp_path / "a.parquet")
    pool = Pool.read(tmp_path / "a.parquet")
    lon, _ = middles(pool.footprints())
    assert (pool.lon == lon).all()
    assert pool.footprints(np.array([0]))[0].geom_type == "MultiPolygon"
    np.testing.assert_allclose(areas_km2(pool.footprints()), areas_km2(shapes))
    pool.write(tmp_path / "b.parquet")
    (tmp_path / "parts").mkdir()
    for number, rows in enumerate((slice(0, 200), slice(200, 500))):
        part = pq.read_table(tmp_path / "a.parquet").slice(rows.start, rows.stop - rows.start)
        pq.write_table(part, tmp_path / "parts" / f"{number}.parquet", row_group_size=64)
    label(scan(tmp_path / "parts"), ["use"], tmp_path / "labelled")
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.read_parquet(tmp_path / "b.parquet")
    assert frame.crs == "OGC:CRS84"
    opened = [
        Pool.read(tmp_path / "b.parquet"),
        scan(tmp_path / "b.parquet"),
        scan(tmp_path / "parts"),
        open_pool(tmp_path / "labelled"),
        scan(tmp_path / "parts").load(),
        Pool.from_table(frame),
    ]
    for other in opened:
        assert other.key == pool.key
        assert set(other.columns) == {"use", "footprint"}
        [batch] = other.batches(Ask(footprints=True))
        assert shapely.equals(batch.footprints, pool.footprints()).all()
        assert [b.footprints for b in other.batches(Ask())] == [None]
    piece = pool.piece(10, 20)
    assert shapely.equals(piece.footprints(), pool.footprints(slice(10, 20))).all()


def test_points_and_polygons_make_one_folder(tmp_path: Path) -> None:
    pq.write_table(table_of(tiles(5)), tmp_path / "a.parquet")
    pq.write_table(table_of(shapely.points([1.0, 2.0], 3.0)), tmp_path / "b.parquet")
    with pytest.raises(WherefromError, match=r"b.parquet: its geometries are points, those of the"):
        scan(tmp_path).load()


def test_another_column_is_taken_for_the_footprints() -> None:
    with pytest.raises(WherefromError, match="has a column 'footprint' beside its polygons"):
        Pool.from_table(table_of(tiles(3), footprint=["a", "b", "c"]))
    plain = Pool.from_table(pa.table({"lon": [1.0], "lat": [2.0], "footprint": ["small"]}))
    assert not plain.extended
    with pytest.raises(WherefromError, match="are points: they have no footprints"):
        plain.footprints()


def found_in(data: Any, **options: Any) -> Footprints:
    found = measured(Asked(data, **options), (Footprints,))[Footprints]
    assert isinstance(found, Footprints)
    return found


def test_overlap_is_counted_by_middles() -> None:
    # Rows of squares of 1 degree on the equator, each half over the next; a third lies alone.
    lon = np.concatenate([10 + 0.5 * np.arange(20), 15.0 + 2.0 * np.arange(10, 20)])
    shapes = shapely.box(lon, -0.5, lon + 1.0, 0.5)
    union = shapely.union_all(shapes)
    once = areas_km2(np.array([union]))[0]
    found = found_in(Pool.from_table(table_of(shapes)))
    assert found.footprints == 30
    assert found.total_km2 == pytest.approx(areas_km2(shapes).sum())
    assert found.covered_km2 == pytest.approx(once, rel=0.01)
    twice = 9.5 / 20.5  # of 10.5 degrees all but the ends, and 10 alone
    assert abs(found.overlap - twice) < 5 * found.overlap_se + 0.01
    alone = found_in(Pool.from_table(table_of(shapely.box(2.0 * np.arange(50), 0, 1, 1))[:1]))
    assert (alone.overlap, alone.overlap_se) == (0.0, 0.0)


def test_rows_of_one_place_overlap_themselves() -> None:
    shapes = np.repeat(tiles(60, seed=3), 4)
    found = wherefrom.audit(table_of(shapes), layers=["continent"])
    assert found.space.footprints.footprints == 60
    assert found.space.footprints.overlap < 0.01


def test_a_tile_at_a_coast_is_at_sea_or_on_land() -> None:
    # On the equator west of Africa at sea, in it, and at its shore, which runs north at 9.6 E.
    at_sea, at_shore, on_land = shapely.box([0, 8.5, 20], 0.2, [1, 10.5, 21], 0.8)
    shapes = [*[at_sea] * 10, *[at_shore] * 10, *[on_land] * 20]
    moved = [
        shapely.transform(shape, lambda xy, i=i: xy + np.array([0, i * 1e-3]))
        for i, shape in enumerate(shapes)
    ]
    found = found_in(Pool.from_table(table_of(moved)))
    assert found.at_sea == pytest.approx(0.25)
    assert found.coastal == pytest.approx(0.25)
    assert 0.55 < found.on_land < 0.7
    audit = wherefrom.audit(table_of(moved), layers=["continent"])
    [sea] = [each for each in audit.findings if each.name == "sea"]
    assert sea.text == "25 % of the footprints hold no land."


def test_land_in_a_footprint_is_far_from_the_place() -> None:
    lon, lat = np.meshgrid(np.arange(-170.0, 180.0, 20.0), np.arange(-80.0, 90.0, 20.0))
    shapes = shapely.box(lon - 10, lat - 10, lon + 10, lat + 10).ravel()
    pool = Pool.from_table(table_of(shapes))
    coverage = measured(Asked(pool), (Coverage,))[Coverage]
    assert isinstance(coverage, Coverage)
    assert coverage.radius_km == 0.0
    one = measured(Asked(Pool.from_table(table_of([shapes[40], shapes[40]]))), (Coverage,))
    far = one[Coverage]
    assert isinstance(far, Coverage)
    assert 15_000 < far.radius_km < 20_000


def test_what_is_found_depends_on_how_the_pool_is_opened(tmp_path: Path) -> None:
    pq.write_table(table_of(tiles(9000)), tmp_path / "a.parquet", row_group_size=1000)
    whole, streamed = (found_in(read(tmp_path / "a.parquet")) for read in (Pool.read, scan))
    assert whole == streamed
    assert whole.sampled == 8192
