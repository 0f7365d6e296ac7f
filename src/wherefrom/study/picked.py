"""Some of a study's models, and what of the study is about these alone."""

from __future__ import annotations

from collections.abc import Iterable

from wherefrom.errors import WherefromError, unknown
from wherefrom.study.published import Claim
from wherefrom.study.spec import Study

__all__ = ["picked"]


def picked(study: Study, names: Iterable[str] | None = None) -> Study:
    """Keep models that are asked for by name; by default all but those that run on request.

    Tasks that none of them is evaluated on, heads, headlines and claims that are about others go
    with the others. What is computed for a model does not depend on which others are kept.

    Raises
    ------
    WherefromError
        If a name is unknown, none is left, or no headline is about one that is.

    Examples
    --------
    >>> from wherefrom.study import load
    >>> list(load("studies/purohit2025", "debug", models=["presto"]).tasks)
    ['cropland']
    """
    asked = None if names is None else list(dict.fromkeys(names))
    for name in asked or ():
        if name not in study.models:
            raise unknown("model", name, study.models)
    chosen = {
        name: model
        for name, model in study.models.items()
        if (not model.on_request if asked is None else name in asked)
    }
    if not chosen:
        raise WherefromError(
            "every model of the study runs on request alone: name some (--models) of "
            f"{', '.join(study.models)}"
        )
    if len(chosen) == len(study.models):
        return study
    headlines = tuple(one for one in study.headlines if one.model in chosen)
    if not headlines:
        others = ", ".join(dict.fromkeys(one.model for one in study.headlines))
        raise WherefromError(
            f"no headline of the study is about {', '.join(chosen)}: name one of {others} too, or "
            "add a headline to the study file"
        )
    tasks = {name for model in chosen.values() for name in model.tasks}
    heads = {
        name: use.model_copy(update={"models": among(use.models, chosen)})
        for name, use in study.heads.items()
        if use.models is None or among(use.models, chosen)
    }
    sweep = study.sweep
    if sweep is not None:
        left = {"models": among(sweep.models, chosen), "heads": among(sweep.heads, heads)}
        sweep = None if () in left.values() else sweep.model_copy(update=left)
    sizes = study.sizes
    if sizes is not None:
        left_of = among(sizes.models or tuple(study.models), chosen)
        with_headline = {one.model for one in headlines}
        models = tuple(name for name in left_of or () if name in with_headline)
        sizes = sizes.model_copy(update={"models": models}) if models else None
    about = study.repeats
    gone = study.tasks.keys() - tasks
    repeats = about.model_copy(
        update={
            field: {key: name for key, name in getattr(about, field).items() if name not in gone}
            for field in ("tables", "nearest")
        }
    )
    stands_for = study.stands_for.model_copy(
        update={"tasks": {k: one for k, one in study.stands_for.tasks.items() if k not in gone}}
    )
    made = Study.model_validate(
        {
            **study.given,
            "models": chosen,
            "picked": tuple(chosen) if asked else (),
            "tasks": {name: task for name, task in study.tasks.items() if name in tasks},
            "heads": heads,
            "headlines": headlines,
            "sweep": sweep,
            "sizes": sizes,
            "claims": tuple(one for claim in study.claims if (one := _claim(claim, study, chosen))),
            "repeats": repeats,
            "published": {
                name: row.model_copy(update={"tasks": among(row.tasks, tasks)})
                for name, row in study.published.items()
                if not row.tasks or among(row.tasks, tasks)
            },
            "equivalence_margins": {
                name: margin
                for name, margin in study.equivalence_margins.items()
                if name not in gone
            },
            "stands_for": stands_for,
        }
    )
    # What the others alone read is no mistake here.
    aside = made.unread.keys() - study.unread.keys()
    payloads = {name: one for name, one in made.payloads.items() if f"payloads.{name}" not in aside}
    return made.model_copy(update={"payloads": payloads})


def among(names: tuple[str, ...] | None, chosen: Iterable[str]) -> tuple[str, ...] | None:
    """Keep the names that are chosen; None stays."""
    return None if names is None else tuple(name for name in names if name in set(chosen))


def _claim(claim: Claim, study: Study, chosen: Iterable[str]) -> Claim | None:
    """Return a claim about models that are left; None if it is about others, or two of which not.

    Names that no model of the study has stay, and are said to be unknown.
    """
    left = tuple(name for name in claim.models if name in chosen or name not in study.models)
    if left == claim.models:
        return claim
    if not left or claim.test == "sensitivity":
        return None
    return claim.model_copy(update={"models": left})
