"""What advice on a target is made from: a study's finished runs, and the evidence of one view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from wherefrom.errors import WherefromError, unknown
from wherefrom.evidence.advice import Advice, advise
from wherefrom.evidence.aimed import Aimed, aimed, shares_of
from wherefrom.evidence.cut import REGION, cut_by
from wherefrom.evidence.scores import View
from wherefrom.pool import Pool
from wherefrom.report.context import evidence_of, is_untuned
from wherefrom.report.study import context_of
from wherefrom.study import Plan, Store
from wherefrom.study.fitting import best_baselines
from wherefrom.study.predictions import Asked, asked, saved
from wherefrom.study.results import joined, unfinished
from wherefrom.study.spent import measured

__all__ = ["Targeted", "Wanted", "advised"]


class Wanted(NamedTuple):
    """What is asked for; what is None is as the study's first headline about the task has it.

    A target is a region, or a table of places with its columns of longitude and latitude; by
    default all regions. `by` is the layer whose labels the places are counted by.
    """

    target: str | None = None
    places: Path | None = None
    by: str | None = None
    id: str | None = None
    lon: str = "lon"
    lat: str = "lat"
    task: str | None = None
    model: str | None = None
    head: str | None = None
    metric: str | None = None
    hours: float | None = None


class Targeted(NamedTuple):
    """Advice, which test places it is about, and what it leaves out."""

    advice: Advice
    notes: list[str]


def advised(plan: Plan, store: Store, study_path: Path, wanted: Wanted) -> Targeted:
    """Advise on a target from the runs of a study that are finished.

    A region is judged by the very numbers of the study's report. For a table of places the test
    places are weighted as these lie, and the rows compared anew, as one family.

    Raises
    ------
    WherefromError
        If a name is unknown, the study has several tasks and none is named, no place lies where
        there are test places, there is a single block, or nothing is finished.
    """
    chosen = asked(plan, wanted.task, None, wanted.head, wanted.metric)
    model = _model(plan, chosen.task, wanted.model)
    lacks = unfinished(plan, store)
    context = context_of(plan, store, study_path, lacks, whole=False)
    notes = [f"not finished: {line}" for line in lacks if line.startswith(f"{model}: ")]
    view = View(model, chosen.task, chosen.n, chosen.head, chosen.metric)
    if wanted.places is None:
        results = joined(plan, store)
        results = results.filter(
            pc.and_(pc.equal(results["task"], view.task), pc.equal(results["n"], view.n))
        )
        metrics = pc.unique(results["metric"]).to_pylist()
        if view.metric not in metrics:
            raise unknown(f"metric of task {view.task}", view.metric, metrics)
        keep = pc.equal(results["metric"], view.metric)
        # Other heads are other families; baselines with others may be the task's strongest.
        own = pc.or_(pc.equal(results["head"], view.head), pc.equal(results["composition"], ""))
        results, region = results.filter(pc.and_(keep, own)), wanted.target or ""
    else:
        made, told = _aimed(plan, store, chosen, wanted, wanted.places)
        results, region = made.results, made.region
        notes += told + made.left_out
        context = replace(context, test_places=made)
    context = replace(context, headlines=[(model, view.task, view.head, view.metric)], n=view.n)
    (headline,) = context.shown(evidence_of(results, context))
    costs = measured(plan, store, model, view.task, view.head)
    if wanted.places is not None and costs is not None:
        costs = replace(costs, growth=0.0)  # more places would lie where the study tests
    rows = [row.label for row in headline.rows]
    advice = advise(
        headline,
        region or headline.region,
        costs=costs,
        hours=wanted.hours,
        untuned=[row for row in rows if is_untuned(headline, row, context.untuned)],
    )
    return Targeted(advice, notes)


def _model(plan: Plan, task: str, model: str | None) -> str:
    """Choose a model that is evaluated on a task: that of the first headline, or the first."""
    study = plan.study
    (name,) = (name for name, one in study.tasks.items() if one.label == task)
    known = [own for own, spec in study.models.items() if name in spec.tasks]
    if model is not None:
        if model not in known:
            raise unknown(f"model on task {task}", model, known)
        return model
    first = (one.model for one in study.headlines if study.models[one.model].tasks[0] == name)
    return next(first, known[0])


def _aimed(
    plan: Plan, store: Store, chosen: Asked, wanted: Wanted, file: Path
) -> tuple[Aimed, list[str]]:
    """Weight the test places of a task as the places of a user's table lie."""
    study = plan.study
    (name,) = (name for name, one in study.tasks.items() if one.label == chosen.task)
    layer = wanted.by or study.tasks[name].regions_by
    if layer is None:
        raise WherefromError(
            f"the regions of task {chosen.task} are of a column, which says nothing of other "
            "places: name a layer to count yours by (--by, such as continent or biome)"
        )
    stages = list(chosen.stages)
    if best := best_baselines(study).get(name):
        axes = chosen.task, "", best.row, best.head
        of = ("task", "composition", "model", "head")
        stages += [
            stage
            for stage in plan.of_kind("fewshot")
            if tuple(stage.axes[axis] for axis in of) == axes
            and stage.spec["regions"] is None
            and chosen.n in stage.spec["n"]
            and stage not in stages
        ]
    predictions = saved(stages, store)
    places = Pool.read(file, wanted.id, wanted.lon, wanted.lat)
    cut = cut_by(predictions[0].places, wanted.by or REGION)
    target, told = shares_of(places.lon, places.lat, file.name, cut, layer)
    about = predictions, chosen.n, chosen.metric, cut, target
    return aimed(*about, block_km=study.test_block_km), told
