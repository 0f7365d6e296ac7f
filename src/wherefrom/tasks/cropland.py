"""Cropland: tell fields from everything else on land."""

from __future__ import annotations

from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.tasks.base import PlacedSpec
from wherefrom.tasks.placing import place
from wherefrom.tasks.task import SPLITS, Task

__all__ = ["Cropland", "cropland"]


class Cropland(PlacedSpec):
    """Tell cropland (MODIS land cover, IGBP classes 12 and 14) from other land."""

    @property
    def label(self) -> str:
        """The same for every study."""
        return "cropland"

    @property
    def layers(self) -> tuple[str, ...]:
        """Labels first."""
        return tuple(dict.fromkeys((*self.label_layers, self.region_layer, *self.ladder)))

    @property
    def label_layers(self) -> tuple[str, ...]:
        """Cropland, which is made of land cover."""
        return ("cropland",)

    @property
    def has_positive(self) -> bool:
        """It is cropland."""
        return True

    def make(self, pool: Pool | None) -> Task:
        """Draw the places."""
        assert pool is not None
        return cropland(pool, **self.placing())


def cropland(
    pool: Pool,
    region_layer: str = "continent",
    train_per_region: int = 5500,
    test_per_region: int = 2000,
    tuning_per_region: tuple[int, int] = (600, 1000),
    min_distance_km: float = 5.0,
    seed: int = 0,
    ladder: tuple[str, ...] = (),
) -> Task:
    """Draw places, uniformly by area in every region, that are cropland or not.

    The classes are ``other`` and ``cropland`` (the positive one), of the layer `cropland`: MODIS
    IGBP classes 12 and 14 of 2019; water is left out. They keep their natural shares, since uniform
    places are what is asked for; of land places, measured on 100,000 of the sphere's: Asia 18 %,
    Europe 14 %, North America 10 %, Africa 5 %, South America 5 %, Oceania 3 %. So weighted F1 and
    accuracy hardly move: look at macro F1 and the F1 of cropland.

    Parameters
    ----------
    pool, region_layer, train_per_region, test_per_region, tuning_per_region, min_distance_km, seed
        As of :func:`wherefrom.tasks.ecoregions`.
    ladder : tuple of str
        As of :func:`wherefrom.tasks.ecoregions`.

    Returns
    -------
    Task
        Named ``cropland``. Its inputs must not hold land cover: make them with
        ``earth_series(task.lon, task.lat, land_cover=False)``.

    Raises
    ------
    WherefromError
        As of :func:`wherefrom.tasks.ecoregions`, or if no place of a split is cropland.

    Examples
    --------
    >>> task = cropland(Pool.build(2000), train_per_region=500, test_per_region=200,
    ...                 tuning_per_region=(0, 0))
    >>> task.classes, task.classes[task.positive]
    (('other', 'cropland'), 'cropland')
    """
    sizes = (train_per_region, test_per_region, *tuning_per_region)
    where = sizes, min_distance_km, seed
    task = place(
        "cropland", pool, "cropland", region_layer, *where, positive="cropland", ladder=ladder
    )
    positives = task.counts()[:, 1].sum(axis=0)
    for split, wanted, found in zip(SPLITS, sizes, positives, strict=True):
        if wanted and not found:
            raise WherefromError(
                f"task cropland: none of the {wanted * len(task.regions):,} places of split "
                f"{split!r} is cropland; ask for more places per region"
            )
    return task
