"""``wherefrom task``: labelled places to fine-tune on, from a layer or from one's own table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wherefrom.cli.output import check_out
from wherefrom.cli.pool import IdColumn, LatColumn, LonColumn
from wherefrom.cli.series import cropharvest, worldcereal
from wherefrom.cli.shown import show_task

__all__ = ["app"]

Out = Annotated[Path, typer.Option(help="Parquet file to write.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same task.")]
RegionLayer = Annotated[
    str, typer.Option(help="Layer (or column) whose labels are the regions to fine-tune in.")
]

PoolFile = Annotated[Path, typer.Option(help="Pool whose places the task keeps away from.")]
Train = Annotated[int, typer.Option(help="Places per region to draw episodes from.")]
Test = Annotated[int, typer.Option(help="Test places per region.")]
TuneTrain = Annotated[int, typer.Option(help="Places per region to tune on.")]
TuneTest = Annotated[int, typer.Option(help="Test places per region for tuning.")]
MinDistance = Annotated[float, typer.Option(help="Distance to keep from every pool place.")]

app = typer.Typer(no_args_is_help=True, help="Make a labelled task to fine-tune on.")
app.command("worldcereal")(worldcereal)
app.command("cropharvest")(cropharvest)


@app.command()
def ecoregions(
    pool: PoolFile,
    out: Out,
    layer: Annotated[
        str, typer.Option(help="Layer to predict: biome, ecoregion, climate_zone, ...")
    ] = "biome",
    region_layer: RegionLayer = "continent",
    train: Train = 5500,
    test: Test = 2000,
    tune_train: TuneTrain = 600,
    tune_test: TuneTest = 1000,
    min_distance_km: MinDistance = 5.0,
    seed: Seed = 0,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
) -> None:
    """Draw labelled places uniformly by area in each continent, apart from a pool.

    For example:

        wherefrom task ecoregions --pool pool.parquet --out task.parquet

        wherefrom task ecoregions --pool pool.parquet --layer climate_zone --out zones.parquet
    """
    from wherefrom import tasks
    from wherefrom.pool import Pool

    check_out(out, "a task", {"the input": pool})
    made = tasks.ecoregions(
        Pool.read(pool, id_column, lon, lat),
        layer,
        region_layer,
        train,
        test,
        (tune_train, tune_test),
        min_distance_km,
        seed,
    )
    made.write(out)
    show_task(made, out)


@app.command()
def cropland(
    pool: PoolFile,
    out: Out,
    region_layer: RegionLayer = "continent",
    train: Train = 5500,
    test: Test = 2000,
    tune_train: TuneTrain = 600,
    tune_test: TuneTest = 1000,
    min_distance_km: MinDistance = 5.0,
    seed: Seed = 0,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
) -> None:
    """Draw places that are cropland or not, uniformly by area in each continent.

    Cropland is MODIS land cover of the IGBP classes 12 and 14; water is left
    out. Classes keep their natural shares: 3 to 18 % are cropland.

    For example:

        wherefrom task cropland --pool pool.parquet --out task.parquet
    """
    from wherefrom import tasks
    from wherefrom.pool import Pool

    check_out(out, "a task", {"the input": pool})
    made = tasks.cropland(
        Pool.read(pool, id_column, lon, lat),
        region_layer,
        train,
        test,
        (tune_train, tune_test),
        min_distance_km,
        seed,
    )
    made.write(out)
    show_task(made, out)


@app.command("from-table")
def from_table(
    file: Annotated[Path, typer.Argument(help="Parquet, GeoParquet (points) or CSV.")],
    label: Annotated[str, typer.Option(help="Column of labels.")],
    out: Out,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    region_layer: RegionLayer = "continent",
    positive: Annotated[
        str | None, typer.Option(help="Positive class of two; its F1 is reported as well.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the task in every table; default the file's.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make a task of your own labelled table.

    Places are split at random in each region, stratified by class: 50 % train,
    30 % test, 10 % and 10 % to choose hyper-parameters. Rows of one place stay
    together.

    For example:

        wherefrom task from-table fields.parquet --label crop --lon x --lat y --out task.parquet

        wherefrom task from-table points.csv --label crop --positive yes --out task.parquet
    """
    from wherefrom import tasks

    check_out(out, "a task", {"the input": file})
    made = tasks.from_table(file, label, lon, lat, region_layer, positive, name, seed)
    made.write(out)
    show_task(made, out)
