"""Shares of labels to match: those of land area, of another pool, or of a composition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.compose import passes
from wherefrom.compose.composition import COLUMNS, Composition
from wherefrom.earth.land import label_counts
from wherefrom.errors import WherefromError
from wherefrom.pool import open_pool
from wherefrom.pool.batches import AnyPool, Ask, Part

__all__ = ["LAND", "Target", "target_of"]

Floats = NDArray[np.float64]

#: The target that is no file.
LAND = "land"
#: Bands of the cells that measure land: 1.03 million of them, 22 km apart. Draws depend on it.
BANDS = 900


@dataclass(frozen=True, eq=False)
class Target:
    """Shares of the labels of some layers, each layer by itself.

    Attributes
    ----------
    shares : dict of str to dict of str to float
        Layer -> label -> share of what has a label; each layer's sum to 1.
    about : dict
        What it is, for the card.
    """

    shares: dict[str, dict[str, float]]
    about: dict[str, Any]


def target_of(target: str, names: tuple[str, ...], pool: AnyPool) -> Target:
    """Find the shares of a target.

    Parameters
    ----------
    target : str
        ``land``: area of land without Antarctica, on a lattice of equal areas. Else a file or
        folder: a pool, or a composition drawn from `pool`.
    names : tuple of str
        Layers or columns.
    pool : AnyPool
        In which to look up a composition's places.

    Returns
    -------
    Target

    Raises
    ------
    WherefromError
        If the file cannot be read, a composition is of another pool, or a layer has no label in
        the target.
    """
    if target == LAND:
        counts = {name: _of_land(name, pool) for name in names}
        about: dict[str, Any] = {"target": "area of land without Antarctica"}
    elif _is_composition(Path(target)):
        composition = Composition.read(target)
        counts = _of_composition(composition, names, pool)
        about = {"target": f"composition {composition.key}", "target_places": composition.size}
    else:
        other = open_pool(target)
        counts = _of_pool(other, names)
        about = {"target": f"pool {other.key}", "target_places": len(other)}
    shares = {}
    for name, some in counts.items():
        total = sum(some.values())
        if not total:
            raise WherefromError(f"target={target}: no place has a label of layer {name!r}")
        shares[name] = {label: count / total for label, count in some.items() if count}
    return Target(shares, about)


def _is_composition(path: Path) -> bool:
    try:
        return path.is_file() and pq.read_schema(path).names == list(COLUMNS)
    except (pa.ArrowException, OSError):
        return False  # the pool's reader says what is wrong with the file


def _labelled(labels: tuple[str, ...], counts: Floats) -> dict[str, float]:
    return dict(zip(labels, counts.tolist(), strict=True))


def _of_pool(pool: AnyPool, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    labels = [pool.labels(name) for name in names]
    tally = partial(_tally, names=names, sizes=tuple(len(some) for some in labels))
    tables = passes.over_parts(pool, tally, "counting the target's labels")
    sums = [sum(table) for table in zip(*tables, strict=True)]
    return {
        name: _labelled(some, np.asarray(total, dtype=np.float64))
        for name, some, total in zip(names, labels, sums, strict=True)
    }


def _tally(part: Part, names: tuple[str, ...], sizes: tuple[int, ...]) -> list[NDArray[np.int64]]:
    total = [np.zeros(size, dtype=np.int64) for size in sizes]
    for batch in part.batches(Ask(codes=names)):
        for some, name in zip(total, names, strict=True):
            codes = batch.codes[name]
            some += np.bincount(codes[codes >= 0], minlength=len(some))
    return total


def _of_composition(
    composition: Composition, names: tuple[str, ...], pool: AnyPool
) -> dict[str, dict[str, float]]:
    drawn_from = composition.provenance["pool"]["key"]
    if drawn_from != pool.key:
        raise WherefromError(
            f"the composition to match was drawn from pool {drawn_from}, not from {pool.key}: "
            "name one of this pool, or a pool"
        )
    found = passes.find(pool, composition.ids, names)
    counts = {}
    for name in names:
        codes, labels = found.codes[name], pool.labels(name)
        some = codes >= 0
        weights = composition.multiplicity[some].astype(np.float64)
        counts[name] = _labelled(
            labels, np.bincount(codes[some], weights, len(labels)).astype(np.float64)
        )
    return counts


def _of_land(name: str, pool: AnyPool) -> dict[str, float]:
    try:
        layer = earth.layer(name)
    except WherefromError as err:
        raise WherefromError(f"target=land knows layers of the Earth only: {err}") from err
    if not isinstance(layer, earth.Layer):
        raise WherefromError(f"layer {name!r} holds values, not labels: name a layer of labels")
    return _labelled(layer.labels, label_counts(layer, BANDS)[0, :-1].astype(np.float64))
