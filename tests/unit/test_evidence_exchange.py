"""The exchange rate: what is read off a curve of differences, and how it is said."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from wherefrom.evidence import ALL_REGIONS, COLUMNS, UNDECIDED, View, gather
from wherefrom.evidence.exchange import (
    AT_LEAST,
    AT_MOST,
    FEWER,
    NEVER,
    WORTH,
    Exchange,
    ExchangeRow,
    exchange,
)
from wherefrom.evidence.sizes import tables_of
from wherefrom.report.context import ReportContext
from wherefrom.report.exchange import (
    exchange_figure,
    exchange_grid,
    exchange_statement,
    rate_text,
)

VIEW = View("m", "t", 100, "logistic", "f1_macro")
OWN, SIZES = 1000, (100, 1000, 10_000)
REGIONS = ("Africa", "Asia")
Curves = Mapping[str, tuple[float, ...]]


def table(
    curves: Curves,
    *,
    blocks: int = 4,
    noise: float = 0.002,
    budgets: tuple[str, ...] = ("samples",),
) -> pa.Table:
    """Make a table of the size axis; the reference is worth 0.5 at its own size."""
    rng = np.random.default_rng(7)
    rows = []
    for name, curve in ({"none": (0.3,)} | dict(curves)).items():
        for size, mean in zip((0,) if name == "none" else SIZES, curve, strict=False):
            for b in range(blocks):
                for region in REGIONS:
                    own = mean + noise * rng.normal()
                    for seed in range(20):
                        value = own + noise * rng.normal()
                        for budget in budgets:
                            rows.append(("m", name, b, "t", region, 100, "logistic", seed,
                                         "f1_macro", value, size, budget))  # fmt: skip
    return pa.table(dict(zip([*COLUMNS, "size", "budget"], map(list, zip(*rows, strict=True)),
                             strict=True)))  # fmt: skip


def found(curves: Curves, view: View = VIEW, **change: object) -> Exchange:
    made = table({"uniform": (0.4, 0.5, 0.6)} | dict(curves), **change)  # type: ignore[arg-type]
    if view != VIEW:
        at = made.column_names.index("metric")
        made = made.set_column(at, "metric", pa.array([view.metric] * len(made)))
    one = exchange(tables_of(made, view, "uniform", OWN), view, "uniform", OWN)
    assert one is not None
    return one


def rate(made: Exchange, name: str = "a", budget: str = "samples", region: str = "") -> ExchangeRow:
    row = made.rate(name, budget, region)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("curve", "verdict", "places"),
    [
        ((0.3, 0.4, 0.6), WORTH, 10**3.5),
        ((0.3, 0.31, 0.32), NEVER, None),
        ((0.6, 0.61, 0.62), FEWER, 100.0),
        ((0.3, 0.4, 0.499), AT_LEAST, None),
        ((0.4995, 0.6, 0.6), AT_MOST, None),
        ((0.5, 0.5, 0.5), UNDECIDED, None),
        # Enough is enough, whatever more of it does.
        ((0.6, 0.4, 0.3), FEWER, 100.0),
        ((0.3, 0.6, 0.3), WORTH, 10 ** (2 + 2 / 3)),
    ],
)
def test_a_rate_is_read_off_a_curve_that_does_not_say_it(
    curve: tuple[float, ...], verdict: str, places: float | None
) -> None:
    row = rate(found({"a": curve}))
    assert row.verdict == verdict
    if places is not None:
        assert row.places == pytest.approx(places, rel=0.05)
    for end in (row.low, row.high):
        assert end is None or SIZES[0] <= end <= SIZES[-1]
    assert (row.low is None) == (verdict not in (WORTH, AT_LEAST))
    assert (row.high is None) == (verdict not in (WORTH, AT_MOST))
    if verdict == WORTH:
        assert SIZES[0] < (row.low or 0) < (row.places or 0) < (row.high or 0)


def test_a_wider_interval_gives_a_narrower_rate() -> None:
    rates = [rate(found({"a": (0.3, 0.4, 0.6)}, noise=sd)) for sd in (0.001, 0.01)]
    (a, b), (c, d) = ((row.low, row.high) for row in rates)
    assert None not in (a, b, c, d)
    assert c < a < b < d  # type: ignore[operator]


def test_where_less_is_better_more_is_taken_for_better() -> None:
    view = VIEW._replace(metric="rmse")
    made = found({"a": (0.7, 0.6, 0.4), "b": (0.3, 0.4, 0.6), "uniform": (0.6, 0.5, 0.4)}, view)
    assert rate(made).verdict == WORTH
    assert rate(made).places == pytest.approx(10**3.5, rel=0.05)
    assert rate(made, "b").verdict == FEWER


def test_one_block_is_given_an_interval() -> None:
    row = rate(found({"a": (0.3, 0.4, 0.6)}, blocks=1))
    assert (row.verdict, row.low, row.high, row.note) == (UNDECIDED, None, None, "one block")
    assert row.places == pytest.approx(10**3.5, rel=0.1)


def test_the_own_size_counts_under_one_budget_alone() -> None:
    made = found({"a": (0.3, 0.4, 0.6)}, budgets=("samples", "epochs"))
    sizes = [(row.size, row.budget) for row in made.points
             if row.composition == "a" and row.region == ALL_REGIONS]  # fmt: skip
    assert sorted(sizes) == [
        (100, "epochs"), (100, "samples"), (1000, ""), (10_000, "epochs"), (10_000, "samples"),
    ]  # fmt: skip
    for budget in ("samples", "epochs"):
        assert [row.size for row in made.curve("a", budget)] == [100, 1000, 10_000]
        assert [row.size for row in made.curve("uniform", budget)] == [100, 1000, 10_000]
    assert {row.region for row in made.rates} == {ALL_REGIONS, *REGIONS}
    # Of `a` 5 points and of the reference 4: one family over all regions, one over both others.
    whole = {row.region: row.compared for row in made.points if row.composition == "a"}
    assert whole == {ALL_REGIONS: 9, "Africa": 18, "Asia": 18}


def test_what_lacks_the_reference_has_a_rate() -> None:
    made = table({"a": (0.3, 0.4, 0.6)})
    assert exchange(tables_of(made, VIEW, "uniform", OWN), VIEW, "uniform", OWN) is None
    alone = table({"uniform": (0.4, 0.5, 0.6)})
    assert exchange(tables_of(alone, VIEW, "uniform", OWN), VIEW, "uniform", OWN) is None
    assert tables_of(made.slice(0, 0), VIEW, "uniform", OWN) == {}


def test_words_say_more_than_the_interval() -> None:
    def said(curve: tuple[float, ...]) -> str:
        return rate_text(rate(found({"a": curve})))

    assert said((0.3, 0.31, 0.32)) == "never within 100 to 10,000"
    assert said((0.6, 0.61, 0.62)) == "fewer than 100"
    assert said((0.3, 0.4, 0.6)).startswith("3,100 (")
    assert " to " in said((0.3, 0.4, 0.6))
    assert said((0.3, 0.4, 0.499)).endswith("or more")
    assert said((0.4995, 0.6, 0.6)).endswith("or fewer)")
    assert said((0.5, 0.5, 0.5)).startswith("undecided")


def test_intervals_that_nobody_has_hold_at_once() -> None:
    results = table({"uniform": (0.4, 0.5, 0.6), "a": (0.3, 0.4, 0.6)}, blocks=1)
    own = results.filter(pa.array([s in (0, OWN) for s in results["size"].to_pylist()]))
    context = ReportContext("s", "debug", [VIEW[:2] + VIEW[3:]],
                            exchange={VIEW: found({"a": (0.3, 0.4, 0.6)}, blocks=1)})  # fmt: skip
    (headline,) = context.shown(gather(own))
    one = exchange_statement(headline, context)
    assert one is not None
    assert "Intervals hold" not in one.text
    assert one.text.endswith(
        "There are no intervals: one block. Sizes were from 100 to 10,000; beyond, nothing was run."
    )


def test_the_range_is_that_of_a_composition_whose_largest_size_is_left_out() -> None:
    curves = {"a": (0.3, 0.4), "b": (0.3, 0.31, 0.32)}
    results = table({"uniform": (0.4, 0.5, 0.6)} | curves)
    own = results.filter(pa.array([s in (0, OWN) for s in results["size"].to_pylist()]))
    context = ReportContext("s", "debug", [VIEW[:2] + VIEW[3:]], exchange={VIEW: found(curves)})
    (headline,) = context.shown(gather(own))
    one = exchange_statement(headline, context)
    assert one is not None
    assert "a: never within 100 to 1,000; b: never within 100 to 10,000" in one.text
    assert "at every number of places from 100 to 10,000; beyond" in one.text


def test_the_page_says_what_the_figure_does_not_show() -> None:
    curves = {"a": (0.3, 0.4, 0.6), "b": (0.3, 0.31, 0.32)}
    both = ("samples", "epochs")
    made = found(curves, budgets=both)
    results = table({"uniform": (0.4, 0.5, 0.6)} | curves, budgets=both)
    keep = [s in (0, OWN) and b == "samples" for s, b in zip(
        results["size"].to_pylist(), results["budget"].to_pylist(), strict=True)]  # fmt: skip
    evidence = gather(results.filter(pa.array(keep)))
    context = ReportContext("s", "debug", [VIEW[:2] + VIEW[3:]], exchange={VIEW: made})
    (headline,) = context.shown(evidence)
    one = exchange_statement(headline, context)
    assert one is not None
    assert one.kind == "decided"
    assert one.text.startswith(
        "m on t, logistic head, n = 100: places that score in macro F1 as 1,000 of uniform do, "
        "over 2 regions: at equal samples seen, a: "
    )
    assert "b: never within 100 to 10,000. At equal epochs, a: 3,100 (" in one.text
    assert "uniform itself, minus its 1,000: at equal samples seen −0." in one.text
    linked = {one.text[link.start : link.stop]: link.rows for link in one.links}
    assert dict(linked["b: never within 100 to 10,000"].where)["composition"] == "b"
    assert {rows.file for rows in linked.values()} == {"exchange", "sizes"}
    few = ReportContext("s", "debug", context.headlines,
                        exchange={VIEW: found({"a": (0.5, 0.5, 0.5)}, noise=0.1)})  # fmt: skip
    one = exchange_statement(headline, few)
    assert one is not None
    assert one.kind == "undecided"
    grid = exchange_grid(headline, context)
    assert grid is not None
    assert grid.columns == [ALL_REGIONS, *REGIONS]
    assert [line.label for line in grid.lines][:2] == [
        "a, equal samples seen", "b, equal samples seen",
    ]  # fmt: skip
    assert grid.lines[1].cells[0].whole == "never within 100 to 10,000"
    drawing = exchange_figure(headline, context)
    assert drawing is not None
    axes = drawing.figure.axes
    assert [ax.get_title(loc="left") for ax in axes] == ["equal samples seen", "equal epochs"]
    # Two dashed lines across, and a line for each composition with its band.
    assert all(len(ax.lines) == 5 and len(ax.collections) == 3 for ax in axes)
    assert exchange_figure(headline, ReportContext("s", "debug", context.headlines)) is None
