"""Presto on a pool of shards: drawn by tile, trained on what the series have, nothing lost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from made_shards import LATLON, PIXELS, VALUES, shard, tile
from wherefrom.gfms import engine
from wherefrom.gfms.base import Gfm
from wherefrom.gfms.engine import WEIGHTS
from wherefrom.gfms.places import PoolPlaces
from wherefrom.models.masked import records_of
from wherefrom.part import OfKind
from wherefrom.payload import Sought
from wherefrom.payload.places import write_places
from wherefrom.payload.series import Series
from wherefrom.payload.stored import Stored, keep
from wherefrom.pool import Pool
from wherefrom.pool.series import BANDS, PixelSeries
from wherefrom.study import Plan, Store, collect, load, plan
from wherefrom.study.results import problems
from wherefrom.study.stages import compute
from wherefrom.tasks import from_table
from wherefrom.train.checkpoint import spec_of
from wherefrom.train.pretrain import pretrain_stream

ALL = ("S1", "S2_RGB", "S2_Red_Edge", "S2_NIR_10m", "S2_NIR_20m", "S2_SWIR", "ERA5", "SRTM",
       "NDVI", "dynamic_world")  # fmt: skip


def noisy(number: int, pixels: int = PIXELS) -> Any:
    """Make a tile in central Africa whose bands vary."""
    rng = np.random.default_rng(number)
    made = tile(number, pixels)
    raw = made[VALUES]
    assert isinstance(raw, np.ndarray)
    raw[..., 2:13] = rng.uniform(300, 3000, raw[..., 2:13].shape)
    crop = np.arange(pixels) % 2
    raw[..., BANDS.index("B8")] += 2000 * crop[:, None]
    made[LATLON] = np.stack([rng.uniform(-3, 3, pixels), number / 10 + 18.0 + 0 * crop], axis=1)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write shards of 24 tiles, one torn, the pool of their pixels, and labelled pixels."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "shards").mkdir()
    for file in range(3):
        tiles = {f"t{n}": noisy(n) for n in range(8 * file, 8 * file + 8)}
        shard(folder / "shards" / f"{file}.tar", tiles)
    write_places(Series(kind="series", path=str(folder / "shards")), folder / "pool.parquet")
    path = folder / "shards" / "1.tar"
    torn = bytearray(path.read_bytes())
    at = torn.index(b"t11.dynamic") + 512
    torn[at : at + 40] = b"x" * 40  # the header of an array
    path.write_bytes(torn)
    labelled = pq.read_table(folder / "pool.parquet").to_pandas()
    labelled = labelled[~labelled["tile"].isin(["t11", "t12"])]
    labelled["crop"] = np.where(np.arange(len(labelled)) % 2, "yes", "no")
    table = pa.Table.from_pandas(labelled[["id", "lon", "lat", "crop"]], preserve_index=False)
    task = from_table(table, "crop", positive="yes", id="id", region_layer="continent")
    task.write(folder / "fields.parquet")
    return folder


def study(folder: Path, data: Path) -> Path:
    base = {
        "name": "mine",
        "title": "Mine",
        "pool": {"file": str(data / "pool.parquet"), "id": "id"},
        "composition_size": 96,
        "compositions": {"none": "none", "uniform": "balanced:over=tile"},
        "tasks": {
            "fields": {
                "kind": "table",
                "name": "fields",
                "file": str(data / "fields.parquet"),
                "baselines": ["raw-series", "majority"],
            }
        },
        "payloads": {"series": {"path": str(data / "shards"), "most_missing": 0.05}},
        "models": {
            "presto": {
                "kind": "presto",
                "tasks": ["fields"],
                "pretrain": {"samples_seen": 128, "batch": 32, "lr": 1e-3},
                "blocks": 1,
            }
        },
        "n": 40,
        "finetune_seeds": 2,
        "heads": {"logistic": {}, "majority": {}},
        "headlines": [{"model": "presto", "head": "logistic"}],
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base, "scales": {"debug": {}}}))
    return file


def gfm_of(**pretrain: Any) -> Gfm:
    budget = {"samples_seen": 64, "batch": 32, "lr": 1e-3} | pretrain
    about = {"kind": "presto", "tasks": ["x"], "blocks": 1}
    made = OfKind("gfms", Gfm).read(about | {"pretrain": budget})
    assert isinstance(made, Gfm)
    return made


def run(steps: Plan, out: Path) -> Store:
    store = Store(out / "store")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stage in steps.stages:
        compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)
    return store


@pytest.mark.slow
def test_presto_does_not_read_the_bands_of_shards_or_reads_round_the_years_end(
    data: Path, tmp_path: Path
) -> None:
    steps = plan(load(study(tmp_path, data), "debug"))
    store = run(steps, tmp_path)
    specs = [spec_of(store.folder(s.kind, s.key) / WEIGHTS) for s in steps.of_kind("pretrain")]
    assert len(specs) == 2
    for spec in specs:  # also of zero pre-training, whose embeddings are to see as much
        assert tuple(spec["groups"]) == ALL
        assert spec["months"] == "given"
    rows = collect(steps, store, tmp_path).to_pylist()
    assert {row["model"] for row in rows} == {"presto", "raw-series", "majority"}
    (said,) = [line for line in problems(steps, store) if line.startswith("payload")]
    assert said.startswith(
        "payload series: 50 of 1,200 places of the pool are without, and left out of compositions "
        f"({data}/shards/1.tar t11 is left out: member dynamicworld"
    )


def test_a_year_of_weather_is_taken_for_a_climatology() -> None:
    made = gfm_of()

    def months(first: Any, steps: int = 12, **more: Any) -> tuple[str, int]:
        bands = {"temperature_2m": np.full((2, steps), 290.0), "elevation": [1.0, 2.0]}
        bands |= {"total_precipitation": np.full((2, steps), 0.002), "slope": [1.0, 2.0]}
        series = PixelSeries.from_bands(bands | more, [0.0, 1.0], [0.0, 1.0], first)
        model = made.model(records_of(series))
        return model.months, model.steps

    assert months(0) == ("cyclic", 12)
    assert months([3, 4]) == ("given", 12)
    assert months(0, B8=np.full((2, 12), 2000.0)) == ("given", 12)
    assert months(0, 24) == ("sliding", 12)
    assert months(0, 6) == ("given", 6)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [None, 2, 5])
def test_records_that_memory_does_not_hold_train_another_model(
    stop: int | None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool.read(data / "pool.parquet")
    payload = Series(kind="series", path=str(data / "shards"))
    (tmp_path / "kept").mkdir()
    keep(payload, Sought(pool.ids, pool.lon, pool.lat), tmp_path / "kept")
    stored = Stored("series", (tmp_path / "kept",))
    rows = np.flatnonzero(stored.there)[::12]  # 96 places: three batches an epoch
    places = PoolPlaces(pool, rows, {"series": stored})
    order = np.concatenate([np.arange(len(rows)), [3, 3]])  # two occur more often
    gfm = gfm_of(samples_seen=7 * 32, batch=32)

    def weights(tell: Any = None, checkpoint: Path | None = None) -> list[torch.Tensor]:
        made = engine.trained(gfm, places, order, seed=1, checkpoint=checkpoint, tell=tell)
        return list(made.module.state_dict().values())

    def end(share: float) -> None:
        if stop is not None and share >= stop / 7:
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    due = weights()
    monkeypatch.setattr(engine, "MOST", 1000)
    monkeypatch.setattr(engine, "pretrain_stream", partial(pretrain_stream, every=1))
    whole = Stored.take
    most: list[int] = []
    monkeypatch.setattr(Stored, "take", lambda s, r: most.append(len(r)) or whole(s, r))
    if stop is not None:
        with pytest.raises(KeyboardInterrupt):
            weights(end, tmp_path / "state.pt")
    found = weights(checkpoint=tmp_path / "state.pt")
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(found, due, strict=True))
    assert most.count(32) >= 7
