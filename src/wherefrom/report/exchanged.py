"""The size axis of a study, put into the terms of `wherefrom.evidence.exchange`."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from wherefrom.errors import WherefromError
from wherefrom.evidence import INITIAL, PlaceVariance, View
from wherefrom.evidence.exchange import Exchange, exchange
from wherefrom.evidence.places import sampled
from wherefrom.evidence.sizes import ITSELF, tables_of
from wherefrom.study import Plan, Store
from wherefrom.study.predictions import Saved, saved
from wherefrom.study.results import at_sizes, scored_at
from wherefrom.study.sizes import Size

__all__ = ["exchanged"]


def exchanged(plan: Plan, store: Store) -> tuple[dict[View, Exchange], list[str]]:
    """Judge the sizes of each headline; and say which draws have fewer places than asked for."""
    study, made = plan.study, dict[View, Exchange]()
    table = at_sizes(plan, store)
    if not len(table):
        return made, []
    drawn = table.group_by(["composition", "size"]).aggregate([("drawn", "min")]).to_pylist()
    short = {
        (one["composition"], one["size"]): one["drawn_min"]
        for one in drawn
        if one["drawn_min"] < one["size"]
    }
    reference = study.references[0], study.composition_size
    end = {reference: "without this reference there is no rate"}
    said = [
        f"{name} at {size:,} places: only {count:,} different ones were drawn; "
        + end.get((name, size), "the size is left out")
        for (name, size), count in short.items()
    ]
    asked = zip(table["composition"].to_pylist(), table["size"].to_pylist(), strict=True)
    table = table.filter(pa.array([one not in short for one in asked]))
    for one in study.headlines:
        task = study.tasks[study.models[one.model].tasks[0]].label
        view = View(one.model, task, study.n, one.head, one.metric)
        places, fixed = _tested_at(plan, store, view)
        said += [line for line in fixed if line not in said]
        about = view, *reference
        if found := exchange(tables_of(table, *about, places), *about):
            made[view] = found
    return made, said


def _tested_at(plan: Plan, store: Store, view: View) -> tuple[dict[Size, PlaceVariance], list[str]]:
    """Take the test places of each size as a sample, with the reference at its own beside it."""
    study = plan.study
    reference, own = study.references[0], study.composition_size
    groups: dict[Size, list[Saved]] = {}
    first: dict[str, list[Saved]] = {}
    for size, stage in scored_at(plan, store):
        if (stage.axes["model"], stage.axes["head"]) != (view.model, view.head):
            continue
        (one,) = saved([stage], store)
        if size.places in (0, own):
            first.setdefault(size.budget, []).append(one)
        else:
            called = ITSELF if one.composition == reference else one.composition
            groups.setdefault(size, []).append(replace(one, composition=called))
    same = next(iter(first.values()), [])
    beside = [one for one in same if one.composition in (reference, INITIAL)]
    groups = {Size(own): same} | {size: [*beside, *some] for size, some in groups.items()}
    try:
        return {
            size: sampled(some, study.test_block_km, [view.metric]) for size, some in groups.items()
        }, []
    except WherefromError as err:
        return {}, [f"test places of other sizes are not counted as a sample: {err}"]
