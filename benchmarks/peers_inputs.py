"""What the contenders of `peers.py` are given: written once by it, read by each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SOURCES = ("resolve-ecoregions", "natural-earth-countries")
ON_BORDERS = 20_000


@dataclass(frozen=True)
class Inputs:
    """Arrays in a folder, and numbers and paths in `about`; needs no wherefrom, except `pool`."""

    folder: Path
    about: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Inputs:
        return cls(folder, json.loads((folder / "about.json").read_text()))

    def array(self, name: str) -> Array:
        found: Array = np.load(self.folder / f"{name}.npy")
        return found

    def polygons(self, source: str, *columns: str) -> Any:
        """Polygons of a source, in the file's order, as a GeoDataFrame with their positions."""
        import geopandas

        # Natural Earth's file does not say that its names are UTF-8.
        encoding = "UTF-8" if source == SOURCES[1] else None
        path = self.about["sources"][source]
        frame = geopandas.read_file(path, columns=list(columns), encoding=encoding)
        return frame.assign(polygon=np.arange(len(frame), dtype=np.int32))

    def points(self, source: str, crs: Any) -> dict[str, Any]:
        """Random points and points on borders, as GeoDataFrames with their positions."""
        import geopandas

        return {
            name: geopandas.GeoDataFrame(
                {"at": np.arange(len(lon), dtype=np.int32)},
                geometry=geopandas.points_from_xy(lon, lat),
                crs=crs,
            )
            for name, (lon, lat) in self.places(source).items()
        }

    def places(self, source: str) -> dict[str, Array]:
        return {"points": self.array("points"), "borders": self.array(f"borders-{source}")}

    def table(self) -> dict[str, Array]:
        return {name: self.array(name) for name in ("id", "lon", "lat")}

    def frame(self) -> Any:
        """The pool as pandas has it: labels as a categorical column, its fastest form."""
        import pandas as pd

        biome = pd.Categorical.from_codes(self.array("biome"), self.about["labels"])
        return pd.DataFrame({**self.table(), "biome": biome})

    def pool(self, *columns: str) -> Any:
        """The pool as wherefrom has it, with these columns besides coordinates."""
        import pyarrow as pa

        from wherefrom.pool import Pool
        from wherefrom.pool.columns import label_column

        table = pa.table(self.table())
        for name in columns:
            values = self.array(name)
            labels = self.about["labels"]
            column = label_column(values, labels) if name == "biome" else pa.array(values)
            table = table.append_column(name, column)
        return Pool.from_table(table)


def write(folder: Path, points: int, places: int, draw: int) -> Inputs:
    """Make all inputs: points by area on the sphere, points on borders, and a labelled pool."""
    from wherefrom.earth import fetch, layer
    from wherefrom.earth.sphere import uniform_on_sphere
    from wherefrom.pool import Pool

    rng = np.random.default_rng(0)
    paths = {source: fetch.path_of(source) for source in SOURCES}
    pool, biome = Pool.build(places, seed=0), layer("biome")
    codes = biome.codes(pool.lon, pool.lat)
    sizes = np.bincount(codes[codes >= 0], minlength=len(biome.labels))
    # As many of each label as all have, so that strata need not be topped up.
    strata = int(np.count_nonzero(sizes))
    each = min(draw // strata, int(sizes[sizes > 0].min()))
    about = {
        "sources": {source: str(path) for source, path in paths.items()},
        "labels": biome.labels,
        "sizes": sizes.tolist(),
        "each": each,
        "equal": each * strata,
        "draw": draw,
    }
    (folder / "about.json").write_text(json.dumps(about))
    given = Inputs.of(folder)
    arrays = {
        "points": np.stack(uniform_on_sphere(points, rng)),
        "id": pool.ids,
        "lon": pool.lon,
        "lat": pool.lat,
        "biome": codes,
        # Some hundreds of places are so heavy that a draw in proportion takes most of them.
        "weight": rng.lognormal(sigma=1.2, size=places),
    }
    arrays |= {f"borders-{source}": borders(given, source, rng) for source in SOURCES}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return given


def borders(given: Inputs, source: str, rng: np.random.Generator) -> Array:
    """Vertices of the polygons: each lies on the border of at least one."""
    vertices = given.polygons(source).geometry.get_coordinates().to_numpy()
    chosen: Array = vertices[rng.choice(len(vertices), ON_BORDERS)].T
    return chosen
