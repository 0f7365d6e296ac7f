"""``wherefrom results``: look at a finished study's results in other ways."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wherefrom.cli.output import note, show
from wherefrom.cli.pool import IdColumn, LatColumn, LonColumn
from wherefrom.cli.study import (
    Head,
    Metric,
    Models,
    Out,
    Scale,
    Stages,
    StudyPath,
    Task,
    _prepare,
)
from wherefrom.progress import Screen

app = typer.Typer(no_args_is_help=True, help="Look at the results of a finished study anew.")

#: Labels that are said to be left out, of many.
TOLD = 12


@app.command(
    "recut",
    epilog="Example: wherefrom results recut studies/purohit2025 --task cropland --by biome",
)
def recut_(
    study: StudyPath,
    by: Annotated[
        str,
        typer.Option(
            metavar="LAYER",
            help="A categorical layer (wherefrom list layers), region for the study's own regions, "
            "or a column of --table.",
        ),
    ],
    scale: Scale = "laptop",
    models: Models = None,
    out: Out = None,
    stages: Stages = None,
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="land|people|FILE",
            help="Weight the test places to the shares of the labels: of the land's area, of "
            "people, or of a CSV file with the columns label and share.",
        ),
    ] = None,
    task: Task = None,
    n: Annotated[
        int | None,
        typer.Option("-n", "--n", min=2, help="Labelled places; by default as in the headlines."),
    ] = None,
    head: Head = None,
    metric: Metric = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="ROW",
            help="A composition or baseline to subtract from each row, at the same places.",
        ),
    ] = "",
    fewest: Annotated[
        int, typer.Option(min=2, help="Labels with fewer test places are left out, and named.")
    ] = 30,
    block_km: Annotated[
        float | None,
        typer.Option(
            help="Speak of land not yet seen: draw blocks of so many kilometres, not places."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Your table of places, whose column --by names; matched by id or place."),
    ] = None,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
) -> None:
    """Cut scores by any layer, or weight them to any shares, without training anything again.

    The predictions at every test place are kept by a study. Here they are
    scored anew: at the test places of each label of a layer, or with test
    places weighted so that each label counts as it does on land, among people
    or in your own table. Intervals count blocks, few-shot episodes and test
    places. Labels with too few test places, or of a single class, are named
    and left out. All rows are tested at the same places, so that a difference
    (--against) is much surer than its two scores.

    By default a score is about this map: other places of the same land. With
    --block-km it is about land not yet seen: choose blocks several times as
    wide as neighbours are alike, such as 500 to 1000.

    Writes DIR/recut-LAYER.csv and .parquet (with --for recut-LAYER-TARGET),
    one line for each row of the results and label.

    For example:

        wherefrom results recut studies/purohit2025 --by climate_zone
            --task ecoregions-biome --against uniform

        wherefrom results recut studies/purohit2025 --by biome --for land
            --task ecoregions-biome --block-km 1000

        wherefrom results recut studies/purohit2025 --by crop_zone
            --table fields.csv --task cropland --head knn --metric accuracy
    """
    from wherefrom.evidence import cut as cuts
    from wherefrom.evidence.places import population
    from wherefrom.evidence.recut import recut, weighted
    from wherefrom.evidence.recut_rows import RARE
    from wherefrom.report.recut import recut_table, write_recut
    from wherefrom.shown import file_name
    from wherefrom.study.predictions import asked, saved

    steps, store, folder = _prepare(study, scale, models, out, stages)
    chosen = asked(steps, task, n, head, metric)
    predictions = saved(chosen.stages, store)
    places = predictions[0].places
    if table is None:
        cut = cuts.cut_by(places, by)
    else:
        cut = cuts.cut_by_column(places, table, by, id_column, lon, lat)
    name, what = f"recut-{by}", f"by {by}"
    about = predictions, chosen.n, chosen.metric, cut
    options: dict[str, Any] = {"fewest": fewest, "block_km": block_km, "against": against}
    if for_ is None:
        rows, left_out = recut(*about, **options)
    else:
        shares = cuts.target(for_, cut)
        rows, left_out = weighted(*about, shares, **options)
        name += f"-{Path(shares.name).stem}"
        what = f"weighted by {by} to {shares.about}"
    files = write_recut(rows, folder / file_name(name))
    show(f"{chosen.metric} on {chosen.task}, {chosen.head} head, n = {chosen.n}, {what}")
    show(f"about {population(block_km)}")
    Screen().print(recut_table(rows))
    if missing := len(chosen.stages) - len(predictions):
        note(f"{missing} of {len(chosen.stages)} few-shot stages are not finished, and not in it")
    rare = list(dict.fromkeys(row.label for row in rows if row.note == RARE))
    if rare:
        more = f" and {len(rare) - TOLD} more" if len(rare) > TOLD else ""
        note(f"{', '.join(rare[:TOLD])}{more}: {RARE}, not of differences")
    for line in left_out[:TOLD]:
        note(line)
    if len(left_out) > TOLD:
        note(f"and {len(left_out) - TOLD} more that are left out")
    show(f"rows: {' and '.join(map(str, files))}")
