"""Single numbers of an audit that a study asks for of each of its compositions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wherefrom.auditing.lattice import land_lattice
from wherefrom.auditing.space.coverage import tree_of
from wherefrom.auditing.tally import Floats
from wherefrom.earth import CATEGORICAL, VALUES
from wherefrom.earth.sphere import arc_km, unit_vectors
from wherefrom.part import Part
from wherefrom.pool import Pool
from wherefrom.pool.batches import Ask

__all__ = ["ANY", "AuditNumber"]

#: In the place of a task's name, for numbers that are the same for all tasks.
ANY = ""
#: Far, where a coverage says nothing else.
_KM = 100.0


#: Degrees, each (T,): longitude, latitude.
Places: TypeAlias = tuple[Floats, Floats]


class AuditNumber(Part):
    """A number about a composition, told before any training.

    Attributes
    ----------
    number : {"diversity", "mean", "coverage", "distance"}
        "diversity": Shannon entropy, nats, of the shares of a layer's labels among the places that
        have one. "mean": of a layer or column of numbers, over the places that have one.
        "coverage": share of the land without Antarctica that is within `km` of a place.
        "distance": median km from the test places of a task to the nearest place.
    layer : str, optional
        Layer of the Earth, or column of the pool: of labels for a diversity, of numbers for a mean.
    km : float
        Of a coverage.

    Examples
    --------
    >>> import pyarrow as pa
    >>> pool = Pool.from_table(pa.table({"lon": [0.0, 1, 2], "lat": [0.0] * 3, "use": list("aab")}))
    >>> number = AuditNumber(number="diversity", layer="use")
    >>> number.title, round(number.of(pool, np.ones(3))[ANY], 3)
    ('diversity of use (nats)', 0.637)
    """

    number: Literal["diversity", "mean", "coverage", "distance"]
    layer: str | None = Field(min_length=1, default=None)
    km: float | None = Field(gt=0, default=None)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        of_layer = self.number in ("diversity", "mean")
        if of_layer != (self.layer is not None):
            raise ValueError(
                f"a {self.number} " + ("needs 'layer'" if of_layer else "is of no 'layer'")
            )
        if self.km is not None and self.number != "coverage":
            raise ValueError(f"a {self.number} has no 'km': it is of a coverage")
        # Columns of the pool are known where it is read.
        wrong = VALUES if self.number == "diversity" else CATEGORICAL if of_layer else ()
        if self.layer in wrong:
            holds = "values, not labels" if self.number == "diversity" else "labels, not values"
            other = "mean" if self.number == "diversity" else "diversity"
            raise ValueError(f"layer {self.layer!r} holds {holds}: ask for its {other}")
        return self

    @property
    def title(self) -> str:
        """What it is, with its units."""
        if self.number == "diversity":
            return f"diversity of {self.layer} (nats)"
        if self.number == "mean":
            return f"mean {self.layer}"
        if self.number == "coverage":
            return f"land within {self.km or _KM:g} km (share)"
        return "median distance to test places (km)"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer or column that it reads."""
        return (self.layer,) if self.layer else ()

    @property
    def of_tasks(self) -> bool:
        """Whether it differs between tasks."""
        return self.number == "distance"

    def renamed(self, layers: Mapping[str, str]) -> Self:
        """Put stand-ins in the place of layers."""
        return self.model_copy(update={"layer": layers.get(self.layer or "", self.layer)})

    def of(
        self, places: Pool, weight: Floats, tests: Mapping[str, Places] | None = None
    ) -> dict[str, float]:
        """Compute it for places (N,), each counted `weight` (N,) times.

        Parameters
        ----------
        places : Pool
            With the columns of the pool that they come from.
        weight : (N,) float64 array
        tests : mapping of str to (lon, lat), optional
            Test places by task, degrees.

        Returns
        -------
        dict of str to float
            By task, or of `ANY`; NaN where no place has what it is made of.

        Raises
        ------
        WherefromError
            If there is no such layer or column, or it is not of the kind needed.
        """
        if self.number == "distance":
            tree = tree_of(unit_vectors(places.lon, places.lat))
            return {
                task: float(np.median(arc_km(tree.query(unit_vectors(*test))[0])))
                for task, test in (tests or {}).items()
            }
        if self.number == "coverage":
            tree = tree_of(unit_vectors(places.lon, places.lat))
            km = arc_km(tree.query(land_lattice().xyz)[0])
            return {ANY: float((km <= (self.km or _KM)).mean())}
        assert self.layer is not None
        if self.number == "mean":
            asked = places.batches(Ask(values=(self.layer,)))
            values = np.concatenate([batch.values[self.layer] for batch in asked])
            there = np.isfinite(values) & (weight > 0)
            if not there.any():
                return {ANY: float("nan")}
            return {ANY: float(np.average(values[there], weights=weight[there]))}
        codes, labels = places.codes(self.layer)
        there = codes >= 0
        return {ANY: _shannon(np.bincount(codes[there], weight[there], len(labels)))}


def _shannon(counts: NDArray[Any]) -> float:
    total = counts.sum()
    if total <= 0:
        return float("nan")
    shares = counts[counts > 0] / total
    return max(0.0, float(-(shares * np.log(shares)).sum()))
