"""Convergence points: no n too early, none too late, and an answer where there is none."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wherefrom.evidence import COLUMNS, Evidence, Headline
from wherefrom.evidence.convergence import (
    BEYOND,
    CONVERGED,
    EVERY,
    FIRST,
    UNKNOWN,
    ConvergenceRow,
    change_of,
    convergence,
    point_of,
)
from wherefrom.evidence.intervals import Parts
from wherefrom.report import ReportContext, evidence_of, write
from wherefrom.report.convergence import put
from wherefrom.report.published import claimed
from wherefrom.study.published import Claim

SIZES = (100, 300, 1000, 3000)
SEEDS = (10, 10, 5, 2)


def changes(
    rng: np.random.Generator, true: np.ndarray, blocks: int, scatter: float = 0.02
) -> list[list[Parts]]:
    """Make up the changes of K compositions to the last of M + 1 values of n, `true` (K, M + 1).

    Half of what a block does to a composition is the same at every n; with most labels every
    episode has all places.
    """
    count, steps = true.shape
    common = rng.normal(0, 0.003, (count + 1, blocks, 1))
    tables = []
    for m, seeds in enumerate(SEEDS):
        noise = scatter * 0.7**m * (m < steps - 1)
        own = common + rng.normal(0, 0.003, (count + 1, blocks, 1))
        episode = rng.normal(0, noise, (count + 1, 1, seeds))
        values = own + episode / 2 + rng.normal(0, noise / 2, (count + 1, blocks, seeds))
        tables.append(values[1:] - values[0] + true[:, m, None, None])
    return [[change_of(table[k], tables[-1][k]) for table in tables[:-1]] for k in range(count)]


@pytest.mark.parametrize(
    ("true", "point"),
    [
        # At the margin, where the change is still there: claimed too early in at most 5 of 100.
        ([[0.01, 0.01, 0.0, 0.0]], 2),
        ([[0.01, 0.01, 0.0, 0.0], [0.0] * 4], 2),
        # Just within it, everywhere: claimed to be later in at most 5 of 100.
        ([[0.0099, 0.0099, 0.0099, 0.0]], 0),
        ([[0.0099, 0.0099, 0.0099, 0.0]] * 2, 0),
    ],
)
def test_a_point_is_claimed_that_is_none(true: list[list[float]], point: int) -> None:
    # 300 studies: with a rate of .05, more than 26 are seen in 1 of 1,000 runs.
    rng = np.random.default_rng(3)
    found = [point_of(changes(rng, np.array(true), 5), 0.01) for _ in range(300)]
    assert sum(one.shown < point for one in found) <= 26
    assert sum(one.earliest > point for one in found) <= 26


def test_many_blocks_do_not_find_a_planted_point() -> None:
    # Power, of 40 studies of 30 blocks; and each end rests on the sign of no change. A control: of
    # episodes that scatter four times as much, few find it.
    rng = np.random.default_rng(4)
    true = np.array([[0.05, 0.02, 0.0, 0.0], [-0.05, -0.02, 0.0, 0.0]])
    few, many = (
        sum(point_of(changes(rng, true, 30, scatter), 0.01) == (2, 2) for _ in range(40))
        for scatter in (0.02, 0.005)
    )
    assert many >= 38
    assert few <= 25


def test_a_difference_that_comes_back_is_converged_before() -> None:
    def change(value: float) -> Parts:
        return Parts(value, 1e-8, 5.0, 1e-8, 9.0)

    assert point_of([[change(0.0), change(0.05), change(0.0)]], 0.01) == (2, 2)
    assert point_of([[change(0.0), change(0.0), change(0.05)]], 0.01) == (3, 3)


def table(
    curves: dict[str, list[float]], blocks: int = 6, seeds: int = 8, scatter: float = 1
) -> pa.Table:
    """Make up the scores of a sweep of two tasks; the second has no differences at all."""
    rng = np.random.default_rng(1)
    rows = []
    for task in ("zones", "crops"):
        for m, n in enumerate(SIZES):
            episodes = rng.normal(0.5 + 0.05 * m, 0.01, seeds)
            for name, effects in curves.items():
                for block in range(blocks):
                    effect = effects[m] if task == "zones" else 0.0
                    values = (
                        episodes
                        + effect
                        + scatter * (rng.normal(0, 1e-3) + rng.normal(0, 1e-3, seeds))
                    )
                    about = ("gfm", name, block, task, "land", n, "knn")
                    rows += [(*about, s, "f1_macro", v) for s, v in enumerate(values.tolist())]
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


CURVES = {
    "none": [-0.2, -0.1, -0.05, -0.02],
    "uniform": [0.0, 0.0, 0.0, 0.0],
    "cities": [-0.08, -0.04, -0.021, -0.02],
    "forest": [-0.03, -0.03, -0.03, -0.03],
}
CONTEXT = ReportContext(
    "made up", "debug", [("gfm", "zones", "knn", "f1_macro")], compositions=CURVES,
    sweep_region="land", classes={"zones": {"land": (31, 2.5)}, "crops": {"land": (2, 0.3)}},
    claims=[Claim(source="A paper", says="differences shrink", test="convergence")],
)  # fmt: skip


def evidence(**change: float) -> Evidence:
    return evidence_of(table(CURVES, **change), CONTEXT)  # type: ignore[arg-type]


def about(found: Evidence, task: str = "zones") -> Headline:
    return next(one for view, one in found.headlines.items() if (view.task, view.n) == (task, 300))


def points(found: Evidence, task: str = "zones") -> dict[str, ConvergenceRow]:
    return {row.composition: row for row in convergence(about(found, task))[0]}


def test_compositions_converge_elsewhere_than_planted() -> None:
    found = points(evidence())
    assert list(found) == [EVERY, "none", "cities", "forest"]
    assert {name: (row.word, row.point, row.earliest) for name, row in found.items()} == {
        EVERY: (CONVERGED, 1000, 1000),
        "none": (BEYOND, None, 3000),
        "cities": (CONVERGED, 1000, 1000),
        "forest": (FIRST, 100, 100),
    }
    assert {row.word for row in points(evidence(), "crops").values()} == {FIRST}
    assert put(found["none"]).startswith(f"{BEYOND}: at n = 1,000 the change still exceeds 0.01")
    _, steps = convergence(about(evidence()))
    step = next(one for one in steps if (one.composition, one.n) == ("cities", 300))
    assert step.low is not None
    assert step.high is not None
    assert step.low < -0.02 < step.high
    assert abs(step.difference + 0.04) < 0.005
    assert (step.blocks, step.finetune_seeds) == (6, 8)


@pytest.mark.parametrize(
    ("change", "why"), [({"blocks": 1}, "one block"), ({"seeds": 1}, "one fine-tune seed")]
)
def test_one_block_or_seed_decides_a_point(change: dict[str, int], why: str) -> None:
    for row in points(evidence(**change)).values():
        assert (row.word, row.point, row.note) == (UNKNOWN, None, f"no interval: {why}")
        assert put(row) == f"cannot be decided (no interval: {why})"


def test_too_few_blocks_are_not_said_to_be_too_few() -> None:
    row = points(evidence(blocks=2, scatter=4.0))[EVERY]
    assert row.word == UNKNOWN
    assert "cannot be decided with these 2 blocks (half-width 0.0" in put(row)
    assert "at n = 1,000, margin 0.01)" in put(row)


def test_the_page_lacks_points_or_says_others_than_the_tables(tmp_path: Path) -> None:
    found = evidence()
    page = write(found, CONTEXT, tmp_path).read_text()
    assert "Convergence point against classes and entropy: gfm, knn head" in page
    assert "Differences against the number of labels, task by task: gfm, knn head" in page
    assert "land: where all pre-trained compositions differ from uniform" in page
    assert "zones (31 classes): from n = 1,000 (not below;" in page
    assert "crops (2 classes): from the first n, n = 100" in page
    with (tmp_path / "tables" / "convergence.csv").open() as file:
        rows = {(row["task"], row["composition"]): row for row in csv.DictReader(file)}
    assert rows["zones", EVERY]["point"] == "1000"
    assert rows["zones", EVERY]["entropy"] == "2.5"
    assert rows["zones", "none"]["point"] == ""
    assert [task for task, _ in rows] == ["crops"] * 4 + ["zones"] * 4  # fewest classes first
    known = json.loads((tmp_path / "tables" / "report.json").read_text())
    assert len(known["convergence_steps"]) == 2 * 3 * len(SIZES)
    # The claim of a sweep says the same point.
    made = claimed(CONTEXT.claims[0], [about(found)], CONTEXT)
    assert f"; {EVERY}: from n = 1,000 (not below;" in made[0].text
