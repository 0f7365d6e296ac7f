"""The parts of a pool that lies in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wherefrom.pool.batches import BLOCK, Ask, Batch
from wherefrom.pool.columns import column_numbers, label_layer, value_layer

if TYPE_CHECKING:
    from wherefrom.pool.places import Pool

__all__ = ["PoolPart"]


@dataclass(frozen=True, eq=False)
class PoolPart:
    """Rows of a pool; pickled, it takes only these along.

    Attributes
    ----------
    pool : Pool
    first, count : int
        Its first row in `pool`, and how many they are.
    start : int
        Its first row in the whole pool, a multiple of `BLOCK`.
    """

    pool: Pool
    first: int
    count: int
    start: int

    def __len__(self) -> int:
        return self.count

    def __reduce__(self) -> tuple[Any, ...]:
        piece = self.pool.piece(self.first, self.first + self.count)
        return PoolPart, (piece, 0, self.count, self.start)

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give its places in order, `BLOCK` at a time.

        Raises
        ------
        WherefromError
            If there is no such layer or column, or it is not of the kind asked for.
        """
        pool, columns = self.pool, self.pool.columns
        kept = {name: pool.codes(name)[0] for name in ask.codes if pool.holds(name)}
        looked_up = {name: label_layer(name, columns) for name in ask.codes if name not in kept}
        valued = {name: value_layer(name, columns) for name in ask.values if name not in columns}
        for at in range(self.first, self.first + self.count, BLOCK):
            rows = slice(at, min(at + BLOCK, self.first + self.count))
            lon, lat = pool.lon[rows], pool.lat[rows]
            codes = {
                name: kept[name][rows] if name in kept else looked_up[name].codes(lon, lat)
                for name in ask.codes
            }
            values = {
                name: valued[name](lon, lat).astype("f8")
                if name in valued
                else column_numbers(self._cut(name, rows), name)
                for name in ask.values
            }
            ids = pool.ids[rows] if ask.ids else None
            yield Batch(self.start + at - self.first, lon, lat, ids, codes, values)

    def tables(self) -> Iterator[tuple[int, pa.Table]]:
        """Give each block's first row in the whole pool, and all columns of its rows."""
        for at in range(self.first, self.first + self.count, BLOCK):
            count = min(BLOCK, self.first + self.count - at)
            yield self.start + at - self.first, self.pool.table.slice(at, count)

    def _cut(self, name: str, rows: slice) -> pa.ChunkedArray:
        return self.pool.table.column(name).slice(rows.start, rows.stop - rows.start)
