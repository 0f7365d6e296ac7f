"""Real public files of this field open with the counts that they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherefrom.pool import open_pool
from wherefrom.pool.opening import inspect

#: Columns by which a file is read, its rows, its places, and whether these have an extent.
COUNTS = {
    "ssl4eo_s12_v1.1_val_metadata.parquet": ({}, 8704, 2176, True),
    "sentinel2_grid_land.parquet": ({"id": "tile"}, 20430, 20430, True),
    "worldcereal_public_extractions.parquet": ({}, 500, None, False),
    "fuel_moisture_labels.geojson": ({}, 2615, 153, False),
    "airports_global.parquet": ({}, 1178, None, False),
    "air_temperature_stations.csv": ({"lon": "Lon", "lat": "Lat"}, 3076, None, False),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_real_file_is_refused_or_loses_rows(name: str, reference_data: Path) -> None:
    file = reference_data / "field" / "files" / name
    if not file.is_file():
        pytest.skip(f"no file {file}")
    columns, rows, places, extended = COUNTS[name]
    pool = open_pool(file, **columns)
    assert len(pool) == rows
    assert pool.extended == extended
    seen = inspect(file, columns.get("id"), columns.get("lon", "lon"), columns.get("lat", "lat"))
    assert seen.rows == rows
    if places is not None:
        assert seen.places == places
