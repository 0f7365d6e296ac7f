"""``wherefrom check-leak``: which places of a pool are near what is tested on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

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
    PoolFile,
    TimeColumn,
    WhereCondition,
    composition_of,
)
from wherefrom.errors import WherefromError
from wherefrom.shown import count_of, json_text

__all__ = ["check_leak"]


def check_leak(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="POOL",
            help="Pre-training places: a file, a folder of Parquet, or a composition.",
        ),
    ],
    tests: Annotated[
        list[Path], typer.Argument(metavar="TESTS...", help="Files of test places, or tasks.")
    ],
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Every number as JSON.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Parquet file to write: each test place, and the nearest of the pool."),
    ] = None,
    fail_within_km: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Leave with exit code 1 if a test place is so near to one of the pool, or "
            "overlaps it (0): for checks that run by themselves.",
        ),
    ] = None,
    pool_file: PoolFile = None,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    time: TimeColumn = None,
    where: WhereCondition = None,
    cluster: Cluster = None,
) -> None:
    """Tell how near the places of a pool are to those of tests.

    For each file of TESTS: the share of its places that overlap a place of
    POOL, or have one within 1, 10 and 100 km, and the nearest pairs by their
    ids. Footprints count as what they cover, on either side. With dates on
    both sides also how near in time those within 1 km are.

    The tests have their coordinates in columns of the same names as POOL, or
    in lon and lat.

    For example:

        wherefrom check-leak pool.parquet tests.csv fields.parquet

        wherefrom check-leak pool.parquet tests.csv --out pairs.parquet

        wherefrom check-leak tiles.csv --lon x --lat y tests.csv --json -
            --fail-within-km 1

        wherefrom check-leak u.parquet --pool pool.parquet tests.csv

        wherefrom check-leak scenes.parquet --time date tests.csv
    """
    from wherefrom import files
    from wherefrom.auditing.leaks import leaks_of, pairs_of
    from wherefrom.frames import places_beside
    from wherefrom.pool import Pool, PoolScan, open_pool
    from wherefrom.pool.seasons import Dates

    to_stdout = json_out is not None and str(json_out) == "-"
    inputs = {"POOL": file} | {f"the test {test}": test for test in tests}
    if len(inputs) <= len(tests):
        raise WherefromError("a file of TESTS is named twice: name each once")
    inputs |= {} if pool_file is None else {"--pool": pool_file}
    if out is not None:
        check_out(out, "a table of pairs", inputs)
    if json_out is not None and not to_stdout:
        check_target("--json", json_out, inputs)
    dates = Dates.of(time)
    read = {str(test): places_beside(test, (lon, lat), dates) for test in tests}
    drawn = composition_of(file, pool_file, id_column, lon, lat, dates, where)
    pool: Pool | PoolScan
    if drawn is None:
        pool, made = open_pool(file, id_column, lon, lat, time=dates, where=where), {}
        said = f"{count_of(len(pool), 'place')}, key {pool.key}"
    else:
        pool, whole = drawn.places, drawn.composition
        made = {"key": whole.key, "size": whole.size, "drawn": pool.origin, "from": str(pool_file)}
        said = f"a composition of {count_of(len(pool), 'place')} of {pool_file}, key {whole.key}"
    leaks = leaks_of(pool, read)
    told = {
        "pool": {"name": str(file), "key": pool.key, "places": len(pool),
                 "footprints": pool.extended, "composition": made or None},
        "tests": [leak.entries() for leak in leaks],
    }  # fmt: skip
    text = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False)
    if to_stdout:
        show(json_text(text))
    else:
        for remark in pool.notes:
            note(remark)
        show(f"{file}: {said}")
        for leak in leaks:
            show("\n".join(["", *leak.lines()]))
    if json_out is not None and not to_stdout:
        with files.atomic(json_out) as tmp:
            tmp.write_text(text + "\n", encoding="utf-8")
    if out is not None:
        import pyarrow.parquet as pq

        with files.atomic(out) as tmp:
            pq.write_table(pairs_of(leaks), tmp, compression="zstd")
    if fail_within_km is not None:
        near = {leak.name: leak.near(fail_within_km) for leak in leaks}
        for name, count in near.items():
            said = count_of(count, "test place")
            if count:
                note(f"{name}: {said} within {fail_within_km:g} km of {file}")
        raise typer.Exit(1 if any(near.values()) else 0)
