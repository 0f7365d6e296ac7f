"""``wherefrom evaluate``: one's own list of places beside as many uniform ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wherefrom.cli import study
from wherefrom.cli.output import note, show
from wherefrom.cli.pool import IdColumn, LatColumn, LonColumn
from wherefrom.errors import WherefromError
from wherefrom.files import atomic

__all__ = ["ENTRY", "LIST", "evaluate"]

#: In the folder of a run: the list as it was evaluated, and what came out.
LIST, ENTRY = "list.parquet", "entry.json"


def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help="Your list: a table of coordinates, a composition, or with --pool a list of ids."
        ),
    ],
    pool: Annotated[
        Path | None,
        typer.Option(help="Table whose ids are listed. [default: places on all land]"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Kind of model. [default: the first that init knows]"),
    ] = None,
    scale: Annotated[
        Literal["debug", "laptop"], typer.Option(help="debug only shows that it runs.")
    ] = "laptop",
    name: Annotated[
        str | None, typer.Option(help="Name of the list. [default: that of the file]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results. [default: runs/NAME-SCALE]")
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="FOLDER|ADDRESS",
            help="Where finished stages are, which all evaluations share. [default: in the cache]",
        ),
    ] = None,
    workers: study.Workers = None,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
) -> None:
    """Evaluate a list of places of yours against as many uniform ones.

    A study of three compositions (your list, uniform of its size, none) on
    the built-in task of the model, with a page. What uniform takes is computed
    once and kept: the next list of that size is a matter of minutes.

    What models see of a place is known at 600,000 candidates on all land
    (30,000 at scale debug). Each place of yours is stood for by the nearest
    one, and it is said how near that is. With --pool the candidates are yours,
    your list holds ids of them, and uniform is drawn from them.

    Writes OUT/study.yaml, OUT/list.parquet (the list as it was evaluated),
    OUT/report.html and OUT/entry.json, for the leaderboard.

    For example:

        wherefrom evaluate mine.csv --lon x --lat y

        wherefrom evaluate drawn.parquet --pool tiles.parquet --id tile
    """
    from wherefrom import compose
    from wherefrom.earth.fetch import cache_folder
    from wherefrom.pool import Pool
    from wherefrom.report.entry import entry
    from wherefrom.study import starter
    from wherefrom.study.listed import listed
    from wherefrom.study.pools import PoolSpec

    models = starter.startable(() if model is None else (model,))
    called = starter.name_of(name or file.stem)
    if called in ("none", "uniform"):
        raise WherefromError(f"{called!r} is the name of another composition: give a --name")
    if id_column is not None and pool is None:
        raise WherefromError("--id is the column of a table of candidates: name it (--pool)")
    folder = out or Path("runs") / f"{called}-{scale}"
    if pool is None:
        candidates = Pool.build(starter.BUILT[scale][0])
        found = listed(file, candidates, lon, lat)
        source, size, said = folder / LIST, found.size, found.said
        given: dict[str, Any] = {"places": len(candidates), "seed": 0}
    else:
        spec = PoolSpec(file=str(pool), id=id_column, lon=lon, lat=lat)
        candidates, source, said = spec.open(), file, f"places of {pool}"
        size = compose.sampler({"name": "ids", "file": str(file)}).listed() or 0
        given = spec.model_dump(exclude_none=True, exclude={"seed", "places"})
    if not starter.FEWEST <= size <= len(candidates) // starter.SPARE:
        raise WherefromError(
            f"{file} lists {size:,} places: at scale {scale}, of {len(candidates):,} candidates, "
            f"{starter.FEWEST} to {len(candidates) // starter.SPARE:,} can be evaluated"
        )
    ids = compose.text_of(compose.sampler({"name": "ids", "file": str(source)}))
    made = starter.Starter(
        name=called,
        title=f"{called} beside as many uniform places",
        pool=given,
        compositions={"none": "none", "uniform": "uniform", called: ids},
        sizes={scale: size},
        models=models,
        notice=f"{called}: {said}.",
        brief=True,
    )
    if pool is None:
        found.write(source)
    written = folder / "study.yaml"
    with atomic(written) as tmp:
        tmp.write_text(made.text((scale,)), encoding="utf-8")
    note(f"{called}, {size:,} places: {said}")
    store = stages or str(cache_folder() / "evaluated")
    study.run_(written, scale, out=folder, stages=store, workers=workers)
    if pool is None:
        told = json.dumps(entry(written, scale, folder, source, called), indent=2, allow_nan=False)
        with atomic(folder / ENTRY) as tmp:
            tmp.write_text(told + "\n", encoding="utf-8")
        show(f"entry: {folder / ENTRY}")
