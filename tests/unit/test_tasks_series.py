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
from wherefrom.pool.series import BANDS, NO_CLASS, PixelSeries
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
        "temperature_2m: the median is 15,",
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
