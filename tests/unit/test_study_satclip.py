"""SatCLIP in a study: the jointly trained network runs, and inputs are scaled by the pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wherefrom.pool import Pool
from wherefrom.study import satclip


def spec(image: str) -> dict[str, Any]:
    """Return what a pre-training stage is given."""
    model = {
        "kind": "satclip",
        "degrees": 6,
        "width": 32,
        "depth": 2,
        "out": 16,
        "hidden": 0,
        "dropout": 0.5,
        "image": image,
        "pretrain": {"samples_seen": 512, "batch": 128, "lr": 1e-3, "warmup": 1},
    }
    return {"model": model, "name": "satclip-L6", "seed": 0}


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Build a pool of real places on land."""
    return Pool.build(400, seed=3)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a features stage."""
    folder = tmp_path_factory.mktemp("features")
    values = np.random.default_rng(0).normal(2.0, 3.0, (400, 5))
    np.save(folder / "features.npy", values.astype(np.float16))
    np.save(folder / "statistics.npy", np.stack([values.mean(0), values.std(0)]))
    return folder


@pytest.mark.parametrize("image", ["features", "cnn"])
def test_an_image_side_of_the_study_does_not_run(
    image: str, pool: Pool, features: Path, tmp_path: Path
) -> None:
    told: list[float] = []
    rows = np.arange(200, dtype=np.int64)
    partial = tmp_path / "partial"
    satclip.pretrain(spec(image), pool, rows, [features], tmp_path, partial, told.append)
    assert told[-1] == 1.0
    trained = satclip.encoder_of(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    satclip.pretrain(spec(image), pool, rows[:0], [features], empty, partial, told.append)
    initial = satclip.encoder_of(empty)
    moved = [
        not np.array_equal(a.detach(), b.detach())
        for a, b in zip(trained.parameters(), initial.parameters(), strict=True)
    ]
    assert all(moved)


def test_inputs_are_scaled_by_the_composition(features: Path) -> None:
    values = np.load(features / "features.npy").astype(np.float64)
    mean, std = np.load(features / "statistics.npy")
    for rows in (np.arange(10), np.arange(200, 400)):
        images, scale = satclip.images_of([features], rows)
        np.testing.assert_array_equal(images, values[rows].astype(np.float32))
        np.testing.assert_allclose(scale.mean(0), mean, rtol=1e-12)
        np.testing.assert_allclose(scale.std(0), std, rtol=1e-12)
