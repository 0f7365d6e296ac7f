"""``wherefrom pool``: build a pool of places, or check one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wherefrom.cli.output import check_out

__all__ = ["IdColumn", "LatColumn", "LonColumn", "app"]

IdColumn = Annotated[
    str | None,
    typer.Option("--id", help="Column of ids; without it, `id` if there is one, else row numbers."),
]
LonColumn = Annotated[str, typer.Option("--lon", help="Column of longitudes, degrees.")]
LatColumn = Annotated[str, typer.Option("--lat", help="Column of latitudes, degrees.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Build a pool of candidate places, or check one of your own.",
)


@app.command()
def build(
    places: Annotated[int, typer.Option(help="How many places.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same places.")] = 0,
    antarctica: Annotated[
        bool, typer.Option("--antarctica", help="Include Antarctica, 9 % of all land.")
    ] = False,
    layers: Annotated[
        str, typer.Option(help="Layers whose labels become columns, separated by commas.")
    ] = "",
) -> None:
    """Draw places uniformly by area on land and write them as Parquet (id, lon, lat).

    A larger pool of the same seed starts with the smaller one. Layers need
    not be columns, `draw` looks labels up itself; columns save that time and
    let other tools read them.

    For example:

        wherefrom pool build --places 200000 --out pool.parquet

        wherefrom pool build --places 1000000 --layers continent,biome --out big.parquet
    """
    from wherefrom.pool import Pool

    check_out(out, "a pool")
    pool = Pool.build(places, seed, antarctica)
    pool = pool.with_layers(name.strip() for name in layers.split(",") if name.strip())
    pool.write(out)
    typer.echo(f"{out}: {len(pool):,} places, {pool.origin}, key {pool.key}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Parquet, GeoParquet (points) or CSV.")],
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
) -> None:
    """Report missing, swapped and out-of-range coordinates and duplicates, with row numbers.

    The first data row is 0. Errors end with exit code 2, since such a file is
    refused as a pool; notes do not.

    For example:

        wherefrom pool check places.csv --lon longitude --lat latitude

        wherefrom pool check tiles.parquet --id tile
    """
    from wherefrom.pool import examine, read_places

    places = read_places(file, id_column, lon, lat)
    found = examine(
        places.ids, places.lon, places.lat, lon_name=places.lon_name, lat_name=places.lat_name
    )
    for finding in found:
        typer.echo(f"{'error' if finding.error else 'note'}: {finding.message}")
    errors = sum(finding.error for finding in found)
    kind = "text" if places.ids.dtype.kind == "U" else "whole numbers"
    columns = ", ".join(places.rest.column_names) or "none"
    typer.echo(f"{file}: {len(places.ids):,} rows, ids are {kind}, other columns: {columns}")
    if errors:
        raise typer.Exit(2)
    lon_range, lat_range = (f"{v.min():.4f} to {v.max():.4f}" for v in (places.lon, places.lat))
    typer.echo(f"fit for a pool: lon {lon_range}, lat {lat_range}")
