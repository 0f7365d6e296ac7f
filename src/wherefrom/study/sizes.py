"""The size axis: compositions at several numbers of places, at equal samples or equal epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, Protocol

from pydantic import Field

from wherefrom.compose import SamplerModel
from wherefrom.errors import WherefromError, unknown
from wherefrom.gfms.base import Gfm
from wherefrom.part import Part
from wherefrom.shown import count_of

__all__ = ["BUDGETS", "Budget", "Size", "SizesSpec", "check", "heads_of", "runs_of", "sized"]

Budget = Literal["samples", "epochs"]

#: What is equal between sizes, in words.
BUDGETS: dict[str, str] = {
    "samples": "equal samples seen",
    "epochs": "equal epochs",
}


class SizesSpec(Part):
    """Numbers of places at which compositions are drawn anew, besides the study's own number.

    Models of headlines alone are pre-trained on them, with the heads of these headlines.
    """

    #: With the study's `composition_size`, at which the reference is.
    places: tuple[Annotated[int, Field(gt=1)], ...] = Field(min_length=2)
    #: samples: as many samples seen at every size, hence fewer epochs of more places; epochs: as
    #: often each place, hence samples seen that grow with the places.
    budgets: tuple[Budget, ...] = Field(min_length=1, default=("samples", "epochs"))
    #: By default all that can be drawn at any size, and the models of all headlines.
    compositions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    #: In the first blocks alone.
    blocks: int | None = Field(gt=0, default=None)


class Size(NamedTuple):
    """A number of places other than the study's own, and what is equal; "" of a draw."""

    places: int
    budget: str = ""

    @property
    def title(self) -> str:
        """Places and budget, for labels."""
        return f"{self.places:,} places" + (f", equal {self.budget}" if self.budget else "")


class _Headline(Protocol):
    @property
    def model(self) -> str: ...
    @property
    def head(self) -> str: ...


class Sizable(Protocol):
    """What of a study its size axis depends on."""

    @property
    def sizes(self) -> SizesSpec | None: ...
    @property
    def composition_size(self) -> int: ...
    @property
    def pool_places(self) -> int: ...
    @property
    def compositions(self) -> Mapping[str, str]: ...
    @property
    def samplers(self) -> Mapping[str, SamplerModel]: ...
    @property
    def references(self) -> Sequence[str]: ...
    @property
    def models(self) -> Mapping[str, Gfm]: ...
    @property
    def headlines(self) -> Sequence[_Headline]: ...


def sized(study: Sizable) -> tuple[str, ...]:
    """Name the compositions that are drawn at several sizes, in the order of the study file."""
    if study.sizes is None:
        return ()
    return tuple(
        name
        for name, chosen in study.samplers.items()
        if (name in study.sizes.compositions if study.sizes.compositions else chosen.needs_n)
    )


def heads_of(study: Sizable, model: str) -> tuple[str, ...]:
    """Name the heads that a model has at other sizes: those of its headlines."""
    if study.sizes is None or model not in (study.sizes.models or study.models):
        return ()
    return tuple(dict.fromkeys(one.head for one in study.headlines if one.model == model))


def runs_of(study: Sizable, model: str) -> Iterator[tuple[Size, Gfm]]:
    """Yield the sizes at which a model is pre-trained besides the study's own, and itself there.

    At equal epochs the samples seen, and the steps of the warm-up, grow with the places: to the
    nearest whole batch, one at least.

    Examples
    --------
    >>> from wherefrom.study import load
    >>> study = load("studies/quantity", "laptop")
    >>> [(s.places, m.pretrain.samples_seen) for s, m in runs_of(study, "satclip-L40")
    ...  if s.budget == "epochs"]
    [(1000, 6144), (3000, 19456), (30000, 192000)]
    """
    if study.sizes is None or not heads_of(study, model):
        return
    gfm, own = study.models[model], study.composition_size
    batch, whole = gfm.pretrain.batch, gfm.pretrain.samples_seen
    for budget in study.sizes.budgets:
        for places in sorted(study.sizes.places):
            if places == own:
                continue
            seen, warmup = whole, gfm.pretrain.warmup
            if budget == "epochs":
                seen = max(1, round(whole * places / own / batch)) * batch
                warmup = round(warmup * seen / whole)
            pretrain = gfm.pretrain.model_copy(update={"samples_seen": seen, "warmup": warmup})
            hours = gfm.gpu_hours_per_run
            changed = {
                "pretrain": pretrain,
                "blocks": min(gfm.blocks, study.sizes.blocks or gfm.blocks),
                "gpu_hours_per_run": None if hours is None else hours * seen / whole,
            }
            yield Size(places, budget), gfm.model_copy(update=changed)


def check(study: Sizable) -> None:
    """Refuse a size axis that says nothing: no reference, a composition without sizes, no batch.

    Raises
    ------
    WherefromError
        Names the field, and the remedy.
    """
    sizes = study.sizes
    if sizes is None:
        return
    own, reference = study.composition_size, study.references[0]
    for name in sizes.compositions:
        if name not in study.compositions:
            raise WherefromError(
                f"sizes.compositions: {unknown('composition', name, study.compositions)}"
            )
        if not study.samplers[name].needs_n:
            raise WherefromError(
                f"sizes.compositions: {name!r} ({study.compositions[name]!r}) cannot be drawn at "
                "another size: remove it"
            )
    for name in sizes.models:
        asked = [one.model for one in study.headlines]
        if name not in study.models:
            raise WherefromError(f"sizes.models: {unknown('model', name, study.models)}")
        if name not in asked:
            raise WherefromError(
                f"sizes.models: no headline is about {name!r}: add one, or remove the model"
            )
    if own not in sizes.places:
        raise WherefromError(
            f"sizes.places = {list(sizes.places)} lacks composition_size = {own}, the size of the "
            "reference: add it"
        )
    if reference not in sized(study):
        raise WherefromError(
            f"sizes: the reference {reference!r}, the first of 'references', is not among the "
            f"compositions that are drawn at several sizes ({', '.join(sized(study)) or 'none'}): "
            "add it, or name another first"
        )
    most = max((study.models[m].blocks for m in study.models if heads_of(study, m)), default=0)
    if sizes.blocks is not None and sizes.blocks > most:
        raise WherefromError(
            f"sizes.blocks = {sizes.blocks} is more than the {count_of(most, 'block')} of its "
            "models: give these more, or take fewer"
        )
    if len(sized(study)) < 2:
        raise WherefromError(
            f"sizes: nothing is compared with {reference!r}: name a second composition"
        )
    for model in study.models:
        batch = study.models[model].pretrain.batch
        if heads_of(study, model) and min(sizes.places) < batch:
            raise WherefromError(
                f"sizes.places: {min(sizes.places)} is smaller than the batch = {batch} of model "
                f"{model!r}: take more places"
            )
    # The places of a table of the user's are known only when it was read.
    if (there := study.pool_places) and max(sizes.places) > there:
        raise WherefromError(
            f"sizes.places: {max(sizes.places):,} are more than the {there:,} places of the pool: "
            "take fewer, or a larger pool"
        )
