"""A stage of a study: one unit of work, named by the hash of all that its result depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from wherefrom.keys import key_of
from wherefrom.payload.base import Payload
from wherefrom.study.sizes import Size
from wherefrom.study.spec import Study

__all__ = ["TRAINED", "VERSIONS", "Plan", "Stage"]

#: Raised by hand when a stage's code changes what it computes: old results are then not reused.
#: GFMs, tasks and heads have versions of their own.
VERSIONS = {
    "pool": 1,
    "task": 2,
    "payload": 1,
    "draw": 2,
    "audit": 1,
    "pretrain": 3,
    "fewshot": 3,
    "tune": 1,
}

#: Kinds that train or score: on a GPU, where there is one.
TRAINED = frozenset({"pretrain", "fewshot", "tune"})


@dataclass(frozen=True)
class Stage:
    """One unit of work, named by the hash of its spec and of the stages that it is made from."""

    #: The folder of the store: one of `VERSIONS`.
    kind: str
    #: Its place on the study's axes, for people.
    label: str
    #: Every number that its result depends on.
    spec: dict[str, Any]
    #: The stages whose results it reads, by role.
    inputs: dict[str, Stage]
    #: Expected seconds on one core.
    cost: float
    #: Stages of one bundle run in the same process, one after the other.
    bundle: str
    #: What it is about: the sampler of a draw, the task, the GFM. All that matters of it is in the
    #: spec.
    of: Any = None
    #: What it reads of places itself, not from another stage.
    payloads: tuple[Payload, ...] = ()
    #: Files of the user's that it reads, with the hash of what they held when it was planned.
    files: dict[str, str] = field(default_factory=dict)
    #: And how many bytes they were, of a payload.
    bytes: dict[str, int] = field(default_factory=dict)
    #: Of a draw the composition and the seed; of a payload its name in the study; of a few-shot
    #: stage columns of the results table.
    axes: dict[str, Any] = field(default_factory=dict)
    #: Of what is computed at another size than the study's own.
    size: Size | None = None

    @cached_property
    def document(self) -> dict[str, Any]:
        """The stage as it is hashed."""
        return {
            "kind": self.kind,
            "version": VERSIONS[self.kind],
            "spec": self.spec,
            "inputs": {role: stage.key for role, stage in self.inputs.items()},
        }

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits."""
        return key_of(self.document)


@dataclass(frozen=True)
class Plan:
    """The stages of a study in an order in which they can run."""

    study: Study
    stages: tuple[Stage, ...]

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits: the same for the same stages."""
        return key_of([stage.key for stage in self.stages])

    def of_kind(self, kind: str) -> list[Stage]:
        """Return the stages of one kind, at the study's own size alone."""
        return [stage for stage in self.stages if stage.kind == kind and stage.size is None]

    def sized(self, kind: str) -> list[Stage]:
        """Return the stages of one kind at other sizes."""
        return [stage for stage in self.stages if stage.kind == kind and stage.size is not None]
