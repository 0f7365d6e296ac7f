"""Image tiles of several bands by id: GeoTIFFs in folders, tables and tars, and Zarr.

What is known of the two great sets (November 2026), by their authors' code and cards:

- S2-100K (torchgeo/s2-100k): 100 tars of 1,000 GeoTIFFs ``patch_N.tif``, 12 bands of uint16, 256
  pixels a side, whose descriptions name no bands; ``metadata.parquet`` has fn, lon, lat.
- SSL4EO-S12 v1.1 (Blumenstiel et al. 2025, arXiv:2503.00168): tars
  ``train/S2L2A/ssl4eos12_shard_N.tar`` of about 512 ``ID.zarr.zip``, each a Zarr group of version
  2 whose array ``bands`` is (time, band, y, x) = (4, 12, 264, 264) of int16. As first published:
  files ``*.zarr.zip`` of 64 places, ``bands`` of (sample, time, band, y, x), ids in ``sample``, and
  1,000 more in every value than in the tars. Four dates in the order of time, not of seasons.

Neither set was at hand: names of members, chunks and compression are not verified.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from rasterio.env import Env

from wherefrom import parallel
from wherefrom.errors import WherefromError, of_the_system, unknown
from wherefrom.payload.base import Lost, Modality, Payload, Piece, Sought
from wherefrom.payload.matching import plain
from wherefrom.payload.tiles import geotiff, zarr
from wherefrom.payload.tiles.geotiff import DamagedError, Tile
from wherefrom.payload.tiles.members import KINDS, ZARR, Members, members_of, named
from wherefrom.shown import count_of

__all__ = ["BANDS", "Tiles"]

_L1C = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
#: Names of bands in the order of files that do not name theirs.
BANDS = {
    "sentinel-2-l1c": _L1C,
    "sentinel-2-l2a": tuple(band for band in _L1C if band != "B10"),
}
#: Bytes of tiles decoded at a time by a thread.
_AT_ONCE = 1 << 24


class Tiles(Payload):
    """Image tiles by id, of GeoTIFFs or Zarr.

    Attributes
    ----------
    path : str
        A folder with GeoTIFFs, tars of GeoTIFFs or of Zarr, or Zarr in zips (.zarr.zip), at any
        depth, all in one of these ways; one such tar or zip; or a table with the columns ``id`` and
        ``path``, whose tiles lie below its folder.
    name : str
        How an id names a tile, such as ``patch_{id}.tif``. A name is the path in the folder or
        the tar, that of the file alone, or that without its suffix; of a table, its ``id``.
    channels : tuple of str
        Bands to give, in this order; by default all that the files hold.
    holds : str or tuple of str
        Bands of files that do not name theirs, in their order, or one of the known orders `BANDS`.
        Files that name some of these themselves are believed.
    zeros : tuple of str
        Channels that are zeros, whatever the files hold, such as B10 of tiles of level 2A.
    size : int
        Pixels a side.
    crop : bool
        Whether larger tiles are cut to their centre; else they are left out, as smaller ones are.
    dtype : str
        Of the files; tiles of another are left out.
    season : int, optional
        Which of several dates, from 0 on.
    add : int
        Added to all values but 0, which stay above it: -1000 for products of level 2A since 2022.
    most_blank : float
        Share of a tile's pixels that may be absent: 0 in all bands, or what the file declares as
        absent in any, which is given as 0.
    """

    modality: ClassVar[Modality] = "images"
    file_fields: ClassVar[tuple[str, ...]] = ("path",)
    side_field: ClassVar[str] = "size"

    path: str = Field(min_length=1)
    name: str = "{id}"
    channels: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()
    size: int = Field(gt=0, default=256)
    crop: bool = False
    dtype: Literal["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32"] = "uint16"
    season: int | None = Field(ge=0, default=None)
    add: int = 0
    most_blank: float = Field(ge=0, le=1, default=0.1)

    @field_validator("holds", mode="before")
    @classmethod
    def _known_order(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in BANDS:
            raise ValueError(str(unknown("order of bands", value, BANDS)))
        return BANDS[value]

    @model_validator(mode="after")
    def _named(self) -> Self:
        """Refuse channels that no file can have, before any is read."""
        try:
            named(np.zeros(1, np.int64), self.name)
        except WherefromError as err:
            raise ValueError(str(err)) from err
        for what in ("channels", "holds"):
            if len(set(getattr(self, what))) < len(getattr(self, what)):
                raise ValueError(f"{what} names a band twice")
        if not self.bands:
            raise ValueError("name the bands to give (channels), or those of the files (holds)")
        if not set(self.bands) - set(self.zeros):
            raise ValueError("all channels are zeros: name one that the files hold")
        for name in self.zeros:
            if name not in self.bands:
                raise ValueError(str(unknown("channel (of zeros)", name, self.bands)))
        for name in self.channels:
            if self.holds and name not in (*self.holds, *self.zeros):
                said = unknown("band (of channels)", name, self.holds)
                raise ValueError(f"{said}; if it is to be zeros, name it in `zeros`")
        return self

    def settings(self) -> dict[str, Any]:
        """Give what the pixels depend on; of what is added only that something is."""
        made = super().settings()
        return made if self.add else {name: made[name] for name in made if name != "add"}

    @property
    def bands(self) -> tuple[str, ...]:
        """The channels."""
        return self.channels or self.holds

    @property
    def files(self) -> tuple[str, ...]:
        """The tiles; of a table, the folder below which they lie."""
        path = Path(self.path)
        table = path.is_file() and not path.name.lower().endswith(KINDS)
        return (str(path.parent) if table else self.path,)

    @property
    def seconds(self) -> float:
        """Undoing LZW takes nearly all."""
        return 1.2e-2

    def fault(self) -> str:
        """Look at the first tile."""
        try:
            members = members_of(Path(self.path))
            faults = self._decoded(members, np.arange(min(1, len(members.table))))[2]
        except WherefromError as err:
            return str(err)
        return "".join(f"{members.label(member)} {reason}" for member, reason in faults)

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Decode each tile once, in the order of the files."""
        members = members_of(Path(self.path))
        for file, reason in members.torn:
            lost.add(file, reason)
        at = members.find(named(places.ids, self.name))
        lost.known, lost.such = len(members.table), members.but(at)
        order = np.argsort(at, kind="stable")[np.count_nonzero(at < 0) :]
        distinct, starts = np.unique(at[order], return_index=True)
        bounds = np.append(starts, len(order))
        # A power of two, as batches of those who go on with the pieces are.
        step = 1 << max(0, (_AT_ONCE // self._empty(1).nbytes).bit_length() - 1)
        cuts = range(0, len(distinct), step)
        groups = (distinct[cut : cut + step] for cut in cuts)
        done = parallel.here(partial(self._decoded, members), groups)
        for cut, (good, values, faults) in zip(cuts, done, strict=True):
            for member, reason in faults:
                lost.add(members.label(member), reason)
            rows = order[bounds[cut] : bounds[min(cut + step, len(distinct))]]
            rows = rows[np.isin(at[rows], good)]
            if len(rows) > len(good):  # ids that repeat
                values = values[np.searchsorted(good, at[rows])]
            yield rows, {"images": values}
        if not len(places):
            yield order, {"images": self._empty(0)}

    def _empty(self, count: int) -> NDArray[Any]:
        return np.empty((count, len(self.bands), self.size, self.size), self.dtype)

    def _decoded(
        self, members: Members, group: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[Any], list[tuple[int, str]]]:
        """Decode tiles: which are good, their values, and what is wrong with the others."""
        values = self._empty(len(group))
        good: list[int] = []
        faults: list[tuple[int, str]] = []
        # One environment of GDAL's for all: making it takes as long as opening ten tiles.
        with Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), _Source(members) as source:
            for member in group.tolist():
                try:
                    self._fill(values[len(good)], source.read(member, self.season))
                    good.append(member)
                except DamagedError as err:
                    faults.append((member, str(err)))
                except OSError as err:
                    if said := of_the_system(err):
                        raise WherefromError(said) from err
                    faults.append((member, f"cannot be read ({err.strerror})"))
        return np.array(good, dtype=np.int64), values[: len(good)], faults

    def _fill(self, out: NDArray[Any], tile: Tile) -> None:
        """Write what is to be given of a tile (C, size, size)."""
        sides = list(tile.pixels.shape[1:])
        if tile.pixels.dtype != self.dtype:
            raise DamagedError(f"is of {tile.pixels.dtype}, not {self.dtype} (dtype)")
        if min(sides) < self.size or (sides != [self.size] * 2 and not self.crop):
            remedy = "" if min(sides) < self.size else "; crop: true takes the centre"
            wanted = f"{self.size} x {self.size} (size)"
            raise DamagedError(f"has {sides[1]} x {sides[0]} pixels, not {wanted}{remedy}")
        names = tuple(map(plain, self._names(tile)))
        blank = np.zeros(out.shape[1:], dtype=bool)
        for k, name in enumerate(self.bands):
            if name in self.zeros:
                out[k] = 0
                continue
            tile.give(names.index(plain(name)), out[k])
            if tile.nodata is not None or out.dtype.kind == "f":
                gaps = ~np.isfinite(out[k])
                gaps |= out[k] == tile.nodata
                out[k][gaps] = 0
                blank |= gaps
        shown = next(k for k, name in enumerate(self.bands) if name not in self.zeros)
        if np.count_nonzero(out[shown] == 0) > self.most_blank * blank.size:
            blank |= ~out.any(axis=0)
        share = np.count_nonzero(blank) / blank.size
        if share > self.most_blank:
            raise DamagedError(f"has more than {self.most_blank:.0%} blank pixels (most_blank)")
        if self.add:
            self._shift(out)

    def _shift(self, out: NDArray[Any]) -> None:
        """Add to all values but what is absent, within what the type holds."""
        for band, name in zip(out, self.bands, strict=True):
            if name not in self.zeros:
                there = band != 0
                summed = band[there].astype(np.float64) + self.add
                if out.dtype.kind != "f":
                    summed = summed.clip(0, np.iinfo(out.dtype).max)
                band[there] = summed

    def _names(self, tile: Tile) -> tuple[str, ...]:
        """Name the bands of a file, and refuse it if one that is due is not among them."""
        count, names = len(tile.pixels), tile.names
        known = set(map(plain, names))
        if self.holds and not known & set(map(plain, self.holds)):
            names = self.holds
            if count != len(names):
                raise DamagedError(
                    f"has {count_of(count, 'band')}, not the {len(names)} of `holds`"
                )
        if "" in names:
            raise DamagedError("does not name its bands: say them in order by `holds`")
        counts = Counter(map(plain, names))
        for name in self.bands:
            if name not in self.zeros and counts[plain(name)] != 1:
                lacks = "has several bands" if counts[plain(name)] else "lacks the band"
                raise DamagedError(f"{lacks} {name} (it has {', '.join(names)})")
        return names


class _Source(ExitStack):
    """Reads tiles one after the other; a file stays open while the next tile is in it."""

    def __init__(self, members: Members) -> None:
        super().__init__()
        self._members = members
        self._file = ""
        self._held: Any = None

    def read(self, member: int, season: int | None) -> Tile:
        """Read and decode one tile."""
        file = self._members.files[self._members.file[member]]
        name, at, size, sample = (column[member].as_py() for column in self._members.table.columns)
        packed = name.lower().endswith(ZARR) or file.lower().endswith(ZARR)
        if season is not None and not packed:
            raise WherefromError(f"{file}: GeoTIFFs have no dates: leave out `season`")
        if file != self._file:
            self.close()
            self._held = self.enter_context(
                _zip(file) if packed and size < 0 else Path(file).open("rb")  # noqa: SIM115
            )
            self._file = file
        if packed and size < 0:
            return zarr.decode(self._held, sample, season)
        self._held.seek(at)
        content = self._held.read(size)
        if len(content) < size:
            raise DamagedError("is cut short")
        if not packed:
            return geotiff.decode(content)
        with _zip(io.BytesIO(content)) as store:
            return zarr.decode(store, sample, season)


def _zip(file: str | io.BytesIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError) as err:
        raise DamagedError("is torn, or no zip") from err
