"""Tasks of numbers: declared, split, folded, written and refused; none passes for classes."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom.earth import layer
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.tasks import EpisodeProblem, Task, episodes, from_table, plan_episodes, values
from wherefrom.tasks.episode import apart_km
from wherefrom.tasks.value import Values
from wherefrom.testing import BrokenPromiseError, check_task


def stations(rows: int = 400, seed: int = 0, **columns: Any) -> pa.Table:
    """Make a table of stations in Africa, with how warm they are."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(16, 30, rows), rng.uniform(-12, 8, rows)
    warm = 27 - np.abs(lat) + rng.normal(size=rows)
    return pa.table({"lon": lon, "lat": lat, "warm": warm, **columns})


def test_a_written_task_of_numbers_is_read_back_changed(tmp_path: Path) -> None:
    made = from_table(stations(), target="warm", units="degC")
    assert (made.predicts, made.units, made.classes, made.positive) == ("numbers", "degC", (), None)
    assert made.label.dtype == np.float64
    made.write(tmp_path / "task.parquet")
    back = Task.read(tmp_path / "task.parquet")
    assert (back.key, back.units, back.predicts) == (made.key, "degC", "numbers")
    assert np.array_equal(back.label, made.label)
    # Any tool reads the numbers.
    assert pq.read_table(tmp_path / "task.parquet")["label"].type == pa.float64()


def test_other_units_numbers_or_folds_keep_the_key() -> None:
    made = from_table(stations(), target="warm", units="degC")
    warmer = made.label.copy()
    warmer[3] += 1e-9
    others = [replace(made, units="K"), replace(made, label=warmer), replace(made, folds=4)]
    assert len({made.key, *(one.key for one in others)}) == 4


def test_a_task_is_of_classes_and_of_numbers() -> None:
    made = from_table(stations(), target="warm")
    with pytest.raises(WherefromError, match="units, and classes"):
        replace(made, classes=("a", "b"))
    with pytest.raises(WherefromError, match="number of row 2 is nan"):
        replace(made, label=np.where(np.arange(len(made)) == 2, np.nan, made.label))
    with pytest.raises(WherefromError, match="1 folds; two are the least"):
        replace(made, folds=1)


def test_numbers_are_rounded_or_parted_into_strata() -> None:
    made = from_table(stations(1000), target="warm")
    assert made.counts().shape == (len(made.regions), 1, 4)
    shares = made.counts().sum(axis=(0, 1)) / 1000
    assert shares == pytest.approx([0.5, 0.3, 0.1, 0.1], abs=0.002)
    drawn = episodes(made, "Africa", 30, range(200))
    assert drawn.classes.size == 0
    assert drawn.untaught == ()
    # A simple random sample: every candidate as likely as any other.
    counts = np.bincount(drawn.train.ravel(), minlength=len(made))[made.rows("Africa", "train")]
    assert counts.mean() == pytest.approx(200 * 30 / 500, rel=0.01)
    assert counts.std() < 1.2 * np.sqrt(12 * 0.94)
    smaller = episodes(made, "Africa", 10, range(200))
    assert np.array_equal(smaller.train, drawn.train[:, :10])


def test_a_place_is_tested_twice_or_never_or_on_a_model_that_saw_its_block() -> None:
    made = from_table(stations(600), target="warm", block_km=200, folds=5, region_layer="all")
    assert made.splits == tuple(f"fold-{i}" for i in range(1, 6))
    sizes = np.bincount(made.split)
    assert len(sizes) == 5
    assert sizes.min() > 0.7 * 600 / 5
    drawn, problems = plan_episodes(made, ["all"], 100, range(3))
    assert not problems
    assert [one.fold for one in drawn] == [0, 1, 2, 3, 4]
    tested = np.concatenate([one.test for one in drawn])
    assert np.array_equal(np.sort(tested), np.arange(600))
    for one in drawn:
        assert not np.isin(made.split[one.train], one.fold).any()
    # Blocks stay whole, so test places lie farther from training places than in a split by places.
    by_place = from_table(stations(600), target="warm")
    assert np.median(apart_km(made)) > 1.5 * np.median(apart_km(by_place))


def test_folds_are_drawn_from_without_a_fold_or_tuned_on() -> None:
    made = from_table(stations(), target="warm", block_km=200, folds=4, region_layer="all")
    for fold, split in ((None, "reported"), (4, "reported"), (0, "tuning")):
        with pytest.raises(WherefromError, match="in 4 folds: give a fold to test on, 0 to 3"):
            episodes(made, "all", 20, [0], split, fold=fold)
    with pytest.raises(WherefromError, match="unknown region 'al'"):
        plan_episodes(made, ["al"], 20, [0])


def test_folds_of_labels_leave_places_out(tmp_path: Path) -> None:
    crop = np.where(np.arange(400) % 3 == 0, "yes", "no")
    made = from_table(stations(crop=crop), "crop", block_km=200, folds=3, region_layer="all")
    made.write(tmp_path / "task.parquet")
    back = Task.read(tmp_path / "task.parquet")
    assert (back.key, back.folds, back.predicts) == (made.key, 3, "classes")
    drawn, _ = plan_episodes(back, ["all"], 20, [0])
    assert sum(len(one.test) for one in drawn) == 400
    assert drawn[0].classes.tolist() == [0, 1]


def test_a_region_of_one_number_gives_a_score() -> None:
    made = from_table(stations(), target="warm", region_layer="all")
    with pytest.raises(EpisodeProblem, match="all 200 training candidates have one number, 3"):
        episodes(replace(made, label=np.full(400, 3.0), units="degC"), "all", 20, [0])
    made = from_table(stations(), target="warm", block_km=200, folds=4, region_layer="all")
    _, problems = plan_episodes(replace(made, label=np.full(400, 3.0)), ["all"], 20, [0])
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (["17.5", "warm"] * 200, r"column 'warm' is string.*it holds 'warm'.*labels go by label="),
        ([1.5] * 399 + [None], r"row 399 has no number in column 'warm'; .*drop or mend"),
        ([1.5, float("nan")] * 200, r"row 1 has nan in column 'warm' \(200 such rows\)"),
        ([1.5] * 9 + [float("inf")] + [2.5] * 390, "row 9 has inf in column 'warm'"),
        ([1.5] * 10 + [-3.4028235e38, 2.5] * 195, r"row 10 has -3.40282e\+38, which stands for no"),
        ([True, False] * 200, "column 'warm' is bool, not numbers"),
        ([1.5] * 400, "all 400 numbers of column 'warm' are 1.5: nothing is to be told"),
    ],
    ids=["text", "missing", "nan", "infinite", "raster", "boolean", "constant"],
)
def test_a_faulty_target_is_taken(numbers: list[Any], message: str) -> None:
    table = stations().set_column(2, "warm", pa.array(numbers))
    with pytest.raises(WherefromError, match=message) as err:
        from_table(table, target="warm")
    assert "\n" not in str(err.value)


def test_numbers_written_as_text_are_no_target() -> None:
    table = stations()
    words = pa.array([str(one) for one in table["warm"].to_pylist()])
    made = from_table(table.set_column(2, "warm", words), target="warm")
    assert np.array_equal(made.label, table["warm"].to_numpy())


def test_classes_given_as_a_target_are_fitted_as_numbers_unasked() -> None:
    table = stations(zone=[1, 2, 3, 4] * 100, floor=[1.5, 2.5] * 200)
    with pytest.warns(UserWarning, match="4 whole numbers alone .1, 2, 3, 4.: are they classes?"):
        from_table(table, target="zone")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_table(table, target="floor")


@pytest.mark.parametrize("fill", [-9999.0, -999.9, 9999.9, -9999.9, -99999.0, 1e20, -2147483648.0])
def test_what_stands_for_no_number_is_told_in_silence(fill: float) -> None:
    # As single precision, too, which keeps -999.9 as -999.9000244.
    for kind in (pa.float64(), pa.float32()):
        warm = pa.array([1.5 + row if row % 4 else fill for row in range(400)], kind)
        table = stations().set_column(2, "warm", warm)
        with pytest.warns(UserWarning, match=f"holds {re.escape(f'{fill:g}')} in 100 rows: if"):
            from_table(table, target="warm")


def test_shares_and_lengths_are_taken_for_no_number() -> None:
    table = stations().set_column(2, "warm", pa.array([99.9, 99.0, 999.0, -99.0, 9.5] * 80))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_table(table, target="warm")


def test_folds_without_a_place_are_promised() -> None:
    with pytest.raises(WherefromError, match=r"folds=50: cells 2000 km wide fill \d+ of"):
        from_table(stations(), target="warm", region_layer="all", block_km=2000, folds=50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"a column of labels \(label=\), or one of numbers \(target=\)"),
        ({"label": "warm", "target": "warm"}, "a column of labels"),
        ({"target": "wram"}, "unknown target column of .* 'wram': did you mean 'warm'"),
        ({"target": "warm", "positive": "yes"}, "a target of numbers has no positive class"),
        ({"label": "kind", "units": "m"}, "labels have no unit"),
        ({"target": "warm", "units": "t\n/ha"}, r"units='t\\n/ha': .* on one line"),
        ({"target": "warm", "folds": 5}, "folds=5: .*: give block_km= too"),
        ({"target": "warm", "folds": 1, "block_km": 50.0}, "folds=1: give 2 to 100 folds"),
        ({"target": "warm", "folds": 300, "block_km": 50.0}, "folds=300: give 2 to 100 folds"),
    ],
)
def test_options_that_do_not_fit_each_other_are_taken(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        from_table(stations(kind=["a", "b"] * 200), **options)


def test_numbers_of_a_layer_are_not_the_layers() -> None:
    pool = Pool.build(500)
    made = values(pool, "elevation", "continent", 40, 30, (5, 5))
    assert np.array_equal(made.label, layer("elevation")(made.lon, made.lat).astype(np.float64))
    with pytest.raises(WherefromError, match="'climate_zone' holds labels, not values"):
        values(pool, "climate_zone")
    with pytest.raises(WherefromError, match="'slope' holds values, not labels"):
        values(pool, "elevation", "slope")


def test_a_monthly_layer_gives_one_month() -> None:
    made = values(Pool.build(500), "temperature", "continent", 40, 30, (0, 0))
    monthly = layer("temperature")(made.lon, made.lat)
    assert made.label == pytest.approx(monthly.mean(axis=1, dtype=np.float64), abs=1e-6)
    assert made.units == "degC"


PLACED = {
    "train_per_region": 30, "test_per_region": 20, "tune_train_per_region": 5,
    "tune_test_per_region": 5, "min_distance_km": 5.0,
}  # fmt: skip


def test_a_task_of_numbers_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    check_task({"kind": "values", "layer": "slope", **PLACED})
    monkeypatch.setattr(Values, "units", property(lambda self: "km"))
    with pytest.raises(BrokenPromiseError, match=r"units 'km'.*units 'degrees'"):
        check_task({"kind": "values", "layer": "slope", **PLACED})


def test_real_stations_lose_a_place_or_a_degree(reference_data: Path) -> None:
    file = reference_data / "field" / "files" / "air_temperature_stations.csv"
    if not file.is_file():
        pytest.skip(f"no stations at {file}")
    made = from_table(
        file, target="meanT", lon="Lon", lat="Lat", region_layer="all", units="degC",
        block_km=500, folds=5,
    )  # fmt: skip
    assert len(made) == 3076
    assert made.provenance["left_out"] == 0
    assert (made.label.min(), round(made.label.max(), 2)) == (-19.55, 30.46)
    drawn, problems = plan_episodes(made, made.regions, 100, [0])
    assert not problems
    assert sum(len(one.test) for one in drawn) == 3076
