"""What a study does without on this machine, and what takes its place: all of it is said."""

from __future__ import annotations

import re

from wherefrom import earth
from wherefrom.earth import imagery
from wherefrom.earth.fetch import find
from wherefrom.errors import WherefromError
from wherefrom.study.spec import Study

__all__ = ["adapted"]


def adapted(study: Study) -> Study:
    """Fit a study to data and processor: stand-ins, fewer images, tasks and baselines, precision.

    Everything that is decided here is a field of the study that is returned.
    """
    return _settle_precision(_put_stand_ins(_drop_months(_leave_out(study))))


def _settle_precision(study: Study) -> Study:
    """Choose what is fastest on this processor, where that is asked for."""
    models = {}
    for name, model in study.models.items():
        if model.kind == "presto" and model.precision == "fastest":
            model = model.model_copy(
                update={"precision": "bfloat16" if _multiplies_bfloat16() else "float32"}
            )
        models[name] = model
    return study.model_copy(update={"models": models})


def _multiplies_bfloat16() -> bool:
    """Tell whether the processor has products of bfloat16, and torch to use them."""
    try:
        from torch import cpu
    except ModuleNotFoundError:
        return False  # nothing can be trained either
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(cpu, name, bool)() for name in checks)


def _leave_out(study: Study) -> Study:
    """Do without the tasks and baselines whose data this machine lacks, and note why."""
    reasons: dict[str, str] = {}
    tasks = {}
    for name, task in study.tasks.items():
        if why := _absent(*task.sources):
            reasons[f"tasks.{name}"] = why
            continue
        if "presto-official" in task.baselines and (why := _absent("presto")):
            reasons["baselines.presto-official"] = why
            kept = tuple(b for b in task.baselines if b != "presto-official")
            task = task.model_copy(update={"baselines": kept})
        tasks[name] = task
    models = {}
    for name, model in study.models.items():
        kept = tuple(task for task in model.tasks if task in tasks)
        if not kept:
            raise WherefromError(
                f"model {name!r} has no task left: "
                + "; ".join(f"{what}: {why}" for what, why in reasons.items())
            )
        models[name] = model.model_copy(update={"tasks": kept})
    if not reasons:
        return study
    return study.model_copy(update={"tasks": tasks, "models": models, "left_out": reasons})


def _absent(*sources: str) -> str:
    """Say what to place where if sources are not on this machine; nothing if all are."""
    missing = [earth.source(name) for name in sources if find(name) is None]
    if not missing:
        return ""
    titles = "; ".join(known.title for known in missing)
    files = ", ".join(known.files[0].name for known in missing)
    return (
        f"{titles}: not on this machine (wherefrom data fetch "
        f"{' '.join(known.name for known in missing)}, or place {files} in the folder that "
        "WHEREFROM_DATA names)"
    )


def _drop_months(study: Study) -> Study:
    """Do without the monthly images where they are not on this machine."""
    monthly = "blue-marble-monthly"
    if monthly not in study.imagery.sources or imagery.available(monthly):
        return study
    sources = tuple(name for name in study.imagery.sources if name != monthly)
    if not sources:
        return study  # nothing else was asked for: the plan names the files to place
    return study.model_copy(
        update={"imagery": study.imagery.model_copy(update={"sources": sources})}
    )


def _put_stand_ins(study: Study) -> Study:
    """Replace layers that this machine lacks by the study's named stand-ins, everywhere."""
    swapped = {a: b for a, b in study.stand_ins.items() if not earth.available(a)}
    if not swapped:
        return study
    own = study.table.columns if study.table else ()
    compositions: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for name, spec in study.compositions.items():
        new = name
        for layer, stand_in in swapped.items():
            if layer in own:
                continue
            changed = re.sub(rf"\blayer={re.escape(layer)}\b", f"layer={stand_in}", spec)
            if changed != spec:
                spec, new = changed, new.replace(layer, stand_in)
        if compositions.get(new, spec) != spec:
            raise WherefromError(
                f"{', '.join(swapped)} cannot be had, and with the stand-in two compositions are "
                f"named {new!r}: rename one"
            )
        compositions[new] = spec
        renamed[name] = new
    tasks = {}
    for name, task in study.tasks.items():
        if task.kind == "ecoregions":
            layer = swapped.get(task.layer, task.layer)
            task = task.model_copy(update={"layer": layer})
        tasks[name] = task
    return study.model_copy(
        update={
            "compositions": compositions,
            "references": tuple(dict.fromkeys(renamed[name] for name in study.references)),
            "tasks": tasks,
            "stood_in": swapped,
        }
    )
