"""One place near each node of a grid of equal distances."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from wherefrom.compose.allocate import allocate
from wherefrom.compose.base import StreamedSampler
from wherefrom.compose.strata import Groups, Ints, Plan, Strata
from wherefrom.earth.sphere import EARTH_RADIUS_KM, wrap_lon
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part, over
from wherefrom.shown import count_of

__all__ = ["EqualDistanceRows", "Grid"]

Floats = NDArray[np.float64]
#: Per cell that has places: its number, and the nearest place's squared distance, lon and lat.
Nearest = tuple[Ints, Floats, Floats, Floats]

#: A derived spacing leaves at most this share of the cells out, if a few passes find one.
SPARE = 0.02
PASSES = 6
#: If none has n cells yet, so many passes are tried, down to this spacing.
MOST_PASSES = 24
LEAST_KM = 0.01


class _NearNodes(Groups):
    """The cells of a grid; only the place nearest to a cell's node is in."""

    def __init__(self, rows: EqualDistanceRows, nearest: Nearest) -> None:
        self.rows = rows
        self.cells, _, self.lon, self.lat = nearest

    def keys(self, batch: Batch) -> Ints:
        cell = self.rows.cell(batch.lon, batch.lat)
        at = np.minimum(np.searchsorted(self.cells, cell), len(self.cells) - 1)
        there = (batch.lon == self.lon[at]) & (batch.lat == self.lat[at])
        return np.where(there & (self.cells[at] == cell), cell, -1)


class Grid(StreamedSampler):
    """The place nearest to the node of each cell of an equal-distance grid.

    Rows of one height along parallels, each cut into cells about as wide, as Major TOM (Francis
    and Czerkawski 2024, arXiv 2402.12095) and SSL4Eco (Plekhanova et al. 2025, arXiv 2504.18256;
    23 km) sample. Where the grid starts is drawn at random, so that draws differ; of the cells
    that have places n are drawn, each as likely. Distances between places come out more even the
    more places a cell has; cells with few keep whatever gaps the pool has.

    Attributes
    ----------
    spacing_km : float, optional
        Distance of nodes, km. By default the largest, to a few hundredths, that still has n cells
        with places, found in some passes over the pool.
    short : {"error", "cap"}
        What to do if fewer than n cells have places.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [0.0, 0.1, 0.2, 90.0], "lat": [0.0] * 4})
    >>> drawn = draw(Pool.from_table(table), "grid:spacing_km=500", 2)
    >>> len(drawn.ids), int(drawn.ids[1])
    (2, 3)
    """

    name: ClassVar[str] = "grid"
    spacing_km: float | None = Field(default=None, gt=0, le=10_000)
    short: Literal["error", "cap"] = "error"

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return "on an even grid"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Give the place nearest to each node the same chance."""
        shift, turn = rng.random(2).tolist()

        def laid(spacing: float) -> _NearNodes:
            rows = EqualDistanceRows(spacing, shift, turn)
            nearest = over(pool.parts(), partial(_nearest, rows=rows), "laying the grid")
            return _NearNodes(rows, reduce(_best, nearest))

        spacing = self.spacing_km
        grid = _fitted(laid, n, self.short) if spacing is None else laid(spacing)

        def plan(keys: Ints, sizes: Ints) -> Plan:
            spacing = grid.rows.spacing_km
            if n > len(keys) and self.short == "error":
                raise WherefromError(
                    f"only {count_of(len(keys), 'cell')} of {spacing:.4g} km have places, but n = "
                    f"{n:,}: use a smaller spacing_km, a larger pool, a smaller n, or short=cap"
                )
            equal = np.ones_like(sizes)
            allocation = allocate(equal, sizes, min(n, len(keys)), "error")
            notes = {"grid_cells": len(keys), "spacing_km": round(spacing, 3)}
            return Plan(allocation, (), notes, "where the grid starts")

        return Strata(grid, plan)


def _fitted(laid: Callable[[float], _NearNodes], n: int, short: str) -> _NearNodes:
    """Find the largest spacing, about, with which n cells have places."""
    wanted = n * (1 + SPARE / 2)
    spacing = math.sqrt(4 * math.pi / wanted) * EARTH_RADIUS_KM
    enough: _NearNodes | None = None
    few: _NearNodes | None = None
    for tried in range(MOST_PASSES):
        grid = laid(min(spacing, 10_000.0))
        if len(grid.cells) >= n:
            enough = grid
            if len(grid.cells) <= n * (1 + SPARE) or tried >= PASSES or spacing > 10_000:
                return grid
        else:
            few = grid
            if tried >= PASSES and enough is not None:
                return enough
            if spacing < LEAST_KM:
                break
        spacing = _next(few, enough, wanted)
    if enough is not None:
        return enough
    assert few is not None
    if short == "cap":
        return few
    raise WherefromError(
        f"n = {n:,}, but even a grid of {few.rows.spacing_km:.2g} km has places in only "
        f"{count_of(len(few.cells), 'cell')}: use a larger pool, a smaller n, or short=cap"
    )


def _next(few: _NearNodes | None, enough: _NearNodes | None, wanted: float) -> float:
    """Choose the next spacing: between those tried, or as if cells grew with their density."""
    if few is None or enough is None:
        grid = few or enough
        assert grid is not None
        factor = math.sqrt(len(grid.cells) / wanted)
        # Where most places have cells of their own, their number follows the spacing slowly.
        return grid.rows.spacing_km * min(max(factor, 0.25), 4.0)
    ends = [math.log(len(grid.cells)) for grid in (few, enough)]
    at = (math.log(wanted) - ends[0]) / (ends[1] - ends[0])
    low, high = math.log(few.rows.spacing_km), math.log(enough.rows.spacing_km)
    return math.exp(low + min(max(at, 0.02), 0.98) * (high - low))


def _nearest(part: Part, rows: EqualDistanceRows) -> Nearest:
    """Find the place of a part that is nearest to each node."""
    best: list[Nearest] = []
    for batch in part.batches(Ask()):
        cell = rows.cell(batch.lon, batch.lat)
        node_lon, node_lat = np.radians(rows.node(cell))
        lon, lat = np.radians(batch.lon), np.radians(batch.lat)
        # Grows with the distance, exactly for near places too.
        far = (
            np.sin((lat - node_lat) / 2) ** 2
            + np.cos(lat) * np.cos(node_lat) * np.sin((lon - node_lon) / 2) ** 2
        )
        best = [_best(*best, (cell, far, batch.lon, batch.lat))]
    return best[0]


def _best(*tables: Nearest) -> Nearest:
    """Keep the nearest place of each cell; of equally near ones that of lowest lon, then lat."""
    cell, far, lon, lat = (np.concatenate(column) for column in zip(*tables, strict=True))
    order = np.lexsort((lat, lon, far, cell))
    first = order[np.flatnonzero(np.diff(cell[order], prepend=-1))]
    return cell[first], far[first], lon[first], lat[first]


@dataclass(frozen=True)
class EqualDistanceRows:
    """Cut the sphere into rows of one height, and each row into cells about as wide as high.

    Rows follow parallels, ``spacing_km`` apart; a row's circle is cut into as many cells as are at
    most ``spacing_km`` wide at its middle latitude. The node of a cell is its middle. So nodes are
    about the spacing apart in both directions at all latitudes, unlike a grid in degrees. After
    Major TOM (Francis and Czerkawski 2024, arXiv 2402.12095), which starts its rows and columns at
    one fixed place; here `shift`, in [0, 1), is how much of the southernmost row lies beyond the
    south pole, and `turn`, in [0, 1), how far the cells are turned, as a part of a full circle.

    >>> rows = EqualDistanceRows(1000.0)
    >>> rows.count, rows.cell([0.0, 180.0], [52.0, -90.0]).tolist()
    (521, [455, 0])
    """

    spacing_km: float
    shift: float = 0.0
    turn: float = 0.0

    @cached_property
    def _height(self) -> float:
        return math.degrees(self.spacing_km / EARTH_RADIUS_KM)

    @cached_property
    def _middles(self) -> Floats:
        """Latitudes of the rows' middles, degrees."""
        rows = max(1, math.ceil(180.0 / self._height + self.shift))
        middle = (np.arange(rows) + 0.5 - self.shift) * self._height - 90.0
        return np.clip(middle, -90.0, 90.0)

    @cached_property
    def _in_row(self) -> Ints:
        circle = 2 * math.pi * EARTH_RADIUS_KM * np.cos(np.radians(self._middles))
        # Rounding must not add a cell to a circle that holds a whole number.
        return np.maximum(1, np.ceil(circle / self.spacing_km - 1e-9)).astype(np.int64)

    @cached_property
    def _before(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self._in_row)])

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self._before[-1])

    def cell(self, lon: ArrayLike, lat: ArrayLike) -> Ints:
        """Find cells of places: in [0, count), along rows eastwards, rows from the south."""
        row = np.floor((np.asarray(lat) + 90.0) / self._height + self.shift).astype(np.int64)
        row = np.minimum(row, len(self._middles) - 1)
        part = np.mod((np.asarray(lon) + 180.0) / 360.0 - self.turn, 1.0)
        in_row = self._in_row[row]
        along = np.minimum((part * in_row).astype(np.int64), in_row - 1)
        return self._before[row] + along

    def node(self, cell: ArrayLike) -> tuple[Floats, Floats]:
        """Find longitudes and latitudes of the middles of cells, degrees."""
        number = np.asarray(cell, dtype=np.int64)
        row = np.searchsorted(self._before, number, side="right") - 1
        part = (number - self._before[row] + 0.5) / self._in_row[row]
        return wrap_lon((part + self.turn) * 360.0 - 180.0), self._middles[row]
