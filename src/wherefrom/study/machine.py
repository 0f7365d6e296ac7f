"""What a study does without on this machine, and what takes its place: all of it is said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wherefrom import earth
from wherefrom.compose import SamplerModel, text_of
from wherefrom.earth.fetch import absent
from wherefrom.errors import WherefromError
from wherefrom.study.published import Claim
from wherefrom.study.spec import Study

__all__ = ["adapted"]


def adapted(study: Study) -> Study:
    """Fit a study to data and processor: stand-ins, fewer images, tasks and rows, precision.

    Everything that is decided here is a field of the study that is returned.
    """
    study = _put_stand_ins(_leave_out(study))
    models = {name: gfm.settled() for name, gfm in study.models.items()}
    payloads = {name: payload.settled() for name, payload in study.payloads.items()}
    # Checked anew: with a stand-in two tasks may have become one.
    return Study.model_validate({**study.given, "models": models, "payloads": payloads})


def _leave_out(study: Study) -> Study:
    """Do without the tasks and published rows whose data this machine lacks, and note why.

    The tasks of a model that has no other stay: with them the study can be planned, not run.
    """
    rows = study.published
    lacking = {name: why for name, row in rows.items() if (why := absent(*row.sources))}
    gone = {name: why for name, task in study.tasks.items() if (why := absent(*task.sources))}
    for model in study.models.values():
        if gone.keys() >= set(model.tasks):
            gone = {name: why for name, why in gone.items() if name not in model.tasks}
    reasons = {f"published.{name}": why for name, why in lacking.items()}
    reasons |= {f"tasks.{name}": why for name, why in gone.items()}
    if not reasons:
        return study
    every: dict[str, Any] = {**study.models, **rows}
    left = {
        name: row.model_copy(update={"tasks": tuple(t for t in row.tasks if t not in gone)})
        for name, row in every.items()
        if name not in lacking
    }
    return study.model_copy(
        update={
            "tasks": {name: task for name, task in study.tasks.items() if name not in gone},
            "models": {name: left[name] for name in study.models},
            "published": {
                name: left[name]
                for name, row in rows.items()
                if name in left and (left[name].tasks or not row.tasks)
            },
            "left_out": reasons,
        }
    )


def _put_stand_ins(study: Study) -> Study:
    """Replace layers that this machine lacks by the study's named stand-ins, everywhere."""
    swapped = {a: _there(a, study.stand_ins) for a in study.stand_ins if not earth.available(a)}
    if not swapped:
        return study
    own = study.table.columns if study.table else ()
    layers = {a: b for a, b in swapped.items() if a not in own}
    compositions: dict[str, str] = {}
    made: dict[str, SamplerModel] = {}
    renamed: dict[str, str] = {}
    for name, text in study.compositions.items():
        chosen = study.samplers[name]
        other, new = chosen.renamed(layers), name
        if other != chosen:
            text = text_of(other)
            for layer, stand_in in layers.items():
                new = new.replace(layer, stand_in)
        if new in compositions and other != made[new]:
            raise WherefromError(
                f"{', '.join(swapped)} cannot be had, and with the stand-in two compositions are "
                f"named {new!r}: rename one"
            )
        compositions[new], made[new] = text, other
        renamed[name] = new
    sizes = study.sizes and study.sizes.model_copy(
        update={"compositions": _put(study.sizes.compositions, renamed)}
    )
    repeats = study.repeats.model_copy(
        update={"rows": {row: _put(names, renamed) for row, names in study.repeats.rows.items()}}
    )
    return study.model_copy(
        update={
            "compositions": compositions,
            "references": _put(study.references, renamed),
            "correlated": _put(study.correlated, renamed),
            "claims": tuple(_claimed(claim, renamed) for claim in study.claims),
            "repeats": repeats,
            "sizes": sizes,
            "tasks": {name: task.renamed(swapped) for name, task in study.tasks.items()},
            "audits": {name: one.renamed(layers) for name, one in study.audits.items()},
            "stood_in": swapped,
        }
    )


def _there(layer: str, stand_ins: dict[str, str]) -> str:
    """Follow stand-ins to the first layer that can be had, or to the last that is named."""
    seen = [layer]
    while not earth.available(seen[-1]) and stand_ins.get(seen[-1], layer) not in seen:
        seen.append(stand_ins[seen[-1]])
    return seen[-1]


def _put(names: Iterable[str], renamed: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(renamed.get(name, name) for name in names))


def _claimed(claim: Claim, renamed: dict[str, str]) -> Claim:
    """Hold a claim against the compositions that stand in for those that it is about."""
    named = {
        "compositions": _put(claim.compositions, renamed),
        "than": _put(claim.than, renamed),
        "values": {renamed.get(name, name): value for name, value in claim.values.items()},
    }
    # What a claim does not say, it must not have.
    return claim.model_copy(update={k: v for k, v in named.items() if k in claim.model_fields_set})
