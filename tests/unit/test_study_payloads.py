"""Studies of data of the user's: read by id, kept once, and lacking no place in silence."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from rich.console import Console

from wherefrom.errors import WherefromError
from wherefrom.gfms.presto import Presto
from wherefrom.payload import content
from wherefrom.payload.base import Lost, Piece, Sought
from wherefrom.payload.columns import Columns
from wherefrom.payload.earth import EarthSeries
from wherefrom.payload.series import Series
from wherefrom.payload.stored import Stored
from wherefrom.pool import Pool
from wherefrom.report.plan import _payloads, render
from wherefrom.study import Plan, Store, collect, load, plan, spec
from wherefrom.study.results import problems
from wherefrom.study.run import _Folders
from wherefrom.study.stages import compute
from wherefrom.tasks import Task, from_table

SATCLIP = {
    "kind": "satclip",
    "tasks": ["fields"],
    "degrees": 6,
    "width": 16,
    "out": 8,
    "pretrain": {"samples_seen": 64, "batch": 32, "lr": 1e-3},
    "blocks": 1,
}


def embeddings(path: Path, ids: Any, lon: Any, lat: Any) -> None:
    """Write what another model might say of places."""
    angles = np.radians([lon, lat, np.add(lon, lat)])
    made = np.concatenate([np.sin(angles), np.cos(angles)]).T.astype(np.float32)
    pq.write_table(pa.table({"tile": ids, "embedding": made.tolist()}), path)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a pool of tiles, labelled tiles, and embeddings of both but for three of the pool."""
    folder = tmp_path_factory.mktemp("tables")
    pool = Pool.build(600, seed=3)
    ids = np.array([f"{row:04}" for row in range(600)])
    pq.write_table(pa.table({"tile": ids, "lon": pool.lon, "lat": pool.lat}), folder / "p.parquet")
    have = ~np.isin(np.arange(600), [7, 250, 251])
    embeddings(folder / "pool-e.parquet", ids[have], pool.lon[have], pool.lat[have])
    rng, rows = np.random.default_rng(0), np.arange(400)
    lon = np.where(rows < 200, 36.0, 2.0) + rng.random(400)
    lat = np.where(rows < 200, 0.0, 47.0) + rng.random(400)
    crop = np.where(lat % 1 > 0.5, "yes", "no")
    fields = pa.table({"tile": rows // 2, "lon": lon, "lat": lat, "crop": crop})
    from_table(fields, "crop", positive="yes", id="tile").write(folder / "fields.parquet")
    pq.write_table(fields, folder / "fields-table.parquet")
    some = rows[::2]
    embeddings(folder / "fields-e.parquet", some // 2, lon[some], lat[some])
    return folder


def study(folder: Path, tables: Path, **change: Any) -> Path:
    """Write a study of SatCLIP beside embeddings."""
    both = pa.concat_tables(
        pq.read_table(tables / name).cast(
            pa.schema([("tile", pa.string()), ("embedding", pa.list_(pa.float32()))])
        )
        for name in ("pool-e.parquet", "fields-e.parquet")
    )
    pq.write_table(both, folder / "e.parquet")
    base: dict[str, Any] = {
        "name": "mine",
        "title": "Mine",
        "pool": {"file": str(tables / "p.parquet"), "id": "tile"},
        "composition_size": 60,
        "compositions": {"none": "none", "uniform": "uniform"},
        "tasks": {
            "fields": {
                "kind": "table",
                "name": "my-fields",
                "file": str(tables / "fields.parquet"),
                "baselines": ["raw-features", "majority"],
            }
        },
        "payloads": {
            "columns": {"file": str(folder / "e.parquet"), "id": "tile", "columns": ["embedding"]}
        },
        "models": {"satclip": SATCLIP},
        "n": 20,
        "finetune_seeds": 2,
        "heads": {"logistic": {}, "majority": {}},
        "headlines": [{"model": "satclip", "head": "logistic"}],
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}))
    return file


def run(steps: Plan, out: Path) -> Store:
    """Compute all stages one after the other."""
    store = Store(out / "store")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stage in steps.stages:
        compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)
    return store


@pytest.mark.slow
def test_places_without_a_payload_are_trained_on_or_unsaid(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Columns, "shard", 250)
    steps = plan(load(study(tmp_path, tables, composition_size=600), "debug"))
    made = [stage for stage in steps.of_kind("payload") if "pool" in stage.inputs]
    assert [stage.label for stage in made] == [
        f"payload columns of the pool {part}/3" for part in (1, 2, 3)
    ]
    store = run(steps, tmp_path)
    kept = Stored("features", tuple(store.folder(s.kind, s.key) for s in made))
    assert np.flatnonzero(~kept.there).tolist() == [7, 250, 251]
    rows = collect(steps, store, tmp_path).to_pylist()
    assert {row["model"] for row in rows} == {"satclip", "raw-features", "majority"}
    said = [line for line in problems(steps, store) if line.startswith("payload")]
    assert said == [
        "payload columns: 3 of 600 places of the pool are without, and left out of compositions; "
        "of no place of it: 200 records"
    ]


def test_too_many_places_without_a_payload_are_passed_over(tables: Path, tmp_path: Path) -> None:
    strict = {"columns": {"most_missing": 0.001}}
    file = study(tmp_path, tables)
    content = yaml.safe_load(file.read_text())
    content["base"]["payloads"]["columns"] |= strict["columns"]
    content["base"] |= {"compositions": {"none": "none", "uniform": "uniform"}}
    content["base"]["composition_size"] = 600
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(WherefromError, match="3 of 600 places are without, first 0007, 0250, 0251"):
        run(plan(load(file, "debug")), tmp_path)


def test_a_labelled_place_is_found_by_its_row_and_not_by_its_id(tables: Path) -> None:
    task = Task.read(tables / "fields.parquet")
    assert task.ids[:4].tolist() == ["0", "0", "1", "1"]
    plain = from_table(pq.read_table(tables / "fields-table.parquet"), "crop", positive="yes")
    assert plain.ids[:4].tolist() == [0, 1, 2, 3]
    assert plain.key != task.key
    named = pq.read_table(tables / "fields-table.parquet").rename_columns({"tile": "id"})
    assert (
        from_table(named, "crop", positive="yes", id="id").ids[:4].tolist() == task.ids[:4].tolist()
    )
    assert from_table(named, "crop", positive="yes").key == plain.key
    with pytest.raises(WherefromError, match="unknown id column"):
        from_table(pq.read_table(tables / "fields-table.parquet"), "crop", id="tiles")


def test_content_of_a_payload_that_changed_is_served_from_the_cache(
    tables: Path, tmp_path: Path
) -> None:
    file = study(tmp_path, tables)
    steps = plan(load(file, "debug"))
    before = {stage.key for stage in steps.stages}
    table = pq.read_table(tmp_path / "e.parquet")
    pq.write_table(table.slice(0, len(table) - 1), tmp_path / "e.parquet")
    for stage in plan(load(file, "debug")).stages:
        reads = stage.kind == "payload" or any(s.kind == "payload" for s in stage.inputs.values())
        assert (stage.key not in before) == (reads or "pretrain" in stage.inputs), stage.label
    with pytest.raises(WherefromError, match="changed since the study began"):
        run(steps, tmp_path)


def test_what_was_made_of_a_folder_that_changed_meanwhile_is_kept(
    tables: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(study(tmp_path, tables).read_text())
    (tmp_path / "many").mkdir()
    (tmp_path / "e.parquet").rename(tmp_path / "many" / "e.parquet")
    content["base"]["payloads"]["columns"]["file"] = str(tmp_path / "many")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    steps, store = plan(load(tmp_path, "debug")), Store(tmp_path / "store")
    first = [stage for stage in steps.stages if stage.kind in ("pool", "task", "payload")]
    folders = _Folders(list(steps.stages))
    for stage in first:
        compute(stage, store, lambda _: None)
    (tmp_path / "many" / "note.txt").write_text("another content")
    folders.read_by(first)
    (failure,) = folders.changed(store)
    assert failure.message.startswith(f"{tmp_path / 'many'} changed while it was read")
    done = [stage.kind for stage in steps.stages if store.done(stage.kind, stage.key)]
    assert done == ["pool", "task"]


def test_a_file_that_changes_while_it_is_read_is_taken_for_the_old_one(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = plan(load(study(tmp_path, tables), "debug"))
    real = Columns.read

    def read(payload: Columns, places: Sought, lost: Lost) -> Iterator[Piece]:
        with Path(payload.file).open("ab") as stream:
            stream.write(b"more")
        return iter([*real(payload.model_copy(update={"file": str(kept)}), places, lost)])

    kept = tmp_path / "kept.parquet"
    kept.write_bytes((tmp_path / "e.parquet").read_bytes())
    monkeypatch.setattr(Columns, "read", read)
    with pytest.raises(WherefromError, match=r"e\.parquet has changed since the study began"):
        run(steps, tmp_path)
    assert not list((tmp_path / "store" / "payload").glob("[!.]*"))


def test_a_folder_is_looked_through_for_each_stage_that_reads_it(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = content.content_of
    for module in ("plan", "stages"):
        of = importlib.import_module(f"wherefrom.study.{module}")
        monkeypatch.setattr(
            of, "content_of", lambda file: [looked.append(str(file)), real(file)][1]
        )
    monkeypatch.setattr(Columns, "shard", 100)
    file = study(tmp_path, tables)
    (tmp_path / "many").mkdir()
    (tmp_path / "e.parquet").rename(tmp_path / "many" / "e.parquet")
    file.write_text(file.read_text().replace("e.parquet", "many"))
    steps = plan(load(file, "debug"))
    assert len(steps.of_kind("payload")) == 7
    many = str(tmp_path / "many")
    assert looked.count(many) == 1
    said = [line for line in _payloads(steps) if line.startswith("payload columns")]
    assert f"of {many}, " in said[0]
    assert " kB; " in said[0]
    store = Store(tmp_path / "store")
    for stage in [s for s in steps.stages if s.kind in ("pool", "task", "payload")]:
        compute(stage, store, lambda _: None)
    assert looked.count(many) == 2


def test_weights_that_are_absent_stop_a_plan(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(spec, "absent", lambda *names: " ".join(names) and "not here")
    monkeypatch.setattr(importlib.import_module("wherefrom.study.plan"), "absent", bool)
    images = {"kind": "satclip-images", "image": "resnet18", "tasks": ["fields"], "degrees": 6}
    tiles = {"path": str(tmp_path / "tiles"), "holds": "sentinel-2-l2a"}
    file = study(
        tmp_path,
        tables,
        models={"satclip": SATCLIP, "official": SATCLIP | images},
        payloads={"blue-marble": {}, "tiles": tiles},
    )
    content = yaml.safe_load(file.read_text())
    del content["base"]["models"]["official"]["width"]
    del content["base"]["models"]["official"]["out"]
    content["base"]["tasks"]["fields"]["baselines"] = []
    file.write_text(yaml.safe_dump(content))
    steps = plan(load(file, "debug"))
    assert "model official: not here" in steps.study.missing
    said = Console(file=io.StringIO(), width=300)
    said.print(render(steps, Store(tmp_path / "store")))
    shown = said.file.getvalue()  # type: ignore[attr-defined]
    assert "cannot run yet: model official: not here" in shown
    assert f"lacks {tmp_path / 'tiles'} (no such file or folder)" in shown


def test_rasters_that_are_not_there_yet_stop_a_plan(tables: Path, tmp_path: Path) -> None:
    own = {"kind": "rasters", "rasters": {"s2": {"path": str(tmp_path / "gone.tif")}}}
    model = {key: SATCLIP[key] for key in SATCLIP.keys() - {"width", "out"}}
    model |= {"kind": "satclip-images", "image": "cnn"}
    file = study(tmp_path, tables, payloads={"mine": own}, models={"satclip": model})
    content = yaml.safe_load(file.read_text())
    content["base"]["tasks"]["fields"]["baselines"] = []
    file.write_text(yaml.safe_dump(content))
    (lacking,) = plan(load(file, "debug")).study.missing
    assert lacking == f"payload mine: {tmp_path / 'gone.tif'} (no such file or folder)"


def test_the_plan_costs_series_of_all_bands_as_a_climatology() -> None:
    presto = Presto(
        kind="presto",
        tasks=("x",),
        pretrain={"samples_seen": 64, "batch": 32, "lr": 1e-3},
        blocks=1,
    )
    climate = presto.costed({"series": EarthSeries(kind="earth-series").bands})
    assert climate.pretrain_flops == presto.pretrain_flops
    assert presto.costed({}).pretrain_flops == presto.pretrain_flops
    full = presto.costed({"series": Series(kind="series", path="x").bands})
    assert (presto._tokens(), full._tokens(), full._tokens("dynamic_world")) == (25, 109, 97)
    assert full.settings() == presto.settings()
    assert full.pretrain_flops > 4 * presto.pretrain_flops


def test_a_payload_that_moved_is_read_again(tables: Path, tmp_path: Path) -> None:
    before = plan(load(study(tmp_path, tables), "debug"))
    (tmp_path / "elsewhere").mkdir()
    after = plan(load(study(tmp_path / "elsewhere", tables), "debug"))
    assert [stage.key for stage in before.stages] == [stage.key for stage in after.stages]


TWO = {"blue-marble": {}, "columns": {"file": "e.parquet", "columns": ["embedding"]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payloads": TWO}, "payloads blue-marble and columns both have features: name one"),
        (
            {"models": {"satclip": SATCLIP | {"payloads": ["tiles"]}}},
            "unknown payload 'tiles'",
        ),
        (
            {
                "payloads": {"earth-series": {}},
                "models": {"satclip": SATCLIP | {"payloads": ["earth-series"]}},
            },
            "payload 'earth-series' has series, which 'satclip' does not read",
        ),
        ({"payloads": {"colums": {}}}, "unknown kind 'colums': did you mean 'columns'"),
        ({"payloads": {"columns": {"file": "e.parquet"}}}, "needs one of 'columns'"),
        ({"payloads": {"columns": {"fiel": "e"}}}, "unknown key 'fiel': did you mean 'file'"),
        ({"payloads": {"columns": {"file": "e", "columns": "A"}}}, "must be a list, such as"),
        ({"payloads": {"rasters": {"rasters": {"a": "b.tif"}}}}, "a: must hold keys and values"),
    ],
)
def test_a_mistake_in_payloads_is_found_in_the_middle_of_a_run(
    tables: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        load(study(tmp_path, tables, **change), "debug")


def test_a_payload_that_nothing_reads_is_not_said(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {"blue-marble": {}, "tiles": {"path": str(tmp_path), "holds": ["red"]}}
    file = study(tmp_path, tables, payloads=both)
    content = yaml.safe_load(file.read_text())
    content["base"]["tasks"]["fields"]["baselines"] = ["majority"]
    file.write_text(yaml.safe_dump(content))
    steps = plan(load(file, "debug"))
    said = "not read: payloads.tiles: it has images, which no model or baseline takes of it"
    shown = Console(file=io.StringIO(), width=300)
    shown.print(render(steps, Store(tmp_path / "store")))
    assert said in shown.file.getvalue()  # type: ignore[attr-defined]
    content["base"]["payloads"]["columns"] = {"file": "e.parquet", "columns": ["embedding"]}
    content["base"]["models"]["satclip"]["payloads"] = ["columns"]
    file.write_text(yaml.safe_dump(content))
    assert load(file, "debug").unread.keys() == {"payloads.blue-marble", "payloads.tiles"}


def test_a_named_payload_is_not_the_one_that_is_read(tables: Path, tmp_path: Path) -> None:
    named = {"satclip": SATCLIP | {"payloads": ["columns"]}}
    file = study(tmp_path, tables, models=named)
    content = yaml.safe_load(file.read_text())
    content["base"]["payloads"]["blue-marble"] = {}
    file.write_text(yaml.safe_dump(content))
    labels = [stage.label for stage in plan(load(file, "debug")).of_kind("payload")]
    assert labels == ["payload columns of the pool", "payload columns of task fields"]


def test_a_scale_cannot_take_a_payload_of_the_base_away(tables: Path, tmp_path: Path) -> None:
    file = study(tmp_path, tables)
    content = yaml.safe_load(file.read_text())
    content["scales"]["debug"] = {"payloads": {"columns": None}}
    content["base"]["tasks"]["fields"]["baselines"] = []
    file.write_text(yaml.safe_dump(content))
    labels = [stage.label for stage in plan(load(file, "debug")).of_kind("payload")]
    assert labels == ["payload blue-marble of the pool"]
