"""What a layer is: opened, it answers places; not yet open, it is declared by one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.catalog import Source, source
from wherefrom.earth.fetch import digest_of, find, path_of
from wherefrom.errors import WherefromError, unknown
from wherefrom.keys import key_of

__all__ = ["Layer", "UnopenedLayer", "ValueLayer", "checked_places"]

Degrees: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A categorical layer: a label, or none, for every place.

    A layer of your own is made the same way; samplers and tasks find its labels in a column of
    the pool or table (docs/extending.md).

    Attributes
    ----------
    name : str
    labels : tuple of str
        Code ``i`` means ``labels[i]``.
    source : tuple of Source
        Whose data these are, for licence and citation.
    key : str
        Hash of name, options and contents of the sources.
    lookup : callable
        ``(lon, lat)``, checked float64 arrays of shape (N,), to int32 codes, -1 for none. One of
        polygons may have a method ``shapes(code)`` that returns those of a code, shapely's, so that
        its small labels are found without a search; any other, a method ``boxes(code)``: west,
        south, east and north, degrees, (M, 4), of what holds them.

    Examples
    --------
    >>> from wherefrom.earth import layer
    >>> zone = layer("climate_zone")
    >>> zone([-60.02, 13.4, -150.0], [-3.1, 52.5, 0.0]).tolist()
    ['Af', 'Cfb', '']
    >>> zone.codes([-60.02, -150.0], [-3.1, 0.0]).tolist()
    [0, -1]
    """

    name: str
    labels: tuple[str, ...]
    source: tuple[Source, ...]
    key: str
    lookup: Callable[[Degrees, Degrees], NDArray[np.int32]] = field(repr=False, compare=False)

    def codes(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.int32]:
        """Return the code of every place, -1 for none.

        Parameters
        ----------
        lon, lat : array-like of shape (N,)
            Degrees, within [-180, 180] and [-90, 90].

        Returns
        -------
        array of shape (N,), int32

        Raises
        ------
        WherefromError
            If a coordinate is NaN or out of range; names the first such row.
        """
        return self.lookup(*checked_places(lon, lat))

    def __call__(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.object_]:
        """Return the label of every place, ``""`` for none; arguments as in :meth:`codes`.

        Returns
        -------
        array of shape (N,), object
            Each entry is one of the strings of `labels`, shared and not copied: 8 bytes a place.
            It is what pandas and pyarrow take for text, and compares place by place with ``==``;
            ``.astype(str)`` gives NumPy's text of a fixed width, 4 bytes a letter of the longest.
        """
        # Code -1 picks the last entry.
        return np.array((*self.labels, ""), dtype=object)[self.codes(lon, lat)]


@dataclass(frozen=True)
class ValueLayer:
    """A layer of numbers.

    Attributes
    ----------
    name, source, key
        As in :class:`Layer`.
    units : str
    lookup : callable
        ``(lon, lat)``, checked float64 arrays of shape (N,), to float32 of shape (N,) or, for
        monthly layers, (N, 12); NaN for none.

    Examples
    --------
    >>> from wherefrom.earth import layer
    >>> rain = layer("precipitation")
    >>> rain([10.0], [24.0]).shape, rain.units
    ((1, 12), 'mm/month')
    """

    name: str
    units: str
    source: tuple[Source, ...]
    key: str
    lookup: Callable[[Degrees, Degrees], NDArray[np.float32]] = field(repr=False, compare=False)

    def __call__(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float32]:
        """Return the value of every place, NaN for none; `lon`, `lat` as in :meth:`Layer.codes`."""
        return self.lookup(*checked_places(lon, lat))


@dataclass(frozen=True)
class UnopenedLayer:
    """A layer whose data may not be on this machine yet: all that is known without them.

    Attributes
    ----------
    name : str
    source : str
        Name in the catalog.
    opener : callable
        Takes the options; returns labels and lookup, or of a layer of numbers the lookup alone.
    about : str
        In one line what it states, and where its source sets limits.
    options : mapping of str to object
        Their defaults.
    units : str or None
        Of a layer of numbers; None for labels.
    defined_by : tuple of str
        Further sources of which labels are a function by definition.

    Examples
    --------
    >>> from wherefrom.earth.climate import TEMPERATURE
    >>> TEMPERATURE.units, TEMPERATURE.open().name
    ('degC', 'temperature')
    """

    name: str
    source: str
    opener: Callable[..., Any] = field(repr=False)
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    units: str | None = None
    defined_by: tuple[str, ...] = ()

    def open(self, **options: Any) -> Layer | ValueLayer:
        """Open it; arguments and errors as in `wherefrom.earth.layer`."""
        # The key comes first: it fetches what is absent.
        key, whose = self.key(**options), (source(self.source),)
        opened = self.opener(**{**self.options, **options})
        if self.units is not None:
            return ValueLayer(self.name, self.units, whose, key, opened)
        labels, lookup = opened
        return Layer(self.name, labels, whose, key, lookup)

    def key(self, **options: Any) -> str:
        """Return the key that it has when it is open; its data are fetched if they are absent.

        Raises
        ------
        WherefromError
            If an option is unknown, or the data cannot be had.
        """
        for option in options:
            if option not in self.options:
                raise unknown(f"option of layer {self.name}", option, self.options or ("none",))
        path_of(self.source)
        made = {"layer": self.name, "options": {**self.options, **options}}
        return key_of({**made, "source": digest_of(self.source)})

    def here(self) -> bool:
        """Say whether its data are on this machine."""
        return find(self.source) is not None


def checked_places(lon: ArrayLike, lat: ArrayLike) -> tuple[Degrees, Degrees]:
    """Return longitudes and latitudes as float64 of shape (N,), or say which row is wrong.

    Longitudes beyond [-180, 180] are refused, never wrapped in silence. 180 E comes back as 180 W:
    the same place gets the same answer.

    Raises
    ------
    WherefromError
        If the shapes differ, or a value is no number, NaN, infinite or out of range. Rows count
        from 0.

    Examples
    --------
    >>> checked_places(13.4, 52.5)
    (array([13.4]), array([52.5]))
    >>> checked_places([0.0, 13.4], [0.0, 113.4])
    Traceback (most recent call last):
    ...
    wherefrom.errors.WherefromError: row 1: lat 113.4 is not within [-90, 90]; swapped with lon?
    """
    try:
        x = np.atleast_1d(np.asarray(lon, dtype=np.float64))
        y = np.atleast_1d(np.asarray(lat, dtype=np.float64))
    except (TypeError, ValueError) as err:
        raise WherefromError(f"lon and lat must be numbers, in degrees: {err}") from err
    if x.ndim != 1 or x.shape != y.shape:
        raise WherefromError(
            f"lon and lat must be one-dimensional and of one length, not {x.shape} and {y.shape}"
        )
    # NaN fails every comparison, so it is caught here too.
    fine = (np.abs(x) <= 180.0) & (np.abs(y) <= 90.0)
    if not fine.all():
        raise WherefromError(_fault(x, y, int(np.argmin(fine)), int((~fine).sum())))
    if (x == 180.0).any():
        x = np.where(x == 180.0, -180.0, x)
    return x, y


def _fault(x: Degrees, y: Degrees, row: int, count: int) -> str:
    more = f" ({count} rows in all)" if count > 1 else ""
    if not (np.isfinite(x[row]) and np.isfinite(y[row])):
        return f"row {row}: lon {x[row]}, lat {y[row]} is not a place: drop or mend the row{more}"
    if abs(y[row]) > 90.0:
        swapped = abs(x[row]) <= 90.0 and abs(y[row]) <= 180.0
        hint = "swapped with lon?" if swapped else "latitudes are in degrees, north positive"
        return f"row {row}: lat {y[row]} is not within [-90, 90]; {hint}{more}"
    hint = (
        "subtract 360 from longitudes above 180"
        if 180.0 < x[row] <= 360.0
        else "longitudes are in degrees, east positive"
    )
    return f"row {row}: lon {x[row]} is not within [-180, 180]; {hint}{more}"
