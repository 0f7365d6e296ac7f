"""A grid over the plane and the walk that finds every cell an edge may touch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.lookup.edges import Edges

__all__ = ["Grid", "expand"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Cells per edge, and at most: 2**24 cells are 0.06 degrees on the whole Earth, 64 MiB.
_CELLS_PER_EDGE, _MIN_CELLS, _MAX_CELLS = 128, 2**8, 2**24
# Origins off any round number, so that borders along round coordinates miss the centre lines.
_MARGIN_X, _MARGIN_Y = 1.0 + 1.0 / math.pi, 1.0 + 1.0 / math.e


@dataclass(frozen=True)
class Grid:
    """Square cells over the bounds of all edges, and a margin of at least one empty cell.

    Attributes
    ----------
    x0, y0 : float
        Lower left corner.
    size : float
        Side of a cell.
    columns, rows : int
        Shape.
    eps : float
        Distance that no rounding error of ours reaches: more than 100 units in the last place of
        the largest coordinate.
    """

    x0: float
    y0: float
    size: float
    columns: int
    rows: int
    eps: float

    @classmethod
    def over(cls, edges: Edges) -> Grid:
        """Fit a grid to edges: the more edges, the finer.

        Parameters
        ----------
        edges : Edges

        Returns
        -------
        Grid
        """
        x, y = np.concatenate([edges.ax, edges.bx]), np.concatenate([edges.ay, edges.by])
        if len(x) == 0:
            return cls(0.0, 0.0, 1.0, 1, 1, 0.0)
        west, east, south, north = float(x.min()), float(x.max()), float(y.min()), float(y.max())
        scale = max(abs(west), abs(east), abs(south), abs(north), east - west, north - south)
        cells = min(max(_CELLS_PER_EDGE * len(edges.ax), _MIN_CELLS), _MAX_CELLS)
        width, height = east - west, north - south
        # A long thin area must not need more cells than asked for; a cell must dwarf rounding.
        size = max(
            math.sqrt(width * height / cells),
            4.0 * max(width, height) / cells,
            math.ldexp(scale, -30),
        )
        # Below that, products of lengths underflow; shapely shall answer all around there.
        size = size if size > 1e-100 else 1.0
        return cls(
            x0=west - _MARGIN_X * size,
            y0=south - _MARGIN_Y * size,
            size=size,
            columns=math.ceil(width / size) + 3,
            rows=math.ceil(height / size) + 3,
            eps=math.ldexp(max(scale, size), -46),
        )

    @property
    def count(self) -> int:
        """Number of cells."""
        return self.columns * self.rows

    def cell(self, x: Floats, y: Floats) -> Ints:
        """Row-major number of the cell of finite points; outside, that of an empty margin cell."""
        column = np.subtract(x, self.x0)
        column *= 1.0 / self.size
        np.clip(column, 0.0, self.columns - 1, out=column)
        row = np.subtract(y, self.y0)
        row *= 1.0 / self.size
        np.clip(row, 0.0, self.rows - 1, out=row)
        cell = row.astype(np.int64)
        cell *= self.columns
        cell += column.astype(np.int64)
        return cell

    def centre_x(self, column: Ints) -> Floats:
        """Abscissa of the centres of columns."""
        return np.asarray(self.x0 + (column + 0.5) * self.size, dtype=np.float64)

    def centre_y(self, row: Ints) -> Floats:
        """Ordinate of the centre lines of rows."""
        return np.asarray(self.y0 + (row + 0.5) * self.size, dtype=np.float64)

    @property
    def _reach(self) -> float:
        # Edges are thickened by this much. It exceeds every rounding error of the walk and of
        # `cell`, so that no cell is missed; what it adds are a few cells too many.
        return max(1e-6 * self.size, 16.0 * self.eps)

    def row_walk(self, edges: Edges) -> tuple[Ints, Ints]:
        """All pairs (edge, row) where the edge may touch the row.

        Parameters
        ----------
        edges : Edges

        Returns
        -------
        edge, row : ndarray of int64, shape (R,)
            Ascending by edge, then by row.
        """
        low = np.minimum(edges.ay, edges.by) - self._reach
        high = np.maximum(edges.ay, edges.by) + self._reach
        first = np.floor((low - self.y0) / self.size).astype(np.int64)
        last = np.floor((high - self.y0) / self.size).astype(np.int64)
        edge, step = expand(last - first + 1)
        return edge, first[edge] + step

    def column_walk(self, edges: Edges, edge: Ints, row: Ints) -> tuple[Ints, Ints]:
        """First and last column that an edge may touch in a row.

        Parameters
        ----------
        edges : Edges
        edge, row : ndarray of int64, shape (R,)
            From `row_walk`.

        Returns
        -------
        first, last : ndarray of int64, shape (R,)

        Notes
        -----
        The edge is cut at the thickened row and the ends' abscissae computed. Their rounding
        error equals that of an exact cut shifted by a few units in the last place of the
        ordinate, which is far less than the thickening: the computed span contains the true one.
        Edges too flat for that argument are taken at full length in each row they touch.
        """
        ax, ay, bx, by = edges.ax[edge], edges.ay[edge], edges.bx[edge], edges.by[edge]
        flat = np.abs(by - ay) <= self._reach
        slope = (bx - ax) / np.where(flat, 1.0, by - ay)
        bottom = self.y0 + row * self.size - self._reach
        low, high = np.minimum(ay, by), np.maximum(ay, by)
        one = ax + (np.clip(bottom, low, high) - ay) * slope
        other = ax + (np.clip(bottom + self.size + 2.0 * self._reach, low, high) - ay) * slope
        west = np.where(flat, np.minimum(ax, bx), np.minimum(one, other)) - self._reach
        east = np.where(flat, np.maximum(ax, bx), np.maximum(one, other)) + self._reach
        first = np.floor((west - self.x0) / self.size).astype(np.int64)
        last = np.floor((east - self.x0) / self.size).astype(np.int64)
        return first, last


def expand(counts: Ints) -> tuple[Ints, Ints]:
    """Repeat each position as often as its count says.

    Parameters
    ----------
    counts : ndarray of int64, shape (N,)

    Returns
    -------
    owner, step : ndarray of int64, shape (counts.sum(),)
        The position, and 0, 1, ... within it.

    Examples
    --------
    >>> expand(np.array([2, 0, 1]))
    (array([0, 0, 2]), array([0, 1, 0]))
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, step
