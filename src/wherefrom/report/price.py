"""The price of a plan as a table, its wall time, and what fits a budget, for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wherefrom.errors import WherefromError
from wherefrom.evidence.afford import Reach, by_variance, reach
from wherefrom.report.context import evidence_of
from wherefrom.report.study import context_of
from wherefrom.shown import count_of, time_of
from wherefrom.study import Plan, Store
from wherefrom.study.budget import (
    FEWEST,
    REPLICATED,
    Budget,
    Offer,
    Prices,
    by_rule,
    charge,
    fragment,
    read_budget,
    samples,
)
from wherefrom.study.price import (
    ESTIMATED,
    MEASURED,
    STATED,
    Ledger,
    Line,
    Price,
    Rate,
    wall,
)
from wherefrom.study.price import (
    Group as Work,
)
from wherefrom.study.results import joined, unfinished

__all__ = ["Asked", "asked", "brief", "bytes_of", "render"]

_WIDTH = 80
#: Kinds of work whose throughput is listed: those that took longest.
_LISTED = 12
#: Signs of where a figure is from.
_SIGNS = {MEASURED: "m", STATED: "s", ESTIMATED: "e"}
#: Of kinds of stages that a GPU would do for an unknown time.
_UNKNOWN = "unknown"


class Asked(NamedTuple):
    """What is to be priced: workers, prices, and a budget."""

    cores: int | None = None
    gpus: int | None = None
    prices: Prices = Prices()
    budget: Budget | None = None

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        return self != Asked(prices=Prices(currency=self.prices.currency))


def asked(
    gpus: int | None,
    cores: int | None,
    price: float | None,
    core_price: float | None,
    currency: str,
    budget: str | None,
) -> Asked:
    """Check what a command was asked for.

    Raises
    ------
    WherefromError
        If a price is no positive number, a currency no word, or a budget no amount with a unit.
    """
    for flag, value in (("--price", price), ("--core-price", core_price)):
        if value is not None and not 0 <= value < math.inf:
            raise WherefromError(f"{flag} {value:g}: a price is a number from 0 on, such as 2.5")
    if not currency.isalpha() or currency.lower() in ("gpuh", "coreh"):
        raise WherefromError(f"--currency {currency!r}: name one in letters, such as EUR or USD")
    prices = Prices(price, core_price, currency.upper())
    return Asked(cores, gpus, prices, read_budget(budget, prices) if budget is not None else None)


def brief(plan: Plan, store: Store) -> RenderableType:
    """Say in two lines what is left of a plan, and how to ask for more."""
    line = Ledger(plan, store).price(plan).in_all_left
    hours = "" if not line.gpu_hours else f" and {_hours(line.gpu_hours)} GPU hours"
    return Group(
        Text(f"left: {_hours(line.core_hours)} core hours{hours}, {_sources(line)}"),
        Text("by composition, in money, on k GPUs: --price, --gpus, --cores, --budget"),
    )


def render(plan: Plan, store: Store, wanted: Asked, study_path: Path) -> RenderableType:
    """Lay out what a plan costs by composition and in all, how long it takes, and what fits.

    Parameters
    ----------
    plan : Plan
    store : Store
    wanted : Asked
    study_path : Path
        Of the study file, beside which the report looks for what was published.

    Raises
    ------
    WherefromError
        If there is a budget, and nobody knows what the plan takes in its unit.
    """
    ledger = Ledger(plan, store)
    price = ledger.price(plan)
    parts: list[RenderableType] = []
    started = len(price.missing) < len(price.items)
    if started:
        parts.append(_table("in all", price.whole, price.in_all, wanted.prices))
    if price.missing or not started:
        title = "left to run" if started else "to run"
        parts.append(_table(title, price.left, price.in_all_left, wanted.prices))
    said = [*_notes(price, wanted), *_walls(price, wanted)]
    parts += [Text(line) for text in said for line in _wrapped(text)]
    if price.rates:
        parts.append(_measured(price.rates))
    if wanted.budget:
        offer, why = _offer(plan, store, study_path, ledger, wanted.budget, wanted.prices)
        parts += map(Text, _proposed(plan, price, offer, why, wanted.budget, wanted.prices))
    return Group(*parts)


def _table(title: str, lines: Mapping[str, Line], total: Line, prices: Prices) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    paid = prices.gpu is not None or prices.core is not None
    names = ["stages", "core h", "GPU h", "read", "stored", "from"]
    for name in (*names, *([prices.currency] if paid else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for name, line in {**lines, "in all": total}.items():
        if name == "in all":
            table.add_section()
        money = line.money(prices.gpu, prices.core)
        table.add_row(
            Text(name),
            f"{line.stages:,}",
            _hours(line.core_hours),
            _hours(line.gpu_hours),
            bytes_of(line.read),
            bytes_of(line.stored),
            _signs(line),
            *([_UNKNOWN if money is None else _money(money)] if paid else []),
        )
    return table


def _notes(price: Price, wanted: Asked) -> Iterator[str]:
    """Say where the figures are from, and what is not in them."""
    total = price.in_all_left if price.missing else price.in_all
    words = {
        MEASURED: "m: measured here, or by what finished stages took",
        STATED: "s: GPU hours as the study file states them (gpu_hours_per_run)",
        ESTIMATED: "e: estimated, on one core of a server CPU of 2024",
    }
    yield "; ".join(text for source, text in words.items() if source in price.in_all.sources)
    if total.unknown:
        yield (
            f"GPU hours of {count_of(total.unknown, 'stage')} are unknown, for nobody has stated "
            "them or measured one here: these are priced on cores"
        )
    if (wanted.prices.gpu is not None) and wanted.prices.core is None:
        yield "core hours have no price (--core-price), and are not in the sum"
    elif wanted.prices.core is not None and wanted.prices.gpu is None and total.gpu:
        yield "GPU hours have no price (--price)"
    yield "read: files of yours, tasks and payloads; layers of the Earth are not counted"


def _walls(price: Price, wanted: Asked) -> Iterator[str]:
    """Say how long it takes on some workers, and from how many on no more help."""
    if not price.missing:
        return
    gpus, cores = wanted.gpus or 0, wanted.cores
    if gpus and not any(item.gpu is not None for item in price.missing):
        yield (
            f"on {count_of(gpus, 'GPU')}: unknown, for no stage that is left has GPU hours, stated "
            "(models.NAME.gpu_hours_per_run) or measured"
        )
        gpus = 0
        if cores is None:
            return
    if gpus:
        # Each GPU has a core of its own; so many others do what needs none.
        found = wall(price, cores=cores or gpus, gpus=gpus)
        on, one = f"{count_of(gpus, 'GPU')} and {count_of(found.cores, 'core')}", "GPU"
    elif cores:
        found = wall(price, cores=cores)
        on, one = count_of(cores, "core"), "core"
    else:
        return
    yield (
        f"on {on}: {time_of(found.seconds)} at least; all work shared out evenly takes "
        f"{time_of(found.work)}, the longest chain {time_of(found.path)} "
        f"({' > '.join(found.chain)})"
    )
    yield (
        f"more than {count_of(found.enough, one)} gain at most 5 per cent: "
        f"{time_of(found.least)} with any number"
    )


def _measured(rates: Mapping[tuple[Work, str], Rate]) -> Table:
    """List what finished stages took beside what was expected of them."""
    table = Table(title=Text("measured"), title_justify="left", box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in ("times the estimate", "stages", "on"):
        table.add_column(name, justify="right")
    shown = [(work, rate) for (work, _), rate in rates.items() if _is_listed(work)]
    shown.sort(key=lambda one: -one[1].seconds)
    for work, rate in shown[:_LISTED]:
        named = " ".join(str(word) for word in work if isinstance(word, str) and word)
        empty = len(work) == 3 and work[0] in ("draw", "pretrain") and work[2] is True
        label = f"{named} (no places)" if empty else named
        on = ", ".join(rate.devices)
        table.add_row(Text(label), f"{rate.ratio:.3g}", f"{rate.stages:,}", Text(on))
    if (others := len(shown) - _LISTED) > 0:
        table.caption = Text(f"and {others} others, which took less")
        table.caption_justify = "left"
    return table


def _is_listed(work: Work) -> bool:
    """Tell whether a kind of work is no part of another that is listed."""
    if work[0] in ("fewshot", "tune"):
        return len(work) == 3  # of all tasks
    if work[0] == "draw":
        return len(work) == 3  # of all compositions
    return work[0] != "payload" or len(work) == 2  # of pool and tasks


def _offer(
    plan: Plan, store: Store, study_path: Path, ledger: Ledger, budget: Budget, prices: Prices
) -> tuple[Offer, str]:
    """Choose what fits: by the variances of results where there are some, else by rule, and why."""
    why = "since no results tell what each would find"
    if reaches := _reaches(plan, store, study_path):
        if found := by_variance(plan, ledger, reaches, budget, prices):
            return found, ""
        why = f"since {count_of(FEWEST, 'block')} of all compositions do not fit"
    return by_rule(plan.study, ledger, budget, prices), why


def _reaches(plan: Plan, store: Store, study_path: Path) -> list[Reach]:
    """Return what the headlines could find; none unless each has results in two blocks."""
    few = [s for s in plan.of_kind("fewshot") if s.spec["regions"] is None]
    for headline in plan.study.headlines:
        task = plan.study.tasks[plan.study.models[headline.model].tasks[0]].label
        about = {"model": headline.model, "head": headline.head, "task": task}
        blocks = {
            stage.axes["block"]
            for stage in few
            if about.items() <= stage.axes.items() and store.done(stage.kind, stage.key)
        }
        if len(blocks) < FEWEST:
            return []
    context = context_of(plan, store, study_path, unfinished(plan, store), whole=False)
    headlines = context.shown(evidence_of(joined(plan, store), context))
    found = list(map(reach, headlines))
    return [one for one in found if one] if all(found) else []


def _proposed(
    plan: Plan, price: Price, offer: Offer, why: str, budget: Budget, prices: Prices
) -> Iterator[str]:
    """Say what fits a budget, as lines for the study file, and how it was chosen."""
    study = plan.study
    takes = charge(price.in_all_left, budget, prices)
    whole = _UNKNOWN if takes is None else budget.text(takes)
    yield from _wrapped(f"budget of {budget}: what is left of the study as it stands takes {whole}")
    if offer.fits and not offer.change:
        yield "it fits as it stands"
    elif offer.fits:
        yield from _wrapped(f"this fits, and takes {budget.text(offer.takes)}:")
    else:
        yield from _wrapped(
            f"nothing that is tried fits: even {count_of(FEWEST, 'block')} take "
            f"{budget.text(offer.takes)}, with:"
        )
    if offer.change:
        yield f"  # under scales: {study.scale}: of the study file"
        yield from (f"  {line}" for line in fragment(study, offer.change))
    if "compositions" in offer.change and study.tuned.choices:
        yield from _wrapped(
            "options of heads were tuned over all compositions: with fewer of them, "
            "wherefrom study tune is due again"
        )
    for reason in offer.reasons:
        yield from _wrapped(reason)
    if why and offer.change:
        yield from _wrapped(
            f"by rule, {why}: "
            f"{REPLICATED} blocks first, then compositions in the order of the file, then seeds"
        )
    fewer = samples(study, price, budget, prices) if offer.change else None
    if fewer:
        each = ", ".join(
            f"{name} {count:,} of {study.models[name].pretrain.samples_seen:,}"
            for name, count in fewer.items()
        )
        yield from _wrapped(
            f"or all of it with fewer samples seen ({each}), which is another experiment"
        )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _hours(hours: float | None) -> str:
    if hours is None:
        return _UNKNOWN
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if not amount or amount >= 0.01 else f"{amount:.1g}"


def _signs(line: Line) -> str:
    return "+".join(sign for source, sign in _SIGNS.items() if source in line.sources)


def _sources(line: Line) -> str:
    there = [source for source in _SIGNS if source in line.sources]
    return " and ".join(there) or "nothing to run"


def bytes_of(count: int) -> str:
    """Write a number of bytes in kB, MB, GB or TB.

    Examples
    --------
    >>> bytes_of(0), bytes_of(1_234), bytes_of(1_560_000_000_000)
    ('0', '1.23 kB', '1.56 TB')
    """
    if not count:
        return "0"
    power = max(1, min(4, (len(str(count)) - 1) // 3))
    return f"{count / 1000**power:,.3g} {'kMGT'[power - 1]}B"
