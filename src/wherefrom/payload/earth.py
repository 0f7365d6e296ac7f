"""What is known of any place on Earth: pictures of it from above, and its climate and relief."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from wherefrom.earth.imagery import ImageFeatures, available
from wherefrom.payload.base import NAMES, Lost, Modality, Payload, Piece, Sought
from wherefrom.pool.series.earth import SERIES_LAYERS, earth_series

__all__ = ["BlueMarble", "EarthSeries"]

#: Places whose series are made at a time.
_AT_ONCE = 65_536


class BlueMarble(Payload):
    """Frozen features of NASA's Blue Marble around a place (`wherefrom.earth.imagery`).

    The twelve months are used where they are on this machine.

    Attributes
    ----------
    images : tuple of str
        Of one date, and of twelve months; their features stand side by side.
    window_km : float
        Side of the window around a place.
    filters : int
        Random filters an image.
    seed : int
        Of the draw of the filters.
    """

    modality: ClassVar[Modality] = "features"

    images: tuple[Literal["blue-marble", "blue-marble-monthly"], ...] = Field(
        min_length=1, default=("blue-marble", "blue-marble-monthly")
    )
    window_km: float = Field(gt=0, default=60.0)
    filters: int = Field(ge=0, default=64)
    seed: int = 0

    @property
    def seconds(self) -> float:
        """Filters run over the whole image once; what remains is small."""
        return 3e-5 * len(self.images)

    @property
    def sources(self) -> tuple[str, ...]:
        """The images."""
        return self.images

    def settled(self) -> Self:
        """Do without the months where they are not on this machine, and something else is."""
        there = tuple(one for one in self.images if one == "blue-marble" or available(one))
        return self.model_copy(update={"images": there or self.images})

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Look the features up; half precision keeps three digits of eight-bit pictures."""
        made = [
            ImageFeatures(one, self.window_km, self.filters, self.seed).compute(
                places.lon, places.lat
            )
            for one in self.images
        ]
        features = np.concatenate(made, axis=1).astype(np.float16)
        yield np.arange(len(places)), {"features": features}


class EarthSeries(Payload):
    """Twelve months of climate, relief and land cover of a place (`wherefrom.pool.series.earth`).

    Land cover is left out of the series of labelled places: it is what a task may ask for.
    """

    modality: ClassVar[Modality] = "series"

    @property
    def kept(self) -> bool:
        """Nothing is kept: nearest pixels are read as fast as a file of them."""
        return False

    @property
    def seconds(self) -> float:
        """Nearest pixels of a few rasters."""
        return 5e-5

    @property
    def bands(self) -> tuple[str, ...]:
        """Climate, relief and land cover."""
        return ("temperature_2m", "total_precipitation", "elevation", "slope", "dynamic_world")

    def layers(self, labelled: bool = False) -> tuple[str, ...]:
        """Climate and relief; land cover of candidates alone."""
        return SERIES_LAYERS[:-1] if labelled else SERIES_LAYERS

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Make the series."""
        for start in range(0, max(len(places), 1), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            made = earth_series(places.lon[some], places.lat[some], not places.labelled)
            rows = np.arange(start, start + len(made))
            yield rows, {name: getattr(made, name) for name in NAMES["series"]}
