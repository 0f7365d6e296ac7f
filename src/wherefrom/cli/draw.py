"""``wherefrom draw``: draw a composition from a pool, with its card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wherefrom.cli.output import check_out, note, show
from wherefrom.cli.pool import (
    CellColumn,
    Cluster,
    GeometryColumn,
    GridKind,
    IdColumn,
    LatColumn,
    LonColumn,
    TimeColumn,
    WhereCondition,
)
from wherefrom.errors import WherefromError
from wherefrom.shown import count_of, line

if TYPE_CHECKING:
    from wherefrom.compose.exclusion import Exclusion

__all__ = ["draw"]

STRATA_SHOWN = 40


def draw(
    file: Annotated[
        Path,
        typer.Argument(metavar="POOL", help="Parquet, GeoParquet, CSV, or a folder of Parquet."),
    ],
    sampler_spec: Annotated[
        str, typer.Option("--sampler", metavar="SPEC", help="A name and flags, as above.")
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write; the card goes beside it.")],
    n: Annotated[
        int | None, typer.Option("-n", help="Places to draw; none and ids:file= need no number.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
    geometry: GeometryColumn = None,
    grid: GridKind = None,
    cell: CellColumn = None,
    time: TimeColumn = None,
    where: WhereCondition = None,
    cluster: Cluster = None,
    away_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A task or table of places to keep away from."),
    ] = None,
    exclude_km: Annotated[
        float | None,
        typer.Option(help="Draw only places at least so far from those of --away-from."),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Places, footprints, polygons or a task: none in or near them is drawn. Repeat "
            "it for several.",
        ),
    ] = None,
    buffer_km: Annotated[
        float | None,
        typer.Option(help="How near to those of --exclude; for polygons by default 0: in them."),
    ] = None,
    places: Annotated[
        bool, typer.Option("--places", help="Write the drawn places themselves, as a pool.")
    ] = False,
) -> None:
    """Draw a pre-training composition from a pool of any size.

    Writes ids, multiplicities and inclusion probabilities to OUT, counts to
    OUT.card.json and a world map to OUT.card.png, and prints the counts.
    With --places OUT is a pool of the drawn places with all their columns,
    to draw from again, and there is no card.

    A sampler is a name and flags. LAYER is a layer of the Earth (continent,
    country, land_cover, forest, climate_zone, biome, ecoregion) or a column
    of the pool. short= says what to do with a stratum that has too few
    places: error (the default), cap (draw fewer in all), redistribute (the
    other strata give more), repeat (take places more than once).

    none: zero pre-training

    uniform: every place is equally likely

    uniform-area[:cell_km=200]: inverse density on equal-area cells

    stratified:layer=LAYER[,short=...]: as many places from each label

    stratified:layer=LAYER,allocation=proportional: as the pool's shares

    stratified:layer=continent,weights=Africa:2;Asia:1: by your own weights

    clustered:around=cities[,min_population=100000,radius_km=50,clusters=...]:
    near cities, by default all of that size

    clustered:around=forest[,clusters=500,radius_km=100]: forest near random
    forest places

    only:layer=continent,label=Europe: one label alone

    balanced:over=continent+biome[,short=...]: as many places from each
    combination of labels

    match:target=land,over=continent+biome[,short=...]: the shares of the
    land's area, or of another pool or composition (target=FILE)

    grid[:spacing_km=100]: a grid of equal distances

    spread: as far from each other as can be (in memory)

    kmeans:over=elevation+slope: nearest to the centres of n clusters of
    numeric layers or columns (in memory)

    gaussian-cities[:cities=10000,sigma_km=50]: scattered about large cities

    entropy[:column=spectral_entropy,top=0.1]: in proportion to a column of
    numbers, or from its highest share

    entropy-matched:layer=continent,label=Africa,other=Europe: the spectral
    entropy that two regions share, from one of them

    geography-matched:of=regions,layer=continent,label=Africa,other=Europe,
    over=biome+land_cover: the mix of biomes and land cover that two regions
    share, from one of them; of=halves,half=high,over=...: from the half of
    higher or lower entropy

    mixture:parts=0.7*uniform+0.3*clustered:around=cities;radius_km=20:
    several at once, by weight

    ids:file=mine.parquet: your own list

    A label that holds ,word= (or ; among weights) goes between double quotes,
    as in JSON: 'stratified:layer=use,weights="corn;maize":2;rye:1'

    For example:

        wherefrom draw pool.parquet --sampler uniform -n 10000 --out u.parquet

        wherefrom draw pool.parquet --sampler "stratified:layer=biome,short=cap"
            -n 10000 --seed 3 --out biome.parquet

        wherefrom draw tiles.csv --lon x --lat y -n 500 --out crop.parquet
            --sampler "only:layer=use,label=crop"

        wherefrom draw world --sampler "stratified:layer=biome" -n 1000000
            --out million.parquet --cluster auto

        wherefrom draw pool.parquet --sampler uniform -n 10000 --out apart.parquet
            --exclude tests.parquet --exclude fields.geojson --buffer-km 10
    """
    from wherefrom import compose
    from wherefrom.compose.card import write_card
    from wherefrom.compose.composition import drawn_places
    from wherefrom.compose.exclusion import drawn_apart
    from wherefrom.pool import open_pool
    from wherefrom.pool.seasons import Dates

    chosen = compose.sampler(sampler_spec)
    inputs = chosen.inputs()
    read = {f"the sampler's input {name}": Path(name) for name in inputs.files}
    read |= {f"--exclude {path}": path for path in exclude or ()}
    check_out(out, "a pool" if places else "a composition", {"the pool": file} | read)
    exclusions = _exclusions(away_from, exclude_km, exclude, buffer_km, (lon, lat))
    dates = Dates.asked(time, inputs.layers)
    pool = open_pool(file, id_column, lon, lat, time=dates, where=where)
    if exclusions:
        composition = drawn_apart(pool, chosen, n, seed, exclusions)
    else:
        composition = compose.drawn(pool, chosen, n, seed)
    notes = list(pool.notes)
    made = f"{count_of(composition.size, 'place')}, key {composition.key}"
    if places:
        drawn = drawn_places(composition, pool)
        drawn.write(out)
        made = f"a pool of {count_of(len(drawn), 'place')}, key {drawn.key}"
    else:
        composition.write(out)
        notes += write_card(composition, pool, out)
    for text in notes:
        note(text)
    show(compose.spec_text(chosen.spec() | {"name": compose.called(chosen)}))
    for text in _summary(composition.provenance):
        show(text)
    show(f"{out}: {made}")


def _exclusions(
    away_from: Path | None,
    exclude_km: float | None,
    exclude: list[Path] | None,
    buffer_km: float | None,
    names: tuple[str, str],
) -> list[Exclusion]:
    """Open the files of places that none may be drawn near."""
    from wherefrom.compose.exclusion import Exclusion
    from wherefrom.frames import exclusions, places_beside

    if (away_from is None) != (exclude_km is None):
        lacks = "--exclude-km" if exclude_km is None else "--away-from"
        raise WherefromError(f"{lacks} is missing: places are kept a distance away from a file's")
    found = exclusions(exclude, buffer_km, names)
    if away_from is not None:
        others = places_beside(away_from, names)
        apart = Exclusion.of(others, exclude_km, str(away_from) if exclude else "")
        found.append(replace(apart, at_least=True))
    return found


def _summary(provenance: dict[str, Any]) -> list[str]:
    """Lay out the counts per stratum, and what deviates from the plan."""
    lines = []
    strata = provenance.get("strata", [])
    if strata:
        shown = [line(s["label"]) for s in strata[:STRATA_SHOWN]]
        width = max(len("stratum"), *map(len, shown))
        lines.append(f"{'stratum':{width}}  {'in pool':>10}  {'asked':>10}  {'drawn':>10}")
        lines += [
            f"{label:{width}}  {s['pool']:>10,}  {s['asked']:>10,.1f}  {s['drawn']:>10,}"
            + ("  too few" if s["pool"] < s["asked"] else "")
            for label, s in zip(shown, strata, strict=False)
        ]
        if len(strata) > STRATA_SHOWN:
            lines.append(f"... and {len(strata) - STRATA_SHOWN} strata more, in the card")
    for key, text in (
        ("strata_not_listed", "strata, too many to list"),
        ("without_label", "places of the pool have no label and were not drawn"),
        ("cells", "equal-area cells have places"),
        ("grid_cells", "cells of the grid have places"),
        ("seeds", "seeds"),
        ("candidates", "candidates"),
    ):
        if provenance.get(key):
            lines.append(f"{provenance[key]:,} {text}")
    empty = provenance.get("labels_without_place")
    if empty:
        lines.append(f"no place of the pool has the label: {', '.join(map(line, empty))}")
    if far := provenance.get("excluded"):
        said = (
            [(f"nearer than {far['km']:g} km to one of {count_of(far['away_from'], 'place')}", far)]
            if "km" in far
            else [(each["said"], each) for each in far["by"]]
        )
        lines += [
            f"excluded, since {why}: {count_of(each['candidates'], 'candidate')}"
            for why, each in said
        ]
        if len(said) > 1:
            lines.append(f"excluded in all: {count_of(far['candidates'], 'candidate')}")
    return lines + [f"note: {remark}" for remark in provenance.get("remarks", [])]
