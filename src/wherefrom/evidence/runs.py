"""What runs got at the test places, and how near their pre-training places lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError

__all__ = ["FLOOR_KM", "Runs"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Smaller distances count as this one: their logarithms would outweigh all others.
FLOOR_KM = 1.0


@dataclass(frozen=True, eq=False)
class Runs:
    """What R runs with pre-training places got at T test places with S few-shot seeds.

    Attributes
    ----------
    compositions : tuple of str
        Of each run.
    blocks : tuple of int
        Of each run.
    km : (R, T) float64 array
        Distance of each test place to the nearest pre-training place.
    score : (R, S, T) array
        Right (True) or not; of numbers the squared error.
    unit : (T,) int64 array
        What the test places are drawn with (`wherefrom.evidence.places.units_of`).

    Raises
    ------
    WherefromError
        If shapes do not fit, a run occurs twice, or a distance or score is not finite.
    """

    compositions: tuple[str, ...]
    blocks: tuple[int, ...]
    km: Floats
    score: NDArray[Any]
    unit: Ints

    def __post_init__(self) -> None:
        runs, places = len(self.compositions), len(self.unit)
        fits = self.km.shape == (runs, places) and len(self.blocks) == runs
        if not fits or self.score.shape != (runs, *self.score.shape[1:2], places):
            raise WherefromError(
                f"distance law: {runs} runs and {places} places, but distances of shape "
                f"{self.km.shape} and scores of shape {self.score.shape}"
            )
        called = [*zip(self.compositions, self.blocks, strict=True)]
        if len(set(called)) < runs:
            twice = next(one for one in called if called.count(one) > 1)
            raise WherefromError(f"distance law: {twice[0]} has block {twice[1]} twice")
        faulty = (("distance", self.km, "(R, T)"), ("score", self.score, "(R, S, T)"))
        for what, values, axes in faulty:
            if len(bad := np.argwhere(~np.isfinite(values))):
                name, block = called[bad[0][0]]
                raise WherefromError(
                    f"distance law: a {what} of {name}, block {block}, is not a finite number "
                    f"(at {tuple(bad[0].tolist())} of {axes}); a composition without places has "
                    "no distance"
                )

    @property
    def names(self) -> list[str]:
        """The compositions, in their order."""
        return list(dict.fromkeys(self.compositions))

    @property
    def logs(self) -> Floats:
        """Decimal logarithms of the distances, (R, T)."""
        return np.log10(np.maximum(self.km, FLOOR_KM))

    def runs_of(self, name: str) -> Ints:
        """Return the runs of a composition."""
        return np.flatnonzero(np.array(self.compositions) == name)

    def at(self, places: NDArray[Any]) -> Runs:
        """Return some of the test places."""
        return replace(
            self,
            km=self.km[:, places],
            score=self.score[..., places],
            unit=self.unit[places],
        )
