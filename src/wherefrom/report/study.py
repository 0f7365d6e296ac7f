"""The report of a study: what its stages hold, put into the terms of `wherefrom.report`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import RenderableType

from wherefrom import earth
from wherefrom.compose import Composition
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, sha256_of
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
            "order": [list(study.compositions), list(study.models), list(study.heads)],
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
        model=study.headline.model,
        head=study.headline.head,
        metric=study.headline.metric,
        n=study.n,
        title=study.title,
        citation=study.citation,
        compositions=study.compositions,
        references=study.references,
        margin=study.equivalence_margin,
        maps=dict(_maps(plan, store)) if whole else {},
        stand_ins=list(_stand_ins(plan)),
        sources=list(_sources(plan)) if whole else [],
        settings=_settings(study),
        provenance={
            stage.label: stage.key
            for stage in plan.stages
            if stage.kind in ("pool", "task", "features")
        },
        versions=versions(),
        seconds=store.spent(plan.key) or None,
        command=f"wherefrom study run {study_path} --scale {study.scale}",
        problems=problems(plan, store),
        sweep_region=study.sweep.region if study.sweep else None,
        expected=_expected(study_path),
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


def _layers(plan: Plan) -> list[str]:
    """Return the layers that compositions are drawn by, each once."""
    return list(dict.fromkeys(n for stage in plan.of_kind("draw") for n in stage.spec["layers"]))


def _stand_ins(plan: Plan) -> Iterator[StandIn]:
    study, layers = plan.study, _layers(plan)
    if "sentinel-2-l2a" not in study.imagery.sources:
        monthly = "blue-marble-monthly" in study.imagery.sources
        date = "one date and twelve months" if monthly else "one date"
        sides = {spec.image for spec in study.models.values()}
        window = f"frozen features of a {study.imagery.window_km:g} km window"
        if "cnn" in sides:
            window = "windows" if sides == {"cnn"} else f"{window}, and windows"
        yield StandIn(
            f"Blue Marble, {date}: {window}",
            "Sentinel-2 tiles (13 bands, 2.56 km) through a pre-trained network",
            "78 GB of tiles do not fit laptop time; 8-bit display colours, no infrared",
        )
    for layer, stand_in in study.stood_in.items():
        yield StandIn(
            f"layer {stand_in}",
            f"layer {layer}",
            f"{layer} is not on this machine: wherefrom data fetch, or place it in WHEREFROM_DATA",
        )
    known = study.published
    if "forest" in layers and known.forest:
        yield StandIn(
            "forest of MODIS, IGBP classes 1 to 5 (2019)",
            known.forest,
            "no map is named there; plantations cannot be told apart here",
        )
    if "city_distance" in layers and known.cities:
        yield StandIn("cities of GeoNames", known.cities, "no list is named there")
    seen = {name: spec.pretrain.samples_seen for name, spec in study.models.items()}
    # A budget is a whole number of batches, so it may miss the published one by less than a batch.
    if known.samples_seen and any(
        abs(spec.pretrain.samples_seen - known.samples_seen) >= spec.pretrain.batch
        for spec in study.models.values()
    ):
        yield StandIn(
            "samples seen: " + ", ".join(f"{count:,} ({name})" for name, count in seen.items()),
            f"{known.samples_seen:,} samples seen",
            f"scale {study.scale}",
        )
    if known.composition_size and study.composition_size != known.composition_size:
        yield StandIn(
            f"compositions of {study.composition_size:,} places",
            f"{known.composition_size:,} places",
            f"scale {study.scale}",
        )


def _sources(plan: Plan) -> Iterator[DataSource]:
    study = plan.study
    layers = ["land", study.task.region_layer, study.task.layer, *_layers(plan)]
    found: dict[str, earth.Source] = {}
    for name in dict.fromkeys(layers):
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
