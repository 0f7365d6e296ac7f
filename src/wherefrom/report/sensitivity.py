"""How sensitive each model is to the composition: table, sentences and figure."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from wherefrom.evidence import (
    ALL_REGIONS,
    FAILS,
    HOLDS,
    INITIAL,
    OPEN,
    Headline,
    SensitivityRow,
    above,
    compare,
    rank_correlation,
)
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.rows import Rows, links, rows_in, rows_of
from wherefrom.report.style import (
    INK,
    Drawing,
    dot,
    estimate,
    looks_of,
    number,
    panels,
    plain,
    score_title,
    share_axis,
    turned,
)
from wherefrom.report.tables import Cell, Grid, Line
from wherefrom.shown import brief

__all__ = [
    "agreement",
    "beside_grid",
    "comparison",
    "sensitivity_figure",
    "sensitivity_grid",
    "sensitivity_of",
    "told",
    "two_models",
]

#: Grey of the spread, and of what its interval adds.
SPREAD, UPPER = "#b9c0c7", "#e6e9ec"
#: Marker and colour of the models in the panel that compares their spreads.
_MODELS = (("o", "#222222"), ("s", "#0072b2"), ("D", "#d55e00"), ("^", "#009e73"))


def sensitivity_grid(headline: Headline) -> Grid | None:
    """Make the table of one headline's sensitivity by region; None without two compositions."""
    rows = [row for region in headline.regions if (row := headline.spread(region))]
    if not rows:
        return None
    cells = {
        name: [_told(headline, row)[name] for row in rows] for name in _told(headline, rows[0])
    }
    notes = dict.fromkeys(row.note for row in rows if row.note)
    caption = (
        f"{score_title(headline)}, {headline.title}: spread over "
        f"{rows[-1].compositions} compositions [95 % interval]"
        + "".join(f"; {note}" for note in notes)
    )
    lines = [Line(name, "composition", line) for name, line in cells.items()]
    known = rows_in("sensitivity", headline.view)
    return Grid(caption, [row.region for row in rows], lines, known)


def _told(headline: Headline, row: SensitivityRow) -> dict[str, Cell]:
    """Write a row of the sensitivity, each number under its name."""
    made = {
        "spread of the true effects": _cell(row.spread, row.low, row.high, 4),
        "spread of the observed means": _cell(row.observed, digits=4),
        "range of the observed means": _cell(row.range),
        "lowest": Cell(headline.called(row.lowest)),
        "highest": Cell(headline.called(row.highest)),
        "gain over zero pre-training": _cell(row.gain, row.gain_low, row.gain_high),
        "spread as a share of the gain": _cell(row.share, row.share_low, row.share_high, 2),
    }
    return {name: replace(cell, rows=rows_of(row)) for name, cell in made.items()}


def beside_grid(headlines: Sequence[Headline]) -> Grid | None:
    """Set the sensitivity of models side by side, a row each; None without two that have some."""
    rows = [(one, row) for one in _first(headlines) if (row := one.spread()) is not None]
    if len(rows) < 2:
        return None
    first = rows[0][0]
    lines = []
    for one, row in rows:
        ranked = None if one is first else _ranks(first, one)
        told = _told(one, row)
        del told["spread of the observed means"]
        last = Cell(number(None)) if ranked is None else _cell(ranked[0], digits=2)
        lines.append(Line(one.short, "composition", [*told.values(), last]))
        columns = [*told, f"rank correlation with {first.view.model}"]
    titles = " or ".join(dict.fromkeys(score_title(one) for one, _ in rows))
    caption = (
        f"{titles}, models side by side, n = {first.view.n}, all regions [95 % interval]; points "
        "of different tasks have no common scale; the rank correlation (Spearman) is of the "
        "compositions' means"
    )
    return Grid(caption, columns, lines, Rows("sensitivity"))


def _first(headlines: Sequence[Headline]) -> list[Headline]:
    """Return the first headline of each model."""
    return list({one.view.model: one for one in reversed(headlines)}.values())[::-1]


def _ranks(one: Headline, other: Headline) -> tuple[float, float, str, int] | None:
    """Correlate the means of the compositions that two models share; None of fewer than three."""
    a, b = one.means(), other.means()
    names = [name for name in a if name in b and name != INITIAL]
    if len(names) < 3:
        return None
    return *rank_correlation([a[name] for name in names], [b[name] for name in names]), len(names)


def agreement(headlines: Sequence[Headline], told: Collection[frozenset[str]]) -> list[Statement]:
    """Say, of three models and more, whether every two order the compositions alike.

    And which is the more sensitive, but for pairs of models that are `told` elsewhere.
    """
    models = _first(headlines)
    if len(models) < 3:
        return []
    statements = []
    for one, other in itertools.combinations(models, 2):
        if {one.view.model, other.view.model} not in told:
            statements += comparison(one, other)[:1]
        if (ranked := _ranks(one, other)) is None:
            continue
        correlation, p, word, count = ranked
        verb = {HOLDS: "order", FAILS: "do not order"}.get(word, "are not shown to order")
        text = (
            f"{one.view.model} and {other.view.model} {verb} {count} compositions alike by their "
            f"means: Spearman's correlation {correlation:.2f}, one-sided p = {p:.2g}."
        )
        kind = "undecided" if word == OPEN else "decided"
        statements.append(Statement(kind, text, links=links(text, rest=Rows("summary"))))
    return statements


def sensitivity_of(headline: Headline) -> Statement | None:
    """Say how far a headline's scores depend on the composition; None without two of them."""
    region, row = headline.region, headline.spread()
    if row is None:
        return None
    where = f"over {len(headline.parts)} regions" if region == ALL_REGIONS else region
    text = f"Sensitivity of {headline.title} ({where}): "
    ends = f"from {row.lowest} to {row.highest} the observed means range over {number(row.range)}"
    if row.spread is None:
        text += f"no spread, for {row.note}; {ends}."
        return Statement("undecided", text, links=links(text, rest=rows_of(row)))
    text += (
        f"the true scores of {row.compositions} compositions have a standard deviation of "
        f"{estimate(row.spread, row.low, row.high, digits=4)}; {ends}."
    )
    if row.gain is not None:
        text += (
            " Their mean gain over zero pre-training is "
            f"{estimate(row.gain, row.gain_low, row.gain_high, sign=True)}; "
        )
        text += (
            f"the spread is {estimate(row.share, row.share_low, row.share_high, digits=2)} times "
            "that."
            if row.share is not None
            else "it is not shown to be above zero, so the spread is not set against it."
        )
    kind = "decided" if (row.low or 0) > 0 else "undecided"
    return Statement(kind, text, links=links(text, rest=rows_of(row)))


def two_models(headlines: Sequence[Headline], *models: str) -> tuple[Headline, Headline] | None:
    """Return the first headlines of two models, by default of the first two; None if one lacks."""
    first = {one.view.model: one for one in reversed(headlines)}
    names = models or tuple(dict.fromkeys(one.view.model for one in headlines))
    pair = [first[name] for name in names if name in first][:2]
    return (pair[0], pair[1]) if len(pair) == 2 else None


def comparison(first: Headline, second: Headline, source: str = "") -> list[Statement]:
    """Say whether the first of two models is the more sensitive, on the whole and by region.

    The words are "holds", "does not hold" and "is undecided". In points a difference below the
    margin of equivalence is of no matter. `source` states that it is.
    """
    a, b = first.spread(), second.spread()
    if a is None or b is None:
        return []
    row, margin = compare(a, b), first.margin
    one, other = first.view, second.view
    title = score_title(first)
    plain, share = above(row.low, row.high, margin), above(row.share_low, row.share_high)
    subject = f"that {one.model} is more sensitive to the composition than {other.model}"
    text = f"{source} states {subject}. Here this " if source else f"The statement {subject} "
    text += f"{plain} in points of {title}: "
    if row.difference is None:
        lone = [f"{x.model} has no spread ({x.note})" for x in (a, b) if x.spread is None]
        text += f"{' and '.join(lone)}. "
    else:
        text += (
            f"{number(a.spread, 4)} against {number(b.spread, 4)}, difference "
            f"{estimate(row.difference, row.low, row.high, sign=True, digits=4)}. "
        )
    text += f"As a share of each model's own gain over zero pre-training it {share}: "
    if row.share_difference is None:
        flat = [x.model for x in (a, b) if x.spread is not None and x.share is None]
        why = [f"the gain of {' and of '.join(flat)} is not shown to be above zero"] * bool(flat)
        why += ["one has no spread"] * (row.difference is None)
        text += f"{', and '.join(why)}. "
    else:
        ends = estimate(row.share_difference, row.share_low, row.share_high, sign=True, digits=2)
        text += f"{number(a.share, 2)} against {number(b.share, 2)}, difference {ends}. "
    if one.task != other.task:
        text += (
            f"Points on {one.task} and on {other.task} have no common scale; the share is free of "
            "the scale, not of the task."
        )
    kind = "undecided" if OPEN in (plain, share) or plain != share else "decided"
    brief = f"{source or 'The statement'}: {subject}: {plain} in points of {title}, "
    brief += f"{share} as a share of each one's gain over zero pre-training."
    text = text.strip()
    pieces = [(number(x.spread, 4), rows_of(x)) for x in (a, b)]
    pieces += [(number(x.share, 2), rows_of(x)) for x in (a, b) if x.share is not None]
    linked = links(text, pieces, rows_of(row), start=len(source))
    statements = [Statement(kind, text, brief, linked)]
    words: dict[str, list[str]] = {}
    for region in first.parts:
        a, b = first.spread(region), second.spread(region)
        if a is not None and b is not None:
            row = compare(a, b)
            words.setdefault(above(row.low, row.high, margin), []).append(region)
    if sum(map(len, words.values())) > 1:
        text = f"By region, that {one.model} is more sensitive than {other.model} "
        text += f"in points of {title} "
        text += "; ".join(
            f"{word} in {', '.join(words[word])}" for word in (HOLDS, FAILS, OPEN) if word in words
        )
        statements.append(Statement("limit", f"{text} (not corrected for the number of regions)."))
    return statements


def _cell(
    value: float | None, low: float | None = None, high: float | None = None, digits: int = 3
) -> Cell:
    detail = "" if low is None else f"[{number(low, digits)}, {number(high, digits)}]"
    return Cell(number(value, digits), value, detail=detail)


def sensitivity_figure(headlines: Sequence[Headline]) -> Drawing | None:
    """Draw every composition's effect, model by model on one axis, in each region.

    None if no headline has a spread.
    """
    shown = [one for one in headlines if any(_spread(one, region) for region in one.regions)]
    if not shown:
        return None
    regions = list(dict.fromkeys(region for one in shown for region in one.regions))
    regions.sort(key=lambda region: region == ALL_REGIONS)
    height = sum(len(_pretrained(one)) + 1 for one in shown)
    figure, axes = panels(len(regions) + 1, height)
    for ax, region in zip(axes, regions, strict=False):
        _effects(ax, shown, region)
        ax.set_title(brief(region), fontsize=10, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(4))
    titles = " or ".join(dict.fromkeys(score_title(one) + turned(one) for one in shown))
    label = f"{titles}: composition minus the mean of its model's compositions"
    share_axis(axes, len(regions), label)
    # The last has rows of its own: it must not share the compositions' axis.
    place = axes[len(regions)].get_subplotspec()
    assert place is not None
    axes[len(regions)].remove()
    _spreads(figure.add_subplot(place), shown, regions)
    handles: list[Artist] = [
        Patch(color=SPREAD, label="± spread, noise taken off"),
        Patch(color=UPPER, label="to the upper end of its 95 % interval"),
    ]
    handles += [
        Line2D(
            [], [], marker=marker, color=colour, ls="-", label=f"{brief(one.view.model)}: spread"
        )
        for one, (marker, colour) in zip(shown, itertools.cycle(_MODELS))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    caption = (
        f"{'; '.join(f'{one.short}, {one.view.head} head' for one in shown)}; "
        f"n = {shown[0].view.n}. Dots: mean score of a composition minus the mean over the "
        "compositions of the same model and region, zero pre-training left out; lines: 95 % "
        f"interval over {shown[0].covers}; hollow: single block. Grey: the "
        "standard deviation of the true effects. Last panel: that spread with its 95 % interval. "
        "The axis is in points of the score; points of different tasks have no common scale."
    )
    return Drawing("sensitivity", figure, "Sensitivity of each model to the composition", caption)


def _spread(headline: Headline, region: str) -> SensitivityRow | None:
    row = headline.spread(region)
    return row if row is not None and row.spread is not None else None


def _pretrained(headline: Headline) -> list[str]:
    return [name for name in headline.compositions if name != INITIAL]


def _effects(ax: Axes, headlines: list[Headline], region: str) -> None:
    labels, ticks, y = [], [], 0
    ax.axvline(0, color=INK, lw=0.8, zorder=1)
    for headline in headlines:
        names, look = _pretrained(headline), looks_of(headline)
        row = _spread(headline, region)
        if row is not None:
            for end, colour in ((row.high, UPPER), (row.spread, SPREAD)):
                assert end is not None
                ax.fill_between([-end, end], y + 0.5, y + len(names) + 0.5, color=colour, lw=0)
        labels.append(brief(headline.view.model))
        ticks.append(y)
        for i, name in enumerate(names, start=y + 1):
            labels.append(brief(headline.called(name)))
            ticks.append(i)
            effect = headline.deviation(name, region)
            if effect is None:
                continue
            dot(ax, effect.deviation, i, look[name], effect, filled=effect.low is not None)
        y += len(names) + 1
    ax.set_yticks(ticks, labels, fontsize=9)
    models = {brief(headline.view.model) for headline in headlines}
    for text in ax.get_yticklabels():
        if text.get_text() in models:
            text.set_fontweight("bold")
    ax.set_ylim(y - 0.3, -0.7)
    plain(ax)


def _spreads(ax: Axes, headlines: list[Headline], regions: list[str]) -> None:
    step = 0.7 / max(1, len(headlines))
    for i, headline in enumerate(headlines):
        marker, colour = _MODELS[i % len(_MODELS)]
        for y, region in enumerate(regions):
            row = _spread(headline, region)
            if row is None or row.low is None or row.high is None or row.spread is None:
                continue
            at = y + (i - (len(headlines) - 1) / 2) * step
            ax.plot([row.low, row.high], [at, at], color=colour, lw=2, alpha=0.6)
            ax.plot([row.spread], [at], marker=marker, color=colour, ms=5.5, ls="")
    ax.set_yticks(range(len(regions)), list(map(brief, regions)), fontsize=9)
    ax.set_ylim(len(regions) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.tick_right()
    ax.set_title("Spread [95 % interval]", fontsize=10, loc="left")
    plain(ax)


def told(headlines: Sequence[Headline], context: ReportContext) -> list[tuple[str, ...]]:
    """Return the pairs of models that are compared by claims, or else the first two."""
    claims = [claim.models for claim in context.claims if claim.test == "sensitivity"]
    pair = two_models(headlines)
    return claims or ([(pair[0].view.model, pair[1].view.model)] if pair else [])
