"""Draws whose shares of several layers' labels are those of a target."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Allocation, Short, allocate
from wherefrom.compose.base import Reads
from wherefrom.compose.crossed import NAMED, Crossed, Names
from wherefrom.compose.raking import NEAR, Raked, rake
from wherefrom.compose.strata import Plan, Strata
from wherefrom.compose.streamed import StreamedSampler
from wherefrom.compose.targets import LAND, Target, target_of
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool

__all__ = ["Match"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class _Targeted(Crossed):
    """Combinations of labels, and the shares that the labels shall have."""

    target: Target | None = None


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
    >>> from wherefrom.compose import draw
    >>> from wherefrom.pool import Pool
    >>> rows = {"lon": [121.4, 121.5, 121.6, 21.0], "lat": [31.2, 31.2, 31.2, 0.0]}
    >>> pool = Pool.from_table(pa.table(rows))
    >>> drawn = draw(pool, "match:target=land,over=continent,short=repeat", 10)
    >>> shares = drawn.provenance["margins"]["continent"]
    >>> {name: round(share[1], 2) for name, share in shares.items()}
    {'Africa': 0.49, 'Asia': 0.51}
    """

    name: ClassVar[str] = "match"
    target: Annotated[str, Reads("files", words=(LAND,), sources=("natural-earth-countries",))]
    over: Names
    short: Short = "error"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Crossed:
        """Make a stratum of each combination of labels."""
        crossed = Crossed.of(pool, self.over)
        target = target_of(self.target, self.over, pool)
        return _Targeted(crossed.names, crossed.labels, target)

    def plan(self, pool: AnyPool, strata: Strata, keys: Ints, sizes: Ints, n: int) -> Plan:
        """Rake the combinations to the target's margins."""
        assert isinstance(strata, _Targeted)
        assert strata.target is not None
        codes = strata.codes(keys)
        targets, notes = _present(strata, codes, self.target)
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
        texts = strata.texts(keys)
        weights = [Fraction(float(share)) for share in shares]
        allocation = allocate(weights, sizes, n, self.short, texts)
        notes |= {
            **strata.target.about,
            "combinations": int(wanted.sum()),
            "raking_rounds": raked.rounds,
            "raking_converged": raked.converged,
            "margins": _margins(strata, codes, targets, allocation, n),
        }
        notes["remarks"] += _remarks(strata, raked, notes["margins"])
        return Plan(allocation, texts if len(texts) <= NAMED else (), notes)


def _present(
    strata: _Targeted, codes: tuple[Ints, ...], target: str
) -> tuple[list[Floats], dict[str, Any]]:
    """Bring the target's shares into the order of the pool's labels, those that occur."""
    assert strata.target is not None
    found, absent, remarks = [], {}, []
    for name, labels, code in zip(strata.names, strata.labels, codes, strict=True):
        wanted = strata.target.shares[name]
        present = {labels[c] for c in np.unique(code).tolist()}
        shares = np.array([wanted.get(label, 0.0) * (label in present) for label in labels])
        lost = {label: share for label, share in wanted.items() if label not in present}
        if not shares.any():
            raise WherefromError(
                f"no place of the pool has a label of layer {name!r} that target={target} has: "
                f"{', '.join(list(wanted)[:5])}"
            )
        if lost:
            absent[name] = sorted(lost)
            remarks.append(
                f"{len(lost)} labels of {name} with {100 * sum(lost.values()):.2g} % of the target "
                "have no place in the pool, and their share went to the others"
            )
        found.append(shares / shares.sum())
    return found, {"labels_without_place_by_layer": absent, "remarks": remarks}


def _margins(
    strata: Crossed, codes: tuple[Ints, ...], targets: list[Floats], allocation: Allocation, n: int
) -> dict[str, dict[str, list[float]]]:
    """List the share that each label should have, and the one it is expected to have."""
    expected = np.array([float(t) for t in allocation.targets])
    expected /= max(expected.sum(), 1e-300)
    found = {}
    for name, labels, code, target in zip(strata.names, strata.labels, codes, targets, strict=True):
        share = np.bincount(code, expected, minlength=len(labels))
        found[name] = {
            label: [round(float(t), 6), round(float(s), 6)]
            for label, t, s in zip(labels, target, share, strict=True)
            if t or s
        }
    return found


def _remarks(
    strata: Crossed, raked: Raked, margins: dict[str, dict[str, list[float]]]
) -> list[str]:
    """Say where the draw cannot be what was asked for."""
    said = []
    if not raked.converged:
        worst = strata.names[int(np.argmax(raked.misfit))]
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
