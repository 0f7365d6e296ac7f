"""Labelled series: rows stay aligned, units are the model's, real files read as published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom.errors import WherefromError
from wherefrom.pool.series import BANDS, NO_CLASS, PixelSeries, earth_series
from wherefrom.tasks import (
    LabelledSeries,
    episodes,
    label_series,
    plan_episodes,
    worldcereal,
)

N = 80
OPTICAL = {
    "B02": 10, "B03": 10, "B04": 10, "B08": 10, "B05": 20, "B06": 20, "B07": 20, "B8A": 20,
    "B11": 20, "B12": 20,
}  # fmt: skip


def table(rows: int = N) -> dict[str, Any]:
    """Make the columns of WorldCereal's table, in an order of our own."""
    columns: dict[str, Any] = {"start_date": ["2018-12-28"] * rows}
    for at, (band, metres) in enumerate(OPTICAL.items()):
        for t in range(12):
            values = np.full(rows, 1000 + 100 * at + t, np.uint16)
            columns[f"OPTICAL-{band}-ts{t}-{metres}m"] = values
    for t in range(12):
        columns[f"SAR-VV-ts{t}-20m"] = np.full(rows, 4467, np.uint16)
        columns[f"SAR-VH-ts{t}-20m"] = np.full(rows, 1995, np.uint16)
        columns[f"METEO-temperature_mean-ts{t}-100m"] = np.full(rows, 28_815 + t, np.uint16)
        columns[f"METEO-precipitation_flux-ts{t}-100m"] = np.full(rows, 7300, np.uint16)
    columns |= {"DEM-alt-20m": np.full(rows, 120.5, np.float32)}
    columns |= {"DEM-slo-20m": np.full(rows, 1.5, np.float32)}
    columns |= {"lon": np.linspace(15, 25, rows), "lat": np.linspace(-5, 5, rows)}
    columns["LANDCOVER_LABEL"] = np.where(np.arange(rows) % 3, 13, 11).astype(np.uint16)
    return columns


def written(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def band(series: PixelSeries, name: str) -> Any:
    return series.raw[:, :, BANDS.index(name)]


def test_units_become_those_of_the_model(tmp_path: Path) -> None:
    made = worldcereal(written(tmp_path / "w.parquet", table()))
    np.testing.assert_allclose(band(made.series, "VV"), 20 * np.log10(4467) - 83, rtol=1e-6)
    np.testing.assert_allclose(band(made.series, "VH"), -17.0, atol=0.01)
    assert band(made.series, "B8")[0].tolist() == [1300.0 + t for t in range(12)]
    assert band(made.series, "B12")[0, 0] == 1900.0
    np.testing.assert_allclose(band(made.series, "temperature_2m")[0, 3], 288.18)
    # 73 mm in 365 / 12 days are 2.4 mm a day.
    np.testing.assert_allclose(band(made.series, "total_precipitation"), 0.0024, rtol=1e-6)
    assert band(made.series, "elevation")[5, 7] == 120.5
    assert "B9" not in made.series.present
    assert (made.series.dynamic_world == NO_CLASS).all()
    np.testing.assert_allclose(band(made.series, "NDVI")[0, 0], (1300 - 1200) / (1300 + 1200))


def test_what_is_marked_as_absent_is_absent_in_its_step_alone(tmp_path: Path) -> None:
    columns = table()
    columns["OPTICAL-B08-ts4-10m"][2] = 65535
    columns["SAR-VV-ts1-20m"][3] = 65535
    columns["SAR-VV-ts2-20m"][3] = 0
    series = worldcereal(written(tmp_path / "w.parquet", columns)).series
    assert np.argwhere(np.isnan(band(series, "B8"))).tolist() == [[2, 4]]
    assert np.argwhere(np.isnan(band(series, "NDVI"))).tolist() == [[2, 4]]
    assert np.argwhere(np.isnan(band(series, "VV"))).tolist() == [[3, 1], [3, 2]]


@pytest.mark.parametrize(
    ("start", "month"),
    [("2018-12-01", 11), ("2018-12-16", 11), ("2018-12-28", 0), ("2019-02-27", 2)],
)
def test_the_first_month_is_that_of_the_first_steps_middle(
    start: str, month: int, tmp_path: Path
) -> None:
    columns = table() | {"start_date": [start] * N}
    series = worldcereal(written(tmp_path / "w.parquet", columns)).series
    assert (series.month == (month + np.arange(12)) % 12).all()


def test_labels_stay_with_their_places(tmp_path: Path) -> None:
    made = worldcereal(written(tmp_path / "w.parquet", table()), "all")
    crop = made.task.label == made.task.positive
    assert made.task.classes[made.task.positive or 0] == "crop"
    assert crop.tolist() == (np.arange(N) % 3 == 0).tolist()
    np.testing.assert_array_equal(made.task.lon, made.series.lon)
    assert made.task.regions == ("all",)
    drawn = episodes(made.task, "all", 20, range(5))
    assert drawn.train.shape == (5, 20)
    assert not np.intersect1d(drawn.train, drawn.test).size


def present(rows: int = N, steps: int = 12) -> dict[str, Any]:
    """Make the columns of today's table of a row a pixel."""
    columns = without("LANDCOVER_LABEL") | {"start_date": ["2018-12-01"] * rows}
    for t in range(12, steps):
        for name in [name for name in columns if "-ts0-" in name]:
            columns[name.replace("-ts0-", f"-ts{t}-")] = columns[name] + t
    columns["ewoc_code"] = np.where(np.arange(rows) % 3, 2_001_020_000, 1_101_060_000)
    return columns


def monthly(columns: dict[str, Any], first: str, valid: str, months: int) -> dict[str, Any]:
    """Make of a table of a row a pixel one of a row a month, shuffled."""
    named = {"elevation": "DEM-alt-20m", "slope": "DEM-slo-20m", "lon": "lon", "lat": "lat"}
    named |= {"ewoc_code": "ewoc_code"}
    rows = len(columns["lon"])
    found = {name: np.repeat(columns[other], months) for name, other in named.items()}
    for band, metres in OPTICAL.items():
        names = [f"OPTICAL-{band}-ts{t}-{metres}m" for t in range(months)]
        found[f"S2-L2A-{band}"] = np.stack([columns[name] for name in names], 1).ravel()
    for name, pattern in (
        ("S1-SIGMA0-VV", "SAR-VV-ts{}-20m"), ("S1-SIGMA0-VH", "SAR-VH-ts{}-20m"),
        ("AGERA5-TMEAN", "METEO-temperature_mean-ts{}-100m"),
        ("AGERA5-PRECIP", "METEO-precipitation_flux-ts{}-100m"),
    ):  # fmt: skip
        found[name] = np.stack([columns[pattern.format(t)] for t in range(months)], 1).ravel()
    start = np.datetime64(first, "M") + np.tile(np.arange(months), rows)
    found["timestamp"] = start.astype("datetime64[us]")
    found["sample_id"] = np.repeat([f"p{i:03d}" for i in range(rows)], months)
    found["valid_time"] = np.full(rows * months, valid)
    # The first rows stay in their order, which is that of the pixels.
    order = np.argsort(np.tile(np.arange(months) == 0, rows), kind="stable")[::-1]
    order = np.r_[order[:rows][::-1], np.random.default_rng(0).permutation(order[rows:])]
    return {name: values[order] for name, values in found.items()}


def test_todays_table_is_refused_or_read_in_other_units(tmp_path: Path) -> None:
    old = worldcereal(written(tmp_path / "o.parquet", table() | {"start_date": ["2018-12-01"] * N}))
    wide = worldcereal(written(tmp_path / "w.parquet", present()))
    columns = monthly(present(), "2018-12", "2019-06-15", 12)
    long = worldcereal(written(tmp_path / "l.parquet", columns))
    assert wide.key == long.key
    assert wide.task.key == old.task.key
    np.testing.assert_array_equal(wide.series.month, old.series.month)
    # 73 mm in the 31 days of December and the 28 of February.
    rain = band(wide.series, "total_precipitation")[0]
    np.testing.assert_allclose(rain[[0, 2]], [0.073 / 31, 0.073 / 28], rtol=1e-6)
    others = [i for i, name in enumerate(BANDS) if name != "total_precipitation"]
    np.testing.assert_array_equal(wide.series.raw[..., others], old.series.raw[..., others])


@pytest.mark.parametrize(
    ("position", "first"), [(0, 0), (6, 0), (7, 1), (8, 2), (11, 4), (15, 4), (20, 4)]
)
def test_of_more_months_others_than_those_around_the_valid_one_are_read(
    position: int, first: int, tmp_path: Path
) -> None:
    columns = present(steps=16)
    about = {"valid_position": [position] * N, "available_timesteps": [16] * N}
    wide = worldcereal(written(tmp_path / "w.parquet", columns | about))
    valid = str(np.datetime64("2018-12") + position)
    long = worldcereal(
        written(tmp_path / "l.parquet", monthly(columns, "2018-12", f"{valid}-20", 16))
    )
    assert wide.key == long.key
    assert wide.series.month[0].tolist() == [(11 + first + t) % 12 for t in range(12)]
    assert band(wide.series, "B8")[0, 0] == 1300.0 + first
    with pytest.raises(WherefromError, match="lacks the column 'valid_position'"):
        worldcereal(written(tmp_path / "w.parquet", columns))


def test_a_month_without_a_row_shifts_the_others(tmp_path: Path) -> None:
    columns = monthly(present(), "2018-12", "2019-06-15", 12)
    kept = ~((columns["sample_id"] == "p003") & (columns["timestamp"] == np.datetime64("2019-03")))
    series = worldcereal(
        written(tmp_path / "l.parquet", {name: v[kept] for name, v in columns.items()})
    ).series
    assert np.argwhere(np.isnan(band(series, "B8"))).tolist() == [[3, 3]]
    assert band(series, "B8")[3, 4] == 1304.0


def test_pixels_without_a_code_become_another_class(tmp_path: Path) -> None:
    columns = present()
    columns["ewoc_code"][[4, 9]] = 0
    with pytest.warns(UserWarning, match="2 of 80 pixels have no ewoc_code and are left out"):
        found = worldcereal(written(tmp_path / "w.parquet", columns))
    assert len(found) == 78
    np.testing.assert_array_equal(found.series.lon, np.delete(columns["lon"], [4, 9]))


LONG: list[tuple[dict[str, Any], str]] = [
    ({"timestamp": ["2020-08-01", "2020-08-11", "2020-10-01"]}, "row 1 is another .* in 2020-08"),
    ({"timestamp": ["2020-08-01", None, "2020-10-01"]}, "timestamp of row 1 is None, no date"),
    ({"timestamp": [1, 2, 3]}, "timestamp of row 0 is 1, no date"),
    ({"sample_id": ["a", "a", None]}, "every row needs a sample_id"),
    ({"lon": [10.0, 10.0, 10.5]}, "lon of row 2 is 10.5, but 10 before in sample a"),
    ({"ewoc_code": [1100000000, 1100000000, 1200000000]}, "ewoc_code of row 2 is 1200000000, but"),
    ({"ewoc_code": [11, 11, 11]}, "ewoc_code of row 0 is 11, no code"),
    ({"valid_time": None}, "lacks the column 'valid_time'"),
    ({"ewoc_code": None}, "lacks the column 'ewoc_code'"),
    ({"S1-SIGMA0-VV": None}, "lacks the column 'S1-SIGMA0-VV'"),
]


@pytest.mark.parametrize(("change", "message"), LONG)
def test_a_table_of_months_that_cannot_be_is_read(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    one = {name: values[:1] for name, values in present().items()}
    columns: dict[str, Any] = monthly(one, "2020-08", "2020-09-01", 3) | {"sample_id": ["a"] * 3}
    columns["timestamp"] = ["2020-08-01", "2020-09-01", "2020-10-01"]
    columns = {name: v for name, v in (columns | change).items() if v is not None}
    with pytest.raises(WherefromError, match=message) as caught:
        worldcereal(written(tmp_path / "l.parquet", columns))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error::UserWarning")  # no false alarm
def test_todays_public_pixels_read_with_plausible_units(reference_data: Path) -> None:
    path = reference_data / "field" / "files" / "worldcereal_public_extractions.parquet"
    if not path.is_file():
        pytest.skip(f"no WorldCereal pixels at {path}")
    whole = worldcereal(path, "all")
    assert len(whole) == 500
    assert int((whole.task.label == whole.task.positive).sum()) == 471
    there = earth_series(whole.series.lon, whole.series.lat, land_cover=False)
    usual = np.take_along_axis(there.raw, whole.series.month[..., None].astype(int), axis=1)
    ours = whole.series.raw
    assert abs(np.nanmean((ours - usual)[..., BANDS.index("temperature_2m")])) < 1
    rain = BANDS.index("total_precipitation")
    assert 0.9 < np.nansum(ours[..., rain]) / np.nansum(usual[..., rain]) < 1.2


def without(*names: str) -> dict[str, Any]:
    return {name: values for name, values in table().items() if name not in names}


BAD: list[tuple[dict[str, Any], str]] = [
    (without("SAR-VV-ts7-20m"), "lacks the column 'SAR-VV-ts7-20m'"),
    (without("lat"), "lacks the column 'lat'"),
    (without("start_date"), "lacks the column 'start_date'"),
    (without("LANDCOVER_LABEL"), "lacks the column 'LANDCOVER_LABEL'"),
    (table() | {"LANDCOVER_LABEL": [11] * 5 + [65535] * 75}, "of row 5 is 65535, no code"),
    (table() | {"LANDCOVER_LABEL": [11] * 79 + [3]}, "of row 79 is 3, no code"),
    (table() | {"LANDCOVER_LABEL": [11] * N}, "at least two classes"),
    (table() | {"start_date": ["2018-13-01"] * N}, "start_date of row 0 is '2018-13-01'"),
    (table() | {"start_date": [None] * N}, "start_date of row 0 is None"),
    (table() | {"lat": np.full(N, 95.0)}, "lat of row 0 is 95"),
    (table() | {"lon": ["east"] * N}, "'lon' holds no numbers"),
    (
        table() | {f"METEO-temperature_mean-ts{t}-100m": np.full(N, 1500) for t in range(12)},
        "temperature_2m of row 0, step 0 is 15, not 150 to 350 K",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "message"), BAD)
def test_a_faulty_table_is_named_with_its_row(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "w.parquet", columns)
    with pytest.raises(WherefromError, match=message) as caught:
        worldcereal(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("long", "change", "message"),
    [
        # Half of the pixels 10 log10 of the power, of which the table holds amplitudes.
        (False, {"SAR-VV-ts{}-20m": -11.0}, "VV of row 1, step 0 is below 0 .*amplitudes"),
        (True, {"SAR-VV-ts{}-20m": -11.0}, r"VV of row 1 \(p001\), step 0 is below 0 .*amplitud"),
        (False, {"OPTICAL-B08-ts{}-10m": 0.31}, "band B8: 40 of 80 .* 0 to 1, first row 1;"),
        (True, {"OPTICAL-B08-ts{}-10m": 0.31}, r"B8: 40 of 80 .* 0 to 1, first row 1 \(p001\);"),
        (False, {"OPTICAL-B08-ts{}-10m": 0.0}, "band B8: 480 of 960 .* exactly 0, first row 1,"),
        (True, {"OPTICAL-B08-ts{}-10m": 0.0}, r"B8: 480 of 960 .* 0, first row 1 \(p001\), step"),
        (
            False,
            {"METEO-temperature_mean-ts{}-100m": 288.0},
            "temperature_2m of row 1, .* 2.88, not 150",
        ),
        (False, {"METEO-precipitation_flux-ts{}-100m": 9e4, "DEM-slo-20m": 1.0}, None),
    ],
)
def test_half_of_a_table_in_another_unit_is_read(
    long: bool, change: dict[str, float], message: str | None, tmp_path: Path
) -> None:
    columns = present()
    for name, value in change.items():
        for column in {name.format(t) for t in range(12)}:
            columns[column] = columns[column].astype(np.float64)
            columns[column][1::2] = value
    if long:
        columns = monthly(columns, "2018-12", "2019-06-15", 12)
    path = written(tmp_path / "w.parquet", columns)
    if message is None:  # 900 mm a month: as much falls somewhere
        worldcereal(path)
        return
    with pytest.raises(WherefromError, match=rf"w\.parquet: .*{message}") as caught:
        worldcereal(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("w.parquet") == 1


def test_a_torn_parquet_is_one_clear_error(tmp_path: Path) -> None:
    path = written(tmp_path / "w.parquet", table())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WherefromError, match="torn Parquet file"):
        worldcereal(path)


def test_a_region_without_positives_is_reported_not_dropped(tmp_path: Path) -> None:
    columns = table()
    east = np.arange(N) >= 40
    columns["lon"] = np.where(east, np.linspace(100, 104, N), columns["lon"])
    columns["lat"] = np.where(east, np.linspace(16, 30, N), columns["lat"])
    columns["LANDCOVER_LABEL"] = np.where(east | (np.arange(N) % 2 == 0), 13, 11)
    task = worldcereal(written(tmp_path / "w.parquet", columns)).task
    drawn, problems = plan_episodes(task, ["Africa", "Asia"], 10, [0])
    assert [d.region for d in drawn] == ["Africa"]
    assert [p.region for p in problems] == ["Asia"]
    assert "are of one class, 'other'" in problems[0].reason


def made(rows: int = 40) -> LabelledSeries:
    lon = np.linspace(10, 20, rows)
    values = {"B4": np.full((rows, 12), 500.0)}
    series = PixelSeries.from_bands(values, lon, np.zeros(rows), 0)
    return label_series("fields", series, np.arange(rows) % 2 == 0, "crop", "all")


def test_rows_of_a_task_and_its_series_cannot_shift() -> None:
    whole = made()
    with pytest.raises(WherefromError, match="40 places, but 39 series"):
        LabelledSeries(whole.task, whole.series.take(np.arange(39)))
    with pytest.raises(WherefromError, match=r"lon of row 0 differs .* by 10 degrees"):
        LabelledSeries(whole.task, whole.series.take(np.arange(40)[::-1]))


def test_a_folder_reads_back_and_files_of_two_writings_are_refused(tmp_path: Path) -> None:
    whole = made()
    whole.write(tmp_path / "a")
    assert LabelledSeries.read(tmp_path / "a").key == whole.key
    raw = whole.series.raw + 1
    replace(whole.series, raw=raw).write(tmp_path / "a" / "series.npz")
    with pytest.raises(WherefromError, match="were not written together"):
        LabelledSeries.read(tmp_path / "a")
    (tmp_path / "a" / "series.npz").unlink()
    with pytest.raises(WherefromError, match=r"no such file: .*series\.npz"):
        LabelledSeries.read(tmp_path / "a")


@pytest.mark.filterwarnings("error::UserWarning")  # no false alarm
def test_the_published_pixels_read_with_plausible_units(reference_data: Path) -> None:
    path = reference_data / "worldcereal" / "worldcereal_testdf.parquet"
    if not path.is_file():
        pytest.skip(f"no WorldCereal pixels at {path}")
    whole = worldcereal(path)
    assert len(whole) == 500
    assert int((whole.task.label == whole.task.positive).sum()) == 123
    assert whole.series.present == tuple(b for b in BANDS if b != "B9")
    # Over land in C band, and as much rain and warmth as ERA5 has in these places.
    assert -13 < np.nanmedian(band(whole.series, "VV")) < -7
    assert -20 < np.nanmedian(band(whole.series, "VH")) < -14
    assert 0.001 < np.nanmean(band(whole.series, "total_precipitation")) < 0.004
    july_north = band(whole.series, "temperature_2m")[:, :] - 273.15
    at = (whole.series.month == 6) & (whole.series.lat > 45)[:, None]
    assert 14 < july_north[at].mean() < 24
