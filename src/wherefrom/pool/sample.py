"""Generated tables to try commands on: tiles with the faults that real lists have, and fields."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import shapely

from wherefrom.errors import WherefromError
from wherefrom.files import atomic
from wherefrom.pool.places import Pool

__all__ = ["fields", "raw_tiles", "tiles", "write_sample"]

#: Of everything that is drawn here.
SEED = 19
#: Rows of the tiles by how they came about; 5,000 in all.
EVEN, CROWDED, AT_SEA, NOWHERE, REPEATED, EXCHANGED = 3450, 1000, 200, 25, 200, 125
#: Rows of the fields.
FIELDS = 4000
_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Point"]}},
}


def tiles() -> pa.Table:
    """Make 5,000 tiles, all within -180 to 180 and -90 to 90: each can be drawn.

    Two thirds lie evenly on land, a fifth crowds around 60 places in Europe; some are at sea, at
    0/0, where an earlier tile is, or have longitude and latitude exchanged.

    Returns
    -------
    pyarrow.Table
        Columns ``tile`` (text), ``x`` and ``y`` (degrees), ``season`` (dry or wet), ``cloud`` (a
        share in [0, 1], null for some), 5,000 rows.

    Examples
    --------
    >>> made = tiles()
    >>> made.num_rows, made.column_names
    (5000, ['tile', 'x', 'y', 'season', 'cloud'])
    """
    rng = np.random.default_rng(SEED)
    land, sea = Pool.build(EVEN, seed=SEED), Pool.build(AT_SEA, seed=SEED, reference="ocean")
    europe = Pool.build(60, seed=SEED, within="continent=Europe")
    centre = rng.integers(60, size=CROWDED)
    both = np.hstack(
        [
            [land.lon, land.lat],
            np.array([europe.lon, europe.lat])[:, centre] + rng.normal(0.0, 0.15, (2, CROWDED)),
            [sea.lon, sea.lat],
            np.zeros((2, NOWHERE)),
        ]
    )
    fit = np.flatnonzero((np.abs(land.lon) <= 90) & (np.abs(land.lon - land.lat) > 5))
    turned = both[::-1, rng.choice(fit, EXCHANGED, replace=False)]
    both = np.hstack([both, both[:, rng.choice(EVEN, REPEATED, replace=False)], turned])
    x, y = both[:, rng.permutation(both.shape[1])].round(5)
    x, count = (x + 180.0) % 360.0 - 180.0, len(x)
    cloud = rng.beta(1.2, 3.0, count).round(3)
    return pa.table(
        {
            "tile": [f"T{i:05d}" for i in range(count)],
            "x": x,
            "y": y,
            "season": np.array(["dry", "wet"])[rng.integers(2, size=count)],
            "cloud": pa.array(cloud, mask=rng.random(count) < 0.02),
        }
    )


def raw_tiles() -> pa.Table:
    """Make the same tiles with faults for which a table is refused as a pool.

    Twelve lack a coordinate, six are exchanged out of range, twenty have the id of another, and
    the longitudes of three hundred count from 0 to 360.

    Returns
    -------
    pyarrow.Table
        As `tiles`.
    """
    rng = np.random.default_rng(SEED + 1)
    table = tiles()
    x, y = (table[name].to_numpy().copy() for name in "xy")
    west = rng.choice(np.flatnonzero(x < 0), 300, replace=False)
    x[west] += 360.0
    east = rng.choice(np.flatnonzero((x > 95) & (x < 180) & (np.abs(y) < 80)), 6, replace=False)
    x[east], y[east] = y[east], x[east]
    rows = rng.choice(np.setdiff1d(np.arange(len(x)), [*west, *east]), 52, replace=False)
    y[rows[:12]] = np.nan
    tile = table["tile"].to_numpy(zero_copy_only=False).copy()
    tile[rows[12:32]] = tile[rows[32:]]
    for at, (name, values) in enumerate((("tile", tile), ("x", x), ("y", y))):
        table = table.set_column(at, name, pa.array(values, from_pandas=True))
    return table


def fields() -> pa.Table:
    """Make 4,000 labelled fields on land, whose crop and yields depend on where they lie.

    Returns
    -------
    pyarrow.Table
        Columns ``x`` and ``y`` (degrees), ``crop`` (yes or no), ``subset`` (train, test or
        validation), ``yields`` (t/ha), 4,000 rows.

    Examples
    --------
    >>> fields()["crop"].unique().to_pylist()
    ['no', 'yes']
    """
    pool = Pool.build(FIELDS, seed=3)
    x, y = pool.lon, pool.lat
    subset = np.resize(["train", "test", "train", "validation"], FIELDS)
    crop = np.where(np.sin(x / 3) * np.cos(y / 3) > 0.3, "yes", "no")
    yields = 6 - np.abs(y) / 20 + np.sin(x / 5)
    return pa.table({"x": x, "y": y, "crop": crop, "subset": subset, "yields": yields})


def write_sample(folder: Path) -> list[Path]:
    """Write the tables: tiles.parquet, .csv and .geoparquet, tiles-raw.csv and fields.csv.

    Parameters
    ----------
    folder : Path
        Where the files come to lie; what is there already as it would be written stays.

    Returns
    -------
    list of Path

    Raises
    ------
    WherefromError
        If one of the names is taken by another file: nothing is written then.
    """
    made = tiles()
    points = shapely.to_wkb(shapely.points(*(made[name].to_numpy() for name in "xy")))
    geometric = made.drop_columns(["x", "y"]).append_column("geometry", pa.array(points))
    geometric = geometric.replace_schema_metadata({b"geo": json.dumps(_GEO).encode()})
    held = {
        "tiles.parquet": _parquet(made),
        "tiles.csv": _csv(made),
        "tiles.geoparquet": _parquet(geometric),
        "tiles-raw.csv": _csv(raw_tiles()),
        "fields.csv": _csv(fields()),
    }
    paths = {folder / name: content for name, content in held.items()}
    for path, content in paths.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise WherefromError(
                f"{path} is there, and not of the sample: run this in another folder"
            )
    for path, content in paths.items():
        with atomic(path) as tmp:
            tmp.write_bytes(content)
    return list(paths)


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa.csv.write_csv(table, sink, pa.csv.WriteOptions(quoting_style="needed"))
    return sink.getvalue()
