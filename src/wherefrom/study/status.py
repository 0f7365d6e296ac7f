"""What is done of a study, what runs where and what failed: read from the notes of its store."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from wherefrom.errors import WherefromError
from wherefrom.study.board import RUNNING, STALE, is_dead, read_note
from wherefrom.study.stage import Plan
from wherefrom.study.store import Store
from wherefrom.study.worker import FAILED

__all__ = ["Call", "Part", "Running", "Status", "statuses", "write_plan"]

#: The notes of a store that list the stages of plans.
PLANS = "plans"


class Running(NamedTuple):
    """A stage that is computed now: which share is done, where, and for how many seconds."""

    label: str
    share: float
    where: str
    seconds: float


class Call(NamedTuple):
    """A command that works on a study, or did: where, and how long ago it was heard of."""

    where: str
    cluster: str
    silent: float
    left: float | None
    running: list[Running]


class Part(NamedTuple):
    """Stages of one kind: all, and those that are done."""

    kind: str
    every: int
    done: int


@dataclass(frozen=True)
class Status:
    """Where a study stands.

    Attributes
    ----------
    study, scale : str
    parts : list of Part
    cost : float
        The share of the work that is done, by planned seconds.
    calls : list of Call
        Those that are at work, the silent ones too: they were killed, or their machine is away.
    failed : list of str
        What is known of stages that failed, the label in the first line.
    """

    study: str
    scale: str
    parts: list[Part]
    cost: float
    calls: list[Call]
    failed: list[str]

    @property
    def whole(self) -> bool:
        """Whether all is done."""
        return all(part.done == part.every for part in self.parts)

    @property
    def left(self) -> float | None:
        """Seconds that are left, by the call that expects to end first; None if nobody knows."""
        expected = [c.left for c in self.calls if c.left is not None and c.silent < STALE]
        return min(expected, default=None)


class _Known(NamedTuple):
    """A stage as a plan is noted."""

    kind: str
    key: str
    label: str
    cost: float


def write_plan(plan: Plan, store: Store) -> None:
    """Note the stages of a plan, so that its state can be told without the study file."""
    listed = [(stage.kind, stage.key, stage.label, round(stage.cost, 3)) for stage in plan.stages]
    about = {"study": plan.study.name, "scale": plan.study.scale, "stages": listed}
    text = json.dumps(about)
    if store.notes(PLANS).get(plan.key) != text:
        store.note(PLANS, plan.key, text)


def statuses(store: Store, plan: str | None = None) -> list[Status]:
    """Read where the studies of a store stand, or one of them by the key of its plan.

    Raises
    ------
    WherefromError
        If nothing was ever run with that store.
    """
    plans = {key: read_note(text) for key, text in store.notes(PLANS).items()}
    chosen = {key: about for key, about in plans.items() if about and plan in (None, key)}
    if plan in plans and not chosen:
        raise WherefromError(
            f"{store.name}/{PLANS}/{plan} is damaged: run the study again, which writes it anew"
        )
    if not chosen:
        raise WherefromError(
            f"no study was run with the store {store.name}: name the folder of a run (--out), or "
            "its store"
        )
    notes = {call: read_note(text) for call, text in store.notes(RUNNING).items()}
    notes = {call: note for call, note in notes.items() if not is_dead(note)}
    failed = store.notes(FAILED)
    return [_status(store, key, about, notes, failed) for key, about in chosen.items()]


def _status(
    store: Store,
    plan: str,
    about: dict[str, Any],
    notes: dict[str, dict[str, Any]],
    failed: dict[str, str],
) -> Status:
    stages = [_Known(*one) for one in about["stages"]]
    done = store.finished(stages)
    kinds = dict.fromkeys(stage.kind for stage in stages)
    total = sum(stage.cost for stage in stages)
    now = time.time()
    return Status(
        study=about["study"],
        scale=about["scale"],
        parts=[
            Part(
                kind,
                sum(stage.kind == kind for stage in stages),
                sum(stage.kind == kind and stage.key in done for stage in stages),
            )
            for kind in kinds
        ],
        cost=sum(stage.cost for stage in stages if stage.key in done) / total if total else 1.0,
        calls=[_call(note, now) for note in notes.values() if note.get("plan") == plan],
        failed=[
            failed[name]
            for stage in stages
            if stage.key not in done and (name := f"{stage.kind}-{stage.key}") in failed
        ],
    )


def _call(note: dict[str, Any], now: float) -> Call:
    here = f"{note['host']}, process {note['pid']}"
    running = [
        Running(
            one["label"], one["share"], one["where"] or here, max(0.0, note["at"] - one["since"])
        )
        for one in note["running"]
    ]
    return Call(here, note["cluster"], now - note["at"], note["left"], running)
