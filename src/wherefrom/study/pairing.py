"""What a study pairs wrongly, and its run would refuse late: heads with tasks or n, and so on."""

from __future__ import annotations

from collections.abc import Iterable

from wherefrom.compose import DesignSampler
from wherefrom.errors import WherefromError, unknown
from wherefrom.gfms.baselines import baseline
from wherefrom.plugins import kinds
from wherefrom.shown import count_of
from wherefrom.study.spec import Study
from wherefrom.study.tuned import text_of
from wherefrom.tasks.task import Predicts
from wherefrom.train.heads import head as make_head
from wherefrom.train.heads import kind_of_head
from wherefrom.train.scores import METRICS

__all__ = ["refuse_misfits", "refuse_sizes"]


def refuse_misfits(study: Study) -> None:
    """Refuse a study that leaves a task without head, a head without task, or pairs them wrongly.

    Raises
    ------
    WherefromError
        Names the task, and the head, metric, baseline or margin that is for the other kind; the
        model and the field of a payload that it cannot read; the head that needs more than n; n,
        of which no region of a headline's task has labelled places; the region of the sweep that a
        task has not.
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
    _refuse_region(study)
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
        if METRICS[headline.metric].of_positive and study.tasks[first].has_positive is False:
            metrics = [
                n for n, m in METRICS.items() if m.predicts == predicts and not m.of_positive
            ]
            raise WherefromError(
                f"{about}{predicts} of which none is the positive one, and metric "
                f"{headline.metric!r} is of that: say metric: {_listed(metrics)}"
            )
        if few := study.tasks[first].few(study.n):
            raise WherefromError(f"n = {study.n:,}: task {first!r}: {few}")


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


def refuse_sizes(study: Study) -> None:
    """Refuse compositions of more places than the pool has, or lists of fewer than a batch.

    Raises
    ------
    WherefromError
        Names the composition and the remedy.
    """
    most = max((model.pretrain.batch, name) for name, model in study.models.items())
    for name, chosen in study.samplers.items():
        # The places of a table of the user's are known only when it was read.
        if isinstance(chosen, DesignSampler) and study.pool_places:
            try:
                chosen.checked(study.composition_size, study.pool_places)
            except WherefromError as err:
                raise WherefromError(f"composition {name!r}: {err}") from err
        if (listed := chosen.listed()) is not None and listed < most[0]:
            raise WherefromError(
                f"composition {name!r} ({study.compositions[name]!r}) lists "
                f"{count_of(listed, 'place')}, fewer than the batch = {most[0]} of model "
                f"{most[1]!r}: list more, or lower the batch of all models"
            )


def _refuse_region(study: Study) -> None:
    """Refuse a region of the sweep that a task of its models has not."""
    sweep = study.sweep
    for model, gfm in study.models.items():
        if sweep is None or (sweep.models is not None and model not in sweep.models):
            continue
        for name in gfm.tasks:
            known = study.tasks[name].known_regions
            if known is not None and sweep.region not in known:
                raise WherefromError(
                    f"sweep.region: task {name!r}: {unknown('region', sweep.region, known)}; or "
                    "name the models of other tasks (sweep.models)"
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
