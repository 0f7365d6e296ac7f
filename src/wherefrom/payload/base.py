"""What a payload is: the fields of a study file, what it depends on, and how it is read by id."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wherefrom.earth.catalog import source
from wherefrom.earth.fetch import absent
from wherefrom.earth.layers import made_of
from wherefrom.errors import WherefromError
from wherefrom.part import OfKind, Part

__all__ = ["NAMES", "AnyPayload", "Lost", "Modality", "Payload", "Piece", "Records", "Sought"]

#: What there is to read of places besides where they are: a vector of numbers a place, an image of
#: it, or its time series.
Modality = Literal["features", "images", "series"]

#: Names of the arrays that hold a modality, places along their first axes. Features are (N, F);
#: images (N, C, H, W), channels in the order of `Payload.bands`; series are the fields of
#: `wherefrom.pool.series.PixelSeries`.
NAMES: dict[Modality, tuple[str, ...]] = {
    "features": ("features",),
    "images": ("images",),
    "series": ("raw", "dynamic_world", "lon", "lat", "month"),
}

#: Arrays by name, places along their first axes.
Records = Mapping[str, NDArray[Any]]
#: Positions among the places that are sought, (k,) int64, and the records of these.
Piece = tuple[NDArray[np.int64], Records]


@dataclass(frozen=True, eq=False)
class Sought:
    """Places whose payload is sought.

    Attributes
    ----------
    ids : (N,) array of int64 or str
        They may repeat.
    lon, lat : (N,) float64 array
        Degrees.
    labelled : bool
        Whether they are a task's: what labels may be made of is then not shown.
    """

    ids: NDArray[Any]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    labelled: bool = False

    def __len__(self) -> int:
        return len(self.lon)

    def take(self, rows: NDArray[np.int64] | slice) -> Sought:
        """Return some of the places."""
        return Sought(self.ids[rows], self.lon[rows], self.lat[rows], self.labelled)


#: Reasons that are said of what was lost.
_SAID = 3


@dataclass
class Lost:
    """What could not be read and was left out: how often, and the first of each reason.

    `known` counts the records that the data have, as far as that is known, and `such` is the id or
    name of one that was not sought.

    Examples
    --------
    >>> lost = Lost()
    >>> lost.add("a.tif", "is cut short")
    >>> lost.add("b.tif", "is cut short")
    >>> str(lost)
    'a.tif is cut short, and 1 more'
    """

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    known: int = 0
    such: str = ""

    def add(self, what: str, reason: str) -> None:
        """Note that `what` (a file, a member) was left out, and why."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, what)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        """Say the first of some reasons, the most frequent before, and how many more there were."""
        often = sorted(self.counts.items(), key=lambda one: -one[1])
        said = [
            f"{self.first[reason]} {reason}" + (f", and {count - 1:,} more" if count > 1 else "")
            for reason, count in often[:_SAID]
        ]
        others = sum(count for _, count in often[_SAID:])
        return "; ".join([*said, *([f"and {others:,} for other reasons"] if others else [])])


class Payload(Part):
    """A kind of payload: one class, whose fields a study file gives.

    A new kind states its `modality`, what it depends on, and has `read`.

    Attributes
    ----------
    kind : str
        Its name in the table of payloads.
    most_missing : float
        Share of the pool's places that may be without; more are refused. A task's must all be
        there.
    bytes_per_place : int
        What a place takes, for the plan of data that are not there yet.
    """

    #: What its records are.
    modality: ClassVar[Modality]
    #: Places of one stage.
    shard: ClassVar[int] = 1 << 20
    #: Fields that name files or folders of the user's: what they hold, not where they lie, counts.
    file_fields: ClassVar[tuple[str, ...]] = ()
    #: Field that states the pixels of images along a side, where one does.
    side_field: ClassVar[str] = ""
    #: Raised by hand when the code changes what is read: old results are then not reused.
    version: ClassVar[int] = 1

    kind: str
    most_missing: float = Field(ge=0, lt=1, default=0.01)
    bytes_per_place: int = Field(ge=0, default=0)

    @model_validator(mode="after")
    def _gives_something(self) -> Self:
        """Refuse a class that does not say what its records are, before a plan asks for it."""
        if (given := getattr(type(self), "modality", None)) not in NAMES:
            raise ValueError(
                f"kind {self.kind!r} has modality {given!r}: its class is to say that records are "
                f"{', '.join(NAMES)}"
            )
        return self

    @abstractmethod
    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Yield records in pieces that memory holds, each place at most once, in any order.

        Parameters
        ----------
        places : Sought
        lost : Lost
            Is told what is damaged; places without a record are left out.

        Raises
        ------
        WherefromError
            If nothing of it can be read.
        """

    def places(self, lost: Lost) -> Iterator[pa.Table]:
        """Yield id, lon and lat of all records, and other columns of a pool, without reading them.

        By default refused: of few kinds of data it is known.
        """
        raise WherefromError(
            f"payload {self.kind!r} does not tell where its records lie: give a table of places"
        )

    @property
    def kept(self) -> bool:
        """Whether keeping records is cheaper than reading them again; then they are a stage."""
        return True

    @property
    def seconds(self) -> float:
        """Expected on one core for each place, to read it."""
        return 1e-4

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the channels of images, in their order; of series, the bands they may have.

        Empty if they have none, or it is not known before they are read.
        """
        return ()

    @property
    def image_side(self) -> int | None:
        """Pixels of images along a side; None if that is not known before they are read."""
        return getattr(self, self.side_field) if self.side_field else None

    def layers(self, labelled: bool = False) -> tuple[str, ...]:
        """Earth layers that it reads, of candidates or of labelled places."""
        return ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources of the catalog that it reads."""
        return ()

    def shown(self, wanted: Callable[[str], bool]) -> frozenset[str]:
        """Name the sources of the catalog that labelled places are shown, in bands that are wanted.

        A task whose labels are made of one of them is refused (`wherefrom.earth.made_of`). By
        default all that it reads of labelled places, whatever the band.
        """
        inner = [payload.shown(wanted) for _, payload in self._inner()]
        return made_of(*self.layers(labelled=True)).union(self.sources, *inner)

    @property
    def files(self) -> tuple[str, ...]:
        """Files and folders of the user's that it reads."""
        given = (getattr(self, name) for name in self.file_fields)
        own = tuple(one for one in given if one is not None)
        return own + tuple(file for _, inner in self._inner() for file in inner.files)

    def settings(self) -> dict[str, Any]:
        """Give what records depend on: every field but where files lie and what may be missing."""
        inner = dict(self._inner())
        aside = {"most_missing", "bytes_per_place", *self.file_fields, *inner}
        plain = self.model_dump(exclude=aside)
        made = {"version": self.version} | plain
        return made | {name: payload.settings() for name, payload in inner.items()}

    def absent(self) -> tuple[str, ...]:
        """Say what of its files and sources is not on this machine."""
        lacking = (Path(file).absolute() for file in self.files if not _exists(file))
        files = (f"{file} (no such file or folder)" for file in lacking)
        others = (name for name in self.sources if not source(name).default)  # these are fetched
        return (*files, *filter(None, map(absent, others)))

    def fault(self) -> str:
        """Say why the first record there is cannot be used, as far as that is known in a moment.

        For a plan: what is wrong with the first is often wrong with all.
        """
        return next(filter(None, (inner.fault() for _, inner in self._inner())), "")

    def settled(self) -> Payload:
        """Decide what depends on this machine, such as which images are there."""
        return self

    def _inner(self) -> Iterator[tuple[str, Payload]]:
        """Yield the fields that are payloads themselves."""
        return ((name, value) for name, value in self if isinstance(value, Payload))


#: A payload of a study file, of the class that its key ``kind`` names.
AnyPayload = Annotated[Payload, OfKind("payloads", Payload)]


def _exists(file: str) -> bool:
    try:
        return Path(file).exists()
    except OSError as err:
        raise WherefromError(f"{file}: cannot be read: {err.strerror}") from err


def checked(payload: Payload, places: Sought, lost: Lost) -> Iterator[Piece]:
    """Read a payload, holding its pieces against what they are due to be.

    Raises
    ------
    WherefromError
        If the payload breaks the contract: other names or lengths, rows twice or out of range,
        features that are NaN.
    """
    due = set(NAMES[payload.modality])
    seen = np.zeros(len(places), dtype=bool)
    what = f"payload {payload.kind!r}"
    for rows, records in payload.read(places, lost):
        if set(records) != due:
            raise WherefromError(f"{what} gives {sorted(records)}, due are {sorted(due)}")
        for name, values in records.items():
            if len(values) != len(rows):
                raise WherefromError(f"{what} gives {len(values)} {name} of {len(rows)} places")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(places)):
            raise WherefromError(f"{what} gives rows that were not sought")
        if len(np.unique(rows)) < len(rows) or seen[rows].any():
            raise WherefromError(f"{what} gives a place twice")
        if "features" in records and not (finite := np.isfinite(records["features"])).all():
            bad = places.ids[rows[np.argwhere(~finite)[0, 0]]]
            raise WherefromError(
                f"{what} gives features that are missing or not finite, first of place {bad}: "
                "leave such places out, and tell `lost`"
            )
        seen[rows] = True
        yield rows, records
