"""The study that finds the smallest difference for a budget, by the variances of its results.

The variance budget (`wherefrom.evidence.power.more`) says what blocks and episodes more or fewer
would leave of the variance of each difference, and the price of a plan what they take. Chosen are
the blocks of each model and the number of fine-tune seeds with which the largest detectable
difference to the first reference, over the headlines, is smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wherefrom.evidence.headline import Headline
from wherefrom.evidence.intervals import Parts
from wherefrom.evidence.power import POWER, detectable, more
from wherefrom.shown import count_of
from wherefrom.study.budget import (
    FEWEST,
    REPLICATED,
    Budget,
    Change,
    Offer,
    Prices,
    of_item,
    offered,
)
from wherefrom.study.price import Item, Ledger
from wherefrom.study.spec import Study
from wherefrom.study.stage import Plan

__all__ = ["MOST", "Reach", "by_variance", "reach"]

#: More blocks than these are not proposed.
MOST = 100
#: Fine-tune seeds that are tried, as multiples of the study's own; none below the lowest number.
_TIMES = (0.2, 0.5, 1, 2, 4, 8)
_LOWEST = 10
#: Differences within one per cent are as small.
_AS_GOOD = 1.01


@dataclass(frozen=True, eq=False)
class Reach:
    """What a headline could find with other numbers of blocks and episodes.

    Attributes
    ----------
    headline : Headline
    reference : str
        That the compositions are compared with.
    parts : sequence of (Parts, int, int)
        Of each difference to it: the parts of its variance, its blocks and its episodes.
    """

    headline: Headline
    reference: str
    parts: Sequence[tuple[Parts, int, int]]

    @property
    def blocks(self) -> int:
        """Blocks that it stands on."""
        return min(blocks for _, blocks, _ in self.parts)

    @property
    def episodes(self) -> int:
        """Episodes that it stands on."""
        return min(episodes for _, _, episodes in self.parts)

    def detectable(self, blocks: int, episodes: int) -> float:
        """Return the difference of any composition that is decided with probability 0.8."""
        comparison = self.headline.evidence.comparisons[self.headline.view]
        regions = comparison.averaged(self.headline.region)
        grown = []
        for part, own, seeds in self.parts:
            one = more(part, "block", own, seeds, regions, blocks - own)
            grown.append(more(one, "episode", own, seeds, regions, episodes - seeds))
        found = detectable(grown, comparison.family.half_width(grown))
        return float(np.nanmax(found)) if np.isfinite(found).any() else float("nan")


def reach(headline: Headline) -> Reach | None:
    """Return what a headline could find; None where no difference to its reference has an interval.

    Parameters
    ----------
    headline : Headline
    """
    comparison = headline.evidence.comparisons[headline.view]
    one, found = comparison.regions[headline.region], []
    for each in one.compared:
        part = one.part(each)
        if each.name == comparison.reference and not part.why and part.variance > 0:
            _, blocks, seeds = one.column.frame([each.key, each.reference])[0].shape
            if blocks > 1 and seeds > 1:
                found.append((part, blocks, seeds))
    return Reach(headline, comparison.reference, found) if found else None


def by_variance(
    plan: Plan, ledger: Ledger, reaches: Sequence[Reach], budget: Budget, prices: Prices
) -> Offer | None:
    """Propose blocks and fine-tune seeds that find the smallest difference within a budget.

    Parameters
    ----------
    plan : Plan
        Of the study as it stands.
    ledger : Ledger
        Of its store.
    reaches : sequence of Reach
        One for each headline.
    budget : Budget
    prices : Prices

    Returns
    -------
    Offer or None
        None where not even 2 blocks of each model fit with all compositions, or what the study
        takes in the budget's unit is not known.
    """
    study = plan.study
    by_model = {one.headline.view.model: one for one in reaches}
    whole = ledger.price(plan)
    others = [name for name in study.models if name not in by_model]
    # Models without a headline keep their blocks if that fits, else 3, else 2.
    for cap in (None, REPLICATED, FEWEST):
        aside = {
            name: min(study.models[name].blocks, cap or study.models[name].blocks)
            for name in others
        }
        if found := _searched(study, whole.items, by_model, aside, ledger, budget, prices):
            return found
        if not others:
            break
    return None


class _Tried(NamedTuple):
    """Blocks and seeds, the largest detectable difference with them, and what they take."""

    reached: float
    takes: float
    blocks: dict[str, int]
    seeds: int


def _searched(
    study: Study,
    items: Sequence[Item],
    by_model: dict[str, Reach],
    aside: dict[str, int],
    ledger: Ledger,
    budget: Budget,
    prices: Prices,
) -> Offer | None:
    costs = _Costs(study, items, aside, budget, prices)
    own = study.finetune_seeds
    # Where seeds take nothing of the budget, as of GPU hours, it does not say how many to have.
    times = _TIMES if costs.few[1] or any(few for _, _, few in costs.parts.values()) else (1,)
    tried: list[_Tried] = []
    for seeds in sorted({max(min(own, _LOWEST), int(own * one)) for one in times}):
        if blocks := _greedy(by_model, costs, seeds, budget.amount):
            reached = max(one.detectable(blocks[name], seeds) for name, one in by_model.items())
            tried.append(_Tried(reached, costs.takes(blocks, seeds), blocks, seeds))
    # Of those that find as small a difference the one that takes least.
    best = min((one.reached for one in tried), default=0.0)
    tried.sort(key=lambda one: (0.0, one.takes) if one.reached <= _AS_GOOD * best else
               (one.reached, one.takes))  # fmt: skip
    for _, _, blocks, seeds in tried:
        found = dict(blocks)
        while True:
            change = Change(aside | found, seeds)
            offer = offered(change, study, ledger, budget, prices)
            if offer is None:
                return None
            if offer.fits:
                return replace(offer, reasons=tuple(_said(by_model, found, seeds)))
            # The sum of the parts left something out, such as a draw: a block less is tried.
            spare = [name for name, count in found.items() if count > FEWEST]
            if not spare:
                break
            name = min(spare, key=lambda one: by_model[one].detectable(found[one] - 1, seeds))
            found[name] -= 1
    return None


def _greedy(
    by_model: dict[str, Reach], costs: _Costs, seeds: int, amount: float
) -> dict[str, int] | None:
    """Give a block at a time to the headline that finds least, as long as it can be paid."""
    blocks = dict.fromkeys(by_model, FEWEST)
    if costs.takes(blocks, seeds) > amount:
        return None
    reached = {name: one.detectable(FEWEST, seeds) for name, one in by_model.items()}
    open_ = set(by_model)
    while open_:
        name = max(open_, key=lambda one: reached[one])
        one_more = blocks | {name: blocks[name] + 1}
        if one_more[name] > MOST or costs.takes(one_more, seeds) > amount:
            open_.discard(name)
            continue
        blocks = one_more
        reached[name] = by_model[name].detectable(blocks[name], seeds)
    return blocks


class _Costs:
    """What blocks and seeds take, summed up from the stages of the plan as it stands."""

    def __init__(
        self,
        study: Study,
        items: Sequence[Item],
        aside: dict[str, int],
        budget: Budget,
        prices: Prices,
    ) -> None:
        self.own, self.aside = study.finetune_seeds, aside
        self.planned = {name: gfm.blocks for name, gfm in study.models.items()}
        #: By model and block: of pre-training and few-shot, what is left of it and all of it.
        self.parts: dict[tuple[str, int], tuple[float, float, float]] = {}
        self.fixed, self.few = 0.0, (0.0, 0.0)
        for item in items:
            takes = of_item(item, budget, prices)
            left = 0.0 if item.done else takes
            axes, few = item.stage.axes, item.stage.kind == "fewshot"
            block = axes.get("block", -1)
            if block >= 0:
                key = axes["model"], block
                trained, some, every = self.parts.get(key, (0.0, 0.0, 0.0))
                if few:
                    some, every = some + left, every + takes
                else:
                    trained += left
                self.parts[key] = trained, some, every
            elif few:
                self.few = self.few[0] + left, self.few[1] + takes
            else:
                self.fixed += left
        #: Of one block more than are planned, nothing of which is there.
        self.further: dict[str, tuple[float, float]] = {}
        for name, count in self.planned.items():
            last = [item for item in items if item.stage.axes.get("block", -1) == count - 1
                    and item.stage.axes.get("model") == name]  # fmt: skip
            cost = {item.stage.key: of_item(item, budget, prices) for item in last}
            few_ = sum(cost[i.stage.key] for i in last if i.stage.kind == "fewshot")
            self.further[name] = sum(cost.values()) - few_, few_

    def takes(self, blocks: dict[str, int], seeds: int) -> float:
        """Return what is left to run with so many blocks of each model, and so many seeds."""
        share = seeds / self.own
        total = self.fixed + (self.few[0] if seeds == self.own else self.few[1] * share)
        for name, count in (self.aside | blocks).items():
            for block in range(min(count, self.planned[name])):
                trained, some, every = self.parts.get((name, block), (0.0, 0.0, 0.0))
                # With another number of seeds every few-shot stage is another one.
                total += trained + (some if seeds == self.own else every * share)
            if (added := count - self.planned[name]) > 0:
                trained, few = self.further[name]
                total += added * (trained + few * share)
        return total


def _said(by_model: dict[str, Reach], blocks: dict[str, int], seeds: int) -> list[str]:
    """Say what each headline could find then, and what it can now."""
    found = [
        "chosen so that the largest detectable difference of the headlines is smallest, by the "
        "variances of the finished runs"
    ]
    for name, one in by_model.items():
        now = one.detectable(one.blocks, one.episodes)
        then = one.detectable(blocks[name], seeds)
        found.append(
            f"{one.headline.short}: a difference to {one.reference} of {then:.4f} would be decided "
            f"with probability {POWER:g}, with {count_of(blocks[name], 'block')} and "
            f"{count_of(seeds, 'seed')}; now {now:.4f}, with {count_of(one.blocks, 'block')} and "
            f"{count_of(one.episodes, 'seed')}"
        )
    return found
