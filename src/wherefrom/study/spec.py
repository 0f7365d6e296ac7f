"""The study file: what a study consists of, every number known and every name checked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from wherefrom import earth
from wherefrom.auditing.numbers import AuditNumber
from wherefrom.compose import SamplerModel, sampler
from wherefrom.earth import made_of
from wherefrom.earth.fetch import absent
from wherefrom.errors import WherefromError, unknown
from wherefrom.gfms.base import AnyGfm, Gfm
from wherefrom.gfms.baselines import BASELINES, baseline, is_baseline
from wherefrom.gfms.published import AnyPublished, Published
from wherefrom.keys import canonical
from wherefrom.part import OfKind, Part
from wherefrom.payload.base import AnyPayload, Modality, Payload
from wherefrom.plugins import kind
from wherefrom.study.pools import PoolSpec, PoolTable
from wherefrom.study.published import Claim, Repeated, StandsFor
from wherefrom.study.sizes import SizesSpec, check
from wherefrom.study.tuned import Option, Tuned
from wherefrom.tasks.base import AnyTask, PlacedSpec
from wherefrom.train.heads import head
from wherefrom.train.scores import METRICS

_NAME = re.compile(r"[\w.+-]+")
#: A plan asks for the sampler of a composition's text at every run.
_sampler = lru_cache(maxsize=256)(sampler)

__all__ = ["Headline", "HeadUse", "Study", "SweepSpec"]


#: By modality, the payload that is read where a study names none.
DEFAULTS: dict[Modality, str] = {"features": "blue-marble", "series": "earth-series"}


class HeadUse(Part):
    """A few-shot head and, where time is short, on how many (first) blocks and seeds it runs."""

    options: dict[str, Option] = Field(default_factory=dict)
    #: Values that `wherefrom study tune` tries for options; `options` hold where it was not run.
    grid: dict[str, tuple[Option, ...]] = Field(default_factory=dict)
    models: tuple[str, ...] | None = None
    blocks: int | None = Field(gt=0, default=None)
    finetune_seeds: int | None = Field(gt=0, default=None)

    @property
    def points(self) -> list[dict[str, Option]]:
        """The options to try: those of every point of the grid, or the fixed ones."""
        values = itertools.product(*self.grid.values())
        return [self.options | dict(zip(self.grid, point, strict=True)) for point in values]

    @field_validator("grid")
    @classmethod
    def _grid_has_values(cls, grid: dict[str, tuple[Option, ...]]) -> dict[str, tuple[Option, ...]]:
        if not grid:
            raise ValueError("an empty grid: name options with the values to try, or remove it")
        for option, values in grid.items():
            if not values:
                raise ValueError(f"option {option!r} has no value to try: name some, or remove it")
            if len(set(map(repr, values))) < len(values):
                raise ValueError(f"option {option!r}: a value occurs twice in {list(values)}")
        return grid


class SweepSpec(Part):
    """The scaling sweep: one region, growing numbers of labelled places, in the first blocks.

    Attributes
    ----------
    seeds_at : dict of int to int
        Fine-tune seeds from an n of the sweep on, fewer than before: with many places a fit costs
        more, and its score varies less. With one seed there is no interval.
    """

    region: str
    n: tuple[Annotated[int, Field(gt=1)], ...] = Field(min_length=1)
    heads: tuple[str, ...] = Field(min_length=1)
    finetune_seeds: int = Field(gt=0)
    seeds_at: dict[int, Annotated[int, Field(gt=1)]] = Field(default_factory=dict)
    models: tuple[str, ...] | None = None
    blocks: int | None = Field(gt=0, default=None)

    @property
    def jobs(self) -> dict[int, list[int]]:
        """The values of n by their number of fine-tune seeds."""
        found: dict[int, list[int]] = {}
        seeds = self.finetune_seeds
        for n in self.n:
            seeds = self.seeds_at.get(n, seeds)
            found.setdefault(seeds, []).append(n)
        return found

    @model_validator(mode="after")
    def _numbers_rise_and_fall(self) -> Self:
        for one, other in itertools.pairwise(self.n):
            if other < one:
                raise ValueError(f"n: {other} stands after {one}: list it in ascending order")
        for n in self.seeds_at:
            if n not in self.n:
                raise ValueError(f"seeds_at: {n} is no n of the sweep: {list(self.n)}")
        falling = [self.finetune_seeds, *(self.seeds_at[n] for n in sorted(self.seeds_at))]
        for one, other in itertools.pairwise(falling):
            if other >= one:
                raise ValueError(
                    f"seeds_at: {other} fine-tune seeds after {one}: with more places there must "
                    "be fewer"
                )
        return self


class Headline(Part):
    """What a first table and a verdict are about: a model on the first of its tasks."""

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
    #: Every composition keeps its places at least so far from all test places of the tasks.
    exclude_km: float | None = Field(gt=0, le=20000, default=None)
    #: Verdicts are about land not yet seen, drawn in blocks so wide; without, about this map.
    test_block_km: float | None = Field(ge=1, le=5000, default=None)
    #: By key; the results use each one's `label`.
    tasks: dict[str, AnyTask] = Field(min_length=1)
    #: What models see of places, by name.
    payloads: dict[str, AnyPayload] = Field(default_factory=dict)
    #: By name. Each is evaluated on the tasks that it names.
    models: dict[str, AnyGfm] = Field(min_length=1)
    #: By name, what stands beside them: weights and embeddings of others. Each on its tasks.
    published: dict[str, AnyPublished] = Field(default_factory=dict)
    n: int = Field(gt=1)
    finetune_seeds: int = Field(gt=0)
    heads: dict[str, HeadUse]
    sweep: SweepSpec | None = None
    #: Compositions at several numbers of places, for the exchange rate between them.
    sizes: SizesSpec | None = None
    #: By name, what is told of every composition before training, and held against its scores.
    audits: dict[str, AuditNumber] = Field(default_factory=dict)
    #: Over which compositions, by default all that have places: several of the same places count
    #: as several.
    correlated: tuple[str, ...] = ()
    references: tuple[str, ...] = Field(min_length=1, default=("uniform", "none"))
    #: Compositions that a study able to tell anything tells from its first reference: unless one is
    #: told, none is called equivalent.
    controls: tuple[str, ...] = ("none",)
    #: The first is about the top table.
    headlines: tuple[Headline, ...] = Field(min_length=1)
    #: The paper that is repeated: its names and sizes, what it states, and what is used here in the
    #: place of what it used.
    repeats: Repeated = Repeated()
    claims: tuple[Claim, ...] = ()
    stands_for: StandsFor = StandsFor()
    #: Stands on top of the report.
    notice: str = ""
    equivalence_margin: float = Field(gt=0, default=0.01)
    #: By task of numbers, the margin for scores in its units; without, none is called equivalent.
    equivalence_margins: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    stand_ins: dict[str, str] = Field(default_factory=dict)
    #: Layers that this machine lacks, and those that take their place.
    stood_in: dict[str, str] = Field(default_factory=dict)
    #: What this machine lacks the data for (e.g. ``tasks.cropharvest``), and why.
    left_out: dict[str, str] = Field(default_factory=dict)
    #: Models that were asked for by name, where others are left out.
    picked: tuple[str, ...] = ()
    #: What the table of the user's holds that is the pool.
    table: PoolTable | None = None
    #: What `wherefrom study tune` chose, of the table beside the study file.
    tuned: Tuned = Tuned()

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were given, to check them anew: what is a default stays one."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def options(self, task: str, row: str, head: str) -> dict[str, Option]:
        """Return the options of a head for a row on a task: those tuned, else the head's own."""
        chosen = self.tuned.choice(task, row, head)
        return self.heads[head].options if chosen is None else chosen.options

    def payload_of(self, modality: Modality, named: tuple[str, ...] = ()) -> tuple[str, Payload]:
        """Return the payload of a modality, and its name: of those named, else of the study's.

        Raises
        ------
        WherefromError
            If there is none, or several and none is named.
        """
        among = [name for name in named if name in self.payloads] or list(self.payloads)
        found = [name for name in among if self.payloads[name].modality == modality]
        if len(found) == 1:
            return found[0], self.payloads[found[0]]
        if found:
            raise WherefromError(
                f"payloads {' and '.join(found)} both have {modality}: name one of them "
                "(payloads: [...] of the model)"
            )
        if modality not in DEFAULTS:
            raise WherefromError(f"no payload of the study has {modality}: name one in 'payloads'")
        kind = DEFAULTS[modality]
        made = OfKind("payloads", Payload).read({"kind": kind})
        assert isinstance(made, Payload)
        return kind, made.settled()

    def named(self, task: str) -> tuple[str, ...]:
        """Return the payloads that the models of a task name: its baselines read the same."""
        models = [one for one in self.models.values() if task in one.tasks]
        return tuple(dict.fromkeys(name for gfm in models for name in gfm.payloads))

    @property
    def read(self) -> dict[str, Payload]:
        """The payloads that its models read, by name."""
        return dict(
            self.payload_of(modality, model.payloads)
            for model in self.models.values()
            for modality in sorted(model.reads | model.reads_of_tasks)
        ) | dict(
            self.payload_of(modality, row.payloads)
            for row in self.published.values()
            for modality in sorted(row.reads_of_tasks)
        )

    @property
    def unread(self) -> dict[str, str]:
        """Payloads that no model and no baseline reads, and what they have."""
        read = set(self.read)
        for name, task in self.tasks.items():
            models = [gfm for gfm in self.models.values() if name in gfm.tasks]
            named = tuple(one for gfm in models for one in gfm.payloads)
            reads = [one for which in task.baselines for one in baseline(which).reads]
            read |= {self.payload_of(one, named)[0] for one in reads}
        return {
            f"payloads.{name}": f"it has {payload.modality}, which no model or baseline takes of it"
            for name, payload in self.payloads.items()
            if name not in read
        }

    @property
    def missing(self) -> tuple[str, ...]:
        """What this machine lacks to run it."""
        lacking = [
            f"payload {name}: {one}"
            for name, payload in self.read.items()
            for one in payload.absent()
        ]
        others = [(f"task {task.label}", task.sources) for task in self.tasks.values()]
        others += [(f"model {name}", model.sources) for name, model in self.models.items()]
        return (*lacking, *(f"{who}: {why}" for who, names in others if (why := absent(*names))))

    @property
    def pool_places(self) -> int:
        """Places in the pool."""
        return self.table.places if self.table else self.pool.places or 0

    @property
    def samplers(self) -> dict[str, SamplerModel]:
        """Sampler of each composition."""
        return {name: _sampler(text) for name, text in self.compositions.items()}

    @property
    def twins(self) -> dict[str, str]:
        """Compositions whose spec an earlier one of the file has, and that one, by name."""
        first: dict[str, str] = {}
        earliest = {
            name: first.setdefault(canonical(chosen.identity()), name)
            for name, chosen in self.samplers.items()
        }
        return {name: one for name, one in earliest.items() if name != one}

    @property
    def unmatched(self) -> dict[str, str]:
        """Where what is repeated names something that nothing here has, perhaps misspelt, and what.

        No mistake in itself: a scale, or a study made of another, may leave out what a claim is
        about.
        """
        return {
            f"{where}.{name}": str(unknown(what, name, map(str, known)))
            for where, what, names, known in self._repeated()
            for name in names
            if name not in known
        }

    def _repeated(self) -> Iterator[tuple[str, str, Iterable[Any], Collection[Any]]]:
        """Give the names in what is repeated: where, of which kind, themselves, and those known."""
        left_out = [what.removeprefix("tasks.") for what in self.left_out]
        tasks = [*self.tasks, *left_out]
        labels = [*(task.label for task in self.tasks.values()), *left_out]
        sizes = [self.n, *(self.sweep.n if self.sweep else ())]
        for at, claim in enumerate(self.claims):
            where = f"claims.{at}"
            yield f"{where}.compositions", "composition", claim.compositions, self.compositions
            yield f"{where}.than", "composition", claim.than, self.compositions
            yield f"{where}.values", "composition", claim.values, self.compositions
            yield f"{where}.models", "model", claim.models, self.models
            yield f"{where}.task", "task", filter(None, [claim.task]), labels
            yield f"{where}.head", "head", filter(None, [claim.head]), self.heads
            yield f"{where}.n", "n", filter(None, [claim.n]), sizes
        for row, names in self.repeats.rows.items():
            yield f"repeats.rows.{row}", "composition", names, self.compositions
        yield "repeats.tables", "task", self.repeats.tables.values(), tasks
        yield "repeats.nearest", "task", self.repeats.nearest.values(), tasks
        yield "stands_for.tasks", "task", self.stands_for.tasks, tasks
        read = [chosen.inputs() for chosen in self.samplers.values()]
        own = [name for inputs in read for name in (*inputs.layers, *inputs.numbers)]
        data = {*earth.sources(), *earth.CATEGORICAL, *earth.VALUES, *own}
        yield "stands_for.data", "layer or source", self.stands_for.data, sorted(data)

    @field_validator("published", mode="before")
    @classmethod
    def _what_is_repeated_has_a_part_of_its_own(cls, rows: Any) -> Any:
        for name, row in rows.items() if isinstance(rows, dict) else ():
            if name in Repeated.model_fields and not (isinstance(row, dict) and "kind" in row):
                raise ValueError(f"{name!r} of the study that is repeated goes under 'repeats'")
        return rows

    @model_validator(mode="after")
    def _kinds_are_there(self) -> Self:
        where = ""
        try:
            for name, use in self.heads.items():
                where = f"heads.{name}: "
                for options in (use.options, *use.points):
                    head(name, **options)
            where = "repeats: "
            for name in (*self.repeats.composition_size, *self.repeats.samples_seen):
                kind("gfms", name, "kind of model")
        except WherefromError as err:
            raise ValueError(f"{where}{err}") from err
        except TypeError as err:
            raise ValueError(f"{where}an option is of the wrong type ({err})") from err
        return self

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> Self:
        for what, name, known in self._references():
            if name not in known:
                said = str(unknown(what, name, known))
                if what == "composition" and "references" not in self.model_fields_set:
                    said += f"; by default 'references' are {' and '.join(self.references)}"
                if what == "baseline":
                    said += "; weights of others are rows of 'published'"
                raise ValueError(said)
        return self

    def _references(self) -> Iterator[tuple[str, str, Any]]:
        """Give every name that must be among others: its kind, itself and those."""
        for task in self.tasks.values():
            for name in task.baselines:
                if not is_baseline(name):
                    yield "baseline", name, BASELINES
        for headline in self.headlines:
            yield "model", headline.model, self.models
            yield "head", headline.head, self.heads
            yield "metric", headline.metric, METRICS
        for name in (*self.references, *self.correlated):
            yield "composition", name, self.compositions
        for name in self.controls if "controls" in self.model_fields_set else ():
            yield "composition", name, self.compositions
        for name in self.equivalence_margins:
            yield "task", name, self.tasks
        for claim in self.claims:
            for name in (*filter(None, [claim.audit]), *claim.than_audits):
                yield "audit number", name, self.audits
        for name in self.repeats.audits.values():
            yield "audit number", name, self.audits
        rows: list[Gfm | Published] = [*self.models.values(), *self.published.values()]
        for row in rows:
            for name in row.tasks:
                yield "task", name, self.tasks
            for name in row.payloads:
                yield "payload", name, self.payloads
        for use in self.heads.values():
            for name in use.models or ():
                yield "model", name, self.models
        if self.sweep:
            for name in self.sweep.models or ():
                yield "model", name, self.models
            for name in self.sweep.heads:
                yield "head", name, self.heads
            for layer, regions in (("continent", earth.CONTINENTS), ("land", ("land",))):
                if {task.regions_by for task in self.tasks.values()} == {layer}:
                    yield "region", self.sweep.region, regions

    @model_validator(mode="after")
    def _what_models_read_is_there(self) -> Self:
        rows: dict[str, Gfm | Published] = {f"models.{k}": one for k, one in self.models.items()}
        rows |= {f"published.{name}": one for name, one in self.published.items()}
        for where, row in rows.items():
            read = row.reads_of_tasks | (row.reads if isinstance(row, Gfm) else set())
            try:
                for modality in sorted(read):
                    self.payload_of(modality, row.payloads)
            except WherefromError as err:
                raise ValueError(f"{where}: {err}") from err
            for one in row.payloads:
                if self.payloads[one].modality not in read:
                    raise ValueError(
                        f"{where}: payload {one!r} has {self.payloads[one].modality}, which "
                        f"{row.kind!r} does not read"
                    )
        return self

    @model_validator(mode="after")
    def _no_one_is_shown_what_labels_are_made_of(self) -> Self:
        readers: dict[tuple[str, str], tuple[frozenset[Modality], tuple[str, ...], Any]] = {}
        for name, model in self.models.items():
            for task in model.tasks:
                reads = model.reads_of_tasks
                readers[task, f"models.{name}"] = reads, model.payloads, model.wants
        for name, row in self.published.items():
            for task in row.tasks or self.tasks:
                readers[task, f"published.{name}"] = (
                    row.reads_of_tasks,
                    row.payloads,
                    lambda _: True,
                )
        for name, spec in self.tasks.items():
            for one in spec.baselines:
                readers[name, f"tasks.{name}: baseline {one!r}"] = (
                    baseline(one).reads, self.named(name), lambda _: True
                )  # fmt: skip
        for (task, who), (reads, named, wants) in readers.items():
            labels = self.tasks[task].label_layers
            for modality in sorted(reads):
                if modality == "series" and self.tasks[task].own_series:
                    continue
                of, payload = self.payload_of(modality, named)
                if shown := sorted(made_of(*labels) & payload.shown(wants)):
                    raise ValueError(
                        f"{who}: labels of task {task!r} ({', '.join(labels)}) are made of "
                        f"{', '.join(shown)}, which payload {of!r} shows of labelled places: take "
                        "that out of what it reads, or drop the task"
                    )
        return self

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        rows = (*self.models, *self.published)
        named = (*self.compositions, *rows, *self.tasks, *self.payloads, *self.audits)
        for name in (self.name, *named):
            if not _NAME.fullmatch(name):
                raise ValueError(f"name {name!r}: use letters, digits and . + - _ alone")
        for name in rows:
            if is_baseline(name):
                raise ValueError(f"model {name!r}: a baseline has this name, choose another")
        for name in self.published:
            if name in self.models:
                raise ValueError(f"published.{name}: a model has this name, choose another")
        fixed: dict[str, str] = {}
        for name, spec in self.compositions.items():
            chosen = self.samplers[name]
            # The evidence knows zero pre-training by this name.
            if (name == "none") != chosen.empty:
                raise ValueError(
                    f"composition {name!r} ({spec!r}): zero pre-training, and it alone, is named "
                    "'none'"
                )
            other = None if chosen.varies else fixed.setdefault(canonical(chosen.identity()), name)
            if other not in (None, name):
                raise ValueError(
                    f"compositions {other!r} and {name!r} are one: {spec!r} gives the same places "
                    "whatever the seed"
                )
        labels = [task.label for task in self.tasks.values()]
        lists: list[tuple[str, tuple[Any, ...]]] = [
            ("references", self.references),
            ("headlines", self.headlines),
            ("correlated", self.correlated),
            ("tasks, by the names of their results", tuple(labels)),
            *((f"models.{name}.tasks", model.tasks) for name, model in self.models.items()),
            *((f"published.{name}.tasks", row.tasks) for name, row in self.published.items()),
        ]
        lists += [("sweep.n", self.sweep.n)] if self.sweep else []
        lists += [(f"sizes.{name}", value) for name, value in self.sizes or () if name != "blocks"]
        for field, values in lists:
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: a value occurs twice in {[str(v) for v in values]}")
        return self

    @model_validator(mode="after")
    def _numbers_fit_each_other(self) -> Self:
        for name, model in self.models.items():
            if self.composition_size < model.pretrain.batch:
                raise ValueError(
                    f"composition_size = {self.composition_size} is smaller than the batch = "
                    f"{model.pretrain.batch} of model {name!r}"
                )
        for headline in self.headlines:
            shown = self.heads[headline.head].models
            if shown is not None and headline.model not in shown:
                raise ValueError(
                    f"a headline is about model {headline.model!r}, which head "
                    f"{headline.head!r} leaves out: heads.{headline.head}.models = {list(shown)}"
                )
        placed = {k: one for k, one in self.tasks.items() if isinstance(one, PlacedSpec)}
        swept = (self.sweep.models or self.models) if self.sweep else ()
        among = {task for name in swept for task in self.models[name].tasks}
        for name in sorted(among & placed.keys()):
            task = placed[name]
            for n in self.sweep.n if self.sweep else ():
                if n > task.train_per_region:
                    raise ValueError(
                        f"sweep.n: {n} labelled places, and task {name!r} has "
                        f"{task.train_per_region} a region to train on: raise its "
                        "train_per_region, or take this n out"
                    )
        ladder = {name: one.placing() for name, one in placed.items() if one.ladder}
        for name, one in ladder.items():
            first, other = next(iter(ladder.items()))
            if differs := [key for key in one if one[key] != other[key]]:
                raise ValueError(
                    f"tasks {first!r} and {name!r} have a ladder each, and other places, by "
                    f"{', '.join(differs)}: give both the same"
                )
        used = {name for model in self.models.values() for name in model.tasks}
        for name in self.tasks:
            if name not in used:
                raise ValueError(f"task {name!r}: no model names it among its tasks")
        try:
            check(self)
        except WherefromError as err:
            raise ValueError(str(err)) from err
        return self
