"""Values: tell a layer's number (elevation, temperature, slope) of a place."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from wherefrom.pool import Pool
from wherefrom.tasks.base import PlacedSpec
from wherefrom.tasks.placing import numbers_of, place
from wherefrom.tasks.task import Task

__all__ = ["Values", "values"]


class Values(PlacedSpec):
    """Tell the number that a layer (elevation, temperature, slope) has at a place."""

    layer_fields: ClassVar[tuple[str, ...]] = ("layer", "region_layer")

    layer: str = "elevation"

    @property
    def label(self) -> str:
        """Names the layer, so that a stand-in is never taken for what it stands in for."""
        return f"values-{self.layer}"

    @cached_property
    def units(self) -> str:  # of a plan every stage asks for it
        """Those of the layer; one that holds labels is refused."""
        return numbers_of(self.layer).units

    @property
    def label_layers(self) -> tuple[str, ...]:
        """The layer."""
        return (self.layer,)

    def make(self, pool: Pool | None) -> Task:
        """Draw the places."""
        assert pool is not None
        return values(pool, layer=self.layer, **self.placing())


def values(
    pool: Pool,
    layer: str = "elevation",
    region_layer: str = "continent",
    train_per_region: int = 5500,
    test_per_region: int = 2000,
    tuning_per_region: tuple[int, int] = (600, 1000),
    min_distance_km: float = 5.0,
    seed: int = 0,
    ladder: tuple[str, ...] = (),
) -> Task:
    """Draw places with the number that a layer has there, uniformly by area in every region.

    Parameters
    ----------
    pool, region_layer, train_per_region, test_per_region, tuning_per_region, min_distance_km, seed
        As of :func:`wherefrom.tasks.ecoregions`.
    ladder : tuple of str
        As of :func:`wherefrom.tasks.ecoregions`.
    layer : str
        Layer of numbers, which names the task: ``elevation``, ``slope``, ``city_distance``; or
        ``temperature`` or ``precipitation``, which have a number a month: their mean is told.

    Returns
    -------
    Task
        Named ``values-<layer>``, of numbers in the layer's units. Places without one are left out.
        What a model reads of its places must not hold the layer.

    Raises
    ------
    WherefromError
        As of :func:`wherefrom.tasks.ecoregions`, or if the layer holds labels.

    Examples
    --------
    >>> task = values(Pool.build(2000), "elevation", train_per_region=50, test_per_region=20,
    ...               tuning_per_region=(10, 10))
    >>> task.name, task.units, task.predicts, len(task)
    ('values-elevation', 'm', 'numbers', 540)
    """
    sizes = (train_per_region, test_per_region, *tuning_per_region)
    name = f"values-{layer}"
    where = sizes, min_distance_km, seed
    return place(name, pool, layer, region_layer, *where, numbers=True, ladder=ladder)
