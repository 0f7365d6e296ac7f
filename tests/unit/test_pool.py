"""The pool: its key, labels, rows of ids, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherefrom import draw
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, open_pool
from wherefrom.pool.columns import alike


def small(**columns: object) -> Pool:
    count = len(next(iter(columns.values())))  # type: ignore[arg-type]
    lon = np.linspace(-170, 170, count)
    return Pool.from_table(pa.table({"lon": lon, "lat": lon / 4, **columns}))


@pytest.fixture(scope="module")
def built() -> Pool:
    try:
        return Pool.build(3000, seed=7)
    except WherefromError as err:
        pytest.skip(f"no land polygons: {err}")


def test_key_tells_ids_and_coordinates_apart_but_not_other_columns() -> None:
    pool = small(id=[1, 2, 3])
    assert pool.key == small(id=[1, 2, 3], use=["a", "b", "c"]).key
    assert pool.key != small(id=[1, 2, 4]).key
    assert pool.key != small(id=["1", "2", "3"]).key
    nudged = pa.table({"id": [1, 2, 3], "lon": pool.lon, "lat": pool.lat + 1e-12})
    assert pool.key != Pool.from_table(nudged).key


def test_text_ids_have_one_key_whatever_the_array_width() -> None:
    ids = np.array(["a", "bb"])
    one, two = small(id=ids), small(id=ids.astype("<U9"))
    assert one.key == two.key


def test_written_pool_is_read_back_whole(tmp_path: Path) -> None:
    pool = small(id=["b", "a", "c"], use=["x", None, "y"])
    pool.write(tmp_path / "p.parquet")
    again = Pool.read(tmp_path / "p.parquet")
    assert again.key == pool.key
    assert again.codes("use")[0].tolist() == [0, -1, 1]


def test_same_pool_gives_the_same_bytes(tmp_path: Path, built: Pool) -> None:
    for name in ("a", "b"):
        Pool.build(3000, seed=7).with_layers(["continent"]).write(tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert Pool.read(tmp_path / "a.parquet").origin == built.origin


def test_larger_pool_starts_with_the_smaller_one(built: Pool) -> None:
    np.testing.assert_array_equal(Pool.build(100, seed=7).lon, built.lon[:100])
    assert Pool.build(100, seed=8).lon[0] != built.lon[0]


def test_built_pool_is_on_land_without_antarctica_unless_asked(built: Pool) -> None:
    assert (built.codes("land")[0] >= 0).all()
    codes, labels = built.codes("continent")
    assert labels.index("Antarctica") not in codes
    everything = Pool.build(3000, seed=7, antarctica=True)
    share = np.mean(everything.codes("continent")[0] == labels.index("Antarctica"))
    assert 0.05 < share < 0.12
    with pytest.raises(WherefromError, match="at least 1"):
        Pool.build(0)


def test_a_layer_as_column_gives_the_same_labels_as_the_earth(built: Pool) -> None:
    stored = built.with_layers(["continent"])
    assert stored.table.column_names == ["id", "lon", "lat", "continent"]
    reread = Pool.from_table(stored.table)
    assert reread.labels_key("continent") == built.labels_key("continent")


def test_labels_of_a_column_are_sorted_and_blank_is_none() -> None:
    pool = small(use=["b", "", None, "a"], number=[10, 9, None, 10], flag=[True, False, True, None])
    codes, labels = pool.codes("use")
    assert (codes.tolist(), labels) == ([1, -1, -1, 0], ("a", "b"))
    assert codes.dtype == np.int32
    assert pool.codes("number")[1] == ("9", "10")
    assert pool.codes("flag")[1] == ("False", "True")


def test_whole_real_numbers_are_no_labels() -> None:
    pool = small(use=[10.0, 9.0, None, float("nan"), 10.0])
    codes, labels = pool.codes("use")
    assert (codes.tolist(), labels) == ([1, 0, -1, -1, 1], ("9", "10"))


def test_whole_real_numbers_of_files_are_other_labels(tmp_path: Path) -> None:
    use = [float(i % 3) if i % 5 else None for i in range(40)]
    pool = small(use=use)
    for at in (0, 20):
        pool.piece(at, at + 20).write(tmp_path / f"{at:02d}.parquet")
    drawn = [draw(p, "stratified:layer=use", 9) for p in (pool, open_pool(tmp_path))]
    assert drawn[0].key == drawn[1].key
    assert [s["label"] for s in drawn[1].provenance["strata"]] == ["0", "1", "2"]


@given(st.lists(st.integers(-(2**52), 2**52) | st.none(), min_size=1, max_size=30))
def test_whole_numbers_as_reals_get_other_codes(values: list[int | None]) -> None:
    whole, real = (small(use=pa.array(values, kind)) for kind in (pa.int64(), pa.float64()))
    assert whole.labels("use") == real.labels("use")
    assert whole.codes("use")[0].tolist() == real.codes("use")[0].tolist()


def test_labels_that_differ_by_spelling_are_drawn_from_in_silence() -> None:
    pool = small(use=["Crop", "crop ", "Non-crop", "NonCrop", "x"] * 20)
    for spec in ("stratified:layer=use", "only:layer=use,label=Crop"):
        said = " ".join(draw(pool, spec, 10).provenance["remarks"])
        assert "'Crop', 'crop ' differ by case, signs or blanks alone" in said
        assert "'Non-crop', 'NonCrop' differ" in said
    assert "remarks" not in draw(small(use=["a", "b"] * 9), "stratified:layer=use", 4).provenance


@given(st.lists(st.text(max_size=6), max_size=12))
def test_odd_labels_break_what_is_said_of_them(labels: list[str]) -> None:
    said = alike(sorted(set(labels)))
    assert len(said) <= 6
    assert all("\n" not in line for line in said)
    pair = sorted({label.upper() for label in labels if label.isascii() and label.isalpha()})
    if pair:
        assert any(repr(pair[0]) in line for line in alike([pair[0], f"-{pair[0].lower()}"]))


def test_values_are_not_taken_for_labels() -> None:
    pool = small(height=[1.5, 2.5, 3.5])
    with pytest.raises(WherefromError, match=r"column 'height' holds 1\.5, and labels"):
        pool.codes("height")
    with pytest.raises(WherefromError, match="holds values, not labels"):
        pool.codes("elevation")


def test_unknown_layer_names_the_nearest_layer_or_column() -> None:
    pool = small(crop_type=["a", "b"])
    with pytest.raises(WherefromError, match="did you mean 'biome'"):
        pool.codes("bimoe")
    with pytest.raises(WherefromError, match="did you mean 'crop_type'"):
        pool.codes("crop_typ")


def test_rows_of_ids_are_found_in_any_order() -> None:
    pool = small(id=[30, 10, 20])
    assert pool.take([10, 20, 30, 10]).tolist() == [1, 2, 0, 1]
    assert pool.take([]).tolist() == []
    assert small(id=["7", "8"]).take([8]).tolist() == [1]


def test_unknown_ids_are_named() -> None:
    pool = small(id=[30, 10, 20])
    with pytest.raises(WherefromError, match="2 of 3 ids are not in the pool: 11, 99"):
        pool.take([11, 30, 99])
    with pytest.raises(WherefromError, match="ids are text"):
        pool.take(["a"])


def test_duplicate_ids_are_refused_but_duplicate_places_are_not() -> None:
    with pytest.raises(WherefromError, match="ids repeat in 1 of 2 rows"):
        small(id=[1, 1])
    table = pa.table({"id": [1, 2], "lon": [5.0, 5.0], "lat": [6.0, 6.0]})
    assert len(Pool.from_table(table)) == 2
    with pytest.raises(WherefromError, match="no rows"):
        Pool.from_table(table.slice(0, 0))


def test_a_place_takes_more_disk_than_its_digits(tmp_path: Path, built: Pool) -> None:
    Pool.build(100_000, seed=1).write(tmp_path / "a.parquet")
    # 53 random bits each for longitude and latitude are 13.25 bytes.
    assert (tmp_path / "a.parquet").stat().st_size < 14.5 * 100_000
