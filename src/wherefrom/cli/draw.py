"""``wherefrom draw``: draw a composition from a pool, with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wherefrom.cli.output import check_out
from wherefrom.cli.pool import IdColumn, LatColumn, LonColumn
from wherefrom.progress import console

__all__ = ["draw"]

STRATA_SHOWN = 40


def draw(
    file: Annotated[Path, typer.Argument(metavar="POOL", help="Parquet, GeoParquet or CSV.")],
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
) -> None:
    """Draw a pre-training composition from a pool.

    Writes ids, multiplicities and inclusion probabilities to OUT, counts to
    OUT.card.json and a world map to OUT.card.png, and prints the counts.

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

    ids:file=mine.parquet: your own list

    For example:

        wherefrom draw pool.parquet --sampler uniform -n 10000 --out u.parquet

        wherefrom draw pool.parquet --sampler "stratified:layer=biome,short=cap"
            -n 10000 --seed 3 --out biome.parquet

        wherefrom draw tiles.csv --lon x --lat y -n 500 --out crop.parquet
            --sampler "only:layer=use,label=crop"
    """
    from wherefrom import compose
    from wherefrom.compose.card import write_card
    from wherefrom.pool import Pool

    chosen = compose.sampler(sampler_spec)
    inputs = {"the pool": file}
    if isinstance(chosen, compose.Ids):
        inputs["the list of ids"] = Path(chosen.file)
    check_out(out, "a composition", inputs)
    pool = Pool.read(file, id_column, lon, lat)
    composition = compose.draw(pool, chosen, n, seed)
    composition.write(out)
    for note in (*pool.notes, *write_card(composition, pool, out)):
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    typer.echo(compose.spec_text(chosen.spec()))
    for line in _summary(composition.provenance):
        typer.echo(line)
    typer.echo(f"{out}: {composition.size:,} places, key {composition.key}")


def _summary(provenance: dict[str, Any]) -> list[str]:
    """Lay out the counts per stratum, and what deviates from the plan."""
    lines = []
    strata = provenance.get("strata", [])
    if strata:
        width = max(len("stratum"), *(len(s["label"]) for s in strata))
        lines.append(f"{'stratum':{width}}  {'in pool':>10}  {'asked':>10}  {'drawn':>10}")
        lines += [
            f"{s['label']:{width}}  {s['pool']:>10,}  {s['asked']:>10,.1f}  {s['drawn']:>10,}"
            + ("  too few" if s["pool"] < s["asked"] else "")
            for s in strata[:STRATA_SHOWN]
        ]
        if len(strata) > STRATA_SHOWN:
            lines.append(f"... and {len(strata) - STRATA_SHOWN} strata more, in the card")
    for key, text in (
        ("without_label", "places of the pool have no label and were not drawn"),
        ("cells", "equal-area cells have places"),
        ("seeds", "seeds"),
        ("candidates", "candidates"),
    ):
        if provenance.get(key):
            lines.append(f"{provenance[key]:,} {text}")
    empty = provenance.get("labels_without_place")
    if empty:
        lines.append(f"no place of the pool has the label: {', '.join(empty)}")
    return lines
