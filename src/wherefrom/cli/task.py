"""``wherefrom task``: labelled places to fine-tune on, from a layer, a table or a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherefrom.cli.output import check_out, note, show
from wherefrom.cli.pool import (
    CellColumn,
    GeometryColumn,
    GridKind,
    IdColumn,
    LatColumn,
    LonColumn,
    WhereCondition,
)
from wherefrom.errors import WherefromError
from wherefrom.files import disk_errors, refuse_target
from wherefrom.progress import noted
from wherefrom.shown import count_of, line

if TYPE_CHECKING:
    from wherefrom.pool import Pool
    from wherefrom.tasks import Task
    from wherefrom.tasks.labelled import LabelledSeries

__all__ = ["app"]

#: Tables of more classes than this show each region's total alone.
MOST_CLASSES = 40
#: The study's episodes, for which thin regions are named.
N = 100
#: A split by blocks of `BLOCK_KM` is offered where more than this share of the test places is
#: nearer than this to a training place.
NEAR_KM, NEAR_SHARE, BLOCK_KM = 10, 0.2, 50
#: Classes named that a split by blocks takes from train or test.
NAMED = 8

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
Folder = Annotated[Path, typer.Option(help="Folder to write task.parquet and series.npz into.")]
SplitSeed = Annotated[int, typer.Option(help="Seed of the split; the same seed, the same task.")]
BlockKm = Annotated[float | None, typer.Option(help="Split cells of this size instead of places.")]
RegionOrAll = Annotated[
    str,
    typer.Option(help="Layer whose labels are the regions to fine-tune in; or all: one region."),
]

app = typer.Typer(no_args_is_help=True, help="Make a labelled task to fine-tune on.")


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
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    where: WhereCondition = None,
) -> None:
    """Draw labelled places uniformly by area in each continent, apart from a pool.

    For example:

        wherefrom task ecoregions --pool pool.parquet --out task.parquet

        wherefrom task ecoregions --pool pool.parquet --layer climate_zone --out zones.parquet
    """
    from wherefrom import tasks

    places = _candidates(pool, out, id_column, lon, lat, where)
    tuning = (tune_train, tune_test)
    made = tasks.ecoregions(places, layer, region_layer, train, test, tuning, min_distance_km, seed)
    _finish(made, out)


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
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    where: WhereCondition = None,
) -> None:
    """Draw places that are cropland or not, uniformly by area in each continent.

    Cropland is MODIS land cover of the IGBP classes 12 and 14; water is left
    out. Classes keep their natural shares: 3 to 18 % are cropland.

    For example:

        wherefrom task cropland --pool pool.parquet --out task.parquet
    """
    from wherefrom import tasks

    places = _candidates(pool, out, id_column, lon, lat, where)
    tuning = (tune_train, tune_test)
    made = tasks.cropland(places, region_layer, train, test, tuning, min_distance_km, seed)
    _finish(made, out)


@app.command()
def values(
    pool: PoolFile,
    out: Out,
    layer: Annotated[
        str, typer.Option(help="Layer of numbers to tell: elevation, temperature, slope, ...")
    ] = "elevation",
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
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    where: WhereCondition = None,
) -> None:
    """Draw places with the number that a layer has there, uniformly by area.

    Of temperature and precipitation, which have a number a month, it is the
    mean of the year.

    For example:

        wherefrom task values --pool pool.parquet --layer elevation --out relief.parquet
    """
    from wherefrom import tasks

    places = _candidates(pool, out, id_column, lon, lat, where)
    tuning = (tune_train, tune_test)
    made = tasks.values(places, layer, region_layer, train, test, tuning, min_distance_km, seed)
    _finish(made, out)


@app.command("from-table")
def from_table(
    file: Annotated[Path, typer.Argument(help="Parquet, GeoParquet (points) or CSV.")],
    out: Out,
    label: Annotated[str | None, typer.Option(help="Column of labels.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Column of numbers to tell, in the place of labels.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the numbers, e.g. degC.")] = "",
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    region_layer: RegionOrAll = "continent",
    positive: Annotated[
        str | None, typer.Option(help="Positive class of two; its F1 is reported as well.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the task in every table; default the file's.")
    ] = None,
    seed: Seed = 0,
    split_column: Annotated[
        str | None,
        typer.Option(help="Column of a published split to keep: train, test, validation."),
    ] = None,
    block_km: BlockKm = None,
    folds: Annotated[
        int, typer.Option(help="Folds of such cells, each tested once: cross-validation.")
    ] = 0,
    id_column: Annotated[
        str | None,
        typer.Option("--id", help="Column by which payloads (docs/payloads.md) find the places."),
    ] = None,
) -> None:
    """Make a task of your own labelled table.

    Places are split at random in each region, stratified by class: 50 % train,
    30 % test, 10 % and 10 % to choose hyper-parameters. Rows of one place stay
    together; with --block-km all rows of a cell do, which puts training and
    test places farther apart. A validation split is halved, to choose on.
    Rows without a label are left out and counted.

    A target of numbers has no classes: it is split at random in each region.
    With --folds the cells are dealt to folds: every place is tested once, by
    models fitted on other folds, and none is kept to choose on.

    For example:

        wherefrom task from-table fields.parquet --label crop --lon x --lat y --out task.parquet

        wherefrom task from-table points.csv --label crop --positive yes --out task.parquet

        wherefrom task from-table points.csv --label crop --block-km 50 --out apart.parquet

        wherefrom task from-table stations.csv --target meanT --unit degC --out warm.parquet

        wherefrom task from-table stations.csv --target meanT --block-km 500 --folds 5 --out cv.pq
    """
    from wherefrom import tasks

    check_out(out, "a task", {"the input": file})
    with noted():
        made = tasks.from_table(
            file,
            label,
            lon,
            lat,
            region_layer,
            positive,
            name,
            seed,
            split_column,
            block_km,
            id_column,
            target,
            unit,
            folds,
        )
    _finish(made, out)


@app.command()
def worldcereal(
    file: Annotated[Path, typer.Argument(help="Parquet of WorldCereal, a row a pixel or month.")],
    out: Folder,
    region_layer: RegionOrAll = "continent",
    seed: SplitSeed = 0,
    block_km: BlockKm = None,
) -> None:
    """Make a crop or not crop task of WorldCereal's labelled pixels.

    A row is a pixel with 12 steps or more of Sentinel-1 and -2, temperature
    and precipitation, or a month of one; with its terrain and LANDCOVER_LABEL,
    of which 11 is crop, or ewoc_code, whose crops begin with 11. Of more than
    12 steps those around valid_time are taken. Units are converted to those
    of pixel series; what is marked 65535 is absent.

    For example:

        wherefrom task worldcereal pixels.parquet --out worldcereal

        wherefrom task worldcereal pixels.parquet --region-layer all --out global

        wherefrom task worldcereal pixels.parquet --block-km 50 --out apart
    """
    from wherefrom import tasks

    _check_folder(out)
    with noted():
        made = tasks.worldcereal(file, region_layer, seed, block_km)
    _finish_series(made, out)


@app.command()
def cropharvest(
    out: Folder,
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder with labels.geojson and the features; default the catalog's."),
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(help="One of the published tasks: kenya (maize), brazil (coffee), togo."),
    ] = None,
    region_layer: RegionOrAll = "continent",
    seed: SplitSeed = 0,
    block_km: BlockKm = None,
) -> None:
    """Make a crop or not crop task of CropHarvest.

    The folder holds labels.geojson and features.tar.gz, or that unpacked to
    features/arrays; for a country also test_features.tar.gz, or that unpacked.
    Without a folder they are fetched from Zenodo (large). NDVI is computed anew,
    since the stored one is wrong. Needs h5py, of the extra "cropharvest".

    For example:

        wherefrom task cropharvest cropharvest-data --out cropharvest

        wherefrom task cropharvest cropharvest-data --country togo --out togo
    """
    from wherefrom import tasks

    _check_folder(out)
    if country is None:
        made = tasks.cropharvest(folder, region_layer, seed, block_km)
    elif region_layer != "continent" or seed or block_km is not None:
        raise WherefromError(
            f"--country {country}: its region and split are the published ones; leave out "
            "--region-layer, --seed and --block-km"
        )
    else:
        made = tasks.cropharvest_country(country, folder)
    _finish_series(made, out)


def _check_folder(out: Path) -> None:
    """Refuse a target before the work."""
    with disk_errors(out):
        refuse_target(out / "task.parquet")
        refuse_target(out / "series.npz")


def _finish_series(made: LabelledSeries, out: Path) -> None:
    made.write(out)
    _show(made.task, out / "task.parquet")
    bands = ", ".join(made.series.present)
    show(f"{out / 'series.npz'}: {made.series.steps} steps of {bands}; key {made.key}")


def _candidates(
    pool: Path, out: Path, id_column: str | None, lon: str, lat: str, where: str | None
) -> Pool:
    """Read the pool that a task keeps away from, once its own file is sure to be another."""
    from wherefrom.pool import Pool

    check_out(out, "a task", {"the input": pool})
    return Pool.read(pool, id_column, lon, lat, where=where)


def _finish(made: Task, out: Path) -> None:
    made.write(out)
    _show(made, out)


def _show(task: Task, out: Path) -> None:
    """Print the task's table and distances, and name the regions that are too thin for the study.

    Of a split by places, one by blocks is named where many test places lie beside training places.
    """
    import numpy as np

    from wherefrom.auditing.findings import kilometres
    from wherefrom.tasks import plan_episodes
    from wherefrom.tasks.episode import apart_km
    from wherefrom.tasks.table import resplit

    show("\n".join(_table(task)))
    apart = apart_km(task)
    if apart.size:
        shares = (f"{100 * (apart < km).mean():.0f} % nearer than {km:g} km" for km in (1, NEAR_KM))
        show(
            f"from a test place to the nearest training place: median "
            f"{kilometres(float(np.median(apart)))}, least {kilometres(float(apart.min()))}; "
            f"{', '.join(shares)}"
        )
    block_km = task.provenance.get("block_km")
    if block_km is not None and not task.folds and (gone := _vanished(task, resplit(task))):
        what = "classes" if task.classes else "regions"
        note(f"{what} that blocks of {block_km:g} km take from a split: {gone}")
    by_place = "shares" in task.provenance  # at random, by `tasks.from_table`
    if by_place and apart.size and (apart < NEAR_KM).mean() > NEAR_SHARE:
        other = resplit(task, BLOCK_KM)
        gone = _vanished(other, task)
        many, every = ("classes", "class") if task.classes else ("regions", "region")
        lost = (
            f"takes {many} from a split ({gone})" if gone else f"leaves every {every} in its split"
        )
        note(
            f"many test places lie beside training places: --block-km {BLOCK_KM} splits by blocks, "
            f"with a median of {kilometres(float(np.median(apart_km(other))))}; it {lost}"
        )
    outside = int((task.region < 0).sum())
    if outside:
        note(f"in no region: {count_of(outside, 'place')}")
    occurring = [r for r, count in zip(task.regions, task.counts(), strict=True) if count.any()]
    for split in ("reported", "tuning")[: 1 if task.folds else 2]:
        for problem in plan_episodes(task, occurring, N, [0], split)[1]:
            note(f"no {split} episode of {N} places: {problem}")
    classes = f"{count_of(len(task.classes), 'class', 'classes')}"
    if task.units is not None:
        classes = f"numbers{f' in {line(task.units)}' if task.units else ''}"
    if task.folds:
        show(f"{task.folds} folds of cells {block_km:g} km wide: each place is tested once")
    if task.positive is not None:
        classes += f", positive: {line(task.classes[task.positive])}"
    show(
        f"{out}: task {line(task.name)}, {count_of(len(task), 'place')}, {classes}, key {task.key}"
    )


def _vanished(task: Task, before: Task) -> str:
    """Name the classes of a region that lack train or test in one split more than before."""
    there, were = (one.counts()[:, :, :2] > 0 for one in (task, before))  # of train and test
    fewer = there.sum(axis=2) < were.sum(axis=2)
    gone = []
    for at, of in zip(*fewer.nonzero(), strict=True):
        lacks = [("train", "test")[i] for i in (were & ~there)[at, of].nonzero()[0]]
        what = f"{task.classes[of]!r} of " if task.classes else ""
        gone.append(f"{what}{task.regions[at]} from {' and '.join(lacks)}")
    more = [f"and {len(gone) - NAMED} more"] if len(gone) > NAMED else []
    return "; ".join(gone[:NAMED] + more)


def _table(task: Task) -> list[str]:
    """Lay out the places of every region, class and split."""
    units = f" ({line(task.units)})" if task.units else ""
    rows: list[tuple[str, ...]] = [("region", f"{task.label_layer}{units}", *task.splits)]
    for code, (region, counts) in enumerate(zip(task.regions, task.counts(), strict=True)):
        if not counts.any():
            continue
        if task.units is not None:
            own = task.label[task.region == code]
            spread = f"{own.mean():.4g} ± {own.std():.4g}, {own.min():.4g} to {own.max():.4g}"
            rows.append((line(region), spread, *(f"{c:,}" for c in counts[0])))
            continue
        if len(task.classes) <= MOST_CLASSES:
            rows += [
                (line(region), line(name), *(f"{c:,}" for c in count))
                for name, count in zip(task.classes, counts, strict=True)
                if count.any()
            ]
        occurring = f"({count_of(counts.any(axis=1).sum(), 'class', 'classes')})"
        rows.append((line(region), occurring, *(f"{c:,}" for c in counts.sum(axis=0))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
