"""What a grid is: cells of the Earth by id, their outlines, and the cells of places."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from wherefrom.earth.base import checked_places
from wherefrom.errors import WherefromError, unknown
from wherefrom.part import OfKind, Part
from wherefrom.plugins import kind

__all__ = [
    "DIGITS",
    "AnyGrid",
    "Floats",
    "Grid",
    "Ids",
    "Shapes",
    "Texts",
    "absent",
    "grid",
    "parted",
    "signed",
]

Floats = NDArray[np.float64]
#: Polygons of shapely, and None.
Shapes = NDArray[np.object_]
Texts = NDArray[np.str_]
Ids: TypeAlias = "ArrayLike | pa.Array | pa.ChunkedArray"

_TEXTS = (pa.string(), pa.large_string(), pa.string_view())
#: 64 bits in hexadecimal digits; longer texts of digits are decimal.
_HEXADECIMAL = 16
DIGITS = re.compile(f"[0-9a-fA-F]{{1,{_HEXADECIMAL}}}")


class Grid(Part):
    """A kind of grid: one class, whose fields are its options.

    A new kind states what its ids look like and has `outlines` and `names`.

    Attributes
    ----------
    kind : str
        Its name in the table of grids.
    """

    #: An id of one of its cells, and in words what ids are.
    example: ClassVar[str]
    looks: ClassVar[str] = ""
    #: Where on Earth it has no cell, for a message.
    without: ClassVar[str] = ""
    #: Whether ids that are numbers are shown and read as hexadecimal texts.
    hexadecimal: ClassVar[bool] = False

    kind: str

    def shapes(self, ids: Ids, first: int = 0) -> Shapes:
        """Return the outlines of cells.

        Parameters
        ----------
        ids : array of str or int, shape (N,)
            They may repeat; each is looked up once.
        first : int
            What the first row is called in a message.

        Returns
        -------
        ndarray of shapely polygons, shape (N,)
            Longitudes and latitudes in degrees (OGC:CRS84), edges straight between vertices.
            Longitudes of a cell across the antimeridian jump by 360 degrees from one vertex to the
            next; about a cell that holds a pole within they go round.

        Raises
        ------
        WherefromError
            If an id is missing or of no cell of the grid; it names the first and its row.

        Examples
        --------
        >>> grid("worldcover").shapes(["N00E006"])[0].bounds
        (6.0, 0.0, 9.0, 3.0)
        >>> grid("worldcover").shapes(["N00E006", "N01E006"])
        Traceback (most recent call last):
        ...
        wherefrom.errors.WherefromError: row 1: 'N01E006' is no cell of grid 'worldcover'; its ids \
are the south-west corner of a tile in whole degrees, multiples of 3, such as N00E006
        """
        numbers, rows = self._numbered(ids, first)
        found = self.outlines(self._texts(numbers))
        if (none := np.flatnonzero(shapely.is_missing(found))).size:
            row = first + int(np.argmax(rows == none[0]))
            more = f" ({len(none):,} such ids in all)" if len(none) > 1 else ""
            raise WherefromError(
                f"row {row}: {numbers[none[0]].as_py()!r} is no cell of grid {self.kind!r}; its "
                f"ids are {self.like()}{more}"
            )
        return found[rows]

    def cells(self, lon: ArrayLike, lat: ArrayLike) -> Texts:
        """Return the ids of the cells that hold places.

        Parameters
        ----------
        lon, lat : array_like, shape (N,)
            Degrees within [-180, 180] and [-90, 90].

        Returns
        -------
        ndarray of str, shape (N,)

        Raises
        ------
        WherefromError
            If a place is none, or lies in no cell of the grid.

        Examples
        --------
        >>> grid("mgrs").cells([5.0, 174.8], [52.0, -41.3]).tolist()
        ['31UFT', '60GUV']
        """
        x, y = checked_places(lon, lat)
        found = self.names(x, y)
        if (none := np.flatnonzero(found == "")).size:
            row = int(none[0])
            raise WherefromError(
                f"row {row}: lon {x[row]:g}, lat {y[row]:g} lies in no cell of grid {self.kind!r}"
                f"{': ' if self.without else ''}{self.without}"
            )
        return found

    def like(self) -> str:
        """Say what ids look like."""
        return f"{self.looks}, such as {self.example}"

    @abstractmethod
    def outlines(self, ids: pa.Array) -> Shapes:
        """Return a polygon for each of the texts, which differ; None where there is no such cell.

        Numbers come as decimal texts, or, where the kind is `hexadecimal`, as 16 such digits.
        """

    @abstractmethod
    def names(self, lon: Floats, lat: Floats) -> Texts:
        """Return the ids of the cells that hold checked places; "" where there is none."""

    def _numbered(self, ids: Ids, first: int) -> tuple[pa.Array, NDArray[np.int64]]:
        """Return ids, each once in the order in which they come first, and which each row has."""
        given: Any = ids
        try:
            if not isinstance(given, pa.Array | pa.ChunkedArray):
                given = pa.array(np.atleast_1d(np.asarray(ids)), from_pandas=True)
            if isinstance(given, pa.ChunkedArray):
                given = given.combine_chunks()
            if pa.types.is_dictionary(given.type):
                given = given.cast(given.type.value_type)
            number = pa.types.is_integer(given.type)
            if number or given.type in _TEXTS or given.null_count == len(given):
                given = given.cast(given.type if number else pa.large_string())
            else:
                raise pa.ArrowTypeError(f"they are {given.type}")
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as err:
            raise WherefromError(
                f"ids of grid {self.kind!r} must be text or whole numbers, such as {self.example}: "
                f"{err}"
            ) from err
        if given.null_count:
            row = first + int(np.argmax(given.is_null().to_numpy(zero_copy_only=False)))
            raise WherefromError(
                f"row {row}: an id of grid {self.kind!r} is missing ({given.null_count:,} rows in "
                "all): drop these rows"
            )
        encoded = given.dictionary_encode()
        return encoded.dictionary, encoded.indices.to_numpy().astype(np.int64)

    def _texts(self, ids: pa.Array) -> pa.Array:
        """Return ids as texts."""
        if pa.types.is_integer(ids.type):
            if not self.hexadecimal:
                return ids.cast(pa.large_string())
            return pa.array([_hexadecimal(one) for one in ids.to_pylist()], pa.large_string())
        ids = pc.utf8_trim_whitespace(ids)
        if not self.hexadecimal:
            return ids
        digits = pc.match_substring_regex(ids, rf"^-?\d{{{_HEXADECIMAL + 1},20}}$")
        if not pc.any(digits).as_py():
            return ids
        numbers = zip(ids.to_pylist(), digits.to_pylist(), strict=True)
        texts = [_hexadecimal(int(text)) if decimal else text for text, decimal in numbers]
        return pa.array(texts, pa.large_string())


#: A grid of a study file, of the class that its key ``kind`` names.
AnyGrid = Annotated[Grid, OfKind("grids", Grid)]


def grid(spec: str | dict[str, Any] | Grid) -> Grid:
    """Make a grid of its spec.

    Parameters
    ----------
    spec : str, dict or Grid
        ``"name"``, ``"name:option=value,option=value"``, or ``{"kind": name, option: value}``. A
        name is one of ours or of another package's grid, or where a class lies, ``module:Class``.

    Raises
    ------
    WherefromError
        If a name, an option or a value is not known.

    Examples
    --------
    >>> grid("geohash:length=3").cells([13.4], [52.5]).tolist()
    ['u33']
    >>> grid("geohahs")
    Traceback (most recent call last):
    ...
    wherefrom.errors.UnknownNameError: unknown grid 'geohahs': did you mean 'geohash'? Known: \
mgrs, majortom, h3, s2, geohash, worldcover
    """
    if isinstance(spec, Grid):
        return spec
    if isinstance(spec, str):
        name, *options = re.split(r"[:,](?=\s*\w+\s*=)", spec.strip())
        pairs = [option.partition("=") for option in options]
        given: dict[str, Any] = {flag.strip(): value.strip() for flag, _, value in pairs}
    else:
        given = dict(spec)
        name = given.pop("kind", "")
    found = kind("grids", name)
    loaded = found.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Grid)):
        raise WherefromError(
            f"grid {name!r} ({found.address}) is no class derived from wherefrom.earth.grids.Grid"
        )
    try:
        return loaded.model_validate({"kind": name, **given})
    except TypeError as err:  # a class that lacks a method
        raise WherefromError(f"grid {name!r}: {err}") from err
    except ValidationError as err:
        first = err.errors()[0]
        option = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            others = [one for one in loaded.model_fields if one != "kind"]
            raise unknown(f"option of grid {name!r}:", option, others or ["none"]) from err
        reason = first["msg"].removeprefix("Value error, ")
        raise WherefromError(f"grid {name!r}: {option}={first['input']}: {reason}") from err


def parted(ids: pa.Array, pattern: str) -> dict[str, pa.Array]:
    r"""Match texts as a whole with a regular expression; return its named groups, null if none.

    >>> parted(pa.array(["12a", "?"]), r"(?P<number>\d+)[a-z]")["number"].to_pylist()
    ['12', None]
    """
    found = pc.extract_regex(ids, rf"^(?:{pattern})$")
    names = [field.name for field in found.type]
    valid = found.is_valid()
    none = pa.scalar(None, found.type.field(0).type)
    return {name: pc.if_else(valid, pc.struct_field(found, name), none) for name in names}


def signed(numbers: pa.Array, sides: pa.Array, minus: str) -> Floats:
    """Return numbers with the sign that their sides give; NaN for none, and for a minus zero.

    >>> signed(pa.array(["2", "2", "0", None]), pa.array(["U", "D", "D", None]), "D").tolist()
    [2.0, -2.0, nan, nan]
    """
    size = np.asarray(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False))
    less = np.asarray(pc.fill_null(pc.equal(sides, minus), True))
    return np.where(less, np.where(size == 0.0, np.nan, -size), size)


def absent(name: str, err: ImportError) -> WherefromError:
    """Say which extra a grid needs."""
    return WherefromError(
        f"grid {name!r} needs the package {err.name}: pip install 'wherefrom[grids]'"
    )


def _hexadecimal(number: int) -> str:
    """Write 64 bits, signed or not, as 16 digits."""
    return f"{number % (1 << 64):0{_HEXADECIMAL}x}"
