"""What a study has cost, and what more of it would: core seconds that its store measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store

__all__ = ["Costs", "measured"]


@dataclass(frozen=True)
class Costs:
    """Measured seconds of one model with one head on one task.

    Seconds are those of a worker's process, which has one core (or one GPU). More episodes or test
    places are other few-shot stages, which are computed anew; pre-trainings stay.

    Attributes
    ----------
    block : float
        Of one block: draws, pre-trainings and few-shot of every composition.
    head : float
        The part of the few-shot of this head on this task in it.
    fewshot : float
        Of this head on this task: every block, composition and baseline.
    task : float
        Of everything few-shot on this task, whatever model and head.
    episodes : int
        Few-shot seeds that `fewshot` has.
    growth : float
        The share by which 1,000 more test places in each region enlarge the task; 0 where it has
        the places that it has.

    Examples
    --------
    >>> costs = Costs(block=3600.0, head=360.0, fewshot=1800.0, task=3600.0, episodes=50)
    >>> costs.hours(blocks=2), costs.hours(episodes=100), round(costs.hours(2, 100), 2)
    (2.0, 1.5, 3.9)
    """

    block: float
    head: float
    fewshot: float
    task: float
    episodes: int
    growth: float = 0.0

    def hours(self, blocks: int = 0, episodes: int = 0, places: int = 0) -> float:
        """Return the core hours of more blocks, more episodes, and more test places in each region.

        With more test places all few-shot on the task is computed anew, in at most the time that
        grows with them.
        """
        more, grown = episodes / self.episodes, self.growth * places / 1000
        seconds = blocks * (self.block + self.head * more)
        if grown > 0:
            seconds += (self.task + self.fewshot * more) * (1 + grown)
        elif episodes:
            seconds += self.fewshot * (1 + more)
        return seconds / 3600


def measured(plan: Plan, store: Store, model: str, task: str, head: str) -> Costs | None:
    """Read what a model, a head and a task (by its label) have cost; None if a part is unknown.

    A block costs what the last one did that has all its stages, in the mean over the blocks of
    these stages: heads and sweeps that are limited to the first blocks are not in it.
    """
    few = [stage for stage in plan.of_kind("fewshot") if stage.spec["regions"] is None]
    own = [stage for stage in few if stage.axes["model"] == model and stage.axes["composition"]]
    blocks = sorted({stage.axes["block"] for stage in own})
    if not blocks:
        return None
    last = [stage for stage in own if stage.axes["block"] == blocks[-1]]
    same = {_what(stage) for stage in last}
    trained = [one for one in plan.of_kind("pretrain") if one.axes["model"] == model]
    drawn = {stage.inputs["draw"].key: stage.inputs["draw"] for stage in trained}
    about = [s for s in few if (s.axes["task"], s.axes["head"]) == (task, head)]
    mine = [s for s in about if s.axes["model"] == model or not s.axes["composition"]]
    every = [s for s in plan.of_kind("fewshot") if s.axes["task"] == task]
    per_block = [_mean(store, [s for s in own if _what(s) == one]) for one in same]
    heads = [_mean(store, [s for s in own if _what(s) == one]) for one in same
             if one[1:] == (task, head)]  # fmt: skip
    per_block += [
        _mean(store, [s for s in some if s.axes["composition"] == name])
        for some in (trained, [*drawn.values()])
        for name in {s.axes["composition"] for s in some}
    ]
    if not mine or None in per_block:
        return None
    spec = next(one for one in plan.study.tasks.values() if one.label == task)
    each = getattr(spec, "test_per_region", 0) + getattr(spec, "train_per_region", 0)
    return Costs(
        block=sum(filter(None, per_block)),
        head=sum(filter(None, heads)),
        fewshot=sum(_seconds(store, mine)),
        task=sum(_seconds(store, every)),
        episodes=mine[0].spec["finetune_seeds"],
        growth=1000 / each if each else 0.0,
    )


def _what(stage: Stage) -> tuple[str, str, str]:
    return stage.axes["composition"], stage.axes["task"], stage.axes["head"]


def _mean(store: Store, stages: Iterable[Stage]) -> float | None:
    found = list(_seconds(store, stages))
    return sum(found) / len(found) if found else None


def _seconds(store: Store, stages: Iterable[Stage]) -> Iterator[float]:
    for stage in stages:
        seconds = store.seconds(stage.kind, stage.key)
        if seconds is not None:
            yield seconds
