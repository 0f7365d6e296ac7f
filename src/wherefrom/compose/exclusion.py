"""Drawing away from places, such as those that a model is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.compose.base import Sampler, SamplerModel
from wherefrom.compose.composition import Composition
from wherefrom.compose.registry import drawn, sampler
from wherefrom.earth.apart import Neighbours
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part, over
from wherefrom.pool.places import Codes
from wherefrom.pool.rows import PoolRows
from wherefrom.pool.scan import PoolScan
from wherefrom.shown import count_of

__all__ = ["FARTHEST", "Exclusion", "candidates", "drawn_apart"]

#: Half the way around the Earth, km.
FARTHEST = 20_000

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Exclusion:
    """Places that no candidate may lie near.

    Attributes
    ----------
    others : Neighbours
        Points or polygons.
    km : float
        Candidates within so many km of one are left out, border included; 0 for those that touch.
    file : str
        Where they come from; empty if that is not to be told.
    at_least : bool
        Whether a candidate exactly so far may stay.
    """

    others: Neighbours
    km: float
    file: str = ""
    at_least: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.km < float("inf") or (self.at_least and not self.km):
            raise WherefromError(
                f"places are kept {self.km:g} km away: give a distance above 0, such as 50"
            )

    @classmethod
    def around(cls, lon: ArrayLike, lat: ArrayLike, km: float, file: str = "") -> Exclusion:
        """Exclude what is nearer than some km to points (M,), degrees."""
        return cls(Neighbours(lon, lat), km, file, at_least=True)

    @classmethod
    def of(cls, pool: Pool, km: float | None, file: str) -> Exclusion:
        """Exclude what is within some km of the places of a pool, by default in its footprints.

        Raises
        ------
        WherefromError
            If they are points and no distance is given, or it is none.
        """
        shapes = pool.footprints() if pool.extended else None
        if km is None and shapes is None:
            raise WherefromError(
                f"{file} holds points, which nothing lies in: say with --buffer-km how far to keep "
                "away from them, such as --buffer-km 10"
            )
        return cls(Neighbours(pool.lon, pool.lat, shapes), km or 0.0, file)

    @property
    def said(self) -> str:
        """What is left out, in words."""
        kind = "place" if self.others.shapes is None else "polygon"
        many = count_of(len(self.others), kind) + (f" of {self.file}" if self.file else "")
        if self.at_least:
            return f"nearer than {self.km:g} km to one of {many}"
        return f"within {self.km:g} km of one of {many}" if self.km else f"in one of {many}"

    def near(self, batch: Batch) -> Bools:
        """Tell which places of a batch, or their footprints, are to be left out, shape (B,)."""
        km = np.nextafter(self.km, 0.0) if self.at_least else self.km
        return self.others.within(batch.lon, batch.lat, float(km), batch.footprints)


def candidates(pool: AnyPool, exclusions: Sequence[Exclusion]) -> tuple[AnyPool, Ints]:
    """Return the places of a pool that no exclusion leaves out.

    Of footprints no part may be near. A pool in files stays there: one pass tells what is kept.

    Parameters
    ----------
    pool : Pool or PoolScan
    exclusions : sequence of Exclusion, length E

    Returns
    -------
    left : Pool or PoolRows
        With the labels of the whole pool, also those that no place is left of. Its key is its own.
    counts : ndarray of int64, shape (E,)
        Places that each leaves out; several may leave out the same.

    Raises
    ------
    WherefromError
        If no place is left.

    Examples
    --------
    >>> import pyarrow as pa
    >>> pool = Pool.from_table(pa.table({"lon": [0.0, 1.0, 2.0], "lat": [0.0] * 3}))
    >>> left, counts = candidates(pool, [Exclusion.around([2.0], [0.0], 150.0)])
    >>> left.ids.tolist(), counts.tolist()
    ([0], [2])
    """
    parts = pool.parts()
    if len(parts) > 1:
        for each in exclusions:
            each.others.prepared()
    look = partial(_left, exclusions=tuple(exclusions), ask=Ask(footprints=pool.extended))
    kept, gone = zip(*over(parts, look, "excluding places"), strict=True)
    counts = np.array(gone, dtype=np.int64).sum(axis=0)
    if not any(each.any() for each in kept):
        said = "; or ".join(each.said for each in exclusions)
        raise WherefromError(
            f"all {count_of(len(pool), 'place')} of the pool are {said}: use a smaller distance or "
            "a larger pool"
        )
    if isinstance(pool, PoolScan):
        return PoolRows.of(pool, kept), counts
    assert isinstance(pool, Pool)
    masks = zip(kept, parts, strict=True)
    keep = [np.unpackbits(mask, count=len(part)).view(np.bool_) for mask, part in masks]
    return _rows_of(pool, np.concatenate(keep)), counts


def drawn_apart(
    pool: AnyPool,
    spec: str | dict[str, Any] | Sampler,
    n: int | None,
    seed: int,
    exclusions: Sequence[Exclusion],
) -> Composition:
    """Draw a composition from the places of a pool that no exclusion leaves out.

    The sampler sees these candidates alone, so that what is excluded is replaced as it replaces
    what a stratum lacks (``short=``), and inclusion probabilities are those among the candidates.

    Parameters
    ----------
    pool, spec, n, seed
        As of `wherefrom.compose.registry.drawn`.
    exclusions
        As of `candidates`.

    Returns
    -------
    Composition
        Its provenance is that of a draw from the whole pool, with ``excluded``: how many candidates
        were left out, and by what.

    Raises
    ------
    WherefromError
        As `drawn`; the message then says what was excluded.
    """
    chosen = sampler(spec)
    if isinstance(chosen, SamplerModel) and chosen.empty:
        return drawn(pool, chosen, n, seed)
    left, counts = candidates(pool, exclusions)
    gone = len(pool) - len(left)
    try:
        made = drawn(left, chosen, n, seed)
    except WherefromError as err:
        said = "; or ".join(each.said for each in exclusions)
        raise WherefromError(
            f"{err} (of {count_of(len(pool), 'candidate')} {gone:,} were excluded, {said})"
        ) from err
    about = {"key": pool.key, "places": len(pool), "origin": pool.origin}
    excluded = _told(exclusions, counts, gone)
    return replace(made, provenance=made.provenance | {"pool": about, "excluded": excluded})


def _left(
    part: Part, exclusions: tuple[Exclusion, ...], ask: Ask
) -> tuple[NDArray[np.uint8], list[int]]:
    """Mark the places of a part that are kept, 8 in a byte, and count what each leaves out."""
    kept, counts = [], np.zeros(len(exclusions), dtype=np.int64)
    for batch in part.batches(ask):
        near = np.stack([each.near(batch) for each in exclusions])
        counts += near.sum(axis=1)
        kept.append(~near.any(axis=0))
    return np.packbits(np.concatenate(kept)), counts.tolist()


def _told(exclusions: Sequence[Exclusion], counts: Ints, gone: int) -> dict[str, Any]:
    """Write down, as plain values, what was left out."""
    first = exclusions[0]
    if len(exclusions) == 1 and not first.file:
        return {"km": first.km, "candidates": gone, "away_from": len(first.others)}
    by = [
        {"file": each.file, "km": each.km, "places": len(each.others), "candidates": int(count),
         "said": each.said}
        for each, count in zip(exclusions, counts, strict=True)
    ]  # fmt: skip
    return {"candidates": gone, "by": by}


def _rows_of(pool: Pool, keep: Bools) -> Pool:
    codes: dict[str, Codes] = {}
    for name in dict.fromkeys((*pool._codes, *pool.columns)):
        with suppress(WherefromError):  # a column of numbers has no labels
            known, labels = pool.codes(name)
            codes[name] = known[keep], labels
    table = pool.table.filter(keep)
    return Pool(pool.ids[keep], pool.lon[keep], pool.lat[keep], table, pool.origin, (), codes)
