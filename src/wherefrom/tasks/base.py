"""What a task of a study is: the fields of a study file, where its places come from, and `make`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from wherefrom.part import OfKind, Part

if TYPE_CHECKING:
    from wherefrom.pool import Pool
    from wherefrom.tasks.labelled import LabelledSeries
    from wherefrom.tasks.task import Predicts, Task

__all__ = ["AnyTask", "PlacedSpec", "TaskSpec"]


class TaskSpec(Part):
    """A kind of task: one class, whose fields a study file gives.

    A new kind states its fields, `label`, `places`, what it reads, and has `make`.

    Attributes
    ----------
    kind : str
        Its name in the table of tasks.
    baselines : tuple of str
        What models are compared with on it (`wherefrom.gfms.baselines`).
    seed : int
    """

    #: The catalog's sources that hold its labels, where these are not read off Earth layers.
    sources: ClassVar[tuple[str, ...]] = ()
    #: Fields that name Earth layers which labels or regions are read from.
    layer_fields: ClassVar[tuple[str, ...]] = ()
    #: Whether its places keep away from those of the pool, so that `make` must be given one.
    needs_pool: ClassVar[bool] = False
    #: Whether it brings the pixel series of its places, so that none is made of Earth layers.
    own_series: ClassVar[bool] = False
    #: Raised by hand when the code changes what it makes: old results are then not reused.
    version: ClassVar[int] = 1

    kind: str
    baselines: tuple[str, ...] = ()
    seed: int = 0

    @property
    @abstractmethod
    def label(self) -> str:
        """Name in the column ``task`` of the results."""

    @property
    def units(self) -> str | None:
        """Units of the numbers that its places have, perhaps ``""``; None if they have classes."""
        return None

    @property
    def areas(self) -> int:
        """How many regions it has, about."""
        return 6

    @property
    def predicts(self) -> Predicts:
        """What is told of its places: heads, metrics and baselines must be for the same."""
        return "classes" if self.units is None else "numbers"

    @property
    def folds(self) -> int:
        """Folds of a cross-validation; 0 of a task that is split once."""
        return 0

    @property
    @abstractmethod
    def places(self) -> int:
        """Labelled places that are embedded, about."""

    @property
    def known_regions(self) -> tuple[str, ...] | None:
        """Names of its regions, where they are known before it is made."""
        return None

    @property
    def has_positive(self) -> bool | None:
        """Whether one of two classes is the positive one; None where that is not known yet."""
        return None

    def few(self, n: int) -> str:
        """Say why no region can be evaluated with n labelled places; empty where one may be."""
        return ""

    @abstractmethod
    def make(self, pool: Pool | None) -> Task | LabelledSeries:
        """Make the labelled places, with their series if it has `own_series`.

        Parameters
        ----------
        pool : Pool or None
            Candidates of pre-training, if it `needs_pool`.

        Raises
        ------
        WherefromError
            If its data cannot be had, or do not allow what the fields ask for.
        """

    @property
    def regions_by(self) -> str | None:
        """The layer whose labels its regions are; None where none is declared."""
        return None

    @property
    def layers(self) -> tuple[str, ...]:
        """Earth layers that labels and regions are read from."""
        return tuple(getattr(self, name) for name in self.layer_fields)

    @property
    def label_layers(self) -> tuple[str, ...]:
        """Those that labels are read from: no model may be shown what they are made of."""
        return ()

    @property
    def files(self) -> tuple[str, ...]:
        """Files of the user's that it reads; what they hold, not where they lie, makes its key."""
        return ()

    def settings(self) -> dict[str, Any]:
        """Give what the task depends on: every field but the baselines."""
        return self.model_dump(exclude={"baselines"})

    def renamed(self, layers: Mapping[str, str]) -> Self:
        """Put stand-ins in the place of layers."""
        named = {name: getattr(self, name) for name in self.layer_fields}
        return self.model_copy(
            update={field: layers.get(name, name) for field, name in named.items()}
        )

    @field_validator("baselines")
    @classmethod
    def _baselines_are_told_apart(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"a value occurs twice in {list(names)}")
        return names


class PlacedSpec(TaskSpec):
    """Labelled places drawn uniformly by area in each region, apart from the pool.

    Attributes
    ----------
    ladder : tuple of str
        Layers of labels, its own among them: places have a label of each, and tasks that name the
        same ones in the same order have the same places, whichever of them they tell.
    """

    layer_fields: ClassVar[tuple[str, ...]] = ("region_layer",)
    needs_pool: ClassVar[bool] = True

    region_layer: str = "continent"
    train_per_region: int = Field(gt=0)
    test_per_region: int = Field(gt=0)
    tune_train_per_region: int = Field(gt=0)
    tune_test_per_region: int = Field(gt=0)
    min_distance_km: float = Field(ge=0)
    ladder: tuple[str, ...] = ()

    @property
    def areas(self) -> int:
        """Six continents, or all land."""
        return 1 if self.region_layer == "land" else 6

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of labels and regions, then those that its places share with other tasks."""
        return tuple(dict.fromkeys((*super().layers, *self.ladder)))

    def settings(self) -> dict[str, Any]:
        """Give the fields; a ladder is in no key of tasks that have none."""
        fields = super().settings()
        if not self.ladder:
            del fields["ladder"]
        return fields

    def renamed(self, layers: Mapping[str, str]) -> Self:
        """Put stand-ins in the place of layers."""
        rungs = dict.fromkeys(layers.get(name, name) for name in self.ladder)
        return super().renamed(layers).model_copy(update={"ladder": tuple(rungs)})

    @model_validator(mode="after")
    def _ladder_has_its_own_layer(self) -> Self:
        if len(set(self.ladder)) < len(self.ladder):
            raise ValueError(f"ladder: a layer occurs twice in {list(self.ladder)}")
        for name in self.label_layers if self.ladder else ():
            if name not in self.ladder:
                raise ValueError(
                    f"ladder {list(self.ladder)} lacks {name!r}, which it tells: add it"
                )
        return self

    @property
    def regions_by(self) -> str:
        """The layer of regions."""
        return self.region_layer

    @property
    def places(self) -> int:
        """Of all regions."""
        return self.areas * (self.train_per_region + self.test_per_region)

    def few(self, n: int) -> str:
        """Say that each region has fewer."""
        most = self.train_per_region
        said = f"each region has {most:,} labelled places to train on: take a smaller n, or raise "
        return f"{said}train_per_region" if n > most else ""

    def placing(self) -> dict[str, Any]:
        """Give the fields as `wherefrom.tasks.ecoregions` takes them."""
        same = {"region_layer", "train_per_region", "test_per_region", "min_distance_km", "seed"}
        same.add("ladder")
        tuning = (self.tune_train_per_region, self.tune_test_per_region)
        return self.model_dump(include=same) | {"tuning_per_region": tuning}


#: A task of a study file, of the class that its key ``kind`` names.
AnyTask = Annotated[TaskSpec, OfKind("tasks", TaskSpec)]
