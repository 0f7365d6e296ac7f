"""``wherefrom pool``: build a pool of places, or check one's own."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherefrom import parallel
from wherefrom.cli.output import check_out, note, show
from wherefrom.errors import WherefromError
from wherefrom.shown import count_of

if TYPE_CHECKING:
    from wherefrom.pool import Pool

__all__ = [
    "CellColumn",
    "GeometryColumn",
    "GridKind",
    "IdColumn",
    "LatColumn",
    "LonColumn",
    "PlaceColumn",
    "TimeColumn",
    "app",
    "names_of",
    "places_beside",
]

IdColumn = Annotated[
    str | None,
    typer.Option("--id", help="Column of ids; without it, `id` if there is one, else row numbers."),
]


def _of_points(context: typer.Context, column: str | None) -> None:
    """Let a column of geometry stand for both coordinates, which `places_of` takes it for."""
    if column is not None:
        context.meta["geometry"] = column


def _of_cells(context: typer.Context, kind: str | None) -> None:
    """Let a grid and a column of its cells' ids stand for both coordinates."""
    if kind is not None:
        context.meta["grid"] = kind


def _named_cells(context: typer.Context, column: str | None) -> None:
    if column is not None:
        context.meta["cell"] = column


def _of_degrees(context: typer.Context, param: typer.CallbackParam, column: str) -> str:
    """Take the column of one axis, or what stands for both."""
    said = context.meta
    if not {"geometry", "grid", "cell"} & said.keys():
        return column
    source = context.get_parameter_source(str(param.name))
    given = source is not None and source.name == "COMMANDLINE"
    if given or {"geometry", "grid"} <= said.keys():
        flag = "--geometry names a column of points" if "geometry" in said else "--grid names cells"
        raise typer.BadParameter(f"{flag}: leave --lon, --lat and each other out")
    if "geometry" in said:
        return str(said["geometry"])
    if "grid" not in said:
        raise typer.BadParameter("--cell is a column of a grid's cells: name it with --grid")
    from wherefrom.pool.geometry import Cells

    return Cells(said.get("cell") or context.params.get("id_column") or "id", said["grid"])


LonColumn = Annotated[
    str, typer.Option("--lon", callback=_of_degrees, help="Column of longitudes, degrees.")
]
LatColumn = Annotated[
    str, typer.Option("--lat", callback=_of_degrees, help="Column of latitudes, degrees.")
]
GeometryColumn = Annotated[
    str | None,
    typer.Option(
        "--geometry",
        callback=_of_points,
        is_eager=True,
        expose_value=False,
        help="Column of points or polygons, in place of --lon and --lat; without it, the first.",
    ),
]
GridKind = Annotated[
    str | None,
    typer.Option(
        "--grid",
        metavar="KIND",
        callback=_of_cells,
        is_eager=True,
        expose_value=False,
        help="Grid whose cells the places are, by their ids: `wherefrom list grids`.",
    ),
]
CellColumn = Annotated[
    str | None,
    typer.Option(
        "--cell",
        callback=_named_cells,
        is_eager=True,
        expose_value=False,
        help="Column of these ids, if it is not that of --id.",
    ),
]
TimeColumn = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="COLUMN[,COLUMN]",
        help="Column of dates, or of first and last ones: season, month and year become columns.",
    ),
]
PlaceColumn = Annotated[
    str | None,
    typer.Option("--place", metavar="COLUMN", help="Column of which one value is one place."),
]

app = typer.Typer(
    no_args_is_help=True,
    help="Build a pool of candidate places, or check one of your own.",
)


def _enter(context: typer.Context, cluster: str | None) -> None:
    """Run the command on the cluster that is named."""
    context.with_resource(parallel.on(cluster))


#: Taken by commands that pass over a pool; they need not look at it.
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        callback=_enter,
        expose_value=False,
        help="Address of a Ray cluster to work on, e.g. 10.0.0.7:6379; `auto`: this machine's.",
    ),
]


def _whole(text: str) -> int:
    """Read a whole number, also as 1e9."""
    try:
        number = Fraction(text) if abs(float(text)) < 1e15 else Fraction(1, 2)
    except ValueError:
        number = Fraction(1, 2)
    if number.denominator != 1:
        raise typer.BadParameter(f"{text!r} is not a whole number")
    return int(number)


@app.command()
def build(
    places: Annotated[int, typer.Option(help="How many places.", parser=_whole)],
    out: Annotated[Path, typer.Option(help="Parquet file (.parquet) or folder to write.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same places.")] = 0,
    antarctica: Annotated[
        bool, typer.Option("--antarctica", help="Include Antarctica, 9 % of all land.")
    ] = False,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER=LABEL|box=W,S,E,N|FILE",
            help="Only within a country, continent, ..., a box or polygons.",
        ),
    ] = None,
    reference: Annotated[
        str, typer.Option(metavar="land|ocean|coast|all", help="The surface they lie on.")
    ] = "land",
    layers: Annotated[
        str, typer.Option(help="Layers, or FILE:COLUMN, whose labels become columns; with commas.")
    ] = "",
) -> None:
    """Draw places uniformly by area on land and write them as Parquet (id, lon, lat).

    A larger pool of the same seed starts with the smaller one. Layers need
    not be columns, `draw` looks labels up itself; columns save that time and
    let other tools read them.

    A pool of any size can be written as a folder of files, in less than
    2 GiB of memory: name one without the ending .parquet. If that is stopped,
    the same command goes on where it was.

    For example:

        wherefrom pool build --places 200000 --out pool.parquet

        wherefrom pool build --places 5000 --within country=Kenya --out kenya.parquet

        wherefrom pool build --places 1e9 --layers continent,biome --out world
    """
    from wherefrom.pool import Pool, PoolScan, build_folder

    pool: Pool | PoolScan
    if out.suffix == ".parquet":
        check_out(out, "a pool")
        pool = Pool.build(places, seed, antarctica, within, reference).with_layers(names_of(layers))
        pool.write(out)
    elif within is not None or reference != "land":
        flag = f"--within {within}" if within is not None else f"--reference {reference}"
        raise WherefromError(f"{flag}: write one file, --out {out}.parquet")
    else:
        _check_folder(out)
        pool = build_folder(places, out, seed, antarctica, names_of(layers))
    show(f"{out}: {count_of(len(pool), 'place')}, {pool.origin}, key {pool.key}")


@app.command()
def from_payload(
    payload: Annotated[
        str, typer.Argument(help="What holds the records: KIND:FIELD=VALUE,FIELD=VALUE.")
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
) -> None:
    """Write the places of data at hand as a pool: id, lon, lat, and what they lie in.

    Of shards of tiles every pixel becomes a place, whose column tile is a
    layer to draw by. The data themselves are not read. A study finds the
    records by the ids (docs/payloads.md).

    For example:

        wherefrom pool from-payload series:path=shards --out pixels.parquet
    """
    from wherefrom.payload.places import payload_of, write_places

    check_out(out, "a pool")
    made = payload_of(payload)
    count, lost = write_places(made, out)
    if lost:
        note(f"left out: {lost}")
    show(f"{out}: {count_of(count, 'place')} of payload {made.kind}")


@app.command()
def label(
    pool: Annotated[Path, typer.Argument(help="Parquet or CSV file, or a folder of Parquet.")],
    layers: Annotated[
        str, typer.Option(help="Layers, or FILE:COLUMN, whose labels become columns; with commas.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    cluster: Cluster = None,
) -> None:
    """Write a pool of any size with the labels of layers as columns, in one pass.

    The folder gets Parquet files of 8,388,608 places, and a note of what is
    in them, so that draws and audits by these layers look nothing up. Other
    columns are kept. If it is stopped, the same command goes on where it was.

    For example:

        wherefrom pool label places.parquet --layers continent,biome --out labelled

        wherefrom pool label world --layers land_cover --out world2 --cluster auto
    """
    from wherefrom.pool import label as write_labels
    from wherefrom.pool import open_pool

    names = names_of(layers)
    if not names:
        raise WherefromError("--layers is empty: name layers, e.g. --layers continent,biome")
    _check_folder(out)
    if out.resolve() == pool.resolve():
        raise WherefromError(f"--out {out} is the pool itself; name another folder")
    opened = open_pool(pool, id_column, lon, lat)
    labelled = write_labels(opened, names, out)
    show(f"{out}: {count_of(len(labelled), 'place')}, key {labelled.key}")
    for name in names:
        counts = labelled.counts(name)
        assert counts is not None  # it is a column now
        show(
            f"  {name}: {count_of(len(counts), 'label')}, "
            f"{count_of(len(labelled) - int(counts.sum()), 'place')} without"
        )


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="Parquet, GeoParquet (points), CSV, or a folder of Parquet.")
    ],
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    time: TimeColumn = None,
    place: PlaceColumn = None,
    cluster: Cluster = None,
) -> None:
    """Report missing, swapped and out-of-range coordinates and duplicates, with row numbers.

    The first data row is 0. Errors end with exit code 2, since such a file is
    refused as a pool; notes do not. A folder is read whole, whatever is noted
    beside its files.

    For example:

        wherefrom pool check places.csv --lon longitude --lat latitude

        wherefrom pool check tiles.parquet --id tile

        wherefrom pool check seasons.parquet --time date --place tile
    """
    from wherefrom.pool.opening import inspect

    seen = inspect(file, id_column, lon, lat, time, place)
    for finding in seen.findings:
        show(f"{'error' if finding.error else 'note'}: {finding.message}")
    for text in seen.notes:
        show(f"note: {text}")
    kind = "text" if seen.text_ids else "whole numbers"
    columns = ", ".join(seen.columns) or "none"
    of = f"{'' if seen.exact else 'about '}{count_of(seen.places, 'place')}"
    rows = count_of(seen.rows, "row")
    show(f"{file}: {rows} of {of}, ids are {kind}, other columns: {columns}")
    if any(finding.error for finding in seen.findings):
        raise typer.Exit(2)
    lon_range, lat_range = (f"{low:.4f} to {high:.4f}" for low, high in (seen.lon, seen.lat))
    show(f"fit for a pool: lon {lon_range}, lat {lat_range}")


def names_of(layers: str) -> list[str]:
    """Part the names of ``--layers`` at commas; a file whose name has one is refused."""
    pieces = layers.split(",")
    if len(pieces) > 1:
        from wherefrom.earth.file_layers import file_name_of

        for first, end in combinations(range(len(pieces) + 1), 2):
            file = file_name_of(",".join(pieces[first:end]).strip())
            if file is not None and "," in str(file.path) and file.path.is_file():
                raise WherefromError(
                    f"--layers {layers}: {file.path} has a comma, which parts two layers: rename "
                    "the file"
                )
    return [name.strip() for name in pieces if name.strip()]


def places_beside(file: Path, names: tuple[str, str]) -> Pool:
    """Read the places of a file that stands beside the pool; of a task, those that are tested."""
    import pyarrow as pa

    from wherefrom.pool import Pool, open_beside
    from wherefrom.tasks.task import Task, is_task

    if is_task(file):
        task = Task.read(file)
        return Pool.from_table(
            pa.table({"lon": task.lon[task.tested], "lat": task.lat[task.tested]})
        )
    found = open_beside(file, *names)
    return found if isinstance(found, Pool) else found.load()


def _check_folder(out: Path) -> None:
    """Refuse a name that looks like a file's, before anything is read."""
    if out.suffix.lower() in (".parquet", ".pq", ".geoparquet", ".csv", ".tsv", ".txt", ".json"):
        raise WherefromError(
            f"--out {out}: `pool label` writes a folder of Parquet files, whose name has no "
            f"ending, e.g. --out {out.stem}; `pool build` a folder, or a file that ends in .parquet"
        )
