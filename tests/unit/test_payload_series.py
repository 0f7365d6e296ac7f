"""Pixel series by id: of the right pixel and month, each tile once, nothing lost unsaid."""

from __future__ import annotations

import json
import re
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from made_shards import PIXELS, claimed, shard, tile
from wherefrom.errors import WherefromError
from wherefrom.payload import Lost, Sought
from wherefrom.payload.places import write_places
from wherefrom.payload.series import Series, tables
from wherefrom.payload.series import shards as module
from wherefrom.payload.stored import gathered
from wherefrom.pool.series import BANDS, NO_CLASS, PixelSeries
from wherefrom.pool.series.pixels import FIELDS
from wherefrom.pool.series.worldcereal import worldcereal_pixels
from wherefrom.testing import check_payload

AT = {name: BANDS.index(name) for name in ("B2", "elevation", "slope")}


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Write two tars of three tiles each, t0 to t5."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for file in range(2):
        names = range(3 * file, 3 * file + 3)
        shard(folder / f"{file}.tar", {f"t{n}": tile(n) for n in names})
    return folder


def sought(ids: Any, *, labelled: bool = False, tiles: Any = None) -> Sought:
    """Seek pixels of tiles, whose lon is a tenth of their number."""
    if tiles is None:
        tiles = [int(one.partition(":")[0].rpartition("t")[2]) for one in ids]
    lon = np.asarray(tiles) / 10.0
    return Sought(np.asarray(ids), lon, np.full(len(ids), 5.0), labelled)


def read(payload: Series, places: Sought) -> tuple[NDArray[np.bool_], Any, Lost]:
    there, records = gathered(payload, places, lost := Lost())
    return there, records, lost


def series(path: Path, **fields: Any) -> Series:
    return Series(**{"kind": "series", "path": str(path)} | fields)


# Shards.


def test_a_pixel_of_another_tile_or_row_is_read(tars: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [f"t{t}:{r}" for t, r in rng.integers([6, 50], size=(90, 2))]
    there, records, lost = read(series(tars), sought([*ids, "t7:3", "t1:50", "t1", "t1:x"]))
    assert there.tolist() == [True] * 90 + [False] * 4
    assert not lost
    found = records["raw"][:, 0]
    said = [f"t{int(t)}:{int(r)}" for t, r in found[:, [AT["elevation"], AT["slope"]]]]
    assert said == ids
    np.testing.assert_allclose(records["lon"], found[:, AT["elevation"]] / 10)


def test_months_do_not_follow_the_steps_or_are_the_same_for_a_tile(tars: Path) -> None:
    ids = [f"t2:{row}" for row in range(PIXELS)]
    _, records, _ = read(series(tars), sought(ids))
    step = records["raw"][:, :, AT["B2"]].astype(int) - 100
    assert (np.diff(step, axis=1) == 1).all()
    assert (records["month"] == step % 12).all()
    assert (records["dynamic_world"] == step % 9).all()
    assert set(step[:, 0]) <= set(range(12))
    assert len(set(step[:, 0])) > 6
    others = read(series(tars, seed=1), sought(ids))[1]["month"]
    assert (others != records["month"]).any()


def test_the_contract_of_payloads_is_broken(tars: Path) -> None:
    ids = [f"t{n % 6}:{n}" for n in range(24)]
    check_payload(series(tars), places=sought([*ids, "t0:77"]))


def test_what_labels_are_made_of_is_shown(tars: Path) -> None:
    ids = ["t0:1", "t4:2"]
    _, pool, _ = read(series(tars), sought(ids))
    _, task, _ = read(series(tars), sought(ids, labelled=True))
    assert (task["dynamic_world"] == NO_CLASS).all()
    for name in ("raw", "month", "lon"):
        np.testing.assert_array_equal(task[name], pool[name])


def test_tiles_that_nobody_seeks_are_read(tars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[int] = []
    whole = module.cut
    monkeypatch.setattr(module, "cut", lambda arrays, rng: cuts.append(1) or whole(arrays, rng))
    read(series(tars), sought(["t4:1", "t1:0", "t4:3"]))
    assert len(cuts) == 2


def test_a_tar_is_walked_again_or_one_that_changed_is_not(
    tars: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_MUCH", 1)
    walked: list[Path] = []
    walk = module._walked
    monkeypatch.setattr(module, "_walked", lambda path: walked.append(path) or walk(path))
    for _ in range(2):
        read(series(tars), sought(["t1:0", "t5:3"]))
    assert [path.name for path in walked] == ["0.tar", "1.tar"]
    shard(tars / "1.tar", {"t9": tile(9)})
    there, _, _ = read(series(tars), sought(["t9:0", "t5:3"]))
    assert there.tolist() == [True, False]
    assert [path.name for path in walked] == ["0.tar", "1.tar", "1.tar"]


def test_a_tile_of_two_tars_is_one_of_them_at_random(tmp_path: Path) -> None:
    for file in (1, 2):
        shard(tmp_path / f"{file}.tar", {"t0": tile(file), f"t{file}": tile(file)})
    ids = ["2/t0:4", "1/t0:4", "1/t1:4", "t2:4"]
    there, records, _ = read(series(tmp_path), sought(ids, tiles=[2, 1, 1, 2]))
    assert there.all()
    assert records["raw"][:, 0, AT["elevation"]].tolist() == [2, 1, 1, 2]
    with pytest.raises(WherefromError, match=r"'t0' is in 1 and in 2: write its ids as 1/t0:ROW"):
        read(series(tmp_path), sought(["t0:4"]))
    names = pa.concat_tables(series(tmp_path).places(Lost()))["tile"].unique().to_pylist()
    assert names == ["1/t0", "t1", "2/t0", "t2"]


def broken() -> dict[str, tuple[Any, str]]:
    raw, classes, latlon = tile(1)
    return {
        "lacking": ({k: v for k, v in tile(1).items() if k != classes}, "lacks the member dynamic"),
        "garbage": (tile(1) | {classes: b"no array at all"}, "dynamicworld.* cannot be read"),
        "80 TB": (tile(1) | {raw: claimed(10**13)}, "cannot be read"),
        "no places": (tile(1) | {latlon: b"none"}, "latlon.npy cannot be read"),
        "places": (tile(1) | {latlon: np.zeros((3, 2))}, r"latlon has shape \(3, 2\)"),
        "one place": (tile(1) | {latlon: np.zeros(2)}, r"latlon has shape \(2,\)"),
        "steps": (tile(1) | {raw: np.zeros((PIXELS, 11, 18))}, r"\(50, 11, 18\)"),
        "class": (tile(1) | {classes: np.full((PIXELS, 24), 12)}, "dynamic_world of row 0"),
        "unit": (tile(1) | {raw: np.full((PIXELS, 24, 18), 0.3)}, "order of the bands|unit"),
    }


@pytest.mark.parametrize("kind", broken())
def test_a_broken_tile_ends_a_study_or_is_left_out_unsaid(kind: str, tmp_path: Path) -> None:
    members, reason = broken()[kind]
    path = shard(tmp_path / "a.tar", {"t0": tile(0), "t1": members, "t2": tile(2)})
    ids = ["t0:1", "t1:1", "t1:2", "t2:1"]
    there, _, lost = read(series(path), sought(ids))
    assert there.tolist() == [True, False, False, True]
    assert len(lost) == 1
    ((said, where),) = lost.first.items()
    assert where.endswith("a.tar t1")
    assert re.search(reason, said), said


def test_a_torn_tar_is_whole_or_takes_others_with_it(tars: Path) -> None:
    content = (tars / "0.tar").read_bytes()
    (tars / "0.tar").write_bytes(content[: len(content) * 5 // 6 - 3000])
    ids = [f"t{n}:3" for n in range(6)]
    there, _, lost = read(series(tars), sought(ids))
    assert there.tolist() == [True, True, False, True, True, True]
    assert "0.tar the tar is torn after tile t2" in str(lost)
    _, _, unconcerned = read(series(tars), sought(["t0:3", "t5:1"]))
    assert not unconcerned


@pytest.mark.parametrize("content", [b"", b"no tar"])
def test_a_tar_that_is_none_ends_in_a_traceback(content: bytes, tars: Path) -> None:
    (tars / "1.tar").write_bytes(content)
    there, _, lost = read(series(tars), sought(["t0:1", "t5:1"]))
    assert there.tolist() == [True, False]
    assert "1.tar the tar is torn after tile none" in str(lost)


def test_a_pixel_without_any_value_is_served_as_absent(tmp_path: Path) -> None:
    members = tile(0)
    (raw, classes, _) = members.values()
    assert isinstance(raw, np.ndarray)
    raw[7] = raw[9] = np.nan
    assert isinstance(classes, np.ndarray)
    classes[7] = NO_CLASS
    path = shard(tmp_path / "a.tar", {"t0": members})
    there, _, lost = read(series(path), sought(["t0:6", "t0:7", "t0:8", "t0:9"]))
    assert there.tolist() == [True, False, True, False]
    assert str(lost) == "id t0:7 has no value in any band, and 1 more"


def test_series_of_another_place_are_trained_on(tars: Path) -> None:
    places = sought(["t0:1", "t1:1", "t2:1"], tiles=[0, 4, 2])
    there, _, lost = read(series(tars), places)
    assert there.tolist() == [True, False, True]
    assert str(lost) == ("id t1:1 lies more than 0.1 degrees from its place: is it of other data?")
    path = shard(tars / "x.tar", {"t180": tile(1800)})
    west = Sought(np.array(["t180:1"]), np.array([-180.0]), np.array([5.0]))
    assert read(series(path), west)[0].all()


def test_pixels_of_a_pool_are_others_than_can_be_read(tars: Path) -> None:
    table = pa.concat_tables(series(tars).places(lost := Lost()))
    assert not lost
    assert table.column_names == ["id", "lon", "lat", "tile"]
    assert len(table) == 6 * PIXELS
    ids, lon, lat = (table[name].to_numpy() for name in ("id", "lon", "lat"))
    assert read(series(tars), Sought(ids.astype(str), lon, lat))[0].all()
    assert table["tile"].unique().to_pylist() == [f"t{n}" for n in range(6)]


def test_a_pixel_without_a_place_spoils_the_pool(tmp_path: Path) -> None:
    members = tile(1)
    latlon = list(members.values())[-1]
    assert isinstance(latlon, np.ndarray)
    latlon[3] = np.nan
    latlon[4, 0] = 95.0
    path = shard(tmp_path / "a.tar", {"t1": members, "t2": tile(2) | {list(members)[-1]: b""}})
    table = pa.concat_tables(series(path).places(lost := Lost()))
    assert len(table) == PIXELS - 2
    assert "id t1:3 has no valid lon and lat, and 1 more" in str(lost)
    assert "a.tar t2 member latlon.npy cannot be read" in str(lost)


def test_a_set_that_memory_does_not_hold_is_read_into_it(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {f"t{n}": tile(n, 1000) for n in range(20)})
    size = path.stat().st_size  # 70 MB
    ids = [f"t{n}:{row}" for n in range(20) for row in range(0, 1000, 4)]
    places = sought(ids)
    tracemalloc.start()
    for _ in series(path).read(places, Lost()):
        pass
    for _ in series(path).places(Lost()):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.4 * size


# Files of series, and tables.


def some_series(rows: int, steps: int = 12) -> PixelSeries:
    """Make series whose elevation is the row, at lon 0 to 10."""
    rng = np.random.default_rng(rows)
    bands = {name: rng.uniform(500, 4000, (rows, steps)) for name in ("B4", "B8")}
    bands["elevation"] = np.arange(rows)
    classes = rng.integers(9, size=(rows, steps))
    first = np.arange(rows) % 12
    return PixelSeries.from_bands(bands, np.linspace(0, 10, rows), np.ones(rows), first, classes)


def places_of(whole: PixelSeries, ids: Any, rows: Any) -> Sought:
    return Sought(np.asarray(ids), whole.lon[rows], whole.lat[rows])


def same(records: Any, whole: PixelSeries, rows: Any) -> None:
    for name, values in records.items():
        np.testing.assert_array_equal(values, getattr(whole, name)[rows])


def test_a_row_of_another_file_of_series_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_AT_ONCE", 16)
    whole, rows = some_series(70), [69, 0, 33, 33, 16]
    whole.write(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", **{n: getattr(whole, n) for n in FIELDS})
    _, records, lost = read(series(tmp_path / "a.npz"), places_of(whole, rows, rows))
    same(records, whole, rows)
    assert not lost
    ids = [f"{'ab'[n % 2]}:{row}" for n, row in enumerate(rows)]
    _, records, _ = read(series(tmp_path), places_of(whole, ids, rows))
    same(records, whole, rows)
    pool = pa.concat_tables(series(tmp_path).places(Lost()))
    assert pool["id"].to_pylist()[-1] == "b:69"
    assert pool["file"].unique().to_pylist() == ["a", "b"]


def test_ids_of_a_table_beside_are_those_of_other_rows(tmp_path: Path) -> None:
    whole = some_series(30)
    whole.write(tmp_path / "a.npz")
    order = np.random.default_rng(0).permutation(30)
    pq.write_table(pa.table({"plot": [f"p{n}" for n in order]}), tmp_path / "ids.parquet")
    payload = series(tmp_path / "a.npz", ids=str(tmp_path / "ids.parquet"), id="plot")
    _, records, _ = read(payload, places_of(whole, ["p3", "p29"], np.argsort(order)[[3, 29]]))
    same(records, whole, np.argsort(order)[[3, 29]])
    pq.write_table(pa.table({"plot": ["p"] * 29}), tmp_path / "ids.parquet")
    with pytest.raises(WherefromError, match=r"has 29 rows, .*a.npz 30 series"):
        read(payload, places_of(whole, ["p"], [0]))
    with pytest.raises(WherefromError, match="unknown id column"):
        read(payload.model_copy(update={"id": "plots"}), places_of(whole, ["p"], [0]))


def test_a_damaged_file_of_series_is_read(tmp_path: Path) -> None:
    whole = some_series(300)
    whole.write(tmp_path / "a.npz")
    whole.write(tmp_path / "b.npz")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    (tmp_path / "b.npz").write_bytes(content[:9000])
    there, _, lost = read(series(tmp_path), places_of(whole, ["a:1", "b:1"], [1, 1]))
    assert there.tolist() == [True, False]
    assert "b.npz is not a readable .npz file" in str(lost)
    content[60_000] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(WherefromError, match=r"a.npz holds no whole pixel series \(Bad CRC"):
        read(series(tmp_path), places_of(whole, ["a:1"], [1]))
    np.savez(tmp_path / "a.npz", raw=whole.raw, lon=whole.lon)
    with pytest.raises(WherefromError, match=r"no whole pixel series .*dynamic_world"):
        read(series(tmp_path), places_of(whole, ["a:1"], [1]))


def columns_of(whole: PixelSeries, *, lists: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": [f"p{n}" for n in range(len(whole))],
        "lon": whole.lon,
        "lat": whole.lat,
        "start_date": [f"2019-{month + 1:02}-15" for month in whole.month[:, 0]],
        "elevation": whole.raw[:, 0, BANDS.index("elevation")],
    }
    values = {name: whole.raw[:, :, BANDS.index(name)] for name in ("B4", "B8")}
    for name, band in (values | {"dynamic_world": whole.dynamic_world}).items():
        if lists:
            made[name] = list(band)
        else:
            made |= {f"{name}_{step}": band[:, step] for step in range(whole.steps)}
    return made


@pytest.mark.parametrize("lists", [True, False])
def test_columns_become_other_series(
    lists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_AT_ONCE", 16)
    whole, rows = some_series(50), [49, 0, 17]
    table = pa.table(columns_of(whole, lists=lists))
    pq.write_table(table, tmp_path / "s.parquet")
    places = places_of(whole, [f"p{row}" for row in rows], rows)
    _, records, lost = read(series(tmp_path / "s.parquet"), places)
    same(records, whole, rows)
    assert not lost
    check_payload(series(tmp_path / "s.parquet"), places=places)
    if not lists:
        table.to_pandas().to_csv(tmp_path / "s.csv", index=False)
        _, records, _ = read(series(tmp_path / "s.csv"), places)
        np.testing.assert_allclose(records["raw"], whole.raw[rows], rtol=1e-6)


@pytest.mark.parametrize("lists", [True, False])
def test_bands_in_another_spelling_are_left_out_unsaid(lists: bool, tmp_path: Path) -> None:
    whole = some_series(5)
    other = {"B4": "b04", "B8": "B08", "elevation": "Elevation", "dynamic_world": "dynamic_world"}

    def spelt(name: str) -> str:
        band, _, step = name.rpartition("_")
        if step.isdigit():
            return f"{other[band]}_{int(step):02}"
        return other.get(name, name)

    made = {spelt(name): values for name, values in columns_of(whole, lists=lists).items()}
    pq.write_table(pa.table(made), tmp_path / "s.parquet")
    _, records, lost = read(series(tmp_path / "s.parquet"), places_of(whole, ["p3"], [3]))
    same(records, whole, [3])
    assert not lost


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_date": None}, "unknown column of .*start_date"),
        ({"B4_3": None}, "lacks the column B4_3: steps count from 0"),
        ({"B4": [1.0] * 9}, "has columns B4 and B4_0"),
        ({"b04_3": [1.0] * 9}, "has columns B4_3 and b04_3: one of them is the band"),
        ({"lon": None}, "unknown column of .*'lon'"),
        ({f"{b}_{t}": None for b in ("B4", "B8") for t in range(12)} | {"elevation": None}, "_0, "),
    ],
)
def test_a_table_that_lacks_something_is_read(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    whole = some_series(9)
    made = {k: v for k, v in (columns_of(whole, lists=False) | change).items() if v is not None}
    pq.write_table(pa.table(made), tmp_path / "s.parquet")
    with pytest.raises(WherefromError, match=message):
        read(series(tmp_path / "s.parquet"), places_of(whole, ["p1"], [1]))


def test_worldcereal_is_read_as_its_task_is(reference_data: Path) -> None:
    path = reference_data / "worldcereal" / "worldcereal_testdf.parquet"
    _, whole = worldcereal_pixels(path)
    payload = series(path)
    pool = pa.concat_tables(payload.places(Lost()))
    assert len(pool) == len(whole) == 500
    rows = [499, 3]
    _, records, _ = read(payload, places_of(whole, pool["id"].to_numpy()[rows].astype(str), rows))
    same(records, whole, rows)


def test_cropharvest_is_read_as_its_task_is(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="CropHarvest needs the extra cropharvest")
    (tmp_path / "features" / "arrays").mkdir(parents=True)
    raw = tile(0)
    features = []
    for index in range(4):
        about = {"index": index, "dataset": "here", "lon": 0.0, "lat": 5.0, "is_crop": 1}
        features.append({"properties": about | {"is_test": int(index == 2)}})
        with h5py.File(tmp_path / "features" / "arrays" / f"{index}_here.h5", "w") as file:
            file["array"] = next(iter(raw.values()))[index, :12]
            file.attrs.update({"instance_lon": 0.0, "instance_lat": 5.0})
    (tmp_path / "labels.geojson").write_text(json.dumps({"features": features}))
    payload = series(tmp_path)
    pool = pa.concat_tables(payload.places(Lost()))
    assert sorted(pool["id"].to_pylist()) == ["0_here", "1_here", "3_here"]
    ids = ["3_here", "0_here", "2_here", "9_here"]
    there, records, _ = read(payload, sought(ids, tiles=[0, 0, 0, 0]))
    assert there.tolist() == [True, True, False, False]
    assert records["raw"][:, 0, AT["slope"]].tolist() == [3, 0]
    assert (records["month"][:, 0] == 1).all()


def test_a_folder_of_two_layouts_is_one_of_them_at_random(tars: Path) -> None:
    some_series(9).write(tars / "a.npz")
    with pytest.raises(WherefromError, match=r"holds several \(shards, npz\): name it as `layout`"):
        read(series(tars), sought(["t0:1"]))
    assert read(series(tars, layout="shards"), sought(["t0:1"]))[0].all()
    with pytest.raises(WherefromError, match="has no series of layout table"):
        read(series(tars, layout="table"), sought(["t0:1"]))
    with pytest.raises(WherefromError, match="no such file or folder"):
        read(series(tars / "gone"), sought(["t0:1"]))
    with pytest.raises(WherefromError, match="ids are of layout npz, not shards"):
        read(series(tars, layout="shards", ids="ids.csv"), sought(["t0:1"]))


def test_a_tile_that_is_twice_in_a_tar_is_said_to_be_in_two(tmp_path: Path) -> None:
    path = shard(tmp_path / "0.tar", {"t1": tile(1), "t2": tile(2)})
    other = shard(tmp_path / "other", {"t1": tile(1)})
    with tarfile.open(other) as again, tarfile.open(path, "a") as archive:
        for member in again.getmembers():
            archive.addfile(member, again.extractfile(member))
    places = Sought(np.array(["t1:0"]), np.array([0.1]), np.array([5.0]))
    with pytest.raises(WherefromError, match=r"0\.tar t1 is there more than once"):
        list(series(path).read(places, Lost()))
    single = Sought(np.array(["t2:0"]), np.array([0.2]), np.array([5.0]))
    assert len(list(series(path).read(single, Lost()))) == 1


def test_a_tile_whose_name_is_no_text_ends_in_a_traceback(tmp_path: Path) -> None:
    plain = shard(tmp_path / "plain", {"t1": tile(1), "t2": tile(2)})
    latin: dict[str, Any] = {"format": tarfile.GNU_FORMAT, "encoding": "latin1"}
    with tarfile.open(plain) as had, tarfile.open(tmp_path / "0.tar", "w", **latin) as archive:
        for member in had.getmembers():
            about = tarfile.TarInfo(member.name.replace("t1", "\xe9"))
            about.size = member.size
            archive.addfile(about, had.extractfile(member))
    count, lost = write_places(series(tmp_path / "0.tar"), tmp_path / "p.parquet")
    assert count == PIXELS
    assert str(lost).endswith("0.tar \\udce9 has a name that is no UTF-8")


def test_ids_of_other_shards_are_not_said_to_be(tmp_path: Path) -> None:
    path = shard(tmp_path / "0.tar", {"tile-01": tile(1)})
    places = Sought(np.array(["tile-1:0"]), np.array([0.1]), np.array([5.0]))
    with pytest.raises(WherefromError, match="ids those of the data, such as 'tile-01:0'"):
        gathered(series(path), places, Lost())
