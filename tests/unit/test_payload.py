"""Entropy of tiles and series: read whole, at the right place, or one clear error."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.transform import from_origin
from rasterio.warp import transform

from wherefrom.auditing import payload as reading
from wherefrom.auditing.entropy import entropy_of
from wherefrom.auditing.payload import (
    COLUMN,
    SampleEntropy,
    entropy_of_series,
    entropy_of_tiles,
)
from wherefrom.auditing.spectral import OLMOEARTH, BinSpec, spectral_entropy
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.series import BANDS, PixelSeries

RNG = np.random.default_rng(0)
#: Zone of UTM, and the place that the index gives.
PLACES = {
    "nairobi.tif": (32737, 36.82, -1.29),
    "berlin.tif": (32633, 13.4, 52.51),
    "perth.tif": (32750, 115.86, -31.94),
}


def write_tile(path: Path, values: np.ndarray, nodata: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    where = {}
    if path.name in PLACES:
        zone, lon, lat = PLACES[path.name]
        (x,), (y,) = transform("OGC:CRS84", f"EPSG:{zone}", [lon], [lat])
        corner = from_origin(x - 5 * width, y + 5 * height, 10, 10)
        where = {"crs": f"EPSG:{zone}", "transform": corner}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=values.dtype,
        nodata=nodata, **where,
    ) as out:  # fmt: skip
        out.write(values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k, name in enumerate(PLACES):
        values = RNG.integers(0, 3_000 * (k + 1), (3, 40, 30)).astype(np.uint16)
        write_tile(tmp_path / "images" / name, values)
    rows = [f"{lon},{lat},{name}" for name, (_, lon, lat) in PLACES.items()]
    (tmp_path / "index.csv").write_text("\n".join(["lon,lat,fn", *rows]) + "\n")
    return tmp_path


def values_of(folder: Path) -> list[np.ndarray]:
    read = []
    for name in PLACES:
        with rasterio.open(folder / "images" / name) as tile:
            read.append(tile.read().reshape(3, -1))
    return read


def test_a_tiles_entropy_is_that_of_its_own_pixels_and_place(folder: Path) -> None:
    found = entropy_of_tiles(folder)
    np.testing.assert_array_equal(found.values, [spectral_entropy(v) for v in values_of(folder)])
    np.testing.assert_array_equal(found.lon, [c[1] for c in PLACES.values()])
    assert found.bands == ("band 1", "band 2", "band 3")
    assert found.notes == ()


def test_scale_free_bins_are_those_of_all_tiles_together(folder: Path) -> None:
    found = entropy_of_tiles(folder, bins="scale-free")
    together = spectral_entropy(np.stack(values_of(folder)), "scale-free")
    np.testing.assert_array_equal(found.values, together)
    again = entropy_of_tiles(folder, bins=found.bins)
    np.testing.assert_array_equal(again.values, together)


def test_a_large_tile_read_in_strips_gives_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = entropy_of_tiles(folder)
    monkeypatch.setattr(reading, "_STRIP", 700)  # 7 of 40 rows
    np.testing.assert_array_equal(entropy_of_tiles(folder).values, whole.values)


def test_a_large_tiles_range_is_found_without_reading_all_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reading.tile_ranges(reading.find_tiles(folder))
    monkeypatch.setattr(reading, "_THIN", 300)
    thin = reading.tile_ranges(reading.find_tiles(folder))
    assert thin.shape == whole.shape == (3, 3, 2)
    np.testing.assert_allclose(thin, whole, atol=0.03 * whole.max())


def test_work_on_a_tile_can_travel_to_another_process(folder: Path) -> None:
    for work in (partial(reading._counts_of, bins=OLMOEARTH, absent=None),
                 partial(reading._range_of, absent=0.0)):  # fmt: skip
        path = folder / "images" / "perth.tif"
        there = pickle.loads(pickle.dumps(work))(path)
        assert pickle.dumps(there) == pickle.dumps(work(path))


def test_without_an_index_a_tile_lies_where_its_georeference_says(folder: Path) -> None:
    (folder / "index.csv").unlink()
    found = entropy_of_tiles(folder)
    assert found.ids.tolist() == ["images/berlin.tif", "images/nairobi.tif", "images/perth.tif"]
    np.testing.assert_allclose(found.lon, [13.4, 36.82, 115.86], atol=1e-6)
    np.testing.assert_allclose(found.lat, [52.51, -1.29, -31.94], atol=1e-6)


def test_an_index_of_other_tiles_is_noticed(folder: Path) -> None:
    text = (folder / "index.csv").read_text()
    swapped = text.replace("berlin", "?").replace("perth", "berlin").replace("?", "perth")
    (folder / "index.csv").write_text(swapped)
    (note,) = entropy_of_tiles(folder).notes
    assert note.startswith("2 of 3 tiles do not cover the place that the index gives")
    assert "13,5" in note  # some 13,500 km from Berlin to Perth


def test_gaps_that_no_file_declares_are_noticed_and_can_be_declared(folder: Path) -> None:
    values = RNG.integers(1, 9_000, (3, 40, 30)).astype(np.uint16)
    full = values.copy()
    values[:, :10] = 0
    write_tile(folder / "images" / "perth.tif", values)
    said = entropy_of_tiles(folder)
    assert "in 1 of 3 tiles more than 5% of the pixels are 0" in said.notes[0]
    declared = entropy_of_tiles(folder, absent=0)
    assert declared.notes == ()
    assert declared.values[2] == spectral_entropy(full[:, 10:].reshape(3, -1))
    write_tile(folder / "images" / "perth.tif", values, nodata=0)
    assert entropy_of_tiles(folder).values[2] == declared.values[2]


def test_reflectance_from_0_to_1_is_not_passed_off_as_tiles_without_variety(folder: Path) -> None:
    for name in PLACES:
        write_tile(folder / "images" / name, RNG.random((3, 40, 30), dtype=np.float32))
    found = entropy_of_tiles(folder)
    assert found.values.tolist() == [0, 0, 0]
    assert "all values lie below 100, in 1 of 100 bins" in found.notes[0]
    assert entropy_of_tiles(folder, bins="scale-free").values.min() > 4


def test_clouds_beyond_the_bins_are_counted_as_dropped(folder: Path) -> None:
    write_tile(folder / "images" / "perth.tif", np.full((3, 40, 30), 14_000, np.uint16))
    found = entropy_of_tiles(folder)
    assert found.dropped.tolist() == [0, 0, 1]
    assert np.isnan(found.values[2])
    assert found.notes[0].startswith("1 of 3 samples have a band without a value in the bins")
    assert "33% of the values lie beyond the bins" in found.notes[1]
    total = entropy_of(found)
    assert (total.samples, total.without) == (3, 1)
    assert total.mean == pytest.approx(found.values[:2].mean())


def test_torn_tiles_are_all_known_after_one_run(folder: Path) -> None:
    for name in ("berlin.tif", "perth.tif"):
        path = folder / "images" / name
        path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(WherefromError, match=r"2 of 3 tiles cannot be read \(first: row 1.*berlin"):
        entropy_of_tiles(folder)


def test_a_tile_is_blamed_for_a_limit_of_open_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise RasterioIOError(f"{path}: Too many open files")

    monkeypatch.setattr("wherefrom.auditing.payload.rasterio.open", refuse)
    with pytest.raises(WherefromError, match=r"^too many files are open: allow more \(ulimit -n"):
        entropy_of_tiles(folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "images" / "perth.tif").unlink(), r"1 of 3 files .* row 2, 'perth.tif'"),
        (lambda f: write_tile(f / "images" / "perth.tif", np.ones((2, 9, 9), np.uint16)),
         r"row 2, .*perth.tif has 2 bands, the first tile 3"),
        (lambda f: write_tile(f / "more" / "perth.tif", np.ones((3, 9, 9), np.uint16)),
         "'perth.tif' in row 2 is in 2 folders"),
        (lambda f: (f / "other.csv").write_text("lon,lat\n"), "several tables"),
        (lambda f: (f / "index.csv").write_text("lon,lat\n1,2\n"), "no column of file names"),
        (lambda f: (f / "index.csv").write_text("lon,lat,fn\n200,1,berlin.tif\n"), "lon"),
    ],
)  # fmt: skip
def test_a_faulty_folder_is_answered_with_row_and_file(
    folder: Path, spoil: object, said: str
) -> None:
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(WherefromError, match=said) as caught:
        entropy_of_tiles(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_tiles_or_places_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="is not a folder"):
        entropy_of_tiles(tmp_path / "absent")
    with pytest.raises(WherefromError, match="holds no GeoTIFF"):
        entropy_of_tiles(tmp_path)
    write_tile(tmp_path / "nowhere.tif", np.ones((1, 4, 4), np.uint8))
    with pytest.raises(WherefromError, match=r"1 of 1 tiles have no georeference.*nowhere.tif"):
        entropy_of_tiles(tmp_path)


@pytest.mark.slow
def test_the_official_tiles_lie_where_they_should_and_differ(reference_data: Path) -> None:
    found = entropy_of_tiles(reference_data / "satclip" / "ssl4eo_example")
    assert len(found) == 20
    assert found.notes == ()  # every tile covers its place; no gaps; values in range
    assert found.values.min() == pytest.approx(0.099, abs=0.001)
    assert found.values.max() == pytest.approx(4.084, abs=0.001)


def series(n: int = 6) -> PixelSeries:
    rng = np.random.default_rng(1)
    bands = {name: rng.uniform(100, 5_000, (n, 12)) for name in ("B2", "B4", "B8")}
    bands |= {"temperature_2m": rng.uniform(260, 300, (n, 12)), "elevation": np.full(n, 20.0)}
    return PixelSeries.from_bands(bands, np.linspace(-60, 60, n), np.linspace(-50, 50, n), 0)


def test_bands_of_another_unit_never_enter_bins_of_reflectance() -> None:
    given = series()
    found = entropy_of_series(given)
    assert found.bands == ("B2", "B4", "B8")
    at = [BANDS.index(name) for name in found.bands]
    expected = spectral_entropy(given.raw[:, :, at].transpose(0, 2, 1))
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.max() <= np.log(12)


def test_scale_free_series_use_what_changes_in_time() -> None:
    given = series()
    found = entropy_of_series(given, "scale-free")
    assert found.bands == ("B2", "B4", "B8", "temperature_2m")
    at = [BANDS.index(name) for name in found.bands]
    expected = spectral_entropy(given.raw[:, :, at].transpose(0, 2, 1), "scale-free")
    np.testing.assert_array_equal(found.values, expected)
    one = entropy_of_series(given, "scale-free", bands=["B4"])
    assert len(one.bins.low) == 1


def test_series_in_a_file_give_the_same_as_in_memory(tmp_path: Path) -> None:
    series().write(tmp_path / "series.npz")
    found = entropy_of_series(tmp_path / "series.npz")
    np.testing.assert_array_equal(found.values, entropy_of_series(series()).values)
    assert found.source.endswith("series.npz")


def test_series_with_gaps_say_that_they_do_not_compare() -> None:
    raw = series().raw.copy()
    raw[0, 1:] = np.nan
    gappy = PixelSeries.from_array(raw, np.arange(6.0), np.arange(6.0), 0)
    assert entropy_of_series(gappy).notes == (
        "samples have 1 to 12 values a band: few values give less entropy of themselves",
    )


@pytest.mark.parametrize(
    ("bands", "bins", "said"),
    [
        (["B2x"], "olmoearth", "did you mean 'B2'"),
        (["VV"], "olmoearth", "band VV has no value"),
        ([], "olmoearth", "name at least one"),
        (["B2", "B4"], BinSpec((0.0,) * 3, (1.0,) * 3), "the bins are for 3 bands"),
        (None, "olmo", "unknown bins"),
    ],
)
def test_a_mistaken_band_is_answered_in_one_line(
    bands: list[str] | None, bins: str | BinSpec, said: str
) -> None:
    with pytest.raises(WherefromError, match=said):
        entropy_of_series(series(), bins, bands)


def test_series_without_reflectance_name_the_remedy() -> None:
    warm = PixelSeries.from_bands({"temperature_2m": np.full((2, 12), 290.0)}, [0, 1], [0, 1], 0)
    with pytest.raises(WherefromError, match="use bins 'scale-free'"):
        entropy_of_series(warm)
    assert entropy_of_series(warm, "scale-free").values.tolist() == [0, 0]


def hand_made() -> SampleEntropy:
    lon, lat = np.array([13.4, 2.3, 36.8, 31.2, 0.0]), np.array([52.5, 48.9, -1.3, 30.0, 0.0])
    values = np.array([3.0, 2.0, 1.0, 1.5, np.nan])
    return SampleEntropy(
        np.arange(10, 15), lon, lat, values, np.zeros(5), BinSpec((0.0,), (1.0,)), ("red",), "x"
    )


def test_the_sums_are_those_done_by_hand() -> None:
    found = entropy_of(hand_made(), n_bands=6)
    assert (found.samples, found.without, found.mean) == (5, 1, 1.875)
    assert found.sd == pytest.approx(np.std([3, 2, 1, 1.5], ddof=1))
    assert found.se == pytest.approx(found.sd / 2)
    assert found.quantiles == (1.0, 1.375, 1.75, 2.25, 3.0)
    europe, africa = found.layers["continent"]
    assert (europe.label, europe.samples, europe.mean, europe.se) == ("Europe", 2, 2.5, 0.5)
    assert (africa.label, africa.mean, africa.se) == ("Africa", 1.25, 0.25)
    # Within: (0.5 + 0.125) / 2; in all: 2.1875 / 3.
    assert found.explained["continent"] == pytest.approx(1 - (0.625 / 2) / (2.1875 / 3))
    assert found.lowest[0] == (12, 36.8, -1.3, 1.0)
    assert found.highest[0] == (10, 13.4, 52.5, 3.0)
    assert sum(cell.samples for cell in found.cells) == 4
    for cell in found.cells:
        inside = (cell.west <= hand_made().lon) & (hand_made().lon < cell.east)
        inside &= (cell.south <= hand_made().lat) & (hand_made().lat < cell.north)
        assert cell.mean == pytest.approx(np.nanmean(hand_made().values[inside]))


def test_labels_that_explain_nothing_are_not_said_to_explain_something() -> None:
    # Adjusted for the number of labels, chance gives 0 on average: standard error 0.0008.
    rng = np.random.default_rng(2)
    n, found = 600, []
    for _ in range(20):
        lon, lat = rng.uniform(-10, 60, n), rng.uniform(-30, 60, n)
        one = SampleEntropy(np.arange(n), lon, lat, rng.random(n), np.zeros(n),
                            BinSpec((0.0,), (1.0,)), ("red",), "x")  # fmt: skip
        found.append(entropy_of(one).explained["continent"])
    assert abs(np.mean(found)) < 0.005


def test_numbers_that_json_cannot_hold_become_null() -> None:
    none = SampleEntropy(np.arange(1), np.zeros(1), np.zeros(1), np.full(1, np.nan),
                         np.full(1, np.nan), BinSpec((0.0,), (1.0,)), ("red",), "x")  # fmt: skip
    plain = entropy_of(none).entries()["entropy"]
    assert plain["mean"] is None
    assert plain["quantiles"] == [None] * 5
    for result in (none, hand_made()):
        json.dumps(entropy_of(result).entries(), allow_nan=False)


def test_the_column_reaches_the_right_rows_of_a_pool_and_a_file(tmp_path: Path) -> None:
    pool = Pool.from_table(table_of([14, 12, 99, 10, 11, 13]))
    joined = hand_made().join(pool)
    assert joined.table[COLUMN].to_pylist() == [None, 1.0, None, 3.0, 2.0, 1.5]
    assert hand_made().join(joined).table.column_names == joined.table.column_names
    hand_made().write(tmp_path / "pool.parquet")
    table = pq.read_table(tmp_path / "pool.parquet")
    assert table[COLUMN].to_pylist() == [3.0, 2.0, 1.0, 1.5, None]
    with pytest.raises(WherefromError, match="not in the pool"):
        hand_made().join(Pool.from_table(table_of([10, 11])))
    twice = SampleEntropy(*(getattr(hand_made(), n)[[0, 0]] for n in
                            ("ids", "lon", "lat", "values", "dropped")),
                          BinSpec((0.0,), (1.0,)), ("red",), "x")  # fmt: skip
    with pytest.raises(WherefromError, match="id 10 has more than one sample"):
        twice.join(pool)


def table_of(ids: list[int]) -> pa.Table:
    return pa.table({"id": ids, "lon": [0.0] * len(ids), "lat": [1.0] * len(ids)})
