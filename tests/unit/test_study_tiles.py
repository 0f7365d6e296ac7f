"""A stranger's tiles and table of places, from the pool to the page; and real tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import rasterio
import torch
import yaml
from rasterio.transform import from_origin

from wherefrom.errors import WherefromError
from wherefrom.gfms.tower import TowerFeatures
from wherefrom.models.towers import frozen, sentinel2, tower
from wherefrom.payload import Lost, Sought
from wherefrom.payload.stored import Stored, gathered, keep
from wherefrom.payload.tiles import BANDS
from wherefrom.pool import Pool
from wherefrom.report.study import write
from wherefrom.study import Plan, Store, load, plan
from wherefrom.study.stages import compute
from wherefrom.train.embed import features

L2A = BANDS["sentinel-2-l2a"]


def tile(path: Path, values: Any) -> None:
    """Write a tile as S2-100K's are."""
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint16",
        crs="EPSG:32633", transform=from_origin(5e5, 4e6, 10, 10), compress="lzw", predictor=2,
        interleave="pixel",
    ) as out:  # fmt: skip
        out.write(values.astype(np.uint16))


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 90 tiles (one of them cut short), a table of places, and labels of 60 of them."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "images").mkdir()
    pool = Pool.build(90, seed=3)
    rng = np.random.default_rng(0)
    for row in range(90):
        dark = 300 if row % 2 else 1500
        tile(folder / "images" / f"patch_{row}.tif", rng.integers(dark, dark + 900, (12, 32, 32)))
    cut = folder / "images" / "patch_7.tif"
    cut.write_bytes(cut.read_bytes()[:2000])
    names = [f"patch_{row}.tif" for row in range(90)]
    table = pa.table({"fn": names, "lon": pool.lon, "lat": pool.lat})
    pyarrow.csv.write_csv(table, folder / "index.csv")
    rows = np.delete(np.arange(90), 7)[:80]
    labels = {
        "fn": np.take(names, rows),
        "lon": pool.lon[rows],
        "lat": pool.lat[rows],
        "bright": np.where(rows % 2, "no", "yes"),
        "part": ["whole"] * 80,
    }
    pyarrow.csv.write_csv(pa.table(labels), folder / "labels.csv")
    return folder


def study(folder: Path, mine: Path, **change: Any) -> Path:
    """Write a study of SatCLIP on features of a tower, and on the tiles' own for a baseline."""
    from wherefrom.tasks import from_table

    made = from_table(mine / "labels.csv", "bright", region_layer="part", id="fn")
    made.write(folder / "bright.parquet")
    images = {"kind": "tiles", "path": str(mine / "images"), "holds": "sentinel-2-l2a", "size": 32}
    base: dict[str, Any] = {
        "name": "mine",
        "title": "Mine",
        "pool": {"file": str(mine / "index.csv"), "id": "fn"},
        "composition_size": 40,
        "compositions": {"none": "none", "uniform": "uniform"},
        "tasks": {
            "bright": {
                "kind": "table",
                "name": "bright",
                "file": str(folder / "bright.parquet"),
                "baselines": ["raw-features", "majority"],
            }
        },
        "payloads": {
            "tower": {"of": images, "tower": "resnet18", "weights": "random", "most_missing": 0.1}
        },
        "models": {
            "satclip": {
                "kind": "satclip",
                "tasks": ["bright"],
                "degrees": 6,
                "width": 16,
                "out": 8,
                "pretrain": {"samples_seen": 64, "batch": 32, "lr": 1e-3},
                "blocks": 1,
            }
        },
        "n": 10,
        "finetune_seeds": 3,
        "heads": {"logistic": {}, "majority": {}},
        "headlines": [{"model": "satclip", "head": "logistic"}],
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}))
    return file


def run(steps: Plan, store: Store) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stage in steps.stages:
        compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_strangers_tiles_do_not_get_from_the_pool_to_the_page(mine: Path, tmp_path: Path) -> None:
    file = study(tmp_path, mine)
    steps, store = plan(load(file, "debug")), Store(tmp_path / "out" / "store")
    run(steps, store)
    _, page = write(steps, store, tmp_path / "out", file)
    text = page.read_text()
    assert "1 of 90 places of the pool are without" in text
    assert "patch_7.tif" in text
    assert "raw-features" in text
    (of_task,) = [s for s in steps.of_kind("payload") if "task" in s.inputs]
    kept = Stored("features", (store.folder("payload", of_task.key),))
    assert kept.take(np.arange(80))["features"].shape == (80, 512)


def test_a_tower_reads_other_images_than_those_of_the_place(mine: Path, tmp_path: Path) -> None:
    payload = load(study(tmp_path, mine), "debug").payloads["tower"]
    assert isinstance(payload, TowerFeatures)
    ids = np.array(["patch_5.tif", "patch_8.tif", "patch_7.tif"])
    there, records = gathered(payload, Sought(ids, np.zeros(3), np.zeros(3)), lost := Lost())
    assert there.tolist() == [True, True, False]
    assert "patch_7.tif" in str(lost)
    tiles = []
    for one in (5, 8):
        with rasterio.open(mine / "images" / f"patch_{one}.tif") as opened:
            tiles.append(opened.read())
    network = frozen(tower("resnet18", generator=torch.Generator().manual_seed(0)))
    wanted = features(network, sentinel2(np.stack(tiles)))
    np.testing.assert_allclose(records["features"], wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"of": {"kind": "earth-series"}},
            "has series: a tower reads images",
        ),
        ({"tower": "resnet19"}, "payloads.tower.tower: Input should be 'resnet18'"),
    ],
)
def test_a_mistake_in_a_tower_is_found_in_the_middle_of_a_run(
    mine: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    given = {"of": {"kind": "tiles", "path": "x", "holds": ["red"]}, "weights": "random"}
    with pytest.raises(WherefromError, match=message):
        load(study(tmp_path, mine, payloads={"tower": given | change}), "debug")


def test_weights_of_another_tower_are_used(mine: Path, tmp_path: Path) -> None:
    torch.save(tower("resnet18", 3).state_dict(), tmp_path / "other.pth")
    payload = load(study(tmp_path, mine), "debug").payloads["tower"]
    other = payload.model_copy(update={"weights": str(tmp_path / "other.pth")})
    places = Sought(np.array(["patch_5.tif"]), np.zeros(1), np.zeros(1))
    with pytest.raises(WherefromError, match=r"other\.pth holds weights of resnet18 on 3 bands"):
        gathered(other, places, Lost())
    assert other.settings() == other.model_copy(update={"weights": "elsewhere.pth"}).settings()
    assert other.settings() != payload.settings()


@pytest.mark.slow
def test_real_tiles_are_not_read_as_the_official_code_reads_them(
    reference_data: Path, tmp_path: Path
) -> None:
    folder = reference_data / "satclip" / "ssl4eo_example"
    if not (folder / "index.csv").is_file():
        pytest.skip(f"no tiles at {folder}")
    pool = Pool.read(folder / "index.csv", id="fn")
    payload = TowerFeatures(
        **{
            "kind": "tower",
            "of": {"kind": "tiles", "path": str(folder / "images"), "holds": "sentinel-2-l2a"},
            "weights": "random",
        }
    )
    keep(payload, Sought(pool.ids, pool.lon, pool.lat), tmp_path)
    kept = Stored("features", (tmp_path,))
    assert kept.there.all()
    with rasterio.open(folder / "images" / str(pool.ids[3])) as opened:
        image = sentinel2(opened.read()[None])
    network = tower("resnet18", generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(kept.take(np.array([3]))["features"], wanted, rtol=1e-4, atol=1e-5)
