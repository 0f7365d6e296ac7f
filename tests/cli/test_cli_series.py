"""`wherefrom task worldcereal` and `cropharvest`: a folder that reads back, or one error line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Run

from wherefrom.tasks import LabelledSeries


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    """Write 60 pixels in Africa as WorldCereal does."""
    rows = 60
    metres = dict.fromkeys(["B02", "B03", "B04", "B08"], 10)
    metres |= dict.fromkeys(["B05", "B06", "B07", "B8A", "B11", "B12"], 20)
    columns = {"lon": np.linspace(15, 25, rows), "lat": np.linspace(-5, 5, rows)}
    for t in range(12):
        for band, size in metres.items():
            columns[f"OPTICAL-{band}-ts{t}-{size}m"] = np.full(rows, 1500)
        columns |= {f"SAR-{pol}-ts{t}-20m": np.full(rows, 3000) for pol in ("VV", "VH")}
        columns[f"METEO-temperature_mean-ts{t}-100m"] = np.full(rows, 29_500)
        columns[f"METEO-precipitation_flux-ts{t}-100m"] = np.full(rows, 9000)
    columns |= {"DEM-alt-20m": np.full(rows, 500.0), "DEM-slo-20m": np.full(rows, 2.0)}
    columns["LANDCOVER_LABEL"] = np.where(np.arange(rows) % 2, 11, 60)
    path = tmp_path / "pixels.parquet"
    pq.write_table(pa.table(columns | {"start_date": ["2019-01-01"] * rows}), path)
    return path


def test_pixels_become_a_folder_that_reads_back(run: Run, pixels: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    code, stdout, stderr = run("task", "worldcereal", pixels, "--out", out)
    assert code == 0, stderr
    assert sorted(p.name for p in out.iterdir()) == ["series.npz", "task.parquet"]
    made = LabelledSeries.read(out)
    assert len(made) == 60
    assert "task worldcereal, 60 places, 2 classes, positive: crop" in stdout
    assert "12 steps of VV, VH, B2, B3, B4, B5, B6, B7, B8, B8A, B11, B12, temp" in stdout
    assert stdout.splitlines()[1].split()[:2] == ["Africa", "crop"]
    assert stdout.endswith(f"key {made.key}\n")


def test_series_beside_training_places_are_not_told_of(
    run: Run, pixels: Path, tmp_path: Path
) -> None:
    columns = dict(pq.read_table(pixels).to_pydict())
    columns["lon"] = np.repeat(np.linspace(15, 25, 15), 4) + np.tile([0.0, 0.01, 0.02, 0.03], 15)
    columns["lat"] = np.repeat(np.linspace(-5, 5, 15), 4)
    pq.write_table(pa.table(columns), pixels)
    made = run("task", "worldcereal", pixels, "--out", tmp_path / "t")
    assert "--block-km 50 splits by blocks" in made.stderr
    made = run("task", "worldcereal", pixels, "--block-km", 50, "--out", tmp_path / "b")
    assert "splits by blocks" not in made.stderr
    assert LabelledSeries.read(tmp_path / "b").task.provenance["block_km"] == 50


def test_one_region_holds_all(run: Run, pixels: Path, tmp_path: Path) -> None:
    words = ("--region-layer", "all", "--out", tmp_path / "made")
    code, stdout, stderr = run("task", "worldcereal", pixels, *words)
    assert code == 0, stderr
    assert LabelledSeries.read(tmp_path / "made").task.regions == ("all",)
    assert [line.split()[0] for line in stdout.splitlines()[1:4]] == ["all"] * 3


def test_the_same_seed_gives_the_same_task(run: Run, pixels: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("task", "worldcereal", pixels, "--seed", seed, "--out", tmp_path / name)
    keys = [LabelledSeries.read(tmp_path / name).key for name in "abc"]
    assert keys[0] == keys[1] != keys[2]


def test_an_out_that_is_a_file_is_refused_and_kept(run: Run, pixels: Path, tmp_path: Path) -> None:
    before = pixels.read_bytes()
    error = run("task", "worldcereal", pixels, "--out", pixels).error
    assert "is a file, no folder" in error
    assert pixels.read_bytes() == before


def test_a_table_of_other_columns_is_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"lon": [1.0], "lat": [2.0]}), path)
    error = run("task", "worldcereal", path, "--out", tmp_path / "made").error
    assert "other.parquet lacks the column 'OPTICAL-B02-ts0-10m'" in error
    assert not (tmp_path / "made").exists()


@pytest.fixture
def harvest(tmp_path: Path) -> Path:
    """Write 60 places of CropHarvest in Africa, unpacked."""
    h5py = pytest.importorskip("h5py", reason="CropHarvest needs the extra cropharvest")
    root = tmp_path / "harvest"
    (root / "features" / "arrays").mkdir(parents=True)
    raw = np.full((12, 18), 1500.0)
    raw[:, :2], raw[:, 13], raw[:, 14], raw[:, 16] = -12.0, 295.0, 0.003, 2.0
    features = []
    for i, lon in enumerate(np.linspace(15, 25, 60)):
        about = {"index": i, "dataset": "demo", "lon": lon, "lat": 0.0, "is_test": False}
        features.append({"properties": about | {"is_crop": i % 2, "label": None}})
        with h5py.File(root / "features" / "arrays" / f"{i}_demo.h5", "w") as file:
            file.create_dataset("array", data=raw)
            file.attrs.update({"instance_lon": lon, "instance_lat": 0.0})
    (root / "labels.geojson").write_text(json.dumps({"features": features}))
    return root


def test_cropharvest_becomes_a_folder_that_reads_back(
    run: Run, harvest: Path, tmp_path: Path
) -> None:
    code, stdout, stderr = run("task", "cropharvest", harvest, "--out", tmp_path / "made")
    assert code == 0, stderr
    assert len(LabelledSeries.read(tmp_path / "made")) == 60
    assert "task cropharvest, 60 places, 2 classes, positive: crop" in stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--country", "kenia"), "did you mean 'kenya'"),
        (("--country", "togo", "--seed", "3"), "leave out --region-layer, --seed and"),
        (("--country", "togo", "--block-km", "50"), "leave out --region-layer, --seed and"),
        (("--country", "togo"), "test_features.tar.gz"),
    ],
)
def test_a_country_that_cannot_be_made_is_one_line(
    words: tuple[str, ...], message: str, run: Run, harvest: Path, tmp_path: Path
) -> None:
    error = run("task", "cropharvest", harvest, *words, "--out", tmp_path / "made").error
    assert message in error


def test_cropharvest_elsewhere_is_named(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="CropHarvest needs the extra cropharvest")
    error = run("task", "cropharvest", tmp_path, "--out", tmp_path / "made").error
    assert "no such file" in error
    assert "labels.geojson" in error
    assert "zenodo.org" in error
