"""What a study used in the place of what it repeats, and where its data come from."""

from __future__ import annotations

from collections.abc import Iterator

from wherefrom import earth
from wherefrom.pool.series.earth import SERIES_LAYERS
from wherefrom.report.context import DataSource, StandIn
from wherefrom.study import Plan, Study

__all__ = ["sources", "stand_ins"]


def stand_ins(plan: Plan) -> Iterator[StandIn]:
    """Yield what stands for something else in a study, inputs first and sizes last.

    Examples
    --------
    >>> from wherefrom.study import load, plan
    >>> found = list(stand_ins(plan(load("studies/purohit2025", "debug"))))
    >>> found[0].stands_for
    'Sentinel-2 tiles (13 bands, 2.56 km) through a pre-trained network'
    """
    study = plan.study
    yield from _images(study)
    yield from _series(study)
    yield from _tasks(study)
    layers = _layers(plan)
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
    yield from _sizes(study)


def _images(study: Study) -> Iterator[StandIn]:
    sides = {getattr(spec, "image", None) for spec in study.models.values() if spec.reads_images}
    if not sides or "sentinel-2-l2a" in study.imagery.sources:
        return
    monthly = "blue-marble-monthly" in study.imagery.sources
    date = "one date and twelve months" if monthly else "one date"
    window = f"frozen features of a {study.imagery.window_km:g} km window"
    if "cnn" in sides:
        window = "windows" if sides == {"cnn"} else f"{window}, and windows"
    yield StandIn(
        f"Blue Marble, {date}: {window}",
        "Sentinel-2 tiles (13 bands, 2.56 km) through a pre-trained network",
        "78 GB of tiles do not fit laptop time; 8-bit display colours, no infrared",
    )


def _series(study: Study) -> Iterator[StandIn]:
    if any("Sentinel-1" in what for what in study.missing):
        return
    if any(spec.reads_series for spec in study.models.values()):
        yield StandIn(
            "twelve months of the ERA5 climatology 2000 to 2025 (0.25 degrees), altitude and slope "
            "at 9 km, and, in pre-training alone, MODIS land cover as Dynamic World classes",
            "series of Sentinel-1 and Sentinel-2 (10 m) with ERA5, SRTM and Dynamic World",
            "no Sentinel series of the drawn places is on this machine; the channel groups of "
            "Sentinel and NDVI are absent",
        )


def _tasks(study: Study) -> Iterator[StandIn]:
    cropland = any(
        study.tasks[study.models[headline.model].tasks[0]].kind == "cropland"
        for headline in study.headlines
    )
    if cropland:
        there = any(task.kind == "cropharvest" for task in study.tasks.values())
        yield StandIn(
            "cropland or not by MODIS land cover (IGBP classes 12 and 14, 0.05 degrees)",
            "crop or not by CropHarvest's labels",
            "CropHarvest is a task beside it; the headline is about places drawn like those of "
            "the other tasks"
            if there
            else "CropHarvest is not on this machine",
        )


def _sizes(study: Study) -> Iterator[StandIn]:
    known = study.published
    for name, spec in study.models.items():
        wanted = known.samples_seen.get(spec.kind)
        # A budget is a whole number of batches, so it may miss the published one by less than one.
        if wanted and abs(spec.pretrain.samples_seen - wanted) >= spec.pretrain.batch:
            yield StandIn(
                f"{spec.pretrain.samples_seen:,} samples seen ({name})",
                f"{wanted:,} samples seen",
                f"scale {study.scale}",
            )
    kinds = {spec.kind for spec in study.models.values()}
    sizes = {k: n for k, n in known.composition_size.items() if k in kinds}
    if any(size != study.composition_size for size in sizes.values()):
        yield StandIn(
            f"compositions of {study.composition_size:,} places",
            ", ".join(f"{size:,} ({kind})" for kind, size in sizes.items()),
            f"scale {study.scale}",
        )


def sources(plan: Plan) -> Iterator[DataSource]:
    """Yield the sources of all data of a study, each once."""
    study = plan.study
    layers = ["land", *(name for task in study.tasks.values() for name in task.layers)]
    if any(stage.kind == "series" for stage in plan.stages):
        layers += SERIES_LAYERS
    found: dict[str, earth.Source] = {}
    for name in dict.fromkeys([*layers, *_layers(plan)]):
        for source in earth.layer(name).source:
            found[source.name] = source
    names = [name for task in study.tasks.values() for name in task.sources]
    if any(spec.reads_images for spec in study.models.values()):
        names += [name for name in study.imagery.sources if name != "sentinel-2-l2a"]
    if any("presto-official" in task.baselines for task in study.tasks.values()):
        names.append("presto")
    for name in names:
        found[name] = earth.source(name)
    for source in found.values():
        yield DataSource(source.title, source.address, source.licence, source.citation)


def _layers(plan: Plan) -> list[str]:
    """Return the layers that compositions are drawn by, each once."""
    return list(dict.fromkeys(n for stage in plan.of_kind("draw") for n in stage.spec["layers"]))
