"""Pixel time series by id: Presto's shards, files of series, tables, WorldCereal, CropHarvest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.errors import WherefromError, unknown
from wherefrom.files import walked
from wherefrom.payload.base import NAMES, Lost, Modality, Payload, Piece, Sought
from wherefrom.payload.columns import parts_of, texts_of, torn
from wherefrom.payload.matching import Rows
from wherefrom.payload.series import tables
from wherefrom.payload.series.blocks import Block
from wherefrom.payload.series.shards import of_shards
from wherefrom.pool.series import BANDS, NO_CLASS
from wherefrom.pool.series.worldcereal import is_worldcereal
from wherefrom.pool.tables import is_parquet

__all__ = ["Series"]

Layout = Literal["shards", "npz", "table", "worldcereal", "cropharvest"]

#: Degrees that a series may lie from the place that seeks it.
_NEAR = 0.1


class Series(Payload):
    """Pixel time series by id, in the units of `wherefrom.pool.series.PixelSeries`.

    Dynamic World is left out of the series of labelled places: labels are made of such maps, or
    were drawn by them, and Presto's published scores are the same without.

    Attributes
    ----------
    path : str
        A file or a folder of them, in one of these layouts:

        - ``shards``: Presto's, tars of tiles. Ids are ``TILE:ROW``, the tile named as in its tar
          (``TAR/TILE`` where several tars have it). Of its 24 months each pixel has twelve, from
          a month of its own on, which its id and `seed` decide.
        - ``npz``: files that `PixelSeries.write` made. Ids are numbers of rows, ``NAME:ROW`` where
          there are several files; or those of the table `ids`.
        - ``table``: Parquet or CSV with columns `id`, `lon`, `lat`, start_date (any day of the
          month of the first step), and of each band one of lists (``B4``), one for each step
          (``B4_0``, ``B4_1``, ...), or a single number (elevation); dynamic_world likewise.
        - ``worldcereal``: a WorldCereal table. Ids are its sample_id, else numbers of rows.
        - ``cropharvest``: the published folder. Ids are ``INDEX_DATASET``; without its test places.
    layout : str, optional
        By default told from what lies there.
    id, lon, lat : str
        Columns of a table.
    ids : str, optional
        A table whose column `id` names the series of ``npz``, row by row.
    seed : int
        Of the months in which series of shards begin.
    """

    modality: ClassVar[Modality] = "series"
    file_fields: ClassVar[tuple[str, ...]] = ("path", "ids")

    path: str = Field(min_length=1)
    layout: Layout | None = None
    id: str | None = Field(min_length=1, default=None)
    lon: str = "lon"
    lat: str = "lat"
    ids: str | None = Field(min_length=1, default=None)
    seed: int = 0

    @property
    def seconds(self) -> float:
        """Numbers are read as they lie, checked, and cut to twelve months."""
        return 4e-5

    @property
    def bands(self) -> tuple[str, ...]:
        """All that there are: which ones files have is known when they are read."""
        return (*BANDS, "dynamic_world")

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Read the blocks that hold what is sought, each once."""
        rows = Rows(places.ids, lost)
        for block in self._blocks(places.ids, lost):
            at, found = rows.find(block.ids, block.where)
            if not len(at):
                continue
            try:
                cut = block.cut()
            except WherefromError as err:
                lost.add(block.where, f"is left out: {str(err).removeprefix(f'{block.where}: ')}")
                continue
            whole = np.flatnonzero(~np.isnan(cut.series.raw).all(axis=(1, 2)))
            row = np.full(len(block.ids), -1)
            row[cut.rows[whole]] = whole
            row = row[at]
            for one in at[row < 0]:
                lost.add(f"id {block.ids[one]}", "has no value in any band")
            some = cut.series.take(row[row >= 0])
            records = {name: getattr(some, name) for name in NAMES["series"]}
            if places.labelled:
                records["dynamic_world"] = np.full_like(some.dynamic_world, NO_CLASS)
            for which, there in rows.spread(found[row >= 0], records):
                near = _near(there["lon"], there["lat"], places.lon[which], places.lat[which])
                for one in which[~near]:
                    lost.add(
                        f"id {places.ids[one]}",
                        f"lies more than {_NEAR} degrees from its place: is it of other data?",
                    )
                yield which[near], {name: values[near] for name, values in there.items()}

    def places(self, lost: Lost) -> Iterator[pa.Table]:
        """Give id, lon and lat of all series, and their tile or file, which is a column."""
        for block in self._blocks(None, lost):
            inside = (np.abs(block.lon) <= 180) & (np.abs(block.lat) <= 90)  # NaN is not
            for row in np.flatnonzero(~inside):
                lost.add(f"id {block.ids[row]}", "has no valid lon and lat")
            made = {n: np.asarray(getattr(block, n)[inside], np.float64) for n in ("lon", "lat")}
            same = {name: [text] * len(made["lon"]) for name, text in block.within.items()}
            yield pa.table({"id": block.ids[inside]} | made | same)

    def _blocks(self, sought: NDArray[Any] | None, lost: Lost) -> Iterator[Block]:
        """Give what is there, at least all that holds one of the ids sought."""
        path = Path(self.path)
        layout, files = _found(path, self.layout)
        if self.ids is not None and layout != "npz":
            raise WherefromError(f"payload {self.kind!r}: ids are of layout npz, not {layout}")
        if layout == "shards":
            return of_shards(files, self.seed, sought, lost)
        if layout == "worldcereal":
            return tables.of_worldcereal(path, self.id)
        if layout == "cropharvest":
            return tables.of_cropharvest(path, sought)
        if layout == "table":
            return tables.of_table(path, self.kind, self.id or "id", self.lon, self.lat)
        blocks = tables.of_npz(files, lost)
        return blocks if self.ids is None else self._named(blocks, Path(self.ids))

    def _named(self, blocks: Iterator[Block], path: Path) -> Iterator[Block]:
        """Give blocks the ids of a table."""
        name = self.id or "id"

        def needed(names: list[str]) -> list[str]:
            if name not in names:
                raise unknown(f"id column of {path}", name, names)
            return [name]

        every = [
            texts_of(part.column(name), name, str(path), 0)
            for part in parts_of(path, self.kind, needed, name)
        ]
        ids, start = np.concatenate(every), 0
        for block in blocks:
            if start + len(block.ids) <= len(ids):
                yield replace(block, ids=ids[start : start + len(block.ids)])
            start += len(block.ids)
        if start != len(ids):
            raise WherefromError(f"{path} has {len(ids):,} rows, {self.path} {start:,} series")


def _near(
    lon: NDArray[Any], lat: NDArray[Any], other_lon: NDArray[Any], other_lat: NDArray[Any]
) -> NDArray[np.bool_]:
    """Tell which places are beside each other, also over the antimeridian."""
    east = np.abs((lon - other_lon + 180) % 360 - 180) * np.cos(np.radians(lat))
    return np.asarray((east <= _NEAR) & (np.abs(lat - other_lat) <= _NEAR))


#: Layouts by the ends of names in a folder.
_ENDS: dict[str, Layout] = {".tar": "shards", ".npz": "npz", ".parquet": "table", ".pq": "table"}


def _found(path: Path, layout: Layout | None) -> tuple[Layout, dict[str, Path]]:
    """Tell the layout, if it is not given, and the files by their names without the ending."""
    if not path.exists():
        raise WherefromError(f"no such file or folder: {path}")
    if not path.is_dir():
        told = _ENDS.get(path.suffix.lower(), "table")
        if told == "table" and is_parquet(path):
            with torn(path):
                columns = ds.dataset(path, format="parquet").schema.names
            told = "worldcereal" if is_worldcereal(columns) else told
        return layout or told, {path.stem: path}
    if layout == "cropharvest" or (path / "labels.geojson").is_file():
        return "cropharvest", {}
    of_layout: dict[Layout, dict[str, Path]] = {}
    for one in walked(path):
        if (end := _ENDS.get(one.suffix.lower())) is not None:
            name = one.relative_to(path).with_suffix("").as_posix()
            of_layout.setdefault(end, {})[name] = one
    among = [layout] if layout is not None else list(of_layout)
    if not of_layout:
        raise WherefromError(f"{path} holds no series, by the ends of names: {', '.join(_ENDS)}")
    if len(among) != 1 or among[0] not in of_layout:
        held = f"several ({', '.join(of_layout)})"
        raise WherefromError(
            f"{path} has no series of layout {layout}"
            if layout
            else f"{path} is to hold series of one layout, and holds {held}: name it as `layout`"
        )
    return among[0], of_layout[among[0]]
