"""The study file: one base, three scales that differ in numbers alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wherefrom import earth
from wherefrom.earth import imagery
from wherefrom.errors import WherefromError, unknown

#: Heads on frozen embeddings, and full fine-tuning.
HEADS = ("logistic", "mlp", "forest", "knn", "majority", "finetune")
#: Scores that a study of places reports; a task of two classes has f1_positive beside them.
METRICS = ("f1_macro", "f1_weighted", "accuracy", "f1_positive")
#: Trivial baselines; the harmonics of any L go by the same form of name.
BASELINES = ("raw-lonlat", "raw-harmonics-L10", "raw-harmonics-L40", "majority")
_BASELINE = re.compile(r"raw-lonlat|raw-harmonics-L[1-9]\d*|majority")
_NAME = re.compile(r"[\w.+-]+")

__all__ = ["HEADS", "HeadUse", "ModelSpec", "Study", "TaskSpec", "load"]


class Part(BaseModel):
    """A frozen part of a study file; unknown keys and endless numbers are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_strip_whitespace=True
    )


class PoolSpec(Part):
    """The pool of candidate places, uniform by area on land."""

    places: int = Field(gt=0)
    seed: int = 0


class TaskSpec(Part):
    """Labelled places: `layer` from location, drawn uniformly by area in each region."""

    kind: Literal["ecoregions"] = "ecoregions"
    layer: str = "biome"
    region_layer: str = "continent"
    train_per_region: int = Field(gt=0)
    test_per_region: int = Field(gt=0)
    tune_train_per_region: int = Field(gt=0)
    tune_test_per_region: int = Field(gt=0)
    min_distance_km: float = Field(ge=0)
    seed: int = 0


class ImagerySpec(Part):
    """The image side: frozen features of the window around each place.

    The twelve months are used where they are present; `Study.stood_in` does not count them, since
    one date stands for itself.
    """

    sources: tuple[Literal["blue-marble", "blue-marble-monthly", "sentinel-2-l2a"], ...] = Field(
        min_length=1, default=("blue-marble",)
    )
    window_km: float = Field(gt=0, default=60.0)
    filters: int = Field(ge=0, default=64)
    seed: int = 0
    bytes_per_place: int = Field(ge=0, default=0)


class PretrainSpec(Part):
    """Budget and optimiser of one pre-training; the budget is in samples seen."""

    samples_seen: int = Field(gt=0)
    batch: int = Field(gt=1)
    lr: float = Field(gt=0)
    warmup: int = Field(ge=0, default=0)
    weight_decay: float = Field(ge=0, default=0.01)

    @model_validator(mode="after")
    def _budget_is_met_exactly(self) -> Self:
        if self.samples_seen % self.batch:
            near = max(1, round(self.samples_seen / self.batch)) * self.batch
            raise ValueError(
                f"samples_seen = {self.samples_seen} is no multiple of batch = {self.batch}: "
                f"take {near}"
            )
        return self


class ModelSpec(Part):
    """A GFM, its pre-training, and on how many draws and seeds it runs."""

    kind: Literal["satclip"] = "satclip"
    degrees: int = Field(gt=0)
    width: int = Field(gt=0, default=512)
    depth: int = Field(gt=0, default=2)
    out: int = Field(gt=0, default=256)
    hidden: int = Field(ge=0, default=256)
    dropout: float = Field(ge=0, lt=1, default=0.5)
    image: Literal["features", "cnn"] = "features"
    pretrain: PretrainSpec
    draws: int = Field(gt=0)
    pretrain_seeds: int = Field(gt=0)
    gpu_hours_per_run: float | None = None


class HeadUse(Part):
    """A few-shot head and, where time is short, on how many draws and seeds it runs."""

    options: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    models: tuple[str, ...] | None = None
    draws: int | None = Field(gt=0, default=None)
    pretrain_seeds: int | None = Field(gt=0, default=None)
    finetune_seeds: int | None = Field(gt=0, default=None)


class SweepSpec(Part):
    """The scaling sweep: one region, growing numbers of labelled places."""

    region: str
    n: tuple[Annotated[int, Field(gt=1)], ...] = Field(min_length=1)
    heads: tuple[str, ...] = Field(min_length=1)
    finetune_seeds: int = Field(gt=0)
    models: tuple[str, ...] | None = None
    draws: int = Field(gt=0)
    pretrain_seeds: int = Field(gt=0)


class Published(Part):
    """What the study that is repeated used; the report says where this run differs."""

    composition_size: int | None = None
    samples_seen: int | None = None
    forest: str = ""
    cities: str = ""


class Headline(Part):
    """What the first table and the verdict are about."""

    model: str
    head: str
    metric: str = "f1_macro"


class Study(Part):
    """A resolved study: one scale, every number known.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range or a name refers to nothing; `load` turns it into one line.
    """

    name: str
    title: str
    citation: str = ""
    scale: str
    pool: PoolSpec
    composition_size: int = Field(gt=0)
    compositions: dict[str, str]
    task: TaskSpec
    imagery: ImagerySpec = ImagerySpec()
    models: dict[str, ModelSpec]
    n: int = Field(gt=1)
    finetune_seeds: int = Field(gt=0)
    heads: dict[str, HeadUse]
    sweep: SweepSpec | None = None
    baselines: tuple[str, ...] = ()
    references: tuple[str, ...] = Field(min_length=1, default=("uniform", "none"))
    headline: Headline
    published: Published = Published()
    equivalence_margin: float = Field(gt=0, default=0.01)
    stand_ins: dict[str, str] = Field(default_factory=dict)
    stood_in: dict[str, str] = Field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> Self:
        checks: list[tuple[str, str, Any]] = [("head", name, HEADS) for name in self.heads]
        checks += [("model", self.headline.model, self.models)]
        checks += [("head", self.headline.head, self.heads)]
        checks += [("metric", self.headline.metric, METRICS)]
        checks += [("composition", name, self.compositions) for name in self.references]
        for use in self.heads.values():
            checks += [("model", name, self.models) for name in use.models or ()]
        if self.sweep:
            checks += [("head", name, self.heads) for name in self.sweep.heads]
            checks += [("model", name, self.models) for name in self.sweep.models or ()]
            if self.task.region_layer == "continent":
                checks += [("region", self.sweep.region, earth.CONTINENTS)]
        for kind, name, known in checks:
            if name not in known:
                raise ValueError(str(unknown(kind, name, known)))
        for name in self.baselines:
            if not _BASELINE.fullmatch(name):
                raise ValueError(str(unknown("baseline", name, BASELINES)))
        return self

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        for name in (self.name, *self.compositions, *self.models):
            if not _NAME.fullmatch(name):
                raise ValueError(f"name {name!r}: use letters, digits and . + - _ alone")
        for name in self.models:
            if _BASELINE.fullmatch(name):
                raise ValueError(f"model {name!r}: a baseline has this name, choose another")
        for name, spec in self.compositions.items():
            # The evidence knows zero pre-training by this name: its seeds are its draws.
            if (name == "none") != (spec == "none"):
                raise ValueError(
                    f"composition {name!r} ({spec!r}): zero pre-training, and it alone, is named "
                    "'none'"
                )
        lists: list[tuple[str, tuple[Any, ...]]] = [
            ("baselines", self.baselines),
            ("references", self.references),
        ]
        lists += [("sweep.n", self.sweep.n)] if self.sweep else []
        for field, values in lists:
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: a value occurs twice in {list(values)}")
        return self

    @model_validator(mode="after")
    def _numbers_fit_each_other(self) -> Self:
        for name, model in self.models.items():
            if self.composition_size < model.pretrain.batch:
                raise ValueError(
                    f"composition_size = {self.composition_size} is smaller than the batch = "
                    f"{model.pretrain.batch} of model {name!r}"
                )
        shown = self.heads[self.headline.head].models
        if shown is not None and self.headline.model not in shown:
            raise ValueError(
                f"the headline is about model {self.headline.model!r}, which head "
                f"{self.headline.head!r} leaves out: heads.{self.headline.head}.models = "
                f"{list(shown)}"
            )
        return self


def load(path: Path | str, scale: str) -> Study:
    """Read a study file and resolve one of its scales.

    Parameters
    ----------
    path : Path or str
        A ``study.yaml`` or the folder that holds it. The file has two keys: ``base``, and
        ``scales`` with changes to the base (nested mappings are merged).
    scale : str
        One of the file's scales, e.g. ``"laptop"``.

    Returns
    -------
    Study
        With stand-in layers put in place of those that this machine lacks (`Study.stood_in`).

    Raises
    ------
    WherefromError
        If the file is absent or not YAML, the scale or a key is unknown, or a value is wrong.

    Examples
    --------
    >>> load("studies/purohit2025", "debug").scale
    'debug'
    """
    file = path = Path(path)
    try:
        file = path / "study.yaml" if path.is_dir() else path
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WherefromError(
            f"{file}: no such study; give a study file or the folder of one, "
            "e.g. studies/purohit2025"
        ) from None
    except OSError as err:
        raise WherefromError(f"{file}: cannot be read: {err.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise WherefromError(f"{file}: not valid YAML: {' '.join(str(err).split())}") from None
    if not isinstance(content, dict) or set(content) != {"base", "scales"}:
        raise WherefromError(f"{file}: needs exactly the keys 'base' and 'scales'")
    base, scales = content["base"], content["scales"]
    for key, value in (("base", base), ("scales", scales)):
        if not isinstance(value, dict):
            raise WherefromError(f"{file}: {key!r} must hold keys and values, not {value!r:.60}")
    if scale not in scales:
        raise unknown("scale", scale, map(str, scales))
    change = {} if scales[scale] is None else scales[scale]
    if not isinstance(change, dict):
        raise WherefromError(f"{file}: scale {scale!r} must hold keys and values of the base")
    merged = _merge(base, change)
    try:
        study = Study.model_validate({**merged, "scale": scale})
    except ValidationError as err:
        raise WherefromError(f"{file} (scale {scale}): {_first(err)}") from None
    return _put_stand_ins(_drop_months(study))


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _first(err: ValidationError) -> str:
    """Say the first of a validation's errors in one line, with the nearest valid key."""
    # A misspelt key is the cause, the key that is then missing only its consequence.
    first = min(err.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        reason = first["msg"].removeprefix("Value error, ")
        return f"{where}: {reason}" if where else reason
    model: Any = Study
    for part in first["loc"][:-1]:
        model = _child(model, part)
    place = ".".join(str(part) for part in first["loc"][:-1])
    fields = [name for name in model.model_fields if name not in ("scale", "stood_in")]
    return f"{unknown('key', first['loc'][-1], fields)}" + (f" (in {place})" if place else "")


def _child(model: Any, part: str | int) -> Any:
    """Return the model of a field, looking through dict values and optionals."""
    if str(part) not in model.model_fields:
        return model  # `part` is a name within a mapping, chosen by the user
    found = model.model_fields[str(part)].annotation
    for inner in [found, *getattr(found, "__args__", ())]:
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return model


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
    compositions: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for name, spec in study.compositions.items():
        new = name
        for layer, stand_in in swapped.items():
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
    layer = swapped.get(study.task.layer, study.task.layer)
    return study.model_copy(
        update={
            "compositions": compositions,
            "references": tuple(dict.fromkeys(renamed[name] for name in study.references)),
            "task": study.task.model_copy(update={"layer": layer}),
            "stood_in": swapped,
        }
    )
