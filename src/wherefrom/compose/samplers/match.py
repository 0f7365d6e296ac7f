"""Draws whose shares of several layers' labels are those of land, of a pool, or of another draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.compose import passes
from wherefrom.compose.allocate import Allocation, Short, allocate
from wherefrom.compose.base import Names, Reads, StreamedSampler
from wherefrom.compose.composition import COLUMNS, Composition
from wherefrom.compose.strata import NAMED, Crossed, Ints, Plan, Strata
from wherefrom.earth.land import label_counts
from wherefrom.errors import WherefromError
from wherefrom.pool import open_beside
from wherefrom.pool.batches import AnyPool, Ask, Part, over
from wherefrom.shown import count_of

__all__ = ["NEAR", "Match", "Raked", "Target", "rake", "target_of"]

Floats = NDArray[np.float64]
#: Labels, and how much each has of something.
Counted = tuple[tuple[str, ...], NDArray[Any]]

#: The target that is no file, and the source that it is measured with.
LAND, BORDERS = "land", "natural-earth-countries"
#: Bands of the cells that measure land: 1.03 million of them, 22 km apart. Draws depend on it.
BANDS = 900
#: Margins count as met when no share is farther from its target.
NEAR = 1e-9
MOST_ROUNDS = 20_000
PATIENCE = 2000


class Match(StreamedSampler):
    """The labels of several layers have the shares of a target, each layer by itself.

    Strata are the combinations of the labels that occur in the pool. Raking (iterative
    proportional fitting; Deming and Stephan 1940, doi 10.1214/aoms/1177731829) finds the expected
    numbers that have the target's margins and are else nearest to the pool; within a combination
    all places are alike. Places that lack one of the labels are never drawn; labels of the target
    that no place has are left out, and the others' shares raised to 1. Counts scatter about their
    expectation by rounding alone.

    Attributes
    ----------
    target : str
        ``land``: shares of the area of land without Antarctica. Else the file or folder of a pool,
        or of a composition of the same pool.
    over : tuple of str
        Layers or columns; in a spec joined by ``+``.
    short : {"error", "cap", "redistribute", "repeat"}
        What to do with combinations that have fewer places than they should give.
        ``redistribute`` rakes again within what they have (truncated raking; Deville and Saerndal
        1992, doi 10.1080/01621459.1992.10475217), so that the margins still hold if they can.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> rows = {"lon": [121.4, 121.5, 121.6, 21.0], "lat": [31.2, 31.2, 31.2, 0.0]}
    >>> pool = Pool.from_table(pa.table(rows))
    >>> drawn = draw(pool, "match:target=land,over=continent,short=repeat", 10)
    >>> shares = drawn.provenance["margins"]["continent"]
    >>> {name: round(share[1], 2) for name, share in shares.items()}
    {'Africa': 0.49, 'Asia': 0.51}
    """

    name: ClassVar[str] = "match"
    target: Annotated[str, Reads("files", words=(LAND,), sources=(BORDERS,))]
    over: Names
    short: Short = "error"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Rake the combinations of labels to the target's margins."""
        crossed = Crossed.of(pool, self.over)
        target = self.toward(pool)
        return Strata(crossed, lambda keys, sizes: self._plan(crossed, target, keys, sizes, n))

    def toward(self, pool: AnyPool) -> Target:
        """Return the shares to be met."""
        return target_of(self.target, self.over, pool)

    def _plan(self, crossed: Crossed, target: Target, keys: Ints, sizes: Ints, n: int) -> Plan:
        codes = crossed.codes(keys)
        targets, notes = _present(crossed, target, codes, self.target)
        wanted = np.all([t[c] > 0 for t, c in zip(targets, codes, strict=True)], axis=0)
        if not wanted.any():
            raise WherefromError(
                f"no place of the pool has labels that target={self.target} has in all of "
                f"{', '.join(self.over)} at once: name fewer layers"
            )
        most = sizes[wanted] / n if self.short == "redistribute" else None
        raked = rake(sizes[wanted], [c[wanted] for c in codes], targets, most)
        shares = np.zeros(len(keys))
        shares[wanted] = raked.shares
        texts = crossed.texts(keys)
        weights = [Fraction(float(share)) for share in shares]
        allocation = allocate(weights, sizes, n, self.short, texts)
        notes |= {
            **target.about,
            "combinations": int(wanted.sum()),
            "raking_rounds": raked.rounds,
            "raking_converged": raked.converged,
            "margins": _margins(crossed, codes, targets, allocation, n),
        }
        notes["remarks"] += _remarks(crossed, raked, notes["margins"])
        return Plan(allocation, texts if len(texts) <= NAMED else (), notes)


def _present(
    crossed: Crossed, target: Target, codes: tuple[Ints, ...], called: str
) -> tuple[list[Floats], dict[str, Any]]:
    """Bring the target's shares into the order of the pool's labels, those that occur."""
    present, absent, remarks = [], {}, []
    for name, labels, code in zip(crossed.names, crossed.labels, codes, strict=True):
        wanted = target.shares[name]
        here = {labels[c] for c in np.unique(code).tolist()}
        shares = np.array([wanted.get(label, 0.0) * (label in here) for label in labels])
        lost = {label: share for label, share in wanted.items() if label not in here}
        if not shares.any():
            raise WherefromError(
                f"no place of the pool has a label of layer {name!r} that target={called} has: "
                f"{', '.join(list(wanted)[:5])}"
            )
        if lost:
            absent[name] = sorted(lost)
            remarks.append(
                f"{count_of(len(lost), 'label')} of {name} with {100 * sum(lost.values()):.2g} % "
                "of the target have no place in the pool, and their share went to the others"
            )
        present.append(shares / shares.sum())
    return present, {"labels_without_place_by_layer": absent, "remarks": remarks}


def _margins(
    crossed: Crossed, codes: tuple[Ints, ...], targets: list[Floats], allocation: Allocation, n: int
) -> dict[str, dict[str, list[float]]]:
    """List the share that each label should have, and the one it is expected to have."""
    expected = np.array([float(t) for t in allocation.targets])
    expected /= max(expected.sum(), 1e-300)
    margins = {}
    for name, labels, code, target in zip(
        crossed.names, crossed.labels, codes, targets, strict=True
    ):
        share = np.bincount(code, expected, minlength=len(labels))
        margins[name] = {
            label: [round(float(t), 6), round(float(s), 6)]
            for label, t, s in zip(labels, target, share, strict=True)
            if t or s
        }
    return margins


def _remarks(
    crossed: Crossed, raked: Raked, margins: dict[str, dict[str, list[float]]]
) -> list[str]:
    """Say where the draw cannot be what was asked for."""
    said = []
    if not raked.converged:
        worst = crossed.names[int(np.argmax(raked.misfit))]
        said.append(
            f"raking ended after {raked.rounds:,} rounds {100 * max(raked.misfit):.2g} percentage "
            f"points off in {worst}: the pool has no places to meet all margins at once"
        )
    for name, labels in margins.items():
        label, (wanted, share) = max(labels.items(), key=lambda item: abs(item[1][0] - item[1][1]))
        if raked.converged and abs(wanted - share) > max(NEAR, 1e-6):
            said.append(
                f"{name}: {label!r} is expected to have {100 * share:.3g} %, not {100 * wanted:.3g}"
                " %, since short strata give less"
            )
    return said


@dataclass(frozen=True, eq=False)
class Target:
    """Shares of the labels of some layers, each layer by itself: layer -> label -> share.

    Each layer's sum to 1, over what has a label; `about` says what it is, for the card.
    """

    shares: dict[str, dict[str, float]]
    about: dict[str, Any]


def target_of(target: str, names: tuple[str, ...], pool: AnyPool) -> Target:
    """Find the shares of a target: of `LAND`, or of a pool or composition in a file.

    Land is measured on a lattice of equal areas. A composition must be of `pool`, in which its
    places are looked up. If not, or if the file cannot be read or a layer has no label in the
    target, a `WherefromError` is raised.
    """
    if target == LAND:
        counts = [_of_land(name) for name in names]
        about: dict[str, Any] = {"target": "area of land without Antarctica"}
    elif _is_composition(Path(target)):
        composition = Composition.read(target)
        counts = _of_composition(composition, names, pool)
        about = {"target": f"composition {composition.key}", "target_places": composition.size}
    else:
        other = open_beside(target)
        counts = _of_pool(other, names)
        about = {"target": f"pool {other.key}", "target_places": len(other)}
    shares = {}
    for name, (labels, some) in zip(names, counts, strict=True):
        total = float(some.sum())
        if not total:
            raise WherefromError(f"target={target}: no place has a label of layer {name!r}")
        pairs = zip(labels, some.tolist(), strict=True)
        shares[name] = {label: count / total for label, count in pairs if count}
    return Target(shares, about)


def _is_composition(path: Path) -> bool:
    try:
        return path.is_file() and pq.read_schema(path).names == list(COLUMNS)
    except (pa.ArrowException, OSError):
        return False  # the pool's reader says what is wrong with the file


def _of_pool(pool: AnyPool, names: tuple[str, ...]) -> list[Counted]:
    labels = [pool.labels(name) for name in names]
    tally = partial(_tally, names=names, sizes=tuple(len(some) for some in labels))
    tables = over(pool.parts(), tally, "counting the target's labels")
    sums = [np.asarray(sum(table)) for table in zip(*tables, strict=True)]
    return list(zip(labels, sums, strict=True))


def _tally(part: Part, names: tuple[str, ...], sizes: tuple[int, ...]) -> list[NDArray[np.int64]]:
    total = [np.zeros(size, dtype=np.int64) for size in sizes]
    for batch in part.batches(Ask(codes=names)):
        for some, name in zip(total, names, strict=True):
            codes = batch.codes[name]
            some += np.bincount(codes[codes >= 0], minlength=len(some))
    return total


def _of_composition(
    composition: Composition, names: tuple[str, ...], pool: AnyPool
) -> list[Counted]:
    drawn_from = composition.provenance["pool"]["key"]
    if drawn_from != pool.key:
        raise WherefromError(
            f"the composition to match was drawn from pool {drawn_from}, not from {pool.key}: "
            "name one of this pool, or a pool"
        )
    found = passes.find(pool, composition.ids, names)
    counts = []
    for name in names:
        codes, labels = found.codes[name], pool.labels(name)
        some = codes >= 0
        weights = composition.multiplicity[some].astype(np.float64)
        counts.append((labels, np.bincount(codes[some], weights, len(labels))))
    return counts


def _of_land(name: str) -> Counted:
    try:
        key = earth.layer_key(name)
    except WherefromError as err:
        raise WherefromError(f"target=land knows layers of the Earth only: {err}") from err
    return _land_area(name, key)


@lru_cache(maxsize=32)
def _land_area(name: str, key: str) -> Counted:
    layer = earth.layer(name)
    if not isinstance(layer, earth.Layer):
        raise WherefromError(f"layer {name!r} holds values, not labels: name a layer of labels")
    return layer.labels, label_counts(layer, BANDS)[0, :-1]


@dataclass(frozen=True, eq=False)
class Raked:
    """Shares (H,) of cells after raking, and the rounds over all margins that it took.

    `misfit` is each margin's largest difference of a share from its target.
    """

    shares: Floats
    rounds: int
    misfit: tuple[float, ...]

    @property
    def converged(self) -> bool:
        """Whether all margins are met to `NEAR`."""
        return max(self.misfit, default=0.0) <= NEAR


def rake(
    sizes: Ints | Floats,
    codes: Sequence[Ints],
    targets: Sequence[Floats],
    most: Floats | None = None,
) -> Raked:
    """Scale cells by one factor per label of each margin until the margins meet their targets.

    Iterative proportional fitting (Deming and Stephan 1940, Ann. Math. Stat. 11); with `most`,
    truncated raking (Deville and Saerndal 1992, J. Am. Stat. Assoc. 87): a cell is ``min(most, size
    x product of its factors)``, which among all cells within the bounds and with these margins is
    nearest to the sizes in relative entropy.

    Cells start from `sizes` (H,), above 0; for each margin, `codes` (H,) are the labels of the
    cells and `targets` the shares of the labels, which sum to 1; no cell's share exceeds `most`
    (H,). If the margins contradict each other, or the empty cells or the bounds, the shares are
    those of the last round, with the misfit that is left.

    >>> rows, columns = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> halves = np.array([0.5, 0.5])
    >>> raked = rake(np.array([40, 30, 20, 10]), [rows, columns], [halves, halves])
    >>> raked.shares.round(4).tolist(), raked.converged
    ([0.2247, 0.2753, 0.2753, 0.2247], True)
    """
    bound = np.full(len(sizes), np.inf) if most is None else most
    free: Floats = np.asarray(sizes, dtype=np.float64) / float(np.sum(sizes))
    rounds = 0
    misfit = _misfit(np.minimum(free, bound), codes, targets)
    best, since = np.inf, 0
    # Margins that contradict each other are approached no further, near ones now and then slowly.
    while max(misfit, default=0.0) > NEAR and rounds < MOST_ROUNDS and since < PATIENCE:
        for code, target in zip(codes, targets, strict=True):
            free *= _factors(free, bound, code, target)[code]
            # A label whose cells are all full cannot reach its target: no endless growth.
            np.minimum(free, 1e99 * bound, out=free)
        rounds += 1
        misfit = _misfit(np.minimum(free, bound), codes, targets)
        if max(misfit) < 0.999 * best:
            best, since = max(misfit), 0
        else:
            since += 1
    shares = np.minimum(free, bound)
    return Raked(shares, rounds, misfit)


def _misfit(shares: Floats, codes: Sequence[Ints], targets: Sequence[Floats]) -> tuple[float, ...]:
    return tuple(
        float(np.abs(np.bincount(code, shares, minlength=len(target)) - target).max())
        for code, target in zip(codes, targets, strict=True)
    )


def _factors(free: Floats, bound: Floats, code: Ints, target: Floats) -> Floats:
    """Find the factor of each label with which its cells, cut at their bounds, sum to its target.

    Cells at their bounds give that much, the others are scaled to the rest; scaling them up may
    bring more to their bounds, never fewer.
    """
    labels = len(target)
    factor = np.ones(labels)
    full = np.zeros(len(free), dtype=bool)
    while True:
        given = np.bincount(code[full], bound[full], minlength=labels)
        rest = np.bincount(code[~full], free[~full], minlength=labels)
        open_ = rest > 0
        factor[open_] = np.maximum(target[open_] - given[open_], 0.0) / rest[open_]
        over = ~full & (free * factor[code] > bound)
        if not over.any():
            return factor
        full |= over
