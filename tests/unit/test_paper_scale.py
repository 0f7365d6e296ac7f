"""The study at its published scale runs as it stands, but for sizes, where its data lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
import yaml
from rasterio.transform import from_origin

from made_harvest import harvest
from wherefrom.models.towers import tower
from wherefrom.pool import Pool
from wherefrom.pool.series import PixelSeries
from wherefrom.report.study import write
from wherefrom.study import Store, load, plan
from wherefrom.study.stages import compute

pytest.importorskip("h5py", reason="CropHarvest's files need h5py")

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
PLACES = 48
#: What the scale of the study file is reduced by: sizes, and weights that cannot be had here.
SMALL: dict[str, Any] = {
    "pool": {"places": PLACES},
    "composition_size": 32,
    "n": 10,
    "finetune_seeds": 2,
    "sweep": {"n": [10, 20], "finetune_seeds": 2, "blocks": 1},
}
TASK = {"train_per_region": 40, "test_per_region": 20, "min_distance_km": 0.0}
TUNING = {"tune_train_per_region": 5, "tune_test_per_region": 5}
RUNS = {"blocks": 1}


def reduced(folder: Path) -> Path:
    """Write the study file with smaller sizes at scale paper."""
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    paper = content["scales"]["paper"]
    for key, value in SMALL.items():
        paper[key] = paper.get(key, {}) | value if isinstance(value, dict) else value
    paper["tasks"]["ecoregions"] = TASK | TUNING
    for model in ("satclip-L40", "satclip-L10", "presto", "satmae"):
        paper["models"][model] |= RUNS
        paper["models"][model]["pretrain"] |= {"samples_seen": 32, "batch": 16, "warmup": 0}
    few = {"forest": {"trees": 5}, "finetune": {"steps": 3}}
    paper["heads"] |= {
        head: RUNS | {"finetune_seeds": 1, "options": options} for head, options in few.items()
    }
    paper["payloads"]["moco"]["weights"] = "weights.pth"
    # Forests and cities of so few places are too few for a composition.
    paper["compositions"] = dict.fromkeys(
        ("clustered-forest", "clustered-cities", "stratified-continent")
    )
    paper["claims"] = None
    paper["repeats"] |= {"rows": None}
    (folder / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "study.yaml"


def data(folder: Path) -> None:
    """Write tiles, series, weights and CropHarvest in their published layouts."""
    pool = Pool.build(PLACES, seed=0)
    (folder / "data" / "tiles").mkdir(parents=True)
    (folder / "data" / "series").mkdir()
    rng = np.random.default_rng(0)
    for row in range(PLACES):
        levels = rng.integers(200, 3000, (12, 1, 1)) + np.arange(256)[:, None]
        with rasterio.open(
            folder / "data" / "tiles" / f"{row}.tif", "w", driver="GTiff", count=12, height=256,
            width=256, dtype="uint16", crs="EPSG:32633", compress="lzw", predictor=2,
            transform=from_origin(5e5, 4e6, 10, 10), interleave="pixel",
        ) as out:  # fmt: skip
            out.write(np.broadcast_to(levels, (12, 256, 256)).astype(np.uint16))
    bands = {f"B{band}": rng.uniform(300, 3000, (PLACES, 12)) for band in (2, 3, 4, 8)}
    bands |= {"VV": rng.uniform(-20, -5, (PLACES, 12)), "VH": rng.uniform(-25, -10, (PLACES, 12))}
    series = PixelSeries.from_bands(bands, pool.lon, pool.lat, 0)
    series.write(folder / "data" / "series" / "drawn.npz")
    made = tower("vit_small_patch16_224", generator=torch.Generator().manual_seed(0))
    torch.save(made.state_dict(), folder / "weights.pth")
    (folder / "harvest").mkdir()
    harvest(folder / "harvest", 80)


@pytest.mark.long
@pytest.mark.slow
def test_the_published_scale_does_not_get_from_the_pool_to_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = reduced(tmp_path)
    lacking = load(file, "paper").missing
    assert [one.split(":")[0] for one in lacking] == ["payload moco"] * 2 + [
        "payload series",
        "task cropharvest",
    ]
    data(tmp_path)
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path / "harvest"))
    study = load(file, "paper")
    assert not study.missing
    steps, store = plan(study), Store(tmp_path / "out" / "store")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stage in steps.stages:
        compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)
    _, page = write(steps, store, tmp_path / "out", file)
    text = page.read_text()
    for what in ("satclip-L40", "presto", "cropharvest", "vit_small_patch16_224"):
        assert what in text
