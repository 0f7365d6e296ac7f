"""What a study file says, as data, of the paper that it repeats."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from wherefrom.part import Part

__all__ = ["Claim", "Repeated", "StandIn", "StandsFor"]

Test = Literal["better", "equal", "sensitivity", "convergence", "rank", "correlation", "seeds"]

_WHICH = ("models", "task", "head", "n")
#: The fields that each test needs, and those that it may have.
_FIELDS: dict[Test, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "better": (("compositions", "than"), (*_WHICH, "every_region")),
    "equal": (("compositions",), (*_WHICH, "every_region")),
    "sensitivity": (("models",), ()),
    "convergence": ((), ("models", "task", "head")),
    "rank": (("values",), _WHICH),
    "correlation": (("audit",), (*_WHICH, "than_audits", "compositions")),
    "seeds": (("above",), _WHICH),
}


class Claim(Part):
    """What a paper states of its results, put so that the results here can be held against it.

    Names that the results lack (a scale may leave a composition out) are said by the plan, before
    a run, and in the report.

    Attributes
    ----------
    source, says : str
        Who states it, and the statement: one sentence without a full stop.
    test : {"better", "equal", "sensitivity", "convergence", "rank", "correlation", "seeds"}
        "better": each of `compositions` scores higher than each of `than`.
        "equal": no two of `compositions` differ by more than the study's margin of equivalence.
        "sensitivity": scores of the first of `models` depend on the composition more than those
        of the second. "convergence": compositions differ less with most labels of the sweep than
        with fewest. "rank": compositions with a higher number in `values` score higher.
        "correlation": compositions (those named, by default all with places) with a higher audit
        number `audit` score higher; or, with `than_audits`, its rank correlation with the scores is
        higher than that of each of these.
        "seeds": a spread over fine-tune seeds above `above` is the sign that `says` names.
    models : tuple of str
        Whose headlines it is about; by default all.
    task, head, n : optional
        Of the results that it is about, by their names there; by default those of the headline.
    every_region : bool
        Ask for it in each region, not in their average.
    """

    source: str = Field(min_length=1)
    says: str = Field(min_length=1)
    test: Test
    compositions: tuple[str, ...] = ()
    than: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    values: dict[str, float] = Field(default_factory=dict)
    audit: str | None = None
    than_audits: tuple[str, ...] = ()
    above: float | None = Field(gt=0, default=None)
    task: str | None = None
    head: str | None = None
    n: int | None = Field(gt=1, default=None)
    every_region: bool = False

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of compositions that it compares."""
        if self.test == "equal":
            return list(itertools.combinations(self.compositions, 2))
        return list(itertools.product(self.compositions, self.than))

    @model_validator(mode="after")
    def _test_has_what_it_needs(self) -> Self:
        needed, optional = _FIELDS[self.test]
        for name in needed:
            if not getattr(self, name):
                raise ValueError(f"a claim tested by {self.test!r} needs {name!r}")
        for name in sorted(self.model_fields_set - {"source", "says", "test", *needed, *optional}):
            raise ValueError(f"a claim tested by {self.test!r} has no {name!r}")
        if both := set(self.compositions) & set(self.than):
            raise ValueError(f"a claim sets {min(both)!r} against itself")
        if self.audit in self.than_audits:
            raise ValueError(f"a claim sets {self.audit!r} against itself")
        for name in ("compositions", "than", "models", "than_audits"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} of a claim: a value occurs twice in {list(values)}")
        if self.test == "equal" and len(self.compositions) < 2:
            raise ValueError("a claim tested by 'equal' needs two compositions")
        if self.test == "sensitivity" and len(self.models) != 2:
            raise ValueError("a claim tested by 'sensitivity' needs two models")
        if self.test == "rank" and len(self.values) < 3:
            raise ValueError("a claim tested by 'rank' needs values of three compositions")
        return self


class Repeated(Part):
    """The names and sizes of the study that is repeated.

    Its cells are in ``expected.csv`` beside the study file.
    """

    #: Which compositions here a row of its tables stands for.
    rows: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    #: Which task here a table is about, and which is the nearest where that one was not run; it is
    #: called another task then.
    tables: dict[str, str] = Field(default_factory=dict)
    nearest: dict[str, str] = Field(default_factory=dict)
    #: Which audit number here a table is about.
    audits: dict[str, str] = Field(default_factory=dict)
    #: By kind of model.
    composition_size: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    samples_seen: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)


class StandIn(Part):
    """What something that is used here stands for; `called` where its own title is not enough."""

    stands_for: str
    why: str
    called: str = ""


class StandsFor(Part):
    """What stands for something else on every machine, by what is used."""

    #: By the name of an image source, of a layer that compositions are drawn by, or of what the
    #: catalog calls the source of such a layer.
    data: dict[str, StandIn] = Field(default_factory=dict)
    #: The series of the drawn places.
    series: StandIn | None = None
    #: By the key of a task.
    tasks: dict[str, StandIn] = Field(default_factory=dict)
