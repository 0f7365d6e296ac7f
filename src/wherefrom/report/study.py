"""The report of a study: what its stages hold, put into the terms of `wherefrom.report`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import RenderableType

from wherefrom.compose import Composition
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, sha256_of
from wherefrom.keys import key_of
from wherefrom.pool import Pool
from wherefrom.report.context import ReportContext
from wherefrom.report.stand_ins import sources, stand_ins
from wherefrom.report.terminal import terminal_table
from wherefrom.report.writing import write as write_page
from wherefrom.study import Plan, Store, Study, collect
from wherefrom.study.results import problems
from wherefrom.study.store import versions

__all__ = ["write"]

NOTICES = {
    "debug": "Scale debug: this run shows that the pipeline works. Its scores mean nothing.",
}
#: Rows of published tables and the compositions that they speak of.
COUNTERPARTS = {
    "World Cities": ["clustered-cities"],
    "balanced": ["uniform", "stratified-continent", "stratified-biome"],
    "zero pre-training": ["none"],
}
#: Published tables whose task may not be at hand, and the task here that is nearest to it.
TASK_COUNTERPARTS = {"CropHarvest": "cropland"}
#: Kinds of models of which a paper says that the first is more sensitive to the composition.
CLAIM = ("satclip", "presto", "arXiv 2501.12535")


def write(
    plan: Plan,
    store: Store,
    out: Path,
    study_path: Path,
    *,
    again: bool = False,
) -> tuple[RenderableType, Path]:
    """Write results table and report of a finished study, unless they are there already.

    Parameters
    ----------
    plan : Plan
        The study's stages.
    store : Store
        Where they are; all few-shot stages must be done.
    out : Path
        Folder of results and report.
    study_path : Path
        The study file or its folder, for the command that repeats the study.
    again : bool
        Write even if nothing changed: no score, nothing in the study file, no published cell.

    Returns
    -------
    table : rich renderable
        The headline table for a terminal.
    page : Path
        The HTML report.

    Raises
    ------
    WherefromError
        If stages are missing, no region could be evaluated, or the disk is full.
    """
    stamp = out / "report.json"
    page = out / "report.html"
    key = _key(plan, _expected(study_path))
    whole = page.is_file() and (out / "results.parquet").is_file()
    fresh = whole and not again and _written_of(stamp) == key
    results = pq.read_table(out / "results.parquet") if fresh else collect(plan, store, out)
    if not len(results):
        raise WherefromError(
            "no region could be evaluated: " + "; ".join(problems(plan, store) or ["no head ran"])
        )
    context = _context(plan, store, study_path, whole=not fresh)
    if not fresh:
        page = write_page(results, context, out)
        with atomic(stamp) as tmp:
            tmp.write_text(json.dumps({"key": key}), encoding="utf-8")
    return terminal_table(results, context), page


def _key(plan: Plan, expected: Path | None) -> str:
    """Hash all that a report depends on: scores, the study's words, their order, and the code."""
    study = plan.study
    return key_of(
        {
            "stages": [stage.key for stage in plan.of_kind("fewshot")],
            "study": study.model_dump(mode="json"),
            "order": [
                list(part) for part in (study.compositions, study.models, study.tasks, study.heads)
            ],
            "expected": sha256_of(expected) if expected else None,
            "wherefrom": versions()["wherefrom"],
        }
    )


def _written_of(stamp: Path) -> str | None:
    """Read of what the report in a folder was written; None if there is none or it is torn."""
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return known.get("key") if isinstance(known, dict) else None


def _expected(study_path: Path) -> Path | None:
    """Return the file of published cells beside a study file, if there is one."""
    folder = study_path if study_path.is_dir() else study_path.parent
    file = folder / "expected.csv"
    return file if file.is_file() else None


def _context(plan: Plan, store: Store, study_path: Path, *, whole: bool) -> ReportContext:
    """Describe a study; without what only the page shows and takes time, unless `whole`."""
    study = plan.study
    return ReportContext(
        study=study.name,
        scale=study.scale,
        headlines=_headlines(study),
        n=study.n,
        claim=_claim(study),
        title=study.title,
        citation=study.citation,
        compositions=study.compositions,
        references=study.references,
        margin=study.equivalence_margin,
        maps=dict(_maps(plan, store)) if whole else {},
        stand_ins=list(stand_ins(plan)),
        sources=list(sources(plan)) if whole else [],
        settings=_settings(study),
        provenance={
            stage.label: stage.key
            for stage in plan.stages
            if stage.kind in ("pool", "task", "series", "features")
        },
        versions=versions(),
        seconds=store.spent(plan.key) or None,
        command=f"wherefrom study run {study_path} --scale {study.scale}",
        problems=problems(plan, store),
        left_out={
            what.replace("tasks.", "task ").replace("baselines.", "baseline "): why
            for what, why in study.left_out.items()
        },
        sweep_region=study.sweep.region if study.sweep else None,
        expected=_expected(study_path),
        counterparts=COUNTERPARTS,
        task_counterparts=TASK_COUNTERPARTS,
        notice=NOTICES.get(study.scale, ""),
    )


def _maps(plan: Plan, store: Store) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield each composition's places, of its first draw."""
    pool: Pool | None = None
    for stage in plan.of_kind("draw"):
        name, draw = stage.label.split()[1:]
        if draw != "0":
            continue
        if pool is None:
            source = stage.inputs["pool"]
            pool = Pool.read(store.folder(source.kind, source.key) / "pool.parquet")
        file = store.folder(stage.kind, stage.key) / "composition.parquet"
        rows = pool.take(Composition.read(file).ids)
        yield name, (pool.lon[rows], pool.lat[rows])


def _headlines(study: Study) -> list[tuple[str, str, str, str]]:
    return [
        (one.model, study.task_label(study.models[one.model].tasks[0]), one.head, one.metric)
        for one in study.headlines
    ]


def _claim(study: Study) -> tuple[str, str, str] | None:
    """Put models of the headlines, one of each kind, in the place of the kinds of the claim."""
    of_kind: dict[str, str] = {}
    for headline in study.headlines:
        of_kind.setdefault(study.models[headline.model].kind, headline.model)
    more, less, source = CLAIM
    return (of_kind[more], of_kind[less], source) if {more, less} <= of_kind.keys() else None


def _pool_origin(study: Study) -> str:
    if study.table is None:
        return "uniform by area on land"
    return study.table.origin or f"from {study.pool.file}"


def _settings(study: Study) -> dict[str, dict[str, object]]:
    sections: dict[str, dict[str, object]] = {
        "pool and compositions": {
            "places in the pool": f"{study.pool_places:,}, {_pool_origin(study)}",
            "places in a composition": f"{study.composition_size:,}",
        }
    }
    for task in study.tasks.values():
        sections[f"task {task.label}"] = dict(task.settings())
    if any(spec.reads_images for spec in study.models.values()):
        sections["images"] = study.imagery.model_dump(exclude={"bytes_per_place"})
    for name, spec in study.models.items():
        axes = {
            "tasks": ", ".join(study.task_label(task) for task in spec.tasks),
            "draws": spec.draws,
            "pre-train seeds": spec.pretrain_seeds,
        }
        fields = {key: value for key, value in spec.settings().items() if key != "pretrain"}
        sections[name] = fields | spec.pretrain.model_dump() | axes
    heads = {name: _words(use.options) or "defaults" for name, use in study.heads.items()}
    sections["heads"] = dict(heads)
    return sections


def _words(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())
