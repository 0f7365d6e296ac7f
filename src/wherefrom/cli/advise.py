"""``wherefrom advise``: which composition for a target, from finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from wherefrom.errors import WherefromError
from wherefrom.progress import Screen


def advise(
    study: StudyPath,
    scale: Scale = "laptop",
    models: Models = None,
    out: Out = None,
    stages: Stages = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="REGION", help="A region of the task. [default: all regions]"),
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="A table of your places, in place of a region."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="The layer whose labels --places are counted by. [default: the task's regions]",
        ),
    ] = None,
    task: Task = None,
    model: Annotated[
        str | None, typer.Option(help="Model; by default that of the task's first headline.")
    ] = None,
    head: Head = None,
    metric: Metric = None,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Core hours that you could spend on a further run.")
    ] = None,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
) -> None:
    """Say which composition to pre-train on for a region, or for places of yours.

    Ranks the compositions of finished runs with intervals that hold at once,
    says plainly what they cannot tell apart, and which further run would
    decide it for the fewest core hours, as the study's own stages took them.
    Baselines and published weights that are as good as the best composition
    are named. Nothing is trained.

    A region is judged by the numbers of the study's report. For a table of
    places the test places are weighted so that each region (or label of --by)
    counts as it does among yours.

    Writes DIR/advice-TARGET.csv.

    For example:

        wherefrom advise studies/purohit2025 --task cropland --target Africa

        wherefrom advise studies/purohit2025 --task cropland --places mine.csv
            --by biome --hours 2
    """
    from wherefrom.report.advice import advice_table, said, write_advice
    from wherefrom.report.advising import Wanted, advised
    from wherefrom.shown import file_name

    if target is not None and places is not None:
        raise WherefromError("--target and --places: name a region, or a table of places, not both")
    if by is not None and places is None:
        raise WherefromError("--by counts the places of a table: name one (--places)")
    steps, store, folder = _prepare(study, scale, models, out, stages)
    wanted = Wanted(
        target, places, by, id_column, lon, lat, task, model, head, metric, hours
    )  # fmt: skip
    advice, notes = advised(steps, store, study, wanted)
    for line in said(advice):
        show(line)
    Screen().print(advice_table(advice))
    for line in notes:
        note(line)
    name = places.stem if places is not None else advice.region
    file = write_advice(advice, folder / file_name(f"advice-{name}.csv"))
    show(f"rows: {file}")
