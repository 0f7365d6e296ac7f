"""Tasks: content survives the file; codes without a name and foreign files are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial import cKDTree

from wherefrom import earth
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.sphere import EARTH_RADIUS_KM, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.tasks import SPLITS, Task, cropland, ecoregions, from_table, plan_episodes
from wherefrom.tasks.episode import apart_km


def demo() -> Task:
    return Task(
        name="demo",
        lon=np.array([10.0, 20.0, -179.5, 0.1]),
        lat=np.array([0.0, 5.0, 60.25, -0.1]),
        label=np.array([0, 1, 1, 0]),
        classes=("crop", "other"),
        region=np.array([0, 1, -1, 1]),
        regions=("Africa", "Asia", "Oceania"),
        split=np.array([0, 1, 2, 3]),
        label_layer="cover",
        positive=0,
        provenance={"seed": 3},
    )


def test_written_task_is_read_back_changed(tmp_path: Path) -> None:
    task = demo()
    task.write(tmp_path / "task.parquet")
    again = Task.read(tmp_path / "task.parquet")
    for field in dataclasses.fields(Task):
        ours, theirs = getattr(task, field.name), getattr(again, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)
        else:
            assert ours == theirs
    assert again.key == task.key


def test_file_needs_our_code_to_be_understood(tmp_path: Path) -> None:
    demo().write(tmp_path / "task.parquet")
    columns = pq.read_table(tmp_path / "task.parquet").to_pydict()
    assert columns["label"] == ["crop", "other", "other", "crop"]
    assert columns["region"] == ["Africa", "Asia", None, "Asia"]
    assert columns["split"] == list(SPLITS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"label": np.array([0, 1, 1, 1])},
        {"split": np.array([0, 1, 2, 2])},
        {"lat": np.array([0.0, 5.0, 60.25, -0.2])},
        {"classes": ("crops", "other")},
        {"positive": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_content_keeps_the_key(change: dict[str, object]) -> None:
    assert dataclasses.replace(demo(), **change).key != demo().key
    assert dataclasses.replace(demo(), provenance={"seed": 4}).key == demo().key


def test_counts_lose_a_place() -> None:
    counts = demo().counts()
    assert counts.shape == (3, 2, 4)
    assert counts.sum() == 3  # the place in no region is not counted
    assert counts[1, 0].tolist() == [0, 0, 0, 1]


def test_content_changes_after_it_was_hashed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        demo().label[0] = 1


def test_codes_without_a_name_are_kept() -> None:
    with pytest.raises(WherefromError, match="label code 2 of row 1 has no name"):
        dataclasses.replace(demo(), label=np.array([0, 2, 1, 0]))
    with pytest.raises(WherefromError, match="lat has shape"):
        dataclasses.replace(demo(), lat=np.zeros(3))
    with pytest.raises(WherefromError, match="exactly two classes"):
        dataclasses.replace(demo(), classes=("a", "b", "c"))


def test_foreign_file_is_taken_for_a_task(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="no such file"):
        Task.read(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("lon,lat")
    with pytest.raises(WherefromError, match="is not the Parquet file of a task: make one"):
        Task.read(tmp_path / "text.parquet")
    pq.write_table(pa.table({"lon": [1.0]}), tmp_path / "table.parquet")
    with pytest.raises(WherefromError, match="is not a task"):
        Task.read(tmp_path / "table.parquet")


def nearest_km(of: tuple[np.ndarray, np.ndarray], to: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    chord = cKDTree(unit_vectors(*to)).query(unit_vectors(*of))[0]
    return 2 * EARTH_RADIUS_KM * np.arcsin(chord / 2)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.build(60_000, seed=3)


@pytest.fixture(scope="module")
def zones(pool: Pool) -> Task:
    return ecoregions(pool, "climate_zone", min_distance_km=25, train_per_region=800,
                      test_per_region=300, tuning_per_region=(100, 200))  # fmt: skip


def test_test_place_lies_beside_a_pre_training_place(pool: Pool, zones: Task) -> None:
    assert nearest_km((zones.lon, zones.lat), (pool.lon, pool.lat)).min() >= 25
    # The distance bites: without it some place lies closer.
    free = ecoregions(pool, "climate_zone", min_distance_km=0, train_per_region=100,
                      test_per_region=100, tuning_per_region=(0, 0))  # fmt: skip
    assert nearest_km((free.lon, free.lat), (pool.lon, pool.lat)).min() < 25


def test_tuning_place_lies_beside_a_reported_place(zones: Task) -> None:
    tuning = zones.split >= 2
    reported = (zones.lon[~tuning], zones.lat[~tuning])
    assert nearest_km((zones.lon[tuning], zones.lat[tuning]), reported).min() >= 25


def test_region_gets_other_numbers_or_labels_than_stated(zones: Task) -> None:
    assert zones.name == "ecoregions-climate_zone"
    assert zones.regions == earth.CONTINENTS
    assert (zones.counts().sum(axis=1) == [800, 300, 100, 200]).all()
    rows = np.arange(0, len(zones), 7)
    for name, codes, names in (
        ("climate_zone", zones.label, zones.classes),
        ("continent", zones.region, zones.regions),
    ):
        expected = earth.layer(name)(zones.lon[rows], zones.lat[rows])
        assert expected.tolist() == [names[c] for c in codes[rows]]


def test_places_are_not_uniform_by_area() -> None:
    # Africa in four belts of equal area (sin of latitude): shares as of dense independent places.
    # Chi-square with 3 degrees of freedom over 4,000 places: above 21.1 in 1 of 10,000 seeds.
    task = ecoregions(Pool.build(100), "climate_zone", min_distance_km=0, train_per_region=4000,
                      test_per_region=1, tuning_per_region=(0, 0), seed=1)  # fmt: skip
    dense = Pool.build(400_000, seed=8)
    codes, names = dense.codes("continent")
    zoned = earth.layer("climate_zone").codes(dense.lon, dense.lat) >= 0
    africa = dense.lat[(codes == names.index("Africa")) & zoned]
    edges = np.quantile(africa, [0, 0.25, 0.5, 0.75, 1])
    edges[[0, -1]] = -90, 90
    rows = task.rows("Africa", "train")
    hits = np.histogram(task.lat[rows], edges)[0]
    assert ((hits - 1000) ** 2 / 1000).sum() < 21.1


def test_same_seed_gives_another_task_and_more_training_places_another_test(pool: Pool) -> None:
    sizes = {"test_per_region": 40, "tuning_per_region": (0, 0), "min_distance_km": 5.0}
    one = ecoregions(pool, "climate_zone", train_per_region=60, **sizes)
    assert one.key == ecoregions(pool, "climate_zone", train_per_region=60, **sizes).key
    assert one.key != ecoregions(pool, "climate_zone", train_per_region=60, seed=1, **sizes).key
    more = ecoregions(pool, "climate_zone", train_per_region=90, **sizes)
    for region in one.regions:
        ours, theirs = one.rows(region, "test"), more.rows(region, "test")
        assert np.array_equal(one.lon[ours], more.lon[theirs])


def test_full_region_hangs_the_draw(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherefrom.tasks.placing.MOST_DRAWS", 262_144)
    with pytest.raises(WherefromError, match=r"no room for 120 .* 2000 km .* Africa has 0"):
        ecoregions(pool, "climate_zone", train_per_region=100, test_per_region=20,
                   min_distance_km=2000)  # fmt: skip


def test_biome_task_of_the_official_polygons(resolve_data: Path) -> None:
    task = ecoregions(Pool.build(1000), train_per_region=50, test_per_region=50,
                      tuning_per_region=(0, 0))  # fmt: skip
    assert task.name == "ecoregions-biome"
    assert task.label_layer == "biome"
    assert "Tundra" in task.classes


def test_layer_of_values_or_bad_sizes_are_taken(pool: Pool) -> None:
    with pytest.raises(WherefromError, match="'elevation' holds values"):
        ecoregions(pool, "elevation")
    with pytest.raises(WherefromError, match="at least 1"):
        ecoregions(pool, "climate_zone", train_per_region=0)


def test_cropland_places_are_not_the_layers_or_the_positive_class_is_lost(pool: Pool) -> None:
    task = cropland(pool, train_per_region=1000, test_per_region=300, tuning_per_region=(60, 100))
    assert (task.name, task.label_layer) == ("cropland", "cropland")
    assert (task.classes, task.positive) == (("other", "cropland"), 1)
    labels = np.array(task.classes)[task.label]
    assert (labels == earth.layer("cropland")(task.lon, task.lat)).all()
    # Shares of all land, within 5 standard deviations of 1,000 places.
    expected = [0.052, 0.177, 0.143, 0.097, 0.030, 0.049]
    for region, share in zip(task.regions, expected, strict=True):
        spread = np.sqrt(share * (1 - share) / 1000)
        assert abs(task.label[task.rows(region, "train")].mean() - share) < 5 * spread, region
    drawn, problems = plan_episodes(task, task.regions, 100, range(20))
    assert not problems
    for episode in drawn:
        assert task.label[episode.train].any(axis=1).all()


def test_region_without_cropland_is_evaluated_or_stops_the_others(pool: Pool) -> None:
    task = cropland(pool, train_per_region=12, test_per_region=12, tuning_per_region=(0, 0))
    fields = task.counts()[:, 1, :2].all(axis=1)
    assert fields.any()
    drawn, problems = plan_episodes(task, task.regions, 10, range(3))
    assert [e.region for e in drawn] == [r for r, f in zip(task.regions, fields, strict=True) if f]
    assert len(problems) == (~fields).sum() > 0
    assert "are of one class, 'other'" in str(problems[0])
    with pytest.raises(WherefromError, match=r"none of the 5 places of split 'train' is cropland"):
        cropland(pool, "forest", train_per_region=5, test_per_region=5, tuning_per_region=(0, 0))


def crops(rows: int = 600, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "x": rng.uniform(10, 30, rows),
            "y": rng.uniform(-15, 15, rows),
            "crop": rng.choice(["maize", "none", "rice"], rows, p=[0.3, 0.65, 0.05]),
            "year": rng.integers(2016, 2020, rows),
        }
    )


def test_split_of_a_table_is_not_stratified_or_loses_rows() -> None:
    task = from_table(crops(), label="crop", lon="x", lat="y")
    assert task.classes == ("maize", "none", "rice")
    counts = task.counts()[task.regions.index("Africa")]
    assert counts.sum() == (task.region >= 0).sum()
    assert np.abs(counts - counts.sum(axis=1, keepdims=True) * [0.5, 0.3, 0.1, 0.1]).max() < 1.01
    assert task.key == from_table(crops(), label="crop", lon="x", lat="y").key
    assert task.key != from_table(crops(), label="crop", lon="x", lat="y", seed=1).key


def test_rows_of_one_place_fall_into_two_splits() -> None:
    table = pa.concat_tables([crops(), crops(), crops().slice(0, 100)])
    task = from_table(table, label="crop", lon="x", lat="y")
    assert np.array_equal(task.split[:600], task.split[600:1200])
    assert np.array_equal(task.split[:100], task.split[1200:])


def test_near_copies_of_a_place_fall_into_two_splits() -> None:
    there = crops(20_000)
    rng = np.random.default_rng(1)
    x, y = (np.array(there[name]) + rng.uniform(-2e-5, 2e-5, 20_000) for name in ("x", "y"))
    near = pa.table({**{name: there[name] for name in there.column_names}, "x": x, "y": y})
    both = pa.concat_tables([there, near])
    for how in ({}, {"block_km": 20.0}):
        split = from_table(both, label="crop", lon="x", lat="y", **how).split
        assert np.array_equal(split[:20_000], split[20_000:])


def test_a_split_without_near_copies_changes() -> None:
    task = from_table(crops(), label="crop", lon="x", lat="y")
    assert hashlib.sha256(task.split.tobytes()).hexdigest()[:16] == "404b4cc028a4fd1e"
    blocks = from_table(crops(), label="crop", lon="x", lat="y", block_km=50)
    assert hashlib.sha256(blocks.split.tobytes()).hexdigest()[:16] == "d9d2145d1c40f552"


def test_regions_of_the_users_own_column() -> None:
    table = crops().append_column("zone", pa.array(["north", "south", None] * 200))
    task = from_table(table, label="crop", lon="x", lat="y", region_layer="zone")
    assert task.regions == ("north", "south")
    assert (task.region[2::3] == -1).all()


def test_regions_that_differ_by_spelling_are_two_in_silence() -> None:
    table = crops().append_column("zone", pa.array(["North", "north", "south"] * 200))
    with pytest.warns(UserWarning, match="regions of column 'zone': 'North', 'north' differ"):
        from_table(table, label="crop", lon="x", lat="y", region_layer="zone")


def test_positive_class_is_guessed() -> None:
    assert from_table(crops(), "crop", "x", "y").positive is None
    table = crops().set_column(2, "crop", pa.array([True, False, False] * 200))
    assert from_table(table, "crop", "x", "y").positive == 1
    assert from_table(table, "crop", "x", "y", positive="false").positive == 0
    with pytest.raises(WherefromError, match=r"has 3 classes \('maize', 'none', 'rice'\)"):
        from_table(crops(), "crop", "x", "y", positive="maize")
    with pytest.raises(WherefromError, match="Known: false, true"):
        from_table(table, "crop", "x", "y", positive="yes")


def test_whole_numbers_sort_as_text() -> None:
    table = crops().set_column(2, "crop", pa.array([9, 10, 101] * 200))
    assert from_table(table, "crop", "x", "y").classes == ("9", "10", "101")


def with_labels(values: list[object], name: str = "crop") -> pa.Table:
    return crops(len(values)).drop_columns(name).append_column(name, pa.array(values))


def test_one_row_without_a_label_refuses_the_table_or_is_left_out_in_silence() -> None:
    labels = ["a", "b", "a", None, "", "b", " ", "a"]
    with pytest.warns(UserWarning, match="3 of 8 rows have no label .* left out, first row 3") as w:
        task = from_table(with_labels(labels), "crop", "x", "y")
    assert len(w) == 1
    assert [task.classes[code] for code in task.label] == ["a", "b", "a", "b", "a"]
    kept = np.array([0, 1, 2, 5, 7])
    assert task.lon.tolist() == crops(8)["x"].to_numpy()[kept].tolist()
    assert task.provenance["left_out"] == 3
    # Embeddings that were made of the table's rows are those of the same rows.
    assert task.ids.tolist() == [str(row) for row in kept]
    with (
        pytest.warns(UserWarning, match="6 of 6 rows"),
        pytest.raises(WherefromError, match="without a label"),
    ):
        from_table(with_labels([None] * 6), "crop", "x", "y")


def test_whole_real_numbers_are_no_classes() -> None:
    with pytest.warns(UserWarning, match="1 of 6 rows have no label"):
        task = from_table(with_labels([2.0, 10.0, 1.0, 2.0, float("nan"), 10.0]), "crop", "x", "y")
    assert task.classes == ("1", "2", "10")
    assert task.label.tolist() == [1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["Crop", "Crop ", "other"], "'Crop', 'Crop ' differ by case, signs or blanks alone"),
        (["Non-crop", "NonCrop", "noncrop", "x"], "'Non-crop', 'NonCrop', 'noncrop' differ"),
        (["Forêt", "foret", "x"], "'Forêt', 'foret' differ"),
        (["maize ", "rice"], "'maize ' begins or ends with a blank"),
    ],
)
def test_labels_that_differ_by_spelling_become_classes_in_silence(
    labels: list[str], told: str
) -> None:
    with pytest.warns(UserWarning, match=told):
        from_table(with_labels(labels * 5), "crop", "x", "y")


def test_labels_that_differ_in_earnest_are_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for labels in (["a", "b", "ab"], ["1.0", "10", "-1"], ["<10 %", ">10 %"], ["<", ">"]):
            from_table(with_labels(labels * 5), "crop", "x", "y")


def test_a_published_split_is_thrown_away() -> None:
    words = ["training", "Test", "validation", "train", "testing", "val"] * 100
    table = crops(600).append_column("subset", pa.array(words))
    task = from_table(table, "crop", "x", "y", split_column="subset")
    train, test, tune, chosen = (task.split == code for code in range(4))
    assert train.tolist() == [word in ("training", "train") for word in words]
    assert test.tolist() == [word in ("Test", "testing") for word in words]
    assert tune.sum() == pytest.approx(100, abs=12)
    assert (tune | chosen).tolist() == [word.startswith("val") for word in words]
    assert task.provenance["split_column"] == "subset"


def test_a_split_that_is_not_known_is_guessed() -> None:
    def by(words: list[object]) -> Task:
        table = crops(6).append_column("subset", pa.array(words))
        return from_table(table, "crop", "x", "y", split_column="subset")

    with pytest.raises(WherefromError, match="'subset' holds 'eval', and splits are train, test"):
        by(["train", "eval"] * 3)
    with pytest.raises(WherefromError, match="holds '0', and splits are"):
        by([0, 1] * 3)
    with pytest.warns(UserWarning, match="1 of 6 rows have no split in column 'subset'"):
        assert len(by(["train", "test", "train", None, "test", "test"])) == 5
    with pytest.raises(WherefromError, match="unknown split column of table 'set'"):
        from_table(crops(6), "crop", "x", "y", split_column="set")
    with pytest.raises(WherefromError, match="give one of them"):
        from_table(crops(6), "crop", "x", "y", split_column="crop", block_km=50)


def test_rows_of_one_block_fall_into_two_splits() -> None:
    rng = np.random.default_rng(0)
    clusters = rng.uniform(10, 30, (60, 2)) - [0, 20]
    places = (clusters[:, None] + rng.normal(0, 0.05, (60, 20, 2))).reshape(-1, 2)
    table = pa.table({"x": places[:, 0], "y": places[:, 1], "use": rng.choice(["a", "b"], 1200)})
    alone, blocks = (from_table(table, "use", "x", "y", block_km=km) for km in (None, 100))
    assert np.median(apart_km(alone)) < 5
    assert np.median(apart_km(blocks)) > 50
    shares = blocks.counts().sum(axis=(0, 1)) / blocks.counts().sum()
    assert np.abs(shares - [0.5, 0.3, 0.1, 0.1]).max() < 0.06
    cells = EqualAreaCells(round(np.pi * EARTH_RADIUS_KM / 100)).cell(blocks.lon, blocks.lat)
    for cell in np.unique(cells):
        for region in np.unique(blocks.region[cells == cell]):
            assert len(set(blocks.split[(cells == cell) & (blocks.region == region)])) == 1
    for km in (0.5, np.nan, 6000):
        with pytest.raises(WherefromError, match="blocks are 1 to 5,000 km wide"):
            from_table(table, "use", "x", "y", block_km=km)


def test_faulty_labels_are_taken() -> None:
    with pytest.raises(WherefromError, match=r"table: column 'crop' holds 0\.1, and labels are"):
        from_table(with_labels([0.1, 0.2, 0.3, 0.4, 0.5, float("nan")]), "crop", "x", "y")
    with pytest.raises(WherefromError, match="all 6 rows of column 'crop' are 'a'"):
        from_table(with_labels(["a"] * 6), "crop", "x", "y")
    with pytest.raises(WherefromError, match="did you mean 'crop'"):
        from_table(crops(6), "crops", "x", "y")
