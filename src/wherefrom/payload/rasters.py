"""Windows of rasters around places: square on the ground, whatever projection a raster is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from wherefrom.earth import catalog
from wherefrom.earth.base import checked_places
from wherefrom.earth.cover import IGBP
from wherefrom.earth.fetch import path_of
from wherefrom.earth.sphere import offset
from wherefrom.errors import WherefromError
from wherefrom.part import Part
from wherefrom.payload.base import Lost, Modality, Payload, Piece, Sought
from wherefrom.payload.sampled import Looked, Sampled, bands_of, files_of
from wherefrom.payload.sampled import opened as file_of

__all__ = ["STACK", "Raster", "Rasters"]

#: Sources of the catalog that are rasters of the whole Earth.
Source = Literal[
    "blue-marble",
    "blue-marble-monthly",
    "ndvi-range",
    "altitude",
    "modis-land-cover",
    "era5-climatology",
    "koeppen-geiger",
]
#: Names of a source's bands, which no file gives; so nothing is fetched to know them.
_NAMES: dict[str, tuple[str, ...]] = {
    "blue-marble": ("red", "green", "blue"),
    "blue-marble-monthly": tuple(
        f"{colour}-{month}" for month in range(1, 13) for colour in ("red", "green", "blue")
    ),
    "ndvi-range": ("minimum", "maximum"),
    "altitude": ("metres",),
    "modis-land-cover": ("class",),
    "era5-climatology": tuple(str(month) for month in range(1, 13)),
    "koeppen-geiger": ("zone",),
}
#: Values and points of a piece.
_VALUES, _POINTS = 1 << 25, 1 << 20


class Raster(Part):
    """A raster of which windows are cut.

    Attributes
    ----------
    path : str
        A file that GDAL reads: GeoTIFF (COG), VRT, netCDF, ...
    source : str
        In its place, a raster of the catalog.
    variable : str
        Of a netCDF that holds several.
    bands : tuple of int or str
        Numbers from 1 or descriptions; all by default, but masks.
    crs : str
        Where the file states none, or a wrong one.
    nodata : float
        A value that means none, besides what the file declares.
    scale, offset : float or tuple of float
        A value is ``pixel * scale + offset``, for all bands or each; by default as the file says.
    classes : mapping of str to int or tuple of int
        Pixel values of each class. Channels are then the shares of the classes, 0 to 1.
    resampling : {"mean", "bilinear", "nearest"}
        ``mean``: of all pixels in the square that an image's pixel is on the ground; where the
        raster is coarser, the pixel in which its middle lies. ``bilinear``: the same, and linear
        between the middles of the raster's pixels. ``nearest``: the pixel in which its middle
        lies, whose value occurs; for codes.
    fill : float or "nan"
        Value, in the channels' own units, where there is none: nodata, or beyond the raster.
        Without it, places whose window lacks any pixel are left out.
    hidden : bool
        Whether labels of tasks may be made of it: of labelled places it is then 0 throughout.
    """

    path: str | None = None
    source: Source | None = None
    variable: str = ""
    bands: tuple[int | str, ...] = ()
    crs: str = ""
    nodata: float | None = None
    scale: float | tuple[float, ...] | None = None
    offset: float | tuple[float, ...] | None = None
    classes: dict[str, int | tuple[int, ...]] = Field(default_factory=dict)
    resampling: Looked = "mean"
    fill: float | Literal["nan"] | None = None
    hidden: bool = False

    @field_validator("bands")
    @classmethod
    def _once(cls, bands: tuple[int | str, ...]) -> tuple[int | str, ...]:
        if len({str(band) for band in bands}) < len(bands):
            raise ValueError("a band stands there twice")
        return bands

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.path is None) == (self.source is None):
            raise ValueError("needs either path, a file, or source, of the catalog")
        if self.source and (self.crs or (self.bands and len(self.file_names) > 1)):
            raise ValueError(f"crs and bands of several files are not for source {self.source!r}")
        if self.classes:
            codes = [code for some in self.codes for code in some]
            if len(set(codes)) < len(codes):
                raise ValueError("a pixel value is of two classes")
            if self.scale is not None or self.offset is not None:
                raise ValueError("classes have no scale or offset: take these out")
            if len(self.bands) > 1:
                raise ValueError("classes are of one band: name it alone")
        return self

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the source's rasters; further files of a source, such as a legend, are none."""
        assert self.source is not None
        names = [file.name for file in catalog.source(self.source).files]
        return tuple(name for name in names if not name.endswith(".csv"))

    @property
    def codes(self) -> tuple[tuple[int, ...], ...]:
        """Pixel values of each class."""
        return tuple((one,) if isinstance(one, int) else one for one in self.classes.values())

    @property
    def paths(self) -> tuple[str, ...]:
        """Its files; a source that is not on this machine is fetched."""
        if self.path is not None:
            return (self.path,)
        assert self.source is not None
        first = path_of(self.source)
        return tuple(str(first.with_name(name)) for name in self.file_names)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of its channels: classes, bands as they are asked for, or as the file has them.

        None of a file that is not there yet.
        """
        if self.classes:
            return tuple(self.classes)
        if self.bands:
            return tuple(map(str, self.bands))
        if self.source is not None:
            return _NAMES[self.source]
        assert self.path is not None
        if not Path(self.path).exists():
            return ()
        with file_of(self.path, self.variable) as file:
            return tuple(bands_of(file, self.path))

    def settings(self) -> dict[str, Any]:
        """Give what its values depend on; classes in their order, which a mapping has not."""
        plain = self.model_dump(exclude={"path", "classes"})
        return plain | {"classes": [list(pair) for pair in self.classes.items()]}

    def sampled(self, metres: float) -> Sampled:
        """Open it for squares of so many metres."""
        made = Sampled(
            self.paths, self.resampling, metres, self.bands, self.variable, self.crs,
            self.source is not None, self.nodata, self.codes,
        )  # fmt: skip
        bands = sum(map(len, made.numbers))
        if self.classes and bands > 1:
            raise WherefromError(
                f"{made.path} has {bands} bands, and classes are of one: name it (bands: [1])"
            )
        return made

    def scaled(self, values: NDArray[np.float32], sampled: Sampled) -> None:
        """Scale values (..., k) in place, and fill those that are none."""
        if not self.classes:
            scale, shift = sampled.scaling
            for given, own, apply in (
                (self.scale, scale, np.multiply),
                (self.offset, shift, np.add),
            ):
                by = own if given is None else np.asarray(given, dtype=np.float32)
                if by.ndim and len(by) != len(own):
                    raise WherefromError(
                        f"{sampled.path}: scale or offset has {len(by)} numbers for {len(own)} "
                        "bands: give one, or one for each"
                    )
                if (by != apply.identity).any():
                    apply(values, by, out=values)
        if isinstance(self.fill, float):
            np.nan_to_num(values, copy=False, nan=self.fill)


#: What is known of any place on Earth: the Blue Marble, the yearly range of NDVI, relief, land
#: cover and twelve months of climate.
STACK: dict[str, Raster] = {
    "blue-marble": Raster(source="blue-marble"),
    # Water, and what permanent ice covers, has none.
    "ndvi": Raster(source="ndvi-range", fill=0.0),
    # Steps of 28 m; the sea, and all beyond 85 degrees, has none.
    "relief": Raster(source="altitude", nodata=255, scale=28.0, offset=-450.0, fill=0.0),
    "land-cover": Raster(
        source="modis-land-cover",
        classes={name: code for code, name in enumerate(IGBP)},
        hidden=True,
    ),
    "temperature": Raster(source="era5-climatology", variable="t2m"),
    "precipitation": Raster(source="era5-climatology", variable="tp"),
}


class Rasters(Payload):
    """Windows of rasters around places, of the built-in stack or the user's own.

    A window is square on the ground: its pixels' middles lie at steady distances east and north of
    the place (azimuthal equidistant, on the sphere), row 0 northernmost, whatever the projection of
    a raster. So it goes across the antimeridian and a pole as anywhere else.

    Attributes
    ----------
    rasters : mapping of str to Raster
        Their channels stand one after the other, named ``raster:band``.
    window_px : int
        Side of a window, in pixels.
    metres_per_px : float
        Side of a pixel, on the ground.
    keep : bool
        Keep the windows of the whole pool, once for all compositions. Without, each pre-training
        cuts those of its own places: less, where compositions are small beside the pool, and the
        rasters near. Those of labelled places are kept in any case.
    """

    modality: ClassVar[Modality] = "images"
    shard: ClassVar[int] = 1 << 16
    side_field: ClassVar[str] = "window_px"

    rasters: dict[str, Raster] = Field(min_length=1, default_factory=lambda: dict(STACK))
    window_px: int = Field(ge=1, le=1024, default=16)
    metres_per_px: float = Field(gt=0, default=7500.0)
    keep: bool = True

    @model_validator(mode="after")
    def _on_earth(self) -> Self:
        if self.window_px * self.metres_per_px > 1e7:
            raise ValueError(
                f"a window of {self.window_px} pixels of {self.metres_per_px:g} m is wider than "
                "10,000 km, a quarter of the Earth: state fewer metres_per_px"
            )
        return self

    @property
    def kept(self) -> bool:
        """As it is asked for."""
        return self.keep

    @property
    def seconds(self) -> float:
        """Points of a window, each projected once, and their values."""
        points = self.window_px**2
        far = sum(raster.path is not None for raster in self.rasters.values())
        return points * (1.5e-7 + 4e-6 * far + 2.6e-8 * len(self.bands))

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the channels, ``raster:band``."""
        return tuple(
            f"{name}:{channel}"
            for name, raster in self.rasters.items()
            for channel in raster.channels
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources of the catalog that it reads."""
        named = [raster.source for raster in self.rasters.values() if raster.source]
        return tuple(dict.fromkeys(named))

    def shown(self, wanted: Callable[[str], bool]) -> frozenset[str]:
        """Name the sources of which a band is wanted, but of rasters that are hidden."""
        return frozenset(
            raster.source
            for name, raster in self.rasters.items()
            if raster.source is not None and not raster.hidden
            if any(wanted(f"{name}:{channel}") for channel in raster.channels)
        )

    @property
    def files(self) -> tuple[str, ...]:
        """The user's rasters, and what they are made of: tiles of a VRT, overviews beside them."""
        paths = [raster.path for raster in self.rasters.values() if raster.path is not None]
        return tuple(dict.fromkeys(file for path in paths for file in files_of(path)))

    def fault(self) -> str:
        """Open the user's rasters, and look for the bands, and for one place."""
        try:
            for raster in self.rasters.values():
                if raster.path is not None:
                    raster.sampled(self.metres_per_px).at(np.zeros(1), np.zeros(1))
        except WherefromError as err:
            return str(err)
        return ""

    def settings(self) -> dict[str, Any]:
        """Give what windows depend on, the rasters in their order."""
        plain = self.model_dump(exclude={"most_missing", "rasters", "keep"})
        made = [[name, raster.settings()] for name, raster in self.rasters.items()]
        return {"version": self.version} | plain | {"rasters": made}

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Cut the windows, of places from south to north, so that a part of a raster serves many.

        Raises
        ------
        WherefromError
            If a raster cannot be read, or says of no pixel where on Earth it lies.
        """
        lon, lat = checked_places(places.lon, places.lat)
        size, metres = self.window_px, self.metres_per_px
        steps = (np.arange(size) - (size - 1) / 2) * (metres / 1000)
        east, north = (one.ravel() for one in np.meshgrid(steps, -steps))
        bearing, km = np.degrees(np.arctan2(east, north)), np.hypot(east, north)
        opened = [
            None if places.labelled and raster.hidden else raster.sampled(metres)
            for raster in self.rasters.values()
        ]
        counts = [len(raster.channels) for raster in self.rasters.values()]
        at_once = max(1, min(_VALUES // sum(counts), _POINTS) // size**2)
        order = np.argsort(lat, kind="stable")
        for start in range(0, len(order), at_once):
            rows = order[start : start + at_once]
            points = [one.ravel() for one in offset(lon[rows, None], lat[rows, None], bearing, km)]
            images = np.empty((len(rows), sum(counts), size**2), np.float32)
            kept = np.ones(len(rows), dtype=bool)
            first = 0
            for raster, sampled, count in zip(self.rasters.values(), opened, counts, strict=True):
                part = images[:, first : first + count]
                first += count
                if sampled is None:
                    part[:] = 0
                    continue
                values, inside = sampled.at(*points)
                raster.scaled(values, sampled)
                part[:] = values.reshape(len(rows), -1, count).transpose(0, 2, 1)
                reasons = {f"lies outside {sampled.path}": ~inside.reshape(len(rows), -1).any(1)}
                if raster.fill is None:
                    gaps = np.isnan(values).any(axis=1).reshape(len(rows), -1).any(axis=1)
                    said = (
                        f"has no value in {sampled.path} at pixels of its window (fill states one)"
                    )
                    reasons[said] = gaps
                for reason, without in reasons.items():
                    for row in rows[without & kept]:
                        lost.add(f"place {places.ids[row]}", reason)
                    kept &= ~without
            if kept.any():
                whole = images if kept.all() else images[kept]
                yield rows[kept], {"images": whole.reshape(len(whole), -1, size, size)}
