"""Several samplers at once, each with its share of the places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, model_validator

from wherefrom.compose import passes
from wherefrom.compose.allocate import Allocation, Exact
from wherefrom.compose.base import DesignSampler, Inputs, StreamedSampler, in_memory
from wherefrom.compose.design import Design
from wherefrom.compose.registry import called, sampler
from wherefrom.compose.spec import before_flag, spec_text, split_outside_quotes
from wherefrom.compose.strata import NAMED, Groups, Ints, Plan, Strata
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = ["Mixture"]

Floats = NDArray[np.float64]

# A part begins with its weight; within it, ";" stands for the comma between two flags.
_PART = r"\+(?=\s*[0-9.]+(?:[eE][+-]?[0-9]+)?\s*\*)"
_FLAG, _COMMA = before_flag(";"), before_flag(",")


def _read(text: str) -> list[tuple[float, DesignSampler]]:
    """Read ``0.7*uniform+0.3*clustered:around=cities;radius_km=20``."""
    parts = []
    for part in split_outside_quotes(text, _PART):
        weight, star, spec = part.partition("*")
        if not star:
            raise ValueError(f"{part.strip()!r} is not WEIGHT*SAMPLER; write 0.7*uniform+0.3*...")
        parts.append(_part(weight, ",".join(split_outside_quotes(spec.strip(), _FLAG))))
    return parts


def _part(weight: object, spec: Any) -> tuple[float, DesignSampler]:
    try:
        number = float(str(weight))
    except ValueError:
        raise ValueError(f"weight {str(weight).strip()!r} is not a number") from None
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"weight {number:g} must be above 0")
    try:
        made = sampler(spec)
    except WherefromError as err:
        raise ValueError(str(err)) from err
    if isinstance(made, Mixture):
        raise ValueError("a mixture is no part of a mixture: write out its parts")
    if not isinstance(made, DesignSampler):
        raise ValueError(f"sampler {made.name!r} has no probabilities, so it is no part")
    return number, made


def _text(parts: list[tuple[float, DesignSampler]]) -> str:
    written = []
    for weight, made in parts:
        short = f"{weight:g}"
        number = short if float(short) == weight else repr(weight)
        try:
            spec = {**made.spec(), "name": called(made)}
        except WherefromError as err:
            raise ValueError(str(err)) from err
        flags = ";".join(split_outside_quotes(spec_text(spec), _COMMA))
        written.append(f"{number}*{flags}")
    return "+".join(written)


def _canonical(value: object) -> object:
    if isinstance(value, str):
        parts = _read(value)
    elif not isinstance(value, list | tuple) or not value:
        raise ValueError("give WEIGHT*SAMPLER joined by +, or pairs (weight, sampler)")
    else:
        parts = []
        for pair in value:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError(f"{pair!r} is not a pair (weight, sampler)")
            parts.append(_part(*pair))
    text = _text(parts)
    try:
        same = _read(text) == parts
    except ValueError:
        same = False
    if not same:
        raise ValueError(f"a label looks like a part or a flag in {text!r}: rename it")
    return text


class _Rows(Groups):
    """Strata of the rows of a pool in memory, of samplers that choose among all of them."""

    def __init__(self, design: Design) -> None:
        self.codes = design.codes

    def keys(self, batch: Batch) -> Ints:
        return self.codes[batch.start : batch.start + len(batch)].astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Share:
    """One part of a mixture: its strata that can be drawn, and their places' rates."""

    groups: Groups
    keys: Ints
    rates: Floats
    labels: tuple[str, ...]
    plan: Plan

    @classmethod
    def of(
        cls,
        part: DesignSampler,
        pool: AnyPool,
        wanted: Fraction,
        rng: np.random.Generator,
    ) -> _Share:
        """Plan a part for its number of places, rounded up, and scale its rates down again."""
        n = math.ceil(wanted)
        if isinstance(part, StreamedSampler):
            strata = part.strata(pool, n, rng)
            groups = strata.groups
            keys, sizes = passes.count(pool, groups)
            plan = strata.plan(keys, sizes)
        else:
            design = part.design(in_memory(pool, part.name), n, rng)
            groups, sizes, plan = _Rows(design), design.sizes, design.plan
            keys = np.arange(len(sizes))
        rates = Exact.of(plan.allocation.targets).over(sizes) * float(wanted / n)
        some = np.flatnonzero(rates)
        if not len(some):
            raise WherefromError("it draws no place of this pool")
        labels = tuple(plan.labels[h] for h in some) if plan.labels else ()
        return cls(groups, keys[some], rates[some], labels, plan)

    def position(self, batch: Batch) -> Ints:
        """Return 1 + the position of each place's stratum, 0 for none."""
        ask = self.groups.ask
        # No more than it asks for: samplers of other packages may look at whatever is there.
        codes = {name: batch.codes[name] for name in ask.codes}
        values = {name: batch.values[name] for name in ask.values}
        keys = self.groups.keys(replace(batch, codes=codes, values=values))
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at + 1, 0)


class _Together(Groups):
    """The combination of the parts' strata that a place is in."""

    def __init__(self, shares: list[_Share]) -> None:
        self.shares = shares
        self.ask = Ask()
        for share in shares:
            self.ask |= share.groups.ask
        if math.prod(len(share.keys) + 1 for share in shares) >= 2**62:
            raise WherefromError("the parts have too many strata together: mix fewer")

    def keys(self, batch: Batch) -> Ints:
        key = np.zeros(len(batch), dtype=np.int64)
        for share in self.shares:
            key = key * (len(share.keys) + 1) + share.position(batch)
        return np.where(key > 0, key, -1)

    def positions(self, keys: Ints) -> tuple[Ints, ...]:
        """Return for each part what `_Share.position` gave, shape (H,)."""
        return np.unravel_index(keys, [len(share.keys) + 1 for share in self.shares])


class Mixture(StreamedSampler):
    """A weighted mixture of other samplers: a place's probability is the sum of theirs.

    Mixtures of sources are how pre-training data are composed elsewhere (Xie et al. 2023, arXiv
    2305.10429, for text). Each part is planned for its share of n; what it expects of each place
    adds up, and one draw without replacement keeps to the sums: n places in all, and a place more
    than once only where its sum is above 1. Combinations of the parts' strata are the strata.
    Parts in text: ``0.7*uniform+0.3*clustered:around=cities;radius_km=20``, with ``;`` between the
    flags of a part.

    Attributes
    ----------
    parts : str
        Weights and samplers, those that choose for certain (spread, kmeans) included; in Python
        also pairs (weight, sampler). Weights are in proportion.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "use": ["a", "b", "b", "b"]})
    >>> mixed = "mixture:parts=1*uniform+1*only:layer=use;label=a"
    >>> draw(Pool.from_table(table), mixed, 2).inclusion_probability.tolist()
    [1.25, 0.25]
    """

    name: ClassVar[str] = "mixture"
    parts: Annotated[str, BeforeValidator(_canonical)]

    @model_validator(mode="before")
    @classmethod
    def _flags_of_parts(cls, given: Any) -> Any:
        if isinstance(given, dict) and "parts" in given and len(given) > 1:
            flag = next(flag for flag in given if flag != "parts")
            raise ValueError(f"{flag}= is no flag of a mixture: join the flags of a part by ;")
        return given

    def inputs(self) -> Inputs:
        """Join what the parts read."""
        return reduce(or_, (part.inputs() for _, part in self._read()))

    def identity(self) -> dict[str, Any]:
        """Add what the parts are."""
        parts = [part.identity() for _, part in self._read()]
        return super().identity() | {"parts": parts}

    def _read(self) -> list[tuple[float, DesignSampler]]:
        try:
            return _read(self.parts)
        except ValueError as err:  # in another process, where a part's class cannot be found
            raise WherefromError(f"sampler 'mixture': {err}") from err

    def renamed(self, layers: Mapping[str, str]) -> Self:
        """Rename layers within the parts."""
        parts = [(weight, part.renamed(layers)) for weight, part in self._read()]
        return self.from_flags({"parts": parts})

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Plan each part, cross their strata, and add up their rates."""
        parts = self._read()
        # By way of the decimal text: 0.1 means one tenth.
        weights = [Fraction(repr(weight)) for weight, _ in parts]
        shares = []
        for weight, (_, part) in zip(weights, parts, strict=True):
            wanted = n * weight / sum(weights)
            try:
                shares.append(_Share.of(part, pool, wanted, rng))
            except WherefromError as err:
                raise WherefromError(f"part {part.name} of the mixture: {err}") from err
        together = _Together(shares)

        def plan(keys: Ints, sizes: Ints) -> Plan:
            at = together.positions(keys)
            each = [np.append(0.0, share.rates)[p] for share, p in zip(shares, at, strict=True)]
            rates = np.sum(each, axis=0)
            targets = _targets(rates * sizes, n)
            notes = {
                "parts": [
                    {
                        "sampler": part.spec(),
                        "weight": weight,
                        "expected": round(float((sizes * rate).sum()), 6),
                        **share.plan.notes,
                    }
                    for (weight, part), share, rate in zip(parts, shares, each, strict=True)
                ],
                "combinations": len(keys),
                "expected_repeats": round(float((np.maximum(rates - 1, 0) * sizes).sum()), 6),
            }
            given = "; ".join(filter(None, dict.fromkeys(s.plan.conditional_on for s in shares)))
            return Plan(Allocation(targets, targets, ()), _labels(shares, at), notes, given)

        return Strata(together, plan)


def _labels(shares: list[_Share], at: tuple[Ints, ...]) -> tuple[str, ...]:
    """Name the combinations, such as ``pool + Europe``, unless they are many or have no names."""
    if len(at[0]) > NAMED or not all(share.labels for share in shares):
        return ()
    return tuple(
        " + ".join(share.labels[p - 1] for share, p in zip(shares, row, strict=True) if p)
        for row in zip(*(position.tolist() for position in at), strict=True)
    )


def _targets(expected: Floats, n: int) -> Exact:
    """Make expected numbers exact, in parts of a power of 2, with n as their sum if that it is."""
    unit = 2 ** min(40, 61 - n.bit_length())
    parts = np.rint(expected * unit).astype(np.int64)
    off = n * unit - int(parts.sum())
    # Rounding alone; what a part with short=cap leaves out is not made up for.
    if len(parts) and abs(off) <= 1e-9 * n * unit + len(parts):
        parts[np.argmax(parts)] += off
    return Exact(parts, unit)
