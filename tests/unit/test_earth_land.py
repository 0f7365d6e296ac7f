"""The one measure of land: against the layers themselves, and kept without being mixed up."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from wherefrom import earth
from wherefrom.earth import land
from wherefrom.earth.cells import EqualAreaCells

BANDS = 200


def test_places_on_land_differ_from_the_layers() -> None:
    cells = EqualAreaCells(BANDS)
    lon, lat = cells.centre(np.arange(cells.count))
    inside, frozen = land.on_land(lon, lat)
    assert (inside == (earth.layer("land").codes(lon, lat) >= 0)).all()
    assert (frozen == (earth.layer("continent")(lon, lat) == "Antarctica")).all()
    counts = land.label_counts(earth.layer("land"), BANDS)
    assert counts[:, 0].tolist() == [(inside & ~frozen).sum(), frozen.sum()]
    assert counts[0, 0] / cells.count == pytest.approx(land.LAND_SHARE, rel=0.003)


def test_kept_counts_differ_from_those_made_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wherefrom.earth.kept.cache_folder", lambda: tmp_path)
    zone = earth.layer("climate_zone")
    first = land.label_counts(zone, BANDS)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    land._cells_on_land.cache_clear()
    monkeypatch.setattr(land, "on_land", None)  # would be called to make them again
    np.testing.assert_array_equal(land.label_counts(zone, BANDS), first)


def test_layers_or_cells_of_one_key_are_mixed_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wherefrom.earth.kept.cache_folder", lambda: tmp_path)
    zone = earth.layer("climate_zone")
    relabelled = dataclasses.replace(zone, labels=tuple(label.lower() for label in zone.labels))
    land.label_counts(zone, BANDS)
    land.label_counts(relabelled, BANDS)
    land.label_counts(zone, BANDS + 1)
    assert len(list((tmp_path / "kept").iterdir())) == 3
