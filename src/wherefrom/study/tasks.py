"""The tasks of a study: what a study file says of each kind, and where its places come from."""

from __future__ import annotations

import re
from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wherefrom.errors import unknown
from wherefrom.study.gfms import Part

__all__ = [
    "BASELINES", "BASELINE_NAME", "OF_SERIES", "WEIGHTS", "PlacedSpec", "TableSpec", "TaskSpec",
]  # fmt: skip

#: Baselines of a task; the harmonics of any L go by the same form of name.
BASELINES = (
    "raw-lonlat",
    "raw-harmonics-L10",
    "raw-harmonics-L40",
    "raw-series",
    "presto-official",
    "majority",
)
#: Those that look at the pixel series of the labelled places.
OF_SERIES = ("raw-series", "presto-official")
#: Those that are published weights, and what the catalog calls these.
WEIGHTS = {"presto-official": "presto"}
BASELINE_NAME = re.compile(rf"raw-lonlat|raw-harmonics-L[1-9]\d*|majority|{'|'.join(OF_SERIES)}")


class TaskBase(Part):
    """What all tasks share: what the models are compared with, and a seed."""

    #: Where labels are not read off the Earth layers: the catalog's sources that hold them.
    sources: ClassVar[tuple[str, ...]] = ()

    kind: str
    baselines: tuple[str, ...] = ()
    seed: int = 0

    @property
    @abstractmethod
    def label(self) -> str:
        """Name in the column ``task`` of the results."""

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Earth layers that labels and regions are read from."""

    @property
    @abstractmethod
    def places(self) -> int:
        """Labelled places that are embedded, about."""

    @model_validator(mode="after")
    def _baselines_are_known(self) -> Self:
        for name in self.baselines:
            if not BASELINE_NAME.fullmatch(name):
                raise ValueError(str(unknown("baseline", name, BASELINES)))
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError(f"baselines: a value occurs twice in {list(self.baselines)}")
        return self

    def settings(self) -> dict[str, Any]:
        """Give what the task depends on: every field but the baselines."""
        return self.model_dump(exclude={"baselines"})


class PlacedSpec(TaskBase):
    """Labelled places drawn uniformly by area in each region, apart from the pool."""

    region_layer: str = "continent"
    train_per_region: int = Field(gt=0)
    test_per_region: int = Field(gt=0)
    tune_train_per_region: int = Field(gt=0)
    tune_test_per_region: int = Field(gt=0)
    min_distance_km: float = Field(ge=0)

    @property
    def places(self) -> int:
        """Of the six continents."""
        return 6 * (self.train_per_region + self.test_per_region)


class EcoregionsSpec(PlacedSpec):
    """Tell a layer's label (biome, ecoregion, climate zone) of a place."""

    kind: Literal["ecoregions"]
    layer: str = "biome"

    @property
    def label(self) -> str:
        """Names the layer, so that a stand-in is never taken for what it stands in for."""
        return f"ecoregions-{self.layer}"

    @property
    def layers(self) -> tuple[str, ...]:
        """Labels first."""
        return (self.layer, self.region_layer)


class CroplandSpec(PlacedSpec):
    """Tell cropland (MODIS land cover, IGBP classes 12 and 14) from other land."""

    kind: Literal["cropland"]

    @property
    def label(self) -> str:
        """The same for every study."""
        return "cropland"

    @property
    def layers(self) -> tuple[str, ...]:
        """Labels first."""
        return ("cropland", self.region_layer)


class CropHarvestSpec(TaskBase):
    """Tell crop from non-crop on CropHarvest's labelled pixel series, by continent."""

    sources: ClassVar[tuple[str, ...]] = ("cropharvest", "cropharvest-features")

    kind: Literal["cropharvest"]
    region_layer: str = "continent"

    @property
    def label(self) -> str:
        """The same for every study."""
        return "cropharvest"

    @property
    def layers(self) -> tuple[str, ...]:
        """The regions' alone: labels come with the data."""
        return (self.region_layer,)

    @property
    def places(self) -> int:
        """Rows with both label and series, as published."""
        return 70_213


class TableSpec(TaskBase):
    """Tell the labels of a table of the user's, as `wherefrom task from-table` writes it.

    Attributes
    ----------
    name : str
        Of the task in the results.
    file : str
        The task, from the folder where the command runs.
    """

    kind: Literal["table"]
    name: str = Field(pattern=r"^[\w.+-]+$")
    file: str = Field(min_length=1)

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def layers(self) -> tuple[str, ...]:
        """None: labels and regions come with the table."""
        return ()

    @cached_property
    def places(self) -> int:  # of a plan every stage asks for it
        """Rows of the table.

        Raises
        ------
        WherefromError
            If the file is absent or not a task.
        """
        from wherefrom.tasks import Task

        return len(Task.read(self.file))

    def settings(self) -> dict[str, Any]:
        """Give the name; where the table lies is no part of what the task depends on."""
        return self.model_dump(exclude={"baselines", "file"})


#: One kind of task or another, told apart by the key ``kind``.
TaskSpec = Annotated[
    EcoregionsSpec | CroplandSpec | CropHarvestSpec | TableSpec, Field(discriminator="kind")
]
