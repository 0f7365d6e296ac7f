"""The report of a study: what its stages hold, put into the terms of `wherefrom.report`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import RenderableType

from wherefrom import earth
from wherefrom.compose import Composition
from wherefrom.files import atomic
from wherefrom.keys import key_of
from wherefrom.pool import Pool
from wherefrom.report.context import DataSource, ReportContext, StandIn
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


def write(
    plan: Plan,
    store: Store,
    out: Path,
    study_path: Path,
    *,
    seconds: float | None = None,
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
    seconds : float, optional
        Wall clock of the run that finished just now.
    again : bool
        Write even if nothing changed.

    Returns
    -------
    table : rich renderable
        The headline table for a terminal.
    page : Path
        The HTML report.

    Raises
    ------
    WherefromError
        If stages are missing or the disk is full.
    """
    stamp = out / "report.json"
    key = key_of([stage.key for stage in plan.of_kind("fewshot")])
    old = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else {}
    page = out / "report.html"
    if seconds is None:
        seconds = old.get("seconds") if old.get("key") == key else None
    elif old.get("partial") is not None:
        seconds += float(old["partial"])
    fresh = old.get("key") == key and page.is_file() and (out / "results.parquet").is_file()
    results = pq.read_table(out / "results.parquet") if fresh else collect(plan, store, out)
    context = _context(plan, store, study_path, seconds, maps=not fresh or again)
    if not fresh or again:
        page = write_page(results, context, out)
        with atomic(stamp) as tmp:
            tmp.write_text(
                json.dumps({"key": key, "seconds": seconds, "written": time.time()}),
                encoding="utf-8",
            )
    return terminal_table(results, context), page


def _context(
    plan: Plan, store: Store, study_path: Path, seconds: float | None, *, maps: bool
) -> ReportContext:
    study = plan.study
    folder = study_path if study_path.is_dir() else study_path.parent
    expected = folder / "expected.csv"
    return ReportContext(
        study=study.name,
        scale=study.scale,
        model=study.headline.model,
        head=study.headline.head,
        metric=study.headline.metric,
        n=study.n,
        title=study.title,
        citation=study.citation,
        compositions=study.compositions,
        references=study.references,
        margin=study.equivalence_margin,
        maps=dict(_maps(plan, store)) if maps else {},
        stand_ins=list(_stand_ins(study)),
        sources=list(_sources(study)),
        settings=_settings(study),
        provenance={stage.kind: stage.key for stage in plan.stages[:3]},
        versions=versions(),
        seconds=seconds,
        command=f"wherefrom study run {study_path} --scale {study.scale}",
        problems=problems(plan, store),
        sweep_region=study.sweep.region if study.sweep else None,
        expected=expected if expected.is_file() else None,
        counterparts=COUNTERPARTS,
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


def _stand_ins(study: Study) -> Iterator[StandIn]:
    if "sentinel-2-l2a" not in study.imagery.sources:
        monthly = "blue-marble-monthly" in study.imagery.sources
        what = "one date and twelve months" if monthly else "one date"
        yield StandIn(
            f"Blue Marble, {what}: frozen features of a {study.imagery.window_km:g} km window",
            "Sentinel-2 tiles (13 bands, 2.56 km) through a pre-trained network",
            "78 GB of tiles do not fit laptop time; 8-bit display colours, no infrared",
        )
    for layer, stand_in in study.stood_in.items():
        yield StandIn(
            f"layer {stand_in}",
            f"layer {layer}",
            f"{layer} is not on this machine: wherefrom data fetch, or place it in WHEREFROM_DATA",
        )
    if study.scale != "paper":
        yield StandIn(
            f"compositions of {study.composition_size:,} places",
            "100,000 places",
            f"scale {study.scale}",
        )


def _sources(study: Study) -> Iterator[DataSource]:
    layers = ["land", "continent", "forest", study.task.layer, "city_distance"]
    found: dict[str, earth.Source] = {}
    for name in layers:
        for source in earth.layer(name).source:
            found[source.name] = source
    for name in study.imagery.sources:
        if name != "sentinel-2-l2a":
            found[name] = earth.source(name)
    for source in found.values():
        yield DataSource(source.title, source.address, source.licence, source.citation)


def _settings(study: Study) -> dict[str, dict[str, object]]:
    sections: dict[str, dict[str, object]] = {
        "pool and compositions": {
            "places in the pool": f"{study.pool.places:,}, uniform by area on land",
            "places in a composition": f"{study.composition_size:,}",
        },
        "task": study.task.model_dump(),
        "images": study.imagery.model_dump(exclude={"bytes_per_place"}),
    }
    for name, spec in study.models.items():
        fields = spec.model_dump(exclude={"pretrain", "gpu_hours_per_run", "kind"})
        sections[name] = fields | spec.pretrain.model_dump()
    heads = {name: _words(use.options) or "defaults" for name, use in study.heads.items()}
    sections["heads"] = dict(heads)
    return sections


def _words(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())
