"""What a sampler is, and how one with a design draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from wherefrom import __version__
from wherefrom.compose.composition import Composition
from wherefrom.compose.design import Design, Sample
from wherefrom.compose.exact import Exact
from wherefrom.compose.memory import in_memory
from wherefrom.compose.strata import Plan
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool

__all__ = ["MOST", "DesignSampler", "Sampler", "SamplerModel"]

#: Places, repeated ones counted, that a composition can hold: multiplicities are 32-bit.
MOST = 2**31 - 1


@runtime_checkable
class Sampler(Protocol):
    """Draws a composition from a pool.

    Attributes
    ----------
    name : str
        The word before the colon of its spec.
    """

    name: ClassVar[str]

    def spec(self) -> dict[str, Any]:
        """Return name and parameters, defaults included, as plain values."""
        ...

    def draw(self, pool: Pool, n: int | None, rng: np.random.Generator) -> Composition:
        """Draw n places; `n` may be None where the sampler itself says how many."""
        ...


class SamplerModel(BaseModel):
    """A sampler's parameters: frozen, typed, unknown ones refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]

    def spec(self) -> dict[str, Any]:
        """Return name and parameters, defaults included, as plain values.

        Returns
        -------
        dict
        """
        given = self.model_dump(mode="json")
        return {"name": self.name, **{k: v for k, v in given.items() if v is not None}}

    def composed(
        self, pool: AnyPool, n: int | None, sample: Sample, more: dict[str, Any]
    ) -> Composition:
        """Make the composition of drawn rows, sorted by id, with its provenance.

        Parameters
        ----------
        pool : AnyPool
        n : int or None
            Places asked for.
        sample : Sample
            Rows drawn; with their ids, unless the pool lies in memory.
        more : dict
            Further provenance.

        Returns
        -------
        Composition
        """
        ids = sample.ids
        if ids is None:
            assert isinstance(pool, Pool)
            ids = pool.ids[sample.rows]
        order = np.argsort(ids)
        provenance = {
            "sampler": self.spec(),
            "n": n,
            "seed": None,
            "pool": {"key": pool.key, "places": len(pool), "origin": pool.origin},
            "size": int(sample.multiplicity.sum()),
            "distinct": len(ids),
            "made_by": f"wherefrom {__version__}",
            **more,
        }
        kind = type(self)
        if not kind.__module__.startswith("wherefrom."):
            # The name of a sampler from elsewhere need not be known where the draw is repeated.
            provenance["class"] = f"{kind.__module__}:{kind.__qualname__}"
        return Composition(
            ids[order],
            sample.multiplicity[order],
            sample.inclusion_probability[order],
            provenance,
        )


class DesignSampler(SamplerModel, ABC):
    """A sampler that says which places belong to which stratum; the rest is done here.

    A new sampler is a subclass with a `name`, parameters, and `design`.
    """

    @abstractmethod
    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Assign places to strata and n to the strata.

        Parameters
        ----------
        pool : Pool
        n : int
            Places to draw, at least 1.
        rng : numpy.random.Generator
            For designs that draw something, such as clusters, before the places.

        Returns
        -------
        Design

        Raises
        ------
        WherefromError
            If the pool cannot give such a draw.
        """

    def layers(self) -> tuple[str, ...]:
        """Return the names of the layers that the design looks at."""
        return ()

    def inclusion(
        self, pool: Pool, n: int, rng: np.random.Generator | None = None
    ) -> NDArray[np.float64]:
        """Return the inclusion probability of every place of the pool.

        Parameters
        ----------
        pool : Pool
        n : int
        rng : numpy.random.Generator, optional
            Needed where clusters are drawn first; the probabilities then hold given those
            clusters, and those of a draw are got with a generator in the same state.

        Returns
        -------
        ndarray of float64, shape (len(pool),)
            Expected multiplicity; sums to n, or to what the policy for short strata leaves of it.

        Examples
        --------
        >>> import pyarrow as pa
        >>> from wherefrom.compose import sampler
        >>> pool = Pool.from_table(
        ...     pa.table({"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "use": ["a", "a", "a", "b"]})
        ... )
        >>> sampler("stratified:layer=use").inclusion(pool, 2).round(3).tolist()
        [0.333, 0.333, 0.333, 1.0]
        """
        return self.design(pool, n, rng or np.random.default_rng(0)).inclusion()

    def draw(self, pool: AnyPool, n: int | None, rng: np.random.Generator) -> Composition:
        """Draw n places.

        Parameters
        ----------
        pool : Pool or PoolScan
            One in files is read into memory.
        n : int
        rng : numpy.random.Generator

        Returns
        -------
        Composition

        Raises
        ------
        WherefromError
            If n is not between 1 and the pool's size (unless the policy for short strata allows
            more), the design finds too few places, or a pool in files is too large for memory.
        """
        n = self.checked(n, len(pool))
        pool = in_memory(pool, self.name)
        design = self.design(pool, n, rng)
        sample = design.sample(rng)
        plan = Plan(design.allocation, design.labels, design.notes, design.conditional_on)
        return self.composed(pool, n, sample, self.account(pool, plan, design.sizes, sample.counts))

    def checked(self, n: int | None, places: int) -> int:
        """Refuse a number of places that cannot be drawn from a pool of `places`.

        Raises
        ------
        WherefromError
            As in `draw`.
        """
        return _checked(n, places, getattr(self, "short", "error"))

    def account(
        self,
        pool: AnyPool,
        plan: Plan,
        sizes: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> dict[str, Any]:
        """Write down what was planned and what was realised.

        Parameters
        ----------
        pool : AnyPool
        plan : Plan
        sizes, counts : ndarray of int64, shape (H,)
            Places of each stratum, and places taken from it.

        Returns
        -------
        dict
            Plain values.
        """
        allocation = plan.allocation
        targets = Exact.of(allocation.targets)
        ones = np.ones_like(sizes)
        asked = Exact.of(allocation.asked).over(ones).tolist()
        expected = targets.over(ones).tolist()
        strata = [
            {
                "label": label,
                "pool": int(sizes[h]),
                "asked": round(asked[h], 6),
                "expected": round(expected[h], 6),
                "drawn": int(counts[h]),
            }
            for h, label in enumerate(plan.labels)
            if asked[h]
        ]
        return {
            "design": " ".join(str(type(self).__doc__).split("\n\n")[0].split()),
            "layers": {name: pool.labels_key(name) for name in self.layers()},
            "strata": strata,
            "short_strata": [plan.labels[h] for h in allocation.short] if plan.labels else [],
            "short_strata_count": len(allocation.short),
            "never_drawn": len(pool) - int(sizes[targets.numerators > 0].sum()),
            "expected_size": round(float(targets.total()), 6),
            "inclusion_given": plan.conditional_on or "nothing: unconditional",
            **plan.notes,
        }


def _checked(n: int | None, places: int, short: str) -> int:
    if n is None:
        raise WherefromError("this sampler needs to know how many places to draw: give -n")
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise WherefromError(f"n must be a whole number, not {n!r}")
    if n < 1:
        raise WherefromError(f"n must be at least 1, not {n}; for zero pre-training use 'none'")
    if n > places and short not in ("cap", "repeat"):
        raise WherefromError(
            f"n = {n:,} is larger than the pool, which has {places:,} places: use a larger pool or "
            "a smaller n"
        )
    if n > MOST:
        raise WherefromError(f"n = {n:,}, but a composition holds at most {MOST:,} places")
    return int(n)
