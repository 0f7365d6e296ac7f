"""What a study pairs wrongly: heads with tasks or n, models with what they read."""

from __future__ import annotations

from collections.abc import Iterable

from wherefrom.errors import WherefromError
from wherefrom.gfms.baselines import baseline
from wherefrom.plugins import kinds
from wherefrom.study.spec import Study
from wherefrom.study.tuned import text_of
from wherefrom.tasks.task import Predicts
from wherefrom.train.heads import head as make_head
from wherefrom.train.heads import kind_of_head
from wherefrom.train.scores import METRICS

__all__ = ["refuse_misfits"]


def refuse_misfits(study: Study) -> None:
    """Refuse a study that leaves a task without head, a head without task, or pairs them wrongly.

    Raises
    ------
    WherefromError
        Names the task, and the head, metric, baseline or margin that is for the other kind; the
        model and the field of a payload that it cannot read; the head that needs more than n.
    """
    heads = {name: kind_of_head(name).predicts for name in study.heads}
    for name, task in study.tasks.items():
        fitting = [head for head, predicts in heads.items() if predicts == task.predicts]
        if not any(kind_of_head(head).needs_features for head in fitting):
            ours = [head for head in kinds("heads") if _ours(head, task.predicts)]
            raise WherefromError(
                f"task {name!r} is of {task.predicts}, and no head of the study predicts them from "
                f"features ({_listed(heads)}): add {_listed(ours)}"
            )
        for one in task.baselines:
            if baseline(one).predicts not in (None, task.predicts):
                others = {"classes": "majority", "numbers": "mean"}
                raise WherefromError(
                    f"task {name!r} is of {task.predicts}, and its baseline {one!r} predicts "
                    f"{baseline(one).predicts}: name {others[task.predicts]!r}"
                )
        if name in study.equivalence_margins and task.predicts == "classes":
            raise WherefromError(
                f"equivalence_margins: task {name!r} is of classes, whose scores have no units: "
                "equivalence_margin holds for it"
            )
    _refuse_unreadable(study)
    _refuse_few(study)
    known = {task.predicts for task in study.tasks.values()}
    cut = any(what.startswith("tasks.") for what in study.left_out)  # perhaps the head's own
    for head, predicts in heads.items():
        if predicts not in known and kind_of_head(head).needs_features and not cut:
            raise WherefromError(
                f"head {head!r} predicts {predicts}, and no task of the study is of them: remove it"
            )
    for headline in study.headlines:
        if headline.model not in study.models:
            continue  # of a study that was cut down
        first = study.models[headline.model].tasks[0]
        predicts = study.tasks[first].predicts
        about = f"a headline is about model {headline.model!r} and its first task {first!r}, of "
        if heads[headline.head] != predicts:
            fitting = [head for head, other in heads.items() if other == predicts]
            raise WherefromError(
                f"{about}{predicts}, and head {headline.head!r} predicts {heads[headline.head]}: "
                f"name {_listed(fitting)}"
            )
        if METRICS[headline.metric].predicts != predicts:
            metrics = [name for name, one in METRICS.items() if one.predicts == predicts]
            raise WherefromError(
                f"{about}{predicts}, and metric {headline.metric!r} is of "
                f"{METRICS[headline.metric].predicts}: say metric: {_listed(metrics)}"
            )


def _refuse_unreadable(study: Study) -> None:
    """Refuse a payload that a model which is to read it cannot."""
    for name, model in study.models.items():
        for modality in sorted(model.reads | model.reads_of_tasks):
            of, payload = study.payload_of(modality, model.payloads)
            if said := model.refuses(payload):
                raise WherefromError(f"models.{name}: payload {of!r}: {said}")


def _refuse_few(study: Study) -> None:
    """Refuse options of a head that need more labelled places than there are."""
    for name, use in study.heads.items():
        sizes = {"n": study.n}
        if study.sweep and name in study.sweep.heads:
            sizes["sweep.n"] = min(study.sweep.n)
        for options in (use.options, *use.points):
            fewest = make_head(name, **options).fewest
            for where, n in sizes.items():
                if fewest > n:
                    raise WherefromError(
                        f"heads.{name}: with {text_of(options)} it needs {fewest} labelled places "
                        f"or more, and {where} has {n}: give more, or another option"
                    )


def _ours(head: str, predicts: Predicts) -> bool:
    kind = kinds("heads")[head]
    return (
        kind.package == "wherefrom"
        and kind_of_head(head).predicts == predicts
        and kind_of_head(head).needs_features
    )


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names)
