"""What fits a budget: fewer blocks, seeds, sizes or compositions of a study, in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from wherefrom.errors import WherefromError
from wherefrom.study.plan import plan
from wherefrom.study.price import Item, Ledger, Line, Price
from wherefrom.study.spec import Study
from wherefrom.study.tuned import Tuned

__all__ = [
    "FEWEST", "REPLICATED", "Budget", "Change", "Offer", "Prices", "by_rule", "charge", "fragment",
    "of_item", "offered", "read_budget", "samples",
]  # fmt: skip

Unit = Literal["gpuh", "coreh", "money"]

#: Blocks below which there is an interval, but hardly a verdict; and fewest that have one.
REPLICATED, FEWEST = 3, 2
#: Few-shot seeds are not lowered below so many: their share of the variance grows as they go.
SEEDS = 10
_SHARES = (0.8, 0.6, 0.4, 0.2, 0.1)
_FORM = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([A-Za-z]*)")


class Prices(NamedTuple):
    """Prices of a GPU hour and a core hour, in a currency."""

    gpu: float | None = None
    core: float | None = None
    currency: str = "EUR"


class Budget(NamedTuple):
    """An amount of GPU hours, core hours or money."""

    amount: float
    unit: Unit
    currency: str = ""

    def __str__(self) -> str:
        """Write it as a number with its unit."""
        return self.text(self.amount)

    def text(self, amount: float) -> str:
        """Write an amount of it; a fraction where it is small."""
        words = {"gpuh": "GPU hours", "coreh": "core hours", "money": self.currency}
        shown = f"{amount:,.0f}" if amount >= 100 else f"{amount:,.3g}"
        return f"{shown} {words[self.unit]}"


def read_budget(text: str, prices: Prices) -> Budget:
    """Read a budget such as ``200gpuh``, ``500coreh`` or ``1000eur``; a number alone is money.

    Raises
    ------
    WherefromError
        If it is no positive amount, its unit is unknown, or money has no price to pay.

    Examples
    --------
    >>> read_budget("1,500gpuh", Prices()), str(read_budget("200", Prices(gpu=2.5)))
    (Budget(amount=1500.0, unit='gpuh', currency=''), '200 EUR')
    """
    match = _FORM.fullmatch(text.strip())
    forms = f"write 200gpuh, 500coreh or 1000{prices.currency.lower()}"
    if not match:
        raise WherefromError(f"--budget {text!r} is no amount with a unit: {forms}")
    amount, unit = float(match[1].replace(",", "").replace("_", "")), match[2].lower()
    if amount <= 0:
        raise WherefromError(f"--budget {text!r}: a budget is more than 0: {forms}")
    if unit == "gpuh":
        return Budget(amount, "gpuh")
    if unit == "coreh":
        return Budget(amount, "coreh")
    if unit not in ("", prices.currency.lower()):
        raise WherefromError(
            f"--budget {text!r}: unknown unit {match[2]!r}: {forms}; another currency is named by "
            "--currency"
        )
    if prices.gpu is None and prices.core is None:
        raise WherefromError(
            f"--budget {text!r} is money, and no hour has a price: give --price (of a GPU hour) or "
            "--core-price (of a core hour)"
        )
    return Budget(amount, "money", prices.currency)


def charge(line: Line, budget: Budget, prices: Prices) -> float | None:
    """Return what a line takes in the unit of a budget; None where that is not known."""
    if budget.unit == "gpuh":
        return line.gpu_hours
    if budget.unit == "coreh":
        return line.core_hours
    return line.money(prices.gpu, prices.core)


def of_item(item: Item, budget: Budget, prices: Prices) -> float:
    """Return what a stage takes in the unit of a budget."""
    gpu = (item.gpu or 0.0) / 3600
    core = item.core / 3600 if item.gpu is None else 0.0
    if budget.unit == "money":
        return gpu * (prices.gpu or 0.0) + core * (prices.core or 0.0)
    return gpu if budget.unit == "gpuh" else core


class Change(NamedTuple):
    """How a study is to differ; what is None stays.

    Attributes
    ----------
    blocks : mapping of str to int
        By model.
    seeds : int or None
        Fine-tune seeds.
    sizes : bool
        Whether the size axis stays.
    compositions : tuple of str or None
        Those that stay.
    """

    blocks: Mapping[str, int] = {}
    seeds: int | None = None
    sizes: bool = True
    compositions: tuple[str, ...] | None = None

    def of(self, study: Study) -> dict[str, Any]:
        """Return what changes of a study file, null for what goes; empty if nothing does."""
        found: dict[str, Any] = {}
        models = {
            name: {"blocks": count}
            for name, count in self.blocks.items()
            if count != study.models[name].blocks
        }
        if models:
            found["models"] = models
        seeds = self.seeds
        if seeds is not None and seeds != study.finetune_seeds:
            found["finetune_seeds"] = seeds
            # What has seeds of its own has no more than the rest, and no more than before.
            heads = {
                name: {"finetune_seeds": seeds}
                for name, use in study.heads.items()
                if (use.finetune_seeds or 0) > seeds
            }
            if heads:
                found["heads"] = heads
            sweep = study.sweep
            if sweep and sweep.finetune_seeds > seeds > max(sweep.seeds_at.values(), default=1):
                found["sweep"] = {"finetune_seeds": seeds}
        if study.sizes is not None:
            most = max(self.blocks.get(name, gfm.blocks) for name, gfm in study.models.items())
            if not self.sizes:
                found["sizes"] = None
            elif study.sizes.blocks is not None and study.sizes.blocks > most:
                found["sizes"] = {"blocks": most}
        if self.compositions is not None:
            gone = [name for name in study.compositions if name not in self.compositions]
            if gone:
                found["compositions"] = dict.fromkeys(gone)
        return found

    def applied(self, study: Study) -> Study:
        """Return the changed study."""
        change = self.of(study)
        new: dict[str, Any] = {}
        if "models" in change:
            new["models"] = {
                name: gfm.model_copy(update=change["models"].get(name, {}))
                for name, gfm in study.models.items()
            }
        if "finetune_seeds" in change:
            new["finetune_seeds"] = change["finetune_seeds"]
        if "heads" in change:
            new["heads"] = {
                name: use.model_copy(update=change["heads"].get(name, {}))
                for name, use in study.heads.items()
            }
        if "sweep" in change and study.sweep:
            new["sweep"] = study.sweep.model_copy(update=change["sweep"])
        if "sizes" in change:
            sizes = change["sizes"]
            kept = study.sizes.model_copy(update=sizes) if study.sizes and sizes else None
            new["sizes"] = kept
        if "compositions" in change:
            new["compositions"] = {
                name: text
                for name, text in study.compositions.items()
                if name not in change["compositions"]
            }
            # What was tuned was tuned over all of them, and is not taken for fewer.
            new["tuned"] = Tuned()
        return study.model_copy(update=new)


def fragment(study: Study, change: Mapping[str, Any]) -> list[str]:
    r"""Write a change as lines for the study file, with what was there before as comments.

    Examples
    --------
    >>> from wherefrom.study import load
    >>> study = load("studies/purohit2025", "laptop")
    >>> print("\n".join(fragment(study, Change(seeds=20).of(study))))
    finetune_seeds: 20  # of 50
    """
    lines: list[str] = []
    for key, value in change.items():
        if key == "finetune_seeds":
            lines.append(f"finetune_seeds: {value}  # of {study.finetune_seeds}")
        elif value is None:
            lines.append(f"{key}: null  # left out")
        elif key in ("sweep", "sizes"):
            ((name, new),) = value.items()
            lines.append(f"{key}: {{{name}: {new}}}  # of {getattr(getattr(study, key), name)}")
        else:
            lines.append(f"{key}:")
            for name, inner in value.items():
                if inner is None:
                    # Beside `null` a name must be one of the base.
                    lines.append(f"  {_in_file(name, study)}: null  # or no line, if this adds it")
                    continue
                ((field_name, new),) = inner.items()
                old = getattr(getattr(study, key)[name], field_name)
                lines.append(f"  {name}: {{{field_name}: {new}}}  # of {old}")
    return lines


def _in_file(name: str, study: Study) -> str:
    """Return a composition's name as the study file has it, before a layer stood in."""
    for layer, stand_in in study.stood_in.items():
        name = name.replace(stand_in, layer)
    return name


@dataclass(frozen=True)
class Offer:
    """A study that fits a budget, or the least that it would take.

    Attributes
    ----------
    change : mapping
        Of the study file; empty if the study fits as it stands.
    price : Price
        Of the changed study.
    takes : float
        What of it is left to run takes, in the budget's unit.
    fits : bool
    reasons : tuple of str
        Sentences that say how it was chosen, and what it reaches.
    """

    change: Mapping[str, Any]
    price: Price
    takes: float
    fits: bool
    reasons: tuple[str, ...] = field(default=())


def offered(
    change: Change, study: Study, ledger: Ledger, budget: Budget, prices: Prices
) -> Offer | None:
    """Price a change of a study exactly, by its own plan; None where the unit is not known."""
    price = ledger.price(plan(change.applied(study)))
    takes = charge(price.in_all_left, budget, prices)
    if takes is None:
        return None
    return Offer(change.of(study), price, takes, takes <= budget.amount)


def by_rule(study: Study, ledger: Ledger, budget: Budget, prices: Prices) -> Offer:
    """Propose what fits where nothing was measured that tells which of it matters most.

    Blocks go first, down to 3 of each model; then fine-tune seeds, down to 10; then the size axis;
    then compositions, from the end of the file, but those that others are compared with; then the
    third block. The first that fits is taken; if nothing does, the least (`Offer.fits`).

    Raises
    ------
    WherefromError
        If nobody knows what the study takes in the budget's unit.
    """
    last: Offer | None = None
    idle = False  # whether fewer seeds take as much, as where GPU hours are pre-training's alone
    for change, fewer in _in_order(study):
        tried = [change, *(change._replace(seeds=count) for count in fewer)]
        last = _priced(tried[0], study, ledger, budget, prices)
        if last.fits:
            return last
        if idle or not fewer:
            continue
        before, last = last, _priced(tried[-1], study, ledger, budget, prices)
        if last.fits:
            found = (_priced(one, study, ledger, budget, prices) for one in tried[1:-1])
            return next((one for one in found if one.fits), last)
        idle = last.takes >= before.takes
        last = min(last, before, key=lambda one: one.takes)
    assert last is not None
    return last


def _priced(change: Change, study: Study, ledger: Ledger, budget: Budget, prices: Prices) -> Offer:
    if (offer := offered(change, study, ledger, budget, prices)) is None:
        raise WherefromError(_not_known(budget))
    return offer


def _not_known(budget: Budget) -> str:
    what = "GPU hours" if budget.unit == "gpuh" else "what it costs"
    more = "" if budget.unit == "gpuh" else ", give the missing price"
    return (
        f"{what}: not known of this plan, for nobody has measured or stated its GPU hours: state "
        f"models.NAME.gpu_hours_per_run, run a block on a GPU first{more}, or give --budget in "
        "core hours (500coreh)"
    )


def _in_order(study: Study) -> Iterator[tuple[Change, list[int]]]:
    """Yield changes in the order in which they are given up, with the fewer seeds to try there."""
    most = max(gfm.blocks for gfm in study.models.values())
    seeds = _seeds(study)
    for cap in range(most, min(most, REPLICATED), -1):
        yield Change(_capped(study, cap)), []
    for cap in dict.fromkeys(min(most, one) for one in (REPLICATED, FEWEST)):
        change = Change(_capped(study, cap))
        yield change, seeds
        if study.sizes:
            change = change._replace(sizes=False)
            yield change, seeds
        for kept in _fewer(study):
            yield change._replace(compositions=kept), seeds


def _capped(study: Study, cap: int) -> dict[str, int]:
    return {name: min(gfm.blocks, cap) for name, gfm in study.models.items()}


def _seeds(study: Study) -> list[int]:
    """Return fewer and fewer fine-tune seeds than the study has."""
    own, floor = study.finetune_seeds, min(study.finetune_seeds, SEEDS)
    fewer = {max(floor, int(own * share)) for share in _SHARES} - {own}
    return sorted(fewer, reverse=True)


def _fewer(study: Study) -> Iterator[tuple[str, ...]]:
    """Yield fewer and fewer compositions, without those of the end that nothing else names."""
    asked = {*study.references, *study.controls, *study.correlated}
    asked |= {*study.sizes.compositions} if study.sizes else set()
    kept = list(study.compositions)
    for name in reversed(study.compositions):
        # One must be left to compare.
        if name not in asked and len(kept) > 2:
            kept.remove(name)
            yield tuple(kept)


def samples(study: Study, price: Price, budget: Budget, prices: Prices) -> dict[str, int] | None:
    """Return samples seen by model with which all else would fit; None where no share of them does.

    Another experiment: what a model learns of each composition is another thing then.
    """
    trained = sum(
        of_item(item, budget, prices) for item in price.missing if item.stage.kind == "pretrain"
    )
    takes = charge(price.in_all_left, budget, prices)
    if takes is None or not trained or (spare := budget.amount - (takes - trained)) <= 0:
        return None
    share, found = spare / trained, {}
    for name, gfm in study.models.items():
        batch = gfm.pretrain.batch
        found[name] = int(gfm.pretrain.samples_seen * share / batch) * batch
    return found if share < 1 and all(found.values()) else None
