"""EcoRegions: tell a layer's label (biome, ecoregion, climate zone) from the place alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from wherefrom.pool import Pool
from wherefrom.tasks.base import PlacedSpec
from wherefrom.tasks.placing import place
from wherefrom.tasks.task import Task

__all__ = ["Ecoregions", "ecoregions"]


class Ecoregions(PlacedSpec):
    """Tell a layer's label (biome, ecoregion, climate zone) of a place.

    Attributes
    ----------
    layer : str
    name : str
        Of the task in the results, with the layer's behind it; for a second task of a layer.
    """

    layer_fields: ClassVar[tuple[str, ...]] = ("layer", "region_layer")

    layer: str = "biome"
    name: str = Field(pattern=r"^[\w.+-]+$", default="ecoregions")

    @property
    def label(self) -> str:
        """Names the layer, so that a stand-in is never taken for what it stands in for."""
        return f"{self.name}-{self.layer}"

    def settings(self) -> dict[str, Any]:
        """Give the fields; the name is in no key of tasks that had none to give."""
        fields = super().settings()
        if self.name == type(self).model_fields["name"].default:
            del fields["name"]
        return fields

    @property
    def label_layers(self) -> tuple[str, ...]:
        """The layer."""
        return (self.layer,)

    @property
    def has_positive(self) -> bool:
        """None of the labels is more than another."""
        return False

    def make(self, pool: Pool | None) -> Task:
        """Draw the places."""
        assert pool is not None
        return replace(ecoregions(pool, layer=self.layer, **self.placing()), name=self.label)


def ecoregions(
    pool: Pool,
    layer: str = "biome",
    region_layer: str = "continent",
    train_per_region: int = 5500,
    test_per_region: int = 2000,
    tuning_per_region: tuple[int, int] = (600, 1000),
    min_distance_km: float = 5.0,
    seed: int = 0,
    ladder: tuple[str, ...] = (),
) -> Task:
    """Draw labelled places uniformly by area in every region, apart from a pool.

    Parameters
    ----------
    pool : Pool
        Candidates of pre-training. No place of the task is closer than `min_distance_km` to any of
        them, so that no pre-training place, of whatever composition, is tested on.
    layer : str
        Categorical layer that gives the labels; it names the task.
    region_layer : str
        Categorical layer that gives the regions; of ``continent`` the six of the study.
    train_per_region, test_per_region : int
        Places per region to draw episodes from and to test on.
    tuning_per_region : (int, int)
        The same for the choice of hyper-parameters. These places are also at least
        `min_distance_km` from every train and test place.
    min_distance_km : float
        Great-circle distance to keep; train and test places may be neighbours (the buffer of
        `episodes` keeps them apart where that is wanted).
    seed : int
        The same seed, pool and layers give the same task.
    ladder : tuple of str
        Layers of labels, `layer` among them. Places have a label of each, and are the same for
        every task of the same ladder, seed and sizes, whichever of its layers is told.

    Returns
    -------
    Task
        Named ``ecoregions-<layer>``. Classes are the layer's labels that occur.

    Raises
    ------
    WherefromError
        If a layer is unknown or cannot be had, a number is not valid, or a region has too little
        room.

    Notes
    -----
    Rejection from uniform places on the sphere: a region gets the first of them that lie in it,
    have a label and keep the distance. Ecoregions and biomes are those of Dinerstein et al. 2017,
    *An Ecoregion-Based Approach to Protecting Half the Terrestrial Realm* (RESOLVE).

    Examples
    --------
    >>> task = ecoregions(Pool.build(2000), layer="climate_zone", train_per_region=50,
    ...                   test_per_region=20, tuning_per_region=(10, 10))
    >>> task.name, len(task), task.regions[0]
    ('ecoregions-climate_zone', 540, 'Africa')
    """
    sizes = (train_per_region, test_per_region, *tuning_per_region)
    where = sizes, min_distance_km, seed
    return place(f"ecoregions-{layer}", pool, layer, region_layer, *where, ladder=ladder)
