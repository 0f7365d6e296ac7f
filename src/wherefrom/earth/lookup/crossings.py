"""What the index stores: an answer for cells without a border, edges to cross for the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.lookup.edges import Edges
from wherefrom.earth.lookup.grid import Floats, Grid, Ints, expand

__all__ = ["NOBODY", "Crossings", "build"]

NOBODY = np.iinfo(np.int32).max
"""Larger than any position of a polygon: nobody's, when the lowest position is sought."""

_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Crossings:
    """Cells, the units that cross them, and their edges there: three tables, each in CSR form.

    Attributes
    ----------
    code : ndarray of int32, shape (cells,)
        Answer of a cell that no edge touches (position or -1); ``-2 - k`` for touched cell k.
    base : ndarray of int32, shape (K,)
        Lowest polygon around a touched cell without an edge in it, or `NOBODY`.
    first_row : ndarray of int64, shape (K + 1,)
        Rows of `table` of each touched cell.
    first_group : ndarray of int64, shape (K + 1,)
        Groups (unit in a cell) of each touched cell.
    table : ndarray of float64, shape (R, 8)
        An edge in a cell, relative to the centre of the cell: middle and half width of its
        abscissae, ordinate in the middle, slope, tolerance of ordinates, abscissa where it
        crosses the centre line of the row (infinite if it does not), tolerance of that, and a
        spare that keeps a row to one line of a processor's cache.
    group : ndarray of int32, shape (R,)
        Group of each row, ascending.
    polygon : ndarray of int32, shape (G,)
        Polygon of each group; ascending within a cell.
    inside : ndarray of bool, shape (G,)
        Is the centre of the cell inside the unit?
    """

    code: NDArray[np.int32]
    base: NDArray[np.int32]
    first_row: Ints
    first_group: Ints
    table: Floats
    group: NDArray[np.int32]
    polygon: NDArray[np.int32]
    inside: NDArray[np.bool_]


@dataclass(frozen=True)
class _Spans:
    """Runs of cells of one row whose centres are inside a unit; ends inclusive."""

    unit: Ints
    first: Ints
    last: Ints


def build(edges: Edges, grid: Grid) -> Crossings:
    """Walk all edges over the grid and tabulate what they cross.

    Parameters
    ----------
    edges : Edges
    grid : Grid
        That fits the edges.

    Returns
    -------
    Crossings
    """
    walk_edge, walk_row = grid.row_walk(edges)
    abscissa = _abscissa_on_centre_line(edges, grid, walk_edge, walk_row)
    spans = _spans(edges, grid, walk_edge, walk_row, abscissa)

    first, last = grid.column_walk(edges, walk_edge, walk_row)
    walked, step = expand(last - first + 1)
    cell = walk_row[walked] * grid.columns + first[walked] + step
    edge = walk_edge[walked]
    unit = edges.unit[edge].astype(np.int64)
    hidden = _opaque_cells(edges, spans)
    # An opaque unit touches every cell it covers: any edge of it stands there, never certain.
    edge = np.concatenate([edge, np.searchsorted(edges.unit, hidden[0])])
    cross = np.concatenate([abscissa[walked], np.full(len(hidden[0]), np.inf)])
    unit = np.concatenate([unit, hidden[0]])
    cell = np.concatenate([cell, hidden[1]])

    units = len(edges.polygon)
    key = cell * units + unit
    order = np.argsort(key)
    key, edge, cell, cross = key[order], edge[order], cell[order], cross[order]
    new_group = _starts(key)
    group_key = key[new_group]
    group_cell = cell[new_group]
    touched = group_cell[_starts(group_cell)]

    base = np.full(len(touched), NOBODY, dtype=np.int32)
    inside = np.zeros(len(group_key), dtype=bool)
    _place_centres(edges, spans, touched, group_key, base, inside)
    code = _paint(edges, grid, spans)
    code[touched] = -2 - np.arange(len(touched), dtype=np.int32)
    return Crossings(
        code=code,
        base=base,
        first_row=np.append(np.flatnonzero(_starts(cell)), len(cell)),
        first_group=np.append(np.flatnonzero(_starts(group_cell)), len(group_cell)),
        table=_table(edges, grid, cell, edge, cross),
        group=(np.cumsum(new_group) - 1).astype(np.int32),
        polygon=edges.polygon[group_key % units] if units else edges.polygon,
        inside=inside,
    )


def _starts(values: Ints) -> NDArray[np.bool_]:
    """Mark the first of each run of equal values."""
    starts = np.ones(len(values), dtype=bool)
    starts[1:] = values[1:] != values[:-1]
    return starts


def _abscissa_on_centre_line(edges: Edges, grid: Grid, edge: Ints, row: Ints) -> Floats:
    """Where an edge crosses the centre line of a row; infinite if it does not.

    An end on the line counts as below it, so a closed ring crosses every line an even number of
    times, vertices on the line or not.
    """
    y = grid.centre_y(row)
    ax, ay, bx, by = edges.ax[edge], edges.ay[edge], edges.bx[edge], edges.by[edge]
    across = (ay > y) != (by > y)
    rise = np.where(across, by - ay, 1.0)
    return np.where(across, ax + (y - ay) / rise * (bx - ax), np.inf)


def _spans(edges: Edges, grid: Grid, edge: Ints, row: Ints, abscissa: Floats) -> _Spans:
    """Pair the crossings of each unit with each centre line into spans inside."""
    across = np.isfinite(abscissa)
    x, row, unit = abscissa[across], row[across], edges.unit[edge[across]].astype(np.int64)
    order = np.lexsort((x, unit * grid.rows + row))
    x, row, unit = x[order], row[order][::2], unit[order][::2]
    column = (x - grid.x0) / grid.size - 0.5
    first, last = np.ceil(column[::2]).astype(np.int64), np.floor(column[1::2]).astype(np.int64)
    some = first <= last
    start = row * grid.columns
    return _Spans(unit[some], (start + first)[some], (start + last)[some])


def _opaque_cells(edges: Edges, spans: _Spans) -> tuple[Ints, Ints]:
    """List unit and cell wherever the centre of the cell is inside an opaque unit."""
    opaque = edges.opaque[spans.unit]
    first = spans.first[opaque]
    span, step = expand(spans.last[opaque] - first + 1)
    return spans.unit[opaque][span], first[span] + step


def _place_centres(
    edges: Edges,
    spans: _Spans,
    touched: Ints,
    group_key: Ints,
    base: NDArray[np.int32],
    inside: NDArray[np.bool_],
) -> None:
    """Fill in, for the centre of each touched cell, which units hold it."""
    begin = np.searchsorted(touched, spans.first)
    length = np.searchsorted(touched, spans.last, side="right") - begin
    for part in _pieces(length):
        span, step = expand(length[part])
        at = begin[part][span] + step
        unit = spans.unit[part][span]
        key = touched[at] * len(edges.polygon) + unit
        group = np.searchsorted(group_key, key)
        crosses = group < len(group_key)
        crosses[crosses] = group_key[group[crosses]] == key[crosses]
        inside[group[crosses]] = True
        np.minimum.at(base, at[~crosses], edges.polygon[unit[~crosses]])


def _paint(edges: Edges, grid: Grid, spans: _Spans) -> NDArray[np.int32]:
    """Write each unit's polygon into the cells whose centres it holds; the lowest stays."""
    code = np.full(grid.count, -1, dtype=np.int32)
    # Spans are in ascending order of polygons: painted from the end, the lowest comes last.
    unit, first, last = spans.unit[::-1], spans.first[::-1], spans.last[::-1]
    length = last - first + 1
    for part in _pieces(length):
        span, step = expand(length[part])
        code[first[part][span] + step] = edges.polygon[unit[part]][span]
    return code


def _pieces(lengths: Ints) -> Iterator[slice]:
    """Cut spans into pieces of bounded total length: polygons may overlap without limit."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(0, total + _AT_ONCE, _AT_ONCE), side="right")
    for low, high in itertools.pairwise(cuts):
        yield slice(low, high)


def _table(edges: Edges, grid: Grid, cell: Ints, edge: Ints, cross: Floats) -> Floats:
    """Tabulate edges relative to the centres of their cells, with the bounds of their errors."""
    x = grid.centre_x(cell % grid.columns)
    y = grid.centre_y(cell // grid.columns)
    ax, ay, bx, by = edges.ax[edge], edges.ay[edge], edges.bx[edge], edges.by[edge]
    half = np.abs(bx - ax) / 2.0
    # An edge that narrow is never crossed with certainty, so its slope is not needed.
    upright = half <= grid.eps
    slope = (by - ay) / np.where(upright, 1.0, bx - ax)
    slope[upright] = 0.0
    across = np.isfinite(cross)
    lean = np.abs(bx - ax) / np.where(across, np.abs(by - ay), 1.0)
    table = np.zeros((len(cell), 8))
    table[:, 0] = ((ax - x) + (bx - x)) / 2.0
    table[:, 1] = half
    table[:, 2] = ((ay - y) + (by - y)) / 2.0
    table[:, 3] = slope
    table[:, 4] = grid.eps * (1.0 + np.abs(slope))
    table[:, 5] = cross - x
    table[:, 6] = np.where(across, grid.eps * (1.0 + lean), 0.0)
    # Nothing is certain where the centre may lie on the edge, or inside an opaque unit.
    never = (np.abs(table[:, 5]) <= table[:, 6]) | edges.opaque[edges.unit[edge]]
    table[never, 1] = np.inf
    table[never, 4] = np.inf
    return table
