"""Small files in the layout of CropHarvest's."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np

from wherefrom.pool.series import BANDS


def harvest(root: Path, places: int) -> Path:
    """Write CropHarvest's two files as published, for places in Kenya whose crops are warm."""
    import h5py

    rng = np.random.default_rng(0)
    rows = []
    for index in range(places):
        lon, lat, crop = 36 + rng.random(), rng.random(), index % 2
        raw = rng.uniform(200, 3000, (12, 18))
        raw[:, BANDS.index("VV")] = raw[:, BANDS.index("VH")] = -12.0
        raw[:, BANDS.index("temperature_2m")] = 285 + 10 * crop + rng.normal(0, 1, 12)
        raw[:, BANDS.index("total_precipitation")] = 0.003
        raw[:, BANDS.index("slope")] = 2.0
        file = root / "features" / "arrays" / f"{index}_demo.h5"
        file.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(file, "w") as stream:
            stream.create_dataset("array", data=raw)
            stream.attrs.update({"instance_lon": lon, "instance_lat": lat})
        properties = {
            "index": index, "dataset": "demo", "lon": lon, "lat": lat, "is_crop": crop,
            "label": None, "is_test": False, "collection_date": "2020-04-01T00:00:00",
            "export_end_date": "2021-02-01T00:00:00", "externally_contributed_dataset": False,
        }  # fmt: skip
        point = {"type": "Point", "coordinates": [lon, lat]}
        rows.append({"type": "Feature", "properties": properties, "geometry": point})
    (root / "labels.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": rows})
    )
    with tarfile.open(root / "features.tar.gz", "w:gz") as archive:
        archive.add(root / "features", arcname="features")
    return root
