"""GFMs of a study: every kind trains, resumes, is read back, and sees what it may see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from wherefrom.gfms import baselines, engine
from wherefrom.gfms.base import Gfm
from wherefrom.gfms.places import Held, PoolPlaces, TaskData
from wherefrom.models.masked import PrestoConfig, records_of
from wherefrom.models.tokens import GROUPS
from wherefrom.part import OfKind
from wherefrom.payload.base import NAMES, Lost, Modality, Payload, Piece, Sought
from wherefrom.payload.earth import EarthSeries
from wherefrom.payload.stored import AT, Stored, keep
from wherefrom.pool import Pool
from wherefrom.pool.series import BANDS, PixelSeries
from wherefrom.pool.series.earth import earth_series
from wherefrom.pool.series.flat import raw_series
from wherefrom.tasks import Task, plan_episodes
from wherefrom.tasks.labelled import SERIES, TASK
from wherefrom.train.embed import embed
from wherefrom.train.heads import head
from wherefrom.train.pretrain import held_out_loss

PRETRAIN = {"samples_seen": 256, "batch": 64, "lr": 1e-3, "warmup": 1}
AXES = {"tasks": ["warmth"], "blocks": 1}
SATCLIP = AXES | {
    "kind": "satclip",
    "degrees": 6,
    "width": 32,
    "depth": 2,
    "out": 16,
    "hidden": 0,
    "dropout": 0.5,
    "pretrain": PRETRAIN,
}
PRESTO = AXES | {
    "kind": "presto", "mask_ratio": 0.75, "precision": "float32", "pretrain": PRETRAIN,
}  # fmt: skip


def gfm_of(fields: dict[str, Any]) -> Gfm:
    made = OfKind("gfms", Gfm).read(fields)
    assert isinstance(made, Gfm)
    return made


KINDS = {
    "satclip": SATCLIP,
    "satclip-images": {k: v for k, v in SATCLIP.items() if k != "hidden"}
    | {"kind": "satclip-images", "image": "cnn", "augment": True},
    "presto": PRESTO | {"pretrain": PRETRAIN | {"betas": (0.9, 0.95), "weight_decay": 0.05}},
    "satmae": AXES
    | {
        "kind": "satmae",
        "size": "tiny",
        "groups": [["1", "3"], ["2"]],
        "pretrain": PRETRAIN | {"betas": (0.9, 0.95), "weight_decay": 0.05},
    },
    # Products of bfloat16 are slow where the processor has none: two steps.
    "presto-bfloat16": PRESTO
    | {"precision": "bfloat16", "pretrain": PRETRAIN | {"samples_seen": 64, "batch": 32}},
}
GFMS = {name: gfm_of(fields) for name, fields in KINDS.items()}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute as a study's workers do: with one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Build a pool of real places on land."""
    return Pool.build(400, seed=3)


VALUES = np.random.default_rng(0).normal(2.0, 3.0, (400, 5)).astype(np.float16)


class Given(Payload):
    """Numbers of the places of the pool, in three pieces."""

    modality: ClassVar[Modality] = "features"

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        for part in np.array_split(np.arange(len(places)), 3):
            yield part, {"features": VALUES[places.ids[part]]}


class Seen(Payload):
    """Images of the places of the pool."""

    modality: ClassVar[Modality] = "images"

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        noise = np.random.default_rng(1).integers(0, 256, (400, 3, 16, 16), np.uint8)
        yield np.arange(len(places)), {"images": noise[places.ids]}


@pytest.fixture(scope="module")
def features(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Held:
    """Keep features and images as two stages do, of 150 places and of the rest."""
    held: dict[Modality, Stored | Payload] = {"series": EarthSeries(kind="earth-series")}
    for payload in (Given(kind="given"), Seen(kind="seen")):
        folders = []
        for rows in (slice(0, 150), slice(150, 400)):
            folders.append(tmp_path_factory.mktemp("kept"))
            keep(payload, Sought(pool.ids, pool.lon, pool.lat).take(rows), folders[-1])
        held[payload.modality] = Stored(payload.modality, tuple(folders))
    return held


@pytest.fixture(scope="module")
def data(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    """Write a task stage of places of the pool, half of them warm, and their series."""
    folder = tmp_path_factory.mktemp("task")
    series = earth_series(pool.lon, pool.lat, land_cover=False)
    warm = series.raw[:, :, BANDS.index("temperature_2m")].mean(1) > 285
    half = np.arange(len(pool)) % 2
    task = Task(
        "warmth", pool.lon, pool.lat, warm.astype(np.int32), ("cold", "warm"),
        np.zeros(len(pool)), ("Earth",), half, "warmth", positive=1,
    )  # fmt: skip
    task.write(folder / TASK)
    series.write(folder / SERIES)
    return TaskData(folder)


def stage(kind: str, pool: Pool, features: Held, out: Path, places: int = 200, stop: float = 2.0):
    """Pre-train as a stage of the study does; stop when a share of the work is done."""

    def tell(share: float) -> None:
        if share >= stop:
            raise KeyboardInterrupt

    out.mkdir(exist_ok=True)
    rows = np.arange(places, dtype=np.int64)
    seen = PoolPlaces(pool, rows, features)
    engine.pretrain(GFMS[kind], 0, seen, out, out / "partial", tell)
    return load_file(out / engine.WEIGHTS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_the_study_does_not_train_or_not_twice_alike(
    kind: str, pool: Pool, features: Held, tmp_path: Path
) -> None:
    first = stage(kind, pool, features, tmp_path / "a")
    again = stage(kind, pool, features, tmp_path / "b")
    none = stage(kind, pool, features, tmp_path / "c", places=0)
    assert first.keys() == again.keys() == none.keys()
    assert all(first[name].equal(again[name]) for name in first)
    # Fixed tables, and what only the other groups of bands read, stay.
    moved = [name for name in first if not first[name].equal(none[name])]
    assert len(moved) > 0.6 * len(first), sorted(set(first) - set(moved))
    assert all(value.isfinite().all() for value in first.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["satclip", "satclip-images", "satmae", "presto", "presto-bfloat16"]
)
def test_a_stopped_pre_training_that_goes_on_ends_elsewhere(
    kind: str, pool: Pool, features: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage(kind, pool, features, tmp_path / "whole")
    real = engine.train
    monkeypatch.setattr(engine, "train", lambda *a, **k: real(*a, **k, every=1))
    with pytest.raises(KeyboardInterrupt):
        stage(kind, pool, features, tmp_path / "part", stop=0.5)
    assert (tmp_path / "part" / "partial" / "checkpoint.pt").is_file()
    assert not (tmp_path / "part" / engine.WEIGHTS).exists()
    resumed = stage(kind, pool, features, tmp_path / "part")
    assert all(whole[name].equal(resumed[name]) for name in whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["satclip", "presto"])
def test_a_run_is_read_back_as_another_model(
    kind: str, pool: Pool, features: Held, data: TaskData, tmp_path: Path
) -> None:
    rows = np.arange(200, dtype=np.int64)
    stage(kind, pool, features, tmp_path)
    gfm = GFMS[kind]
    made = engine.trained(gfm, PoolPlaces(pool, rows, features), rows, seed=0)
    reported = np.flatnonzero(data.task.split < 2)  # tuning places are not embedded
    seen = gfm.records_of_task(data.places(reported))
    direct = embed(made.model, made.module, seen, batch=gfm.embed_batch)
    # A part first, as another head or another n asks for it: no place depends on its company.
    few = engine.embedded(gfm, tmp_path, data, reported[::3])
    assert np.isfinite(few[reported[::3]]).all()
    assert np.isnan(np.delete(few, reported[::3], axis=0)).all()
    found = engine.embedded(gfm, tmp_path, data, reported)
    np.testing.assert_allclose(found[reported], direct, rtol=0, atol=1e-6 * np.abs(direct).max())
    assert len(found) == len(data.task)
    assert np.isnan(np.delete(found, reported, axis=0)).all()
    assert direct.shape == (len(data.task), {"satclip": 16, "presto": 128}[kind])
    assert direct.dtype == np.float32


@pytest.mark.slow
def test_presto_learns_nothing_from_the_series_of_a_pool(pool: Pool) -> None:
    rows, held = np.arange(200), np.arange(200, 400)
    longer = PRESTO | {"pretrain": PRETRAIN | {"samples_seen": 1280, "batch": 32}}
    before, after = (
        engine.trained(gfm_of(longer), PoolPlaces(pool, rows), some, seed=0)
        for some in (rows[:0], rows)
    )
    records = GFMS["presto"].records(PoolPlaces(pool, held))
    losses = [
        held_out_loss(made.model, made.module, records, np.arange(200), 100)
        for made in (before, after)
    ]
    assert losses[1] < 0.6 * losses[0], losses


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["satclip", "presto"])
def test_fine_tuning_of_a_run_predicts_no_better_than_the_majority(
    kind: str, pool: Pool, features: Held, data: TaskData, tmp_path: Path
) -> None:
    stage(kind, pool, features, tmp_path)
    (episodes,), _ = plan_episodes(data.task, ["Earth"], 60, range(2))
    found = engine.finetuned(GFMS[kind], tmp_path, head("finetune", steps=3), data, episodes)
    truth = data.task.label[episodes.test]
    assert found.shape == (2, len(episodes.test))
    majority = max(np.mean(truth), 1 - np.mean(truth))
    assert (found == truth).mean() > majority + 0.05
    assert found.dtype == np.int16


def test_inputs_are_scaled_by_the_composition(pool: Pool, features: Held) -> None:
    values = VALUES.astype(np.float64)
    mean, std = values.mean(0), values.std(0)
    for rows in (np.arange(10), np.arange(200, 400)):
        places = PoolPlaces(pool, rows, features)
        found, scale = places.features(), places.scales("features")
        np.testing.assert_array_equal(found, values[rows].astype(np.float32))
        np.testing.assert_allclose(scale.mean(0), mean, rtol=1e-12)
        np.testing.assert_allclose(scale.std(0), std, rtol=1e-12)


def test_pre_training_misses_land_cover_or_reads_it_in_the_task(pool: Pool, data: TaskData) -> None:
    records = GFMS["presto"].records(PoolPlaces(pool, np.arange(50)))
    assert (records["dynamic_world"] < 9).all()
    assert (data.series.dynamic_world == 9).all()
    columns = [c for name in ("ERA5", "SRTM") for c in GROUPS[name]]
    assert not records["hidden"][..., columns].any()
    assert records["hidden"].sum() == 50 * 12 * (17 - len(columns))


def own_series(data: TaskData, folder: Path) -> TaskData:
    """Write the same task with radar and optical bands beside climate and relief."""
    rng = np.random.default_rng(0)
    raw = data.series.raw.copy()
    raw[..., :2] = rng.normal(-12, 2, (*raw.shape[:2], 2))
    raw[..., 2:13] = rng.uniform(100, 3000, (*raw.shape[:2], 11))
    old = data.series
    made = PixelSeries.from_array(raw, old.lon, old.lat, old.month)
    for name in NAMES["series"]:
        np.save(folder / f"{name}.npy", getattr(made, name))
    np.save(folder / AT, np.arange(len(made)))
    return TaskData(data.folder, (("series", (folder,)),))


@pytest.mark.slow
def test_bands_that_pre_training_never_saw_reach_the_embedding(
    data: TaskData, tmp_path: Path
) -> None:
    more, gfm = own_series(data, tmp_path), GFMS["presto"]
    places = PoolPlaces(Pool.build(10), np.arange(10))
    made = engine.trained(gfm, places, np.arange(0), seed=0)

    def embedded(data: TaskData) -> np.ndarray:
        return embed(made.model, made.module, gfm.records_of_task(data.places()))

    np.testing.assert_array_equal(embedded(data), embedded(more))
    # The control: shown, they do change it.
    shown = embed(PrestoConfig(), made.module, records_of(more.series))
    assert np.abs(shown - embedded(more)).max() > 0.1


def of_row(name: str, data: TaskData) -> np.ndarray:
    return baselines.features(baselines.baseline(name), data)


def test_a_baseline_has_other_features_than_its_name_says(data: TaskData, tmp_path: Path) -> None:
    places = np.stack([data.task.lon, data.task.lat], axis=1).astype(np.float32)
    np.testing.assert_array_equal(of_row("raw-lonlat", data), places)
    assert of_row("raw-harmonics-L7", data).shape == (len(places), 49)
    series = of_row("raw-series", data)
    assert series.shape == (len(places), 12 + 12 + 1 + 1)
    np.testing.assert_array_equal(series, raw_series(data.series))
    more = of_row("raw-series", own_series(data, tmp_path))
    assert more.shape[1] > series.shape[1]
