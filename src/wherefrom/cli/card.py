"""``wherefrom card``: the picture and the page that a team shows of its pre-training set."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherefrom.cli.output import note, show
from wherefrom.cli.pool import (
    CellColumn,
    GeometryColumn,
    GridKind,
    IdColumn,
    LatColumn,
    LonColumn,
    PlaceColumn,
    TimeColumn,
    WhereCondition,
    names_of,
)
from wherefrom.errors import WherefromError

if TYPE_CHECKING:
    from wherefrom.auditing.leakage import Leakage
    from wherefrom.pool.batches import AnyPool

__all__ = ["card"]


def card(
    file: Annotated[
        Path, typer.Argument(help="Places or footprints of the set, as `audit` takes them.")
    ],
    name: Annotated[str, typer.Option(help="Of the set; by default the file's.")] = "",
    model: Annotated[str, typer.Option(help="What was pre-trained on it.")] = "",
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE", help="Places of a benchmark, whose distances are told; several."
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the set, e.g. 'CC BY 4.0'.")] = "",
    citation: Annotated[str, typer.Option(help="How the set is cited.")] = "",
    address: Annotated[str, typer.Option(help="Where the set is.")] = "",
    layers: Annotated[
        str, typer.Option(help="Further layers or columns that the audit looks at, by commas.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default FILE's name with -card.")
    ] = None,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    time: TimeColumn = None,
    place: PlaceColumn = None,
    where: WhereCondition = None,
    seed: Annotated[int, typer.Option(help="Of simulations and samples.")] = 0,
) -> None:
    """Make the card of a pre-training set: map, shares against land, coverage, leakage.

    Writes card.png and card-dark.png (1,600 pixels wide, for a model card or a
    README), card.html (the same and what an audit finds, in one file) and
    README.md (front matter and a section for a dataset card of the Hugging
    Face hub).

    For example:

        wherefrom card tiles.parquet --name "Our tiles" --model "Our model 1.0"

        wherefrom card tiles.parquet --test fields.csv --licence "CC BY 4.0"
    """
    from wherefrom.auditing.asked import Asked
    from wherefrom.auditing.audit import audited
    from wherefrom.auditing.faults import open_table
    from wherefrom.auditing.findings import Named, options_of
    from wherefrom.earth import available
    from wherefrom.pool.seasons import Dates
    from wherefrom.report.card import LAYERS, Card, layers_for

    target = out or file.with_name(f"{file.name.split('.')[0]}-card")
    if target.exists() and not target.is_dir():
        raise WherefromError(f"--out {target} is a file: name a folder")
    dates = Dates.asked(time, names_of(layers), place)
    called = Named(str(file), options_of(id_column, lon, lat, time, place, where))
    opened = open_table(file, id_column, lon, lat, named=called, time=dates, where=where)
    own = [each for each in LAYERS if each in getattr(opened.pool, "columns", ())]
    there = [each for each in LAYERS if each in own or (each != "season" and available(each))]
    wanted = list(dict.fromkeys([*layers_for(there), *names_of(layers)]))
    asked = Asked(opened.pool, wanted=wanted, seed=seed, named=opened.named, place=place)
    found = audited(asked, opened.faults)
    for text in found.about["notes"]:
        note(text)
    made = Card(
        found,
        name or file.name.split(".")[0],
        model,
        licence,
        citation,
        address,
        _leakage(opened.pool, test or [], lon, lat),
        shlex.join(["wherefrom", *sys.argv[1:]]),
    )
    for path in made.write(target):
        show(str(path))
    for number, said in made.numbers():
        show(f"{number:>10}  {said}")


def _leakage(pool: AnyPool, tests: list[str], lon: str, lat: str) -> dict[str, Leakage]:
    """Measure the distances of each benchmark's places."""
    from wherefrom.auditing.leakage import tally_for
    from wherefrom.auditing.tally import run
    from wherefrom.pool import open_beside

    named: dict[str, Path] = {}
    for given in tests:
        called, equals, path = given.partition("=")
        file = Path(path) if equals and not Path(given).exists() else Path(given)
        called = called if file != Path(given) else file.name.split(".")[0]
        if called in named:
            raise WherefromError(f"--test: two are called {called!r}: name them NAME=FILE")
        named[called] = file
    opened = {called: open_beside(file, lon, lat) for called, file in named.items()}
    tallies = run(pool, [tally_for(pool, other) for other in opened.values()]) if opened else []
    return {called: tally.result() for called, tally in zip(opened, tallies, strict=True)}
