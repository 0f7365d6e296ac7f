"""What the spectral entropies of a set of samples amount to: as a pool's column, and in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.bins import BinSpec
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

__all__ = ["COLUMN", "CellEntropy", "Entropy", "LabelEntropy", "SampleEntropy"]

Floats = NDArray[np.float64]

#: Name of the column that holds the entropies in a pool.
COLUMN = "spectral_entropy"
#: Samples named at either end.
_ENDS = 5


@dataclass(frozen=True)
class LabelEntropy:
    """Entropy of the samples with one label of a layer.

    Attributes
    ----------
    label : str
    samples : int
    mean : float
        Nats.
    se : float or None
        Standard error of the mean; None of a single sample.
    """

    label: str
    samples: int
    mean: float
    se: float | None


@dataclass(frozen=True)
class CellEntropy:
    """Entropy of the samples in one cell of the map.

    Attributes
    ----------
    west, south, east, north : float
        Edges in degrees; all cells have equal area.
    samples : int
    mean : float
        Nats.
    """

    west: float
    south: float
    east: float
    north: float
    samples: int
    mean: float


@dataclass(frozen=True)
class Entropy:
    """Spectral entropy of a set of samples.

    Attributes
    ----------
    samples, without : int
        Samples, and those among them that have no entropy.
    mean, se, sd : float
        Of the samples that have one, in nats; `se` is that of independent samples. NaN, as the
        quantiles, where none has.
    quantiles : tuple of 5 floats
        Least, lower quartile, median, upper quartile, greatest.
    most : float
        The greatest that the bins allow, ``ln(count)``.
    bins : BinSpec
    bands : tuple of str
    dropped : float
        Share of the values beyond the bins, which are not counted.
    layers : dict of str to tuple of LabelEntropy
        By label, highest mean first; labels without samples are left out.
    explained : dict of str to float or None
        Share of the variance between samples that the layer's labels explain, adjusted for their
        number (epsilon squared, Kelley 1935, doi:10.1073/pnas.21.9.554): what a selection by
        entropy selects by place. None where there are too few samples or no variance.
    cells : tuple of CellEntropy
        The map: cells of equal area that hold samples.
    lowest, highest : tuple of (id, lon, lat, entropy)
        The samples at either end.
    source : str
    notes : tuple of str
        What is odd about the samples.
    """

    samples: int
    without: int
    mean: float
    se: float
    sd: float
    quantiles: tuple[float, ...]
    most: float
    bins: BinSpec
    bands: tuple[str, ...]
    dropped: float
    layers: dict[str, tuple[LabelEntropy, ...]]
    explained: dict[str, float | None]
    cells: tuple[CellEntropy, ...]
    lowest: tuple[tuple[int | str, float, float, float], ...]
    highest: tuple[tuple[int | str, float, float, float], ...]
    source: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give all numbers as plain values for JSON; None where there is no number."""
        plain = asdict(self) | {"bins": self.bins.to_dict()}
        for name in ("mean", "se", "sd", "quantiles"):
            plain[name] = _or_none(plain[name])
        return plain


@dataclass(frozen=True, eq=False)
class SampleEntropy:
    """Spectral entropy of each sample of a set, and where the samples lie.

    Made by :func:`wherefrom.auditing.payload.entropy_of_tiles` and ``entropy_of_series``.

    Attributes
    ----------
    ids : ndarray of int64 or str, shape (N,)
    lon, lat : ndarray of float64, shape (N,)
        Degrees.
    values : ndarray of float64, shape (N,)
        Spectral entropy in nats; NaN where a sample has none.
    dropped : ndarray of float64, shape (N,)
        Share of the sample's values beyond the bins.
    bins : BinSpec
    bands : tuple of str
    source : str
        Where the samples come from.
    notes : tuple of str
        What is odd about them.
    """

    ids: NDArray[Any]
    lon: Floats
    lat: Floats
    values: Floats
    dropped: Floats
    bins: BinSpec
    bands: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def pool(self) -> Pool:
        """Return the samples as a pool with the column ``spectral_entropy``.

        Returns
        -------
        Pool
            Null where a sample has no entropy.

        Raises
        ------
        WherefromError
            If ids repeat or a sample's coordinates are no place.
        """
        table = pa.table({"id": self.ids, "lon": self.lon, "lat": self.lat})
        made = Pool.from_table(table.append_column(COLUMN, self._column(self.values)))
        return replace(made, origin=f"samples of {self.source}")

    def join(self, pool: Pool) -> Pool:
        """Return a pool with the column ``spectral_entropy``, matched by id.

        Parameters
        ----------
        pool : Pool
            Places, some or all of which the samples belong to.

        Returns
        -------
        Pool
            The same places; null where there is no sample. A column of that name is replaced.

        Raises
        ------
        WherefromError
            If a sample's id is not in the pool, or two samples have the same.

        Examples
        --------
        >>> pool = Pool.from_table(pa.table({"lon": [1.0, 2.0], "lat": [3.0, 4.0]}))
        >>> one = SampleEntropy(np.array([1]), np.array([2.0]), np.array([4.0]), np.array([0.5]),
        ...     np.zeros(1), BinSpec((0.0,), (1.0,)), ("red",), "a test")
        >>> one.join(pool).table[COLUMN].to_pylist()
        [None, 0.5]
        """
        rows = pool.take(self.ids)
        distinct, counts = np.unique(rows, return_counts=True)
        if len(distinct) != len(rows):
            twice = pool.ids[distinct[counts > 1][0]]
            raise WherefromError(f"{self.source}: id {twice} has more than one sample: drop some")
        values = np.full(len(pool), np.nan)
        values[rows] = self.values
        table = pool.table
        if COLUMN in table.column_names:
            table = table.drop_columns(COLUMN)
        return replace(pool, table=table.append_column(COLUMN, self._column(values)))

    def write(self, path: Path | str) -> None:
        """Write `pool` as Parquet: places to draw from by entropy.

        Raises
        ------
        WherefromError
            As `pool`, or if the disk is full or the folder cannot be written.
        """
        self.pool().write(path)

    def result(self, layers: Sequence[str] = ("continent",), n_bands: int = 18) -> Entropy:
        """Sum up the samples.

        Parameters
        ----------
        layers : sequence of str
            Categorical layers of the Earth by which the entropies are averaged.
        n_bands : int, default 18
            Bands of the map's cells from pole to pole.

        Returns
        -------
        Entropy

        Raises
        ------
        WherefromError
            If there is no such layer, or its data cannot be had.

        Examples
        --------
        >>> two = SampleEntropy(np.arange(2), np.array([13.4, 36.8]), np.array([52.5, -1.3]),
        ...     np.array([2.0, 1.0]), np.zeros(2), BinSpec((0.0,), (1.0,)), ("red",), "a test")
        >>> found = two.result()
        >>> found.mean, [(row.label, row.mean) for row in found.layers["continent"]]
        (1.5, [('Europe', 2.0), ('Africa', 1.0)])
        """
        there = np.flatnonzero(~np.isnan(self.values))
        values = self.values[there]
        by: dict[str, tuple[LabelEntropy, ...]] = {}
        explained: dict[str, float | None] = {}
        for name in layers:
            layer = earth.layer(name)
            if not isinstance(layer, earth.Layer):
                raise WherefromError(f"layer {name!r} holds values, not labels: name another")
            codes = layer.codes(self.lon[there], self.lat[there])
            by[name], explained[name] = _by_label(values, codes, layer.labels)
        order = there[np.lexsort((there, values))]
        sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        return Entropy(
            samples=len(self),
            without=len(self) - len(there),
            mean=float(values.mean()) if len(values) else float("nan"),
            se=sd / sqrt(len(values)) if len(values) else float("nan"),
            sd=sd,
            quantiles=tuple(np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist())
            if len(values)
            else (float("nan"),) * 5,
            most=self.bins.most,
            bins=self.bins,
            bands=self.bands,
            dropped=float(np.nanmean(self.dropped)) if np.isfinite(self.dropped).any() else 0.0,
            layers=by,
            explained=explained,
            cells=_cells(self.lon[there], self.lat[there], values, n_bands),
            lowest=self._named(order[:_ENDS]),
            highest=self._named(order[::-1][:_ENDS]),
            source=self.source,
            notes=self.notes,
        )

    def _named(self, rows: NDArray[np.int64]) -> tuple[tuple[int | str, float, float, float], ...]:
        return tuple(
            (self.ids[i].item(), float(self.lon[i]), float(self.lat[i]), float(self.values[i]))
            for i in rows
        )

    @staticmethod
    def _column(values: Floats) -> pa.Array:
        return pa.array(values, pa.float64(), from_pandas=True)


def _by_label(
    values: Floats, codes: NDArray[np.int32], labels: tuple[str, ...]
) -> tuple[tuple[LabelEntropy, ...], float | None]:
    """Average by label, and say how much of the variance the labels explain."""
    inside = codes >= 0
    values, codes = values[inside], codes[inside]
    counts = np.bincount(codes, minlength=len(labels))
    rows, within = [], 0.0
    for code in np.flatnonzero(counts):
        own = values[codes == code]
        squares = float(((own - own.mean()) ** 2).sum())
        within += squares
        se = sqrt(squares / (len(own) - 1) / len(own)) if len(own) > 1 else None
        rows.append(LabelEntropy(labels[code], len(own), float(own.mean()), se))
    rows.sort(key=lambda row: (-row.mean, row.label))
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    free = len(values) - len(rows)
    if len(rows) < 2 or free < 1 or total <= 0:
        return tuple(rows), None
    return tuple(rows), 1.0 - (within / free) / (total / (len(values) - 1))


def _cells(lon: Floats, lat: Floats, values: Floats, n_bands: int) -> tuple[CellEntropy, ...]:
    if not len(values):
        return ()
    grid = EqualAreaCells(n_bands)
    held, at, counts = np.unique(grid.cell(lon, lat), return_inverse=True, return_counts=True)
    means = np.bincount(at, values) / counts
    edges = np.stack(grid.bounds(held), axis=1)
    return tuple(
        CellEntropy(west, south, east, north, int(count), float(mean))
        for (west, south, east, north), count, mean in zip(
            edges.tolist(), counts, means, strict=True
        )
    )


def _or_none(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_or_none(item) for item in value]
    return value if np.isfinite(value) else None
