"""``wherefrom audit``: what is in a set of places, and what is amiss with it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherefrom.cli.output import check_out, check_target, note, show
from wherefrom.cli.pool import (
    CellColumn,
    Cluster,
    GeometryColumn,
    GridKind,
    IdColumn,
    LatColumn,
    LonColumn,
    PlaceColumn,
    PoolFile,
    TimeColumn,
    WhereCondition,
    composition_of,
    names_of,
)
from wherefrom.errors import WherefromError, unknown
from wherefrom.progress import say
from wherefrom.shown import count_of, json_text

if TYPE_CHECKING:
    from wherefrom.auditing.payload import SampleEntropy
    from wherefrom.pool import Pool
    from wherefrom.pool.batches import AnyPool

__all__ = ["audit"]


def audit(
    file: Annotated[
        Path,
        typer.Argument(
            help="A pool, a table of coordinates (Parquet, GeoParquet, CSV, a folder of Parquet), "
            "or a composition."
        ),
    ],
    against: Annotated[
        str, typer.Option(metavar="land|FILE", help="What shares are compared with.")
    ] = "land",
    layers: Annotated[
        str, typer.Option(help="Layers, label columns or FILE:COLUMN, separated by commas.")
    ] = "",
    pool_file: PoolFile = None,
    planned: Annotated[
        Path | None, typer.Option(help="Places that were asked for; FILE is what came.")
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|COLUMN=VALUE",
            help="Test places, whose distances from FILE are told; or which of FILE's rows they "
            "are: then the other rows are audited.",
        ),
    ] = None,
    tiles: Annotated[
        Path | None, typer.Option(help="Folder of GeoTIFFs, for their spectral entropy.")
    ] = None,
    series: Annotated[
        Path | None, typer.Option(help="Pixel series (.npz), for their spectral entropy.")
    ] = None,
    bins: Annotated[
        str, typer.Option(help="Bins of the spectral entropy: olmoearth or scale-free.")
    ] = "olmoearth",
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Every number as JSON.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="HTML page to write, in one file.")] = None,
    clean: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file to write: FILE without faulty rows, repeated places and ids, places "
            "at 0/0 and, with --test, places within 10 km of a test place, with --within those "
            "outside."
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("-n", min=1, help="Places you mean to draw: remedies draw so many."),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file to write: -n rows of FILE drawn at once without what is at fault, "
            "to the shares of the layers that are off."
        ),
    ] = None,
    antarctica: Annotated[
        bool, typer.Option("--antarctica", help="Antarctica counts as land too.")
    ] = False,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER=LABEL|box=W,S,E,N|FILE",
            help="Audit within a country, continent, ..., a box or polygons alone.",
        ),
    ] = None,
    reference: Annotated[
        str,
        typer.Option(
            metavar="land|ocean|coast|all",
            help="The surface whose area counts; coast is within 50 km of the sea's border.",
        ),
    ] = "land",
    seed: Annotated[int, typer.Option(help="Of simulations and samples.")] = 0,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    time: TimeColumn = None,
    place: PlaceColumn = None,
    where: WhereCondition = None,
    cluster: Cluster = None,
) -> None:
    """Audit a set of places before anything is trained on them.

    Prints findings, causes before what follows from them and the largest
    first, each with the command that remedies it; then shares of every layer
    beside the land's area, and spatial statistics beside those of places
    uniform on land.

    The other tables have their coordinates in columns of the same names as
    FILE, or in lon and lat.

    For example:

        wherefrom audit places.csv --lon x --lat y --out audit.html

        wherefrom audit u.parquet --pool pool.parquet --layers continent,biome

        wherefrom audit realised.parquet --planned planned.parquet --json -

        wherefrom audit train.csv --test test.csv --clean apart.parquet

        wherefrom audit labels.csv --test subset=testing

        wherefrom audit labels.csv --within country=Kenya --out kenya.html

        wherefrom audit scenes.parquet --time date --place tile --layers season

        wherefrom audit tiles.csv --where "cloud < 0.3" -n 1000 --fix thousand.parquet
    """
    from wherefrom.auditing.asked import Asked
    from wherefrom.auditing.audit import audited
    from wherefrom.auditing.faults import Opened, cleaned, open_table, restricted
    from wherefrom.auditing.findings import Named, options_of
    from wherefrom.earth.extent import Extent
    from wherefrom.earth.surfaces import checked_surface
    from wherefrom.pool import open_beside
    from wherefrom.pool.known import hint
    from wherefrom.pool.seasons import Dates

    own = None
    if test is not None and "=" in test.name and not test.exists():
        own, test = str(test), None
    to_stdout = json_out is not None and str(json_out) == "-"
    beside = {
        "--against": None if against == "land" else Path(against),
        "--test": test,
        "--planned": planned,
    }
    read = {"FILE": file, "--pool": pool_file, **beside}
    inputs = {name: path for name, path in read.items() if path is not None}
    named = {name: str(path) for name, path in inputs.items()}
    _check_outputs(out, None if to_stdout else json_out, {"--clean": clean, "--fix": fix}, inputs)
    extent = None if within is None else Extent.of(within)
    if own is not None:
        named["--test"] = own
    called = Named(
        file=named["FILE"],
        options=options_of(id_column, lon, lat, time, place, where),
        pool=named.get("--pool"),
        against=named.get("--against"),
        test=named.get("--test"),
        planned=named.get("--planned"),
        parted=own is not None,
        cleaned=None if clean is None else str(clean),
    )
    dates = Dates.asked(time, names_of(layers), place)
    drawn = composition_of(file, pool_file, id_column, lon, lat, dates, where)
    weights = None if drawn is None else drawn.multiplicity.astype("f8")
    pool: AnyPool
    if drawn is not None:
        pool = drawn.places
        opened = Opened(pool, named=replace(called, available=drawn.available))
    else:
        opened = open_table(file, id_column, lon, lat, named=called, time=dates, where=where)
        pool = opened.pool
        columns = {*getattr(pool, "columns", ()), *filter(None, (id_column, lon, lat))}
        if text := hint(columns | ({"geometry"} if pool.extended else set()), called.options):
            note(text)
    others = {
        name: open_beside(path, lon, lat, dates)
        for name, path in beside.items()
        if path is not None
    }
    if own is not None:
        pool, others["--test"] = _parted(pool, own, weights is not None)
    asked = Asked(
        pool,
        against=others.get("--against", "land"),
        wanted=names_of(layers) or None,
        weights=weights,
        test=others.get("--test"),
        planned=others.get("--planned"),
        entropy=_entropy(file, pool, tiles, series, bins),
        antarctica=antarctica,
        within=extent,
        reference=checked_surface(reference),
        seed=seed,
        named=opened.named,
        place=place,
        n=n,
    )
    found = audited(asked, opened.faults)
    if to_stdout:
        show(json_text(found.to_json()))
    else:
        from wherefrom.report.audit_text import audit_text

        for text in found.about["notes"]:
            note(text)
        show(audit_text(found))
    if json_out is not None and not to_stdout:
        found.write_json(json_out)
    if out is not None:
        from wherefrom.report.audit_page import write_audit_page

        write_audit_page(found, out, shlex.join(["wherefrom", *sys.argv[1:]]))
    if clean is None and fix is None:
        return
    if extent is not None:
        opened = restricted(opened, extent)
    if clean is not None:
        left, removed = cleaned(opened, others.get("--test"), found.findings)
        left.write(clean)
        said = "; ".join(f"{count:,} {reason}" for reason, count in removed.items() if count)
        of = count_of(len(left) + sum(removed.values()), "row")
        say(f"{clean}: {len(left):,} places left of {of}; removed: {said or 'none'}")
    if fix is not None:
        from wherefrom.auditing.findings import Commands
        from wherefrom.auditing.fixing import fixed

        tell = say if to_stdout else show
        rows = len(opened.pool)
        wanted = Commands(asked.named, rows, rows, wanted=n).n
        made = fixed(asked, opened, found, wanted, seed, others.get("--test"))
        made.places.write(fix)
        for text in made.lines():
            tell(text)
        total = count_of(rows + sum(opened.gone.values()), "row")
        tell(f"{fix}: {len(made.places):,} of {total}, with their ids, key {made.places.key}")


def _check_outputs(
    out: Path | None,
    json_out: Path | None,
    pools: dict[str, Path | None],
    inputs: dict[str, Path],
) -> None:
    """Refuse what cannot be written, or would replace an input, before any work is done."""
    for flag, path in pools.items():
        if path is not None:
            check_out(path, "a pool", inputs, flag)
    if out is not None and out.suffix != ".html":
        raise WherefromError(f"--out {out}: the page is HTML; name it .html (JSON: --json FILE)")
    for flag, path in (("--out", out), ("--json", json_out)):
        if path is not None:
            check_target(flag, path, inputs)


def _parted(pool: AnyPool, given: str, drawn: bool) -> tuple[Pool, Pool]:
    """Part a table's rows from those of a value, ``COLUMN=VALUE``: the others first."""
    from wherefrom.auditing.asked import pool_rows
    from wherefrom.pool import Pool

    if drawn or not isinstance(pool, Pool):
        raise WherefromError(
            f"--test {given}: only a table in memory has test rows of its own: name their file"
        )
    column, _, value = given.partition("=")
    if column not in pool.columns:
        raise unknown(f"column (--test {given}: no such file either)", column, pool.columns)
    codes, labels = pool.codes(column)
    if value not in labels:
        raise unknown(f"value of column {column!r}", value, labels)
    if without := int((codes < 0).sum()):
        note(f"{without:,} of {len(pool):,} rows have no {column}: they count as training rows")
    test = codes == labels.index(value)
    if test.all():
        raise WherefromError(f"--test {given}: every row is a test row, and none is left to audit")
    return pool_rows(pool, ~test), pool_rows(pool, test)


def _entropy(
    file: Path,
    pool: AnyPool,
    tiles: Path | None,
    series: Path | None,
    bins: str,
) -> SampleEntropy | None:
    if tiles is None and series is None:
        return None
    from wherefrom.auditing.payload import FILE_COLUMNS, entropy_of_series, entropy_of_tiles
    from wherefrom.pool import Pool

    if series is not None:
        if tiles is not None:
            raise WherefromError("--tiles and --series are two payloads: audit them one by one")
        return entropy_of_series(series, bins)
    assert tiles is not None
    named = isinstance(pool, Pool) and set(FILE_COLUMNS) & set(pool.columns)
    return entropy_of_tiles(tiles, file if named else None, bins)
