"""One place near each node of a grid of equal distances."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.compose.allocate import allocate
from wherefrom.compose.passes import over_parts
from wherefrom.compose.rows import EqualDistanceRows
from wherefrom.compose.strata import Plan, Strata
from wherefrom.compose.streamed import StreamedSampler
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part

__all__ = ["Grid"]

Floats = NDArray[np.float64]
#: Per cell that has places: its number, and the nearest place's squared distance, lon and lat.
Nearest = tuple[NDArray[np.int64], Floats, Floats, Floats]

#: A derived spacing leaves at most this share of the cells out, if a few passes find one.
SPARE = 0.02
PASSES = 6
#: If none has n cells yet, so many passes are tried, down to this spacing.
MOST_PASSES = 24
LEAST_KM = 0.01


class _NearNodes(Strata):
    """The cells of a grid; only the place nearest to a cell's node is in."""

    ask = Ask()

    def __init__(self, rows: EqualDistanceRows, nearest: Nearest) -> None:
        self.rows = rows
        self.cells, _, self.lon, self.lat = nearest

    def keys(self, batch: Batch) -> NDArray[np.int64]:
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
    >>> from wherefrom.compose import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [0.0, 0.1, 0.2, 90.0], "lat": [0.0] * 4})
    >>> drawn = draw(Pool.from_table(table), "grid:spacing_km=500", 2)
    >>> len(drawn.ids), int(drawn.ids[1])
    (2, 3)
    """

    name: ClassVar[str] = "grid"
    spacing_km: float | None = Field(default=None, gt=0, le=10_000)
    short: Literal["error", "cap"] = "error"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Find the place nearest to each node."""
        shift, turn = rng.random(2).tolist()

        def laid(spacing: float) -> _NearNodes:
            rows = EqualDistanceRows(spacing, shift, turn)
            return _NearNodes(rows, _nearest_of(pool, rows))

        if self.spacing_km is not None:
            return laid(self.spacing_km)
        return _fitted(laid, n, self.short)

    def plan(
        self,
        pool: AnyPool,
        strata: Strata,
        keys: NDArray[np.int64],
        sizes: NDArray[np.int64],
        n: int,
    ) -> Plan:
        """Give every cell that has places the same chance."""
        assert isinstance(strata, _NearNodes)
        spacing = strata.rows.spacing_km
        if n > len(keys) and self.short == "error":
            raise WherefromError(
                f"only {len(keys):,} cells of {spacing:.4g} km have places, but n = {n:,}: use a "
                "smaller spacing_km, a larger pool, a smaller n, or short=cap"
            )
        equal = np.ones(len(keys), dtype=np.int64)
        allocation = allocate(equal, sizes, min(n, len(keys)), "error")
        notes = {"grid_cells": len(keys), "spacing_km": round(spacing, 3)}
        return Plan(allocation, (), notes, "where the grid starts")


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
        f"{len(few.cells):,} cells: use a larger pool, a smaller n, or short=cap"
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


def _nearest_of(pool: AnyPool, rows: EqualDistanceRows) -> Nearest:
    """Find the place nearest to each node, in one pass."""
    found: list[Nearest] = []
    for nearest in over_parts(pool, partial(_nearest, rows=rows), "laying the grid"):
        found = [_best([*found, nearest])]
    return found[0]


def _nearest(part: Part, rows: EqualDistanceRows) -> Nearest:
    found: list[Nearest] = []
    for batch in part.batches(Ask()):
        cell = rows.cell(batch.lon, batch.lat)
        node_lon, node_lat = np.radians(rows.node(cell))
        lon, lat = np.radians(batch.lon), np.radians(batch.lat)
        # Grows with the distance, exactly for near places too.
        far = (
            np.sin((lat - node_lat) / 2) ** 2
            + np.cos(lat) * np.cos(node_lat) * np.sin((lon - node_lon) / 2) ** 2
        )
        found = [_best([*found, (cell, far, batch.lon, batch.lat)])]
    return found[0]


def _best(tables: list[Nearest]) -> Nearest:
    """Keep the nearest place of each cell; of equally near ones that of lowest lon, then lat."""
    cell, far, lon, lat = (np.concatenate(column) for column in zip(*tables, strict=True))
    order = np.lexsort((lat, lon, far, cell))
    first = order[np.flatnonzero(np.diff(cell[order], prepend=-1))]
    return cell[first], far[first], lon[first], lat[first]
