"""Pixel series by id: of the right pixel and month, each tile once, nothing lost unsaid."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_shards import PIXELS, claimed, shard, tile
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.payload import Lost, Sought
from wherefrom.payload.series import Series
from wherefrom.payload.series import shards as module
from wherefrom.payload.stored import gathered
from wherefrom.pool.series import BANDS, NO_CLASS
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
