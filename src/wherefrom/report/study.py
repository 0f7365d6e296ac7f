"""The report of a study: what its stages hold, put into the terms of `wherefrom.report`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import RenderableType

from wherefrom import earth
from wherefrom.compose import Composition
from wherefrom.errors import WherefromError
from wherefrom.evidence import Headline, PlaceVariance, Units
from wherefrom.evidence.nearness import Nearness, Reader
from wherefrom.evidence.places import sampled
from wherefrom.files import atomic, sha256_of
from wherefrom.gfms.baselines import Baseline, baseline
from wherefrom.keys import key_of
from wherefrom.payload.base import Payload
from wherefrom.pool import Pool
from wherefrom.report.context import (
    Audited,
    DataSource,
    Places,
    ReportContext,
    StandIn,
    evidence_of,
)
from wherefrom.report.exchanged import exchanged
from wherefrom.report.html import write as write_page
from wherefrom.report.terminal import terminal_table
from wherefrom.study import Plan, Stage, Store, Study, collect
from wherefrom.study.audits import audited
from wherefrom.study.built_in import located
from wherefrom.study.fitting import best_baselines, untuned
from wherefrom.study.predictions import saved
from wherefrom.study.results import SCHEMA, problems, unfinished
from wherefrom.study.sizes import BUDGETS, sized
from wherefrom.study.spent import Costs, measured
from wherefrom.study.store import versions
from wherefrom.study.tuned import text_of
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK

__all__ = ["context_of", "judged", "refuse_other", "sources", "stand_ins", "write"]


def write(
    plan: Plan,
    store: Store,
    out: Path,
    study_path: Path,
    *,
    again: bool = False,
) -> tuple[RenderableType, Path]:
    """Write results table and report of a study, unless they are there already.

    A study that was stopped is reported as far as it came, which the report says.

    The study's path is for the command that repeats it. With `again` they are written even if
    nothing changed: no score, nothing in the study file, no published cell.

    Returns
    -------
    table : rich renderable
        The headline table for a terminal.
    page : Path
        The HTML report.

    Raises
    ------
    WherefromError
        If no stage of a headline is finished, no region could be evaluated, or the disk is full.
    """
    stamp = out / "report.json"
    page = out / "report.html"
    lacks = unfinished(plan, store)
    key = _key(plan, _expected(study_path), lacks)
    written = [out / "results.parquet", page]
    of = {"study": plan.study.name, "key": key}
    fresh = not again and _noted(stamp) == of | _hashes(written)
    results = pq.read_table(written[0]) if fresh else collect(plan, store, out)
    if not len(results):
        raise WherefromError(
            "no region could be evaluated: " + "; ".join(problems(plan, store) or ["no head ran"])
        )
    context = context_of(plan, store, study_path, lacks, whole=not fresh, out=out)
    evidence = evidence_of(results, context)
    if not fresh:
        page = write_page(evidence, context, out)
        with atomic(stamp) as tmp:
            tmp.write_text(json.dumps(of | _hashes(written)), encoding="utf-8")
    return terminal_table(evidence, context), page


def refuse_other(study: str, out: Path) -> None:
    """Refuse a folder with the report of another study, whose files would stay beside the new ones.

    Raises
    ------
    WherefromError
        Names that study, and the remedy.
    """
    noted = _noted(out / "report.json")
    there = noted.get("study", study) if isinstance(noted, dict) else study
    if there != study:
        raise WherefromError(
            f"{out} holds the report of study {there!r}: give {study!r} another --out; to share "
            f"finished stages, --store {out / 'store'}"
        )


def judged(plan: Plan, store: Store, out: Path, study_path: Path) -> Headline:
    """Return what the evidence says of a study's first headline, and write the results alone.

    Raises
    ------
    WherefromError
        As `write`.
    """
    context = context_of(plan, store, study_path, unfinished(plan, store), whole=False)
    return context.shown(evidence_of(collect(plan, store, out), context))[0]


def _key(plan: Plan, expected: Path | None, lacks: list[str]) -> str:
    """Hash all that a report depends on: scores, the study's words, their order, and the code."""
    study = plan.study
    return key_of(
        {
            "stages": [stage.key for stage in plan.stages if stage.kind == "fewshot"],
            "unfinished": lacks,
            "columns": SCHEMA.names,
            "study": study.model_dump(mode="json"),
            "order": [
                list(part) for part in (study.compositions, study.models, study.tasks, study.heads)
            ],
            "expected": sha256_of(expected) if expected else None,
            "wherefrom": versions()["wherefrom"],
        }
    )


def _noted(stamp: Path) -> Any:
    """Read of what the report in a folder was written; None if there is none or it is torn."""
    try:
        return json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _hashes(files: list[Path]) -> dict[str, str]:
    """Hash the files that are there, by name."""
    return {file.name: sha256_of(file) for file in files if file.is_file()}


def _expected(study_path: Path) -> Path | None:
    """Return the file of published cells beside a study file, if there is one."""
    path = located(study_path)
    file = (path if path.is_dir() else path.parent) / "expected.csv"
    return file if file.is_file() else None


def context_of(
    plan: Plan,
    store: Store,
    study_path: Path,
    lacks: list[str],
    *,
    whole: bool,
    out: Path | None = None,
) -> ReportContext:
    """Describe a study; without what only the page shows and takes time, unless `whole`.

    `out` is the folder of the run, for the command that repeats it.
    """
    study, known = plan.study, plan.study.repeats
    where, unread = _where(plan, store) if whole else ([], [])
    test_places, fixed = _test_places(plan, store)
    rates, short = exchanged(plan, store)
    # A task that could not be had is in no table.
    labels = {name: task.label for name, task in study.tasks.items()}
    return ReportContext(
        study=study.name,
        scale=study.scale,
        headlines=[
            (one.model, labels[study.models[one.model].tasks[0]], one.head, one.metric)
            for one in study.headlines
        ],
        n=study.n,
        claims=study.claims,
        title=study.title,
        citation=study.citation,
        compositions=study.compositions,
        sizes=_places(plan, store),
        in_words={
            name: chosen.in_words for name, chosen in study.samplers.items() if chosen.in_words
        },
        official=list(study.published),
        blind=[one.name for one in _baselines(study) if one.blind],
        untuned=untuned(plan),
        references=study.references,
        strongest={
            labels[task]: (one.row, one.head) for task, one in best_baselines(study).items()
        },
        controls=study.controls,
        test_places=test_places,
        margin=study.equivalence_margin,
        units={
            task.label: Units(task.units, study.equivalence_margins.get(name))
            for name, task in study.tasks.items()
            if task.units is not None
        },
        origins={
            name: chosen.origin
            for name, chosen in study.samplers.items()
            if chosen.origin is not None
        },
        regions_by={
            task.label: task.regions_by
            for task in study.tasks.values()
            if task.regions_by is not None
        },
        audits={
            name: Audited(study.audits[name].title, values)
            for name, values in audited(plan, store).items()
        },
        correlated=study.correlated,
        exchange=rates,
        maps=dict(_maps(plan, store)) if whole else {},
        where=where,
        stand_ins=list(stand_ins(plan)),
        sources=list(sources(plan)) if whole else [],
        settings=_settings(plan),
        provenance={
            stage.label: stage.key
            for stage in plan.stages
            if stage.kind in ("pool", "task", "payload")
        },
        versions=versions(),
        costs=dict(_costs(plan, store)),
        seconds=store.spent(plan.key) or None,
        command=_command(study, store, study_path, out),
        problems=problems(plan, store) + unread + fixed + short,
        unfinished=lacks,
        left_out={
            what.replace("tasks.", "task ").replace("published.", "published weights "): why
            for what, why in study.left_out.items()
        }
        | study.unmatched,
        classes=_classes(plan, store) if study.sweep else {},
        sweep_region=study.sweep.region if study.sweep else None,
        expected=_expected(study_path),
        rows=known.rows,
        tables={table: labels[name] for table, name in known.tables.items() if name in labels},
        nearest={table: labels[name] for table, name in known.nearest.items() if name in labels},
        audited=known.audits,
        notice=study.notice,
    )


def _command(study: Study, store: Store, study_path: Path, out: Path | None) -> str:
    """Write the command that made a run, for a shell."""
    words = ["wherefrom", "study", "run", str(study_path), "--scale", study.scale]
    words += ["--models", ",".join(study.picked)] if study.picked else []
    if out is not None:
        words += ["--out", str(out)]
        words += ["--store", str(store)] if store.name != Store(out / "store").name else []
    return shlex.join(words)


def _maps(plan: Plan, store: Store) -> Iterator[tuple[str, Places]]:
    """Yield each composition's places, of its first draw."""
    (source,) = plan.of_kind("pool")
    pool = Pool.read(store.sound(source) / "pool.parquet")
    for stage in _drawn(plan, store):
        if stage.axes["draw"] == 0:
            file = store.sound(stage) / "composition.parquet"
            rows = pool.take(Composition.read(file).ids)
            yield stage.axes["composition"], (pool.lon[rows], pool.lat[rows])


def _where(plan: Plan, store: Store) -> tuple[list[Nearness], list[str]]:
    """Say of each headline how near its pre-training places lie to its test places; or why not."""
    study, read = plan.study, Reader(plan, store, plan.study.test_block_km)
    found, unread = [], []
    # Headlines that differ in the metric alone are about the same predictions.
    for model, head in dict.fromkeys((one.model, one.head) for one in study.headlines):
        task = study.tasks[study.models[model].tasks[0]].label
        try:
            near = read.nearness(model, task, study.n, head, study.references[0])
        except WherefromError as err:  # a table less, not a report less
            unread.append(f"distances of {model} on {task}: {err}")
            continue
        found += [near] if near is not None else []
    return found, unread


def _test_places(plan: Plan, store: Store) -> tuple[PlaceVariance | None, list[str]]:
    """Take test places as a sample; where predictions cannot be read they are given, and why."""
    try:
        kept = saved(plan.of_kind("fewshot"), store)
        return sampled(kept, plan.study.test_block_km), []
    except WherefromError as err:
        return None, [f"test places are not counted as a sample: {err}"]


def _classes(plan: Plan, store: Store) -> dict[str, dict[str, tuple[int, float]]]:
    """Count the classes of each task's test places by region, with the entropy of their shares."""
    found: dict[str, dict[str, tuple[int, float]]] = {}
    finished = store.finished(plan.of_kind("task"))
    for stage in plan.of_kind("task"):
        if stage.of.predicts == "classes" and stage.key in finished:
            task = Task.read(store.sound(stage) / TASK)
            for code, region in enumerate(task.regions):
                labels = task.label[task.tested & (task.region == code)]
                share = np.unique(labels, return_counts=True)[1] / max(1, len(labels))
                entropy = float(-(share * np.log(share)).sum())
                found.setdefault(stage.of.label, {})[region] = len(share), entropy
    return found


def _costs(plan: Plan, store: Store) -> Iterator[tuple[tuple[str, str, str], Costs]]:
    """Yield what the store knows of the costs of the headlines."""
    study = plan.study
    for model, head in dict.fromkeys((one.model, one.head) for one in study.headlines):
        task = study.tasks[study.models[model].tasks[0]].label
        if (costs := measured(plan, store, model, task, head)) is not None:
            yield (model, task, head), costs


def _drawn(plan: Plan, store: Store) -> list[Stage]:
    """Return the draws that are there; a study that was stopped lacks some."""
    finished = store.finished(plan.of_kind("draw"))
    return [stage for stage in plan.of_kind("draw") if stage.key in finished]


def _places(plan: Plan, store: Store) -> dict[str, str]:
    """Say how many places each composition has, over its draws; nothing where all have as many."""
    drawn: dict[str, set[int]] = {}
    for stage in _drawn(plan, store):
        if not stage.of.empty:
            file = store.sound(stage) / "composition.parquet"
            drawn.setdefault(stage.axes["composition"], set()).add(Composition.read(file).size)
    if len(set().union(*drawn.values())) < 2:
        return {}
    return {
        name: " to ".join(f"{size:,}" for size in sorted({min(sizes), max(sizes)}))
        for name, sizes in drawn.items()
    }


def _settings(plan: Plan) -> dict[str, dict[str, object]]:
    study = plan.study
    origin = study.table.origin or f"from {study.pool.file}" if study.table else ""
    sections: dict[str, dict[str, object]] = {
        "pool and compositions": {
            "places in the pool": f"{study.pool_places:,}, {origin or 'uniform by area on land'}",
            "places in a composition": f"{study.composition_size:,}"
            + (f", at least {km:g} km from every test place" if (km := study.exclude_km) else ""),
        }
    }
    if study.sizes is not None:
        others = ", ".join(f"{places:,}" for places in sorted(study.sizes.places))
        equal = " and ".join(BUDGETS[budget] for budget in study.sizes.budgets)
        sections["pool and compositions"]["size axis"] = (
            f"{others} places, at {equal}: {', '.join(sized(study))}"
        )
    for task in study.tasks.values():
        numbers = {} if task.units is None else {"numbers in": task.units or "units not stated"}
        tested = {"cross-validation": f"{task.folds} folds"} if task.folds else {}
        sections[f"task {task.label}"] = task.settings() | numbers | tested
    sections |= {
        f"payload {payload.kind}": payload.settings() for payload in _payloads(plan).values()
    }
    for name, spec in study.models.items():
        axes = {
            "tasks": ", ".join(study.tasks[task].label for task in spec.tasks),
            "blocks": spec.blocks,
        }
        fields = {key: value for key, value in spec.settings().items() if key != "pretrain"}
        sections[name] = fields | spec.pretrain.model_dump() | axes
    for name, row in study.published.items():
        tasks = ", ".join(study.tasks[task].label for task in row.tasks or study.tasks)
        sections[name] = row.settings() | {"what": row.first_line(), "tasks": tasks}
    sections["heads"] = {name: _options(study, name) for name in study.heads}
    return sections


def _options(study: Study, head: str) -> str:
    """Write the options of a head, and of the rows with others those that were chosen for them."""
    rows: dict[str, list[str]] = {}
    for one in study.tuned.choices:
        if one.head == head:
            rows.setdefault(text_of(one.options), []).append(f"{one.row} on {one.task}")
    chosen = "".join(f"; {text}: {', '.join(names)}" for text, names in rows.items())
    return text_of(study.heads[head].options) + chosen


def stand_ins(plan: Plan) -> Iterator[StandIn]:
    """Yield what stands for something else in a study, inputs first and sizes last.

    What a thing stands for and why is the study file's to say (`Study.stands_for`); what it is
    says its own title, where the study file does not.
    """
    study, declared = plan.study, plan.study.stands_for
    catalog = earth.sources()
    for name in _data(plan):
        if (known := declared.data.get(name)) is not None:
            title = catalog[name].title if name in catalog else name
            yield StandIn(known.called or title, known.stands_for, known.why)
    series = [one for one in _payloads(plan).values() if one.modality == "series"]
    if declared.series and (layers := [name for one in series for name in one.layers()]):
        called = declared.series.called or ", ".join(layers)
        yield StandIn(called, declared.series.stands_for, declared.series.why)
    for name, task in study.tasks.items():
        if (known := declared.tasks.get(name)) is not None:
            yield StandIn(known.called or f"task {task.label}", known.stands_for, known.why)
    for layer, stand_in in study.stood_in.items():
        yield StandIn(
            f"layer {stand_in}",
            f"layer {layer}",
            f"{layer} is not on this machine: wherefrom data fetch, or place it in WHEREFROM_DATA",
        )
    drawn_by = {name: f"layer {name}" for name in _layers(plan, "draw")}
    read = [*_sources_of(*drawn_by), *map(earth.source, _layers(plan, "draw", what="sources"))]
    drawn_by |= {source.name: source.title for source in read}
    for name, title in drawn_by.items():
        if (known := declared.data.get(name)) is not None:
            yield StandIn(known.called or title, known.stands_for, known.why)
    yield from _sizes(study)


def _sizes(study: Study) -> Iterator[StandIn]:
    known, why = study.repeats, f"scale {study.scale}"
    for name, spec in study.models.items():
        wanted = known.samples_seen.get(spec.kind)
        # A budget is a whole number of batches, so it may miss the published one by less than one.
        if wanted and abs(spec.pretrain.samples_seen - wanted) >= spec.pretrain.batch:
            seen = f"{spec.pretrain.samples_seen:,} samples seen ({name})"
            yield StandIn(seen, f"{wanted:,} samples seen", why)
    kinds = {spec.kind for spec in study.models.values()}
    sizes = {k: n for k, n in known.composition_size.items() if k in kinds}
    if any(size != study.composition_size for size in sizes.values()):
        theirs = ", ".join(f"{size:,} ({kind})" for kind, size in sizes.items())
        yield StandIn(f"compositions of {study.composition_size:,} places", theirs, why)


def sources(plan: Plan) -> Iterator[DataSource]:
    """Yield the sources of all data of a study, each once."""
    named = _data(plan) + [name for row in plan.study.published.values() for name in row.sources]
    layers = [name for one in _payloads(plan).values() for name in one.layers()]
    known = [
        *_sources_of("land", *_layers(plan, "task", "pretrain", "draw", "audit"), *layers),
        *map(earth.source, [*_layers(plan, "task", "draw", what="sources"), *named]),
    ]
    for source in {source.name: source for source in known}.values():
        yield DataSource(source.title, source.address, source.licence, source.citation)


def _layers(plan: Plan, *kinds: str, what: str = "layers") -> list[str]:
    """Return the layers (or sources) that stages of some kinds are made by, each once."""
    stages = [stage for kind in kinds for stage in plan.of_kind(kind)]
    return list(dict.fromkeys(name for stage in stages for name in stage.spec.get(what, ())))


def _baselines(study: Study) -> list[Baseline]:
    return [baseline(name) for task in study.tasks.values() for name in task.baselines]


def _payloads(plan: Plan) -> dict[str, Payload]:
    """Return the payloads that a study reads, each once."""
    read = [one for stage in plan.of_kind("pretrain") for one in stage.payloads]
    read += [stage.of for stage in plan.of_kind("payload")]
    return {key_of(one.settings()): one for one in read}


def _data(plan: Plan) -> list[str]:
    """Return the catalog's sources that payloads read, each once."""
    return list(dict.fromkeys(name for one in _payloads(plan).values() for name in one.sources))


def _sources_of(*layers: str) -> list[earth.Source]:
    return [source for name in layers for source in earth.layer(name).source]
