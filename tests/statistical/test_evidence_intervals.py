"""Does the instrument find what is there, and nothing else? Fixed seeds, stated error rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy import stats

from wherefrom.evidence import Comparison, Key, Scores, differences
from wherefrom.evidence.frames import Frame
from wherefrom.evidence.intervals import Side, difference, half_width
from wherefrom.evidence.own import own

pytestmark = pytest.mark.slow

Floats = npt.NDArray[np.float64]
STUDIES = 2000
# Three standard errors of a proportion of 0.95 in 2000 studies: a right interval fails a test
# here with probability 0.0013.
SLACK = 3 * np.sqrt(0.95 * 0.05 / STUDIES)


def scores_of(
    rng: np.random.Generator,
    episodes: Floats,
    *,
    draws: int = 3,
    pretrains: int = 2,
    draw_sd: float = 0.006,
    run_sd: float = 0.006,
    taste_sd: float = 0.01,
    rest_sd: float = 0.01,
) -> Floats:
    """Simulate one composition: (draws, pretrains, seeds); `episodes` are shared by all."""
    seeds = len(episodes)
    return np.asarray(
        episodes
        + rng.normal(0, draw_sd, (draws, 1, 1))
        + rng.normal(0, run_sd, (draws, pretrains, 1))
        + rng.normal(0, taste_sd, seeds)
        + rng.normal(0, rest_sd, (draws, pretrains, seeds))
    )


def trained(rng: np.random.Generator, episodes: Floats, **sds: float) -> Side:
    return Side(scores_of(rng, episodes, **sds).mean(axis=1))


def untrained(rng: np.random.Generator, episodes: Floats) -> Side:
    # Without places there is no draw, hence no spread over draws.
    return Side(scores_of(rng, episodes, draws=1, pretrains=4, draw_sd=0)[0])


def baseline(rng: np.random.Generator, episodes: Floats) -> Side:
    return Side(scores_of(rng, episodes, draws=1, pretrains=1, draw_sd=0, run_sd=0)[0], fixed=True)


Maker = Callable[[np.random.Generator, Floats], Side]
DESIGNS: dict[str, tuple[Maker, Maker]] = {
    "two compositions": (trained, trained),
    "draws dominate": (
        lambda r, e: trained(r, e, draw_sd=0.015, taste_sd=0.002),
        lambda r, e: trained(r, e, draw_sd=0.015, taste_sd=0.002),
    ),
    "episodes dominate": (
        lambda r, e: trained(r, e, draw_sd=0.001, run_sd=0.001, taste_sd=0.02),
        lambda r, e: trained(r, e, draw_sd=0.001, run_sd=0.001, taste_sd=0.02),
    ),
    "spreads of 1 to 2": (trained, lambda r, e: trained(r, e, draw_sd=0.012, run_sd=0.012)),
    "against random weights": (trained, untrained),
    "against a baseline": (trained, baseline),
    "two draws": (lambda r, e: trained(r, e, draws=2), lambda r, e: trained(r, e, draws=2)),
}


@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_covers_the_truth_as_often_as_it_says(design: str) -> None:
    rng = np.random.default_rng(20260101)
    left, right = DESIGNS[design]
    parts = []
    for _ in range(STUDIES):
        episodes = rng.normal(0, 0.03, 50)
        parts.append(difference(left(rng, episodes), right(rng, episodes)))
    off = np.abs([part.estimate for part in parts])
    for level in (0.95, 0.99):
        covered = np.mean(off <= half_width(parts, level))
        assert level - SLACK <= covered, f"{design}: {covered:.3f} at {level}"
    # An interval that always covers would be of no use: it must stay near its level too.
    assert np.mean(off <= half_width(parts, 0.95)) <= 0.99


def test_an_interval_over_fine_tune_seeds_alone_would_not_cover() -> None:
    # The control: were the simulation too kind, this interval would pass as well.
    rng = np.random.default_rng(20260102)
    covered = 0
    for _ in range(STUDIES):
        episodes = rng.normal(0, 0.03, 50)
        paired = (scores_of(rng, episodes) - scores_of(rng, episodes))[0, 0]
        half = stats.t.ppf(0.975, 49) * paired.std(ddof=1) / np.sqrt(50)
        covered += abs(paired.mean()) <= half
    assert covered / STUDIES < 0.5


def study(
    rng: np.random.Generator,
    effects: dict[str, float],
    scale: float = 1.0,
    scatter: Mapping[str, float] = MappingProxyType({}),
    shape: tuple[int, int] = (6, 50),
) -> Scores:
    """Simulate the results of one study in one region, without baselines."""
    count, seeds = shape
    episodes = rng.normal(0.6, 0.03, seeds)
    blocks, values, sizes = [], [], []
    shared = rng.normal(0, 0.006 * scale, (count, 1, 1))
    for name, effect in effects.items():
        sds = {
            "draw_sd": 0.006 * scatter.get(name, 1.0),
            "run_sd": 0.006,
            "taste_sd": 0.01,
            "rest_sd": 0.01,
        }
        block = scores_of(
            rng,
            episodes,
            draws=count,
            pretrains=1,
            **{axis: sd * scale for axis, sd in sds.items()},
        )
        values.append((effect + shared + block).ravel())
        sizes.append(block.size)
        blocks.append(np.repeat(np.arange(count), seeds))
    rows = sum(sizes)
    words = {"model": "m", "task": "t", "region": "Africa", "head": "knn", "metric": "f1_macro"}
    return Scores(
        pa.table(
            {
                **{name: pa.repeat(word, rows) for name, word in words.items()},
                "block": np.concatenate(blocks),
                "composition": np.repeat(list(effects), sizes),
                "finetune_seed": np.tile(np.arange(seeds), rows // seeds),
                "n": np.full(rows, 100),
                "value": np.concatenate(values),
            }
        )
    )


NAMES = ["uniform", "none", "a", "b", "c", "d", "e"]
NULL = 250
# Three standard errors above a rate of 0.05 in NULL studies.
CEILING = 0.05 + 3 * np.sqrt(0.05 * 0.95 / NULL)


def compared(scores: Scores) -> Comparison:
    (view,) = scores.families()
    return Comparison(scores, view, ["uniform", "none"], pairs=[("a", "b"), ("c", "d")])


@pytest.mark.parametrize("scatter", [1.0, 4.0])
def test_a_page_without_any_effect_decides_something_in_at_most_five_of_a_hundred(
    scatter: float,
) -> None:
    rng = np.random.default_rng(20260103)
    decided = inside = 0
    for _ in range(NULL):
        found = compared(study(rng, dict.fromkeys(NAMES, 0.0), scatter={"a": scatter}))
        rows = [*found.rows, *found.contrasts([("a", "b"), ("c", "d")], ["Africa"])]
        words = {row.verdict for row in rows}
        decided += bool(words & {"better", "worse"}) or found.leaders[0].decided
        inside += all(row.low <= 0 <= row.high for row in rows)  # type: ignore[operator]
        # Interval and adjusted p-value say the same.
        for row in rows:
            assert (row.p_adjusted <= 0.05) == (row.low > 0 or row.high < 0)  # type: ignore[operator]
        # Without a positive control nothing is called equal.
        assert found.sensitive or words <= {"better", "worse", "undecided"}
    assert decided / NULL <= CEILING
    assert inside / NULL >= 1 - CEILING
    # A family that never errs would be of no use.
    assert decided > 0


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (6, 3)])
def test_a_page_of_few_fine_tune_seeds_decides_something_without_any_effect(
    shape: tuple[int, int],
) -> None:
    rng = np.random.default_rng(20261130)
    decided = 0
    for _ in range(NULL):
        found = compared(study(rng, dict.fromkeys(NAMES, 0.0), shape=shape))
        words = {row.verdict for row in found.rows}
        decided += bool(words & {"better", "worse"}) or found.leaders[0].decided
    assert decided / NULL <= CEILING


def test_a_planted_best_composition_is_found_and_nothing_else() -> None:
    rng = np.random.default_rng(20260105)
    studies = 80
    effects = dict.fromkeys(NAMES, 0.0) | {"c": 0.06}
    found = first = others = 0
    for _ in range(studies):
        one = compared(study(rng, effects))
        verdicts = {row.composition: row.verdict for row in one.rows if row.reference == "uniform"}
        found += verdicts.pop("c") == "better"
        others += "better" in verdicts.values()
        first += one.leaders[0].composition == "c" and one.leaders[0].decided
    assert found / studies >= 0.9
    assert first / studies >= 0.9
    assert others / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_a_difference_of_the_margin_is_called_equivalent_in_at_most_five_of_a_hundred() -> None:
    rng = np.random.default_rng(20260106)
    effects = {"uniform": 0.0, "a": 0.01, "none": -0.1}
    rows = [differences(study(rng, effects, scale=0.3), ["uniform"]) for _ in range(150)]
    words = [row.verdict for every in rows for row in every if row.composition == "a"]
    false = sum(word.startswith("equivalent") for word in words)
    assert false / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_equal_compositions_with_little_noise_are_called_equivalent() -> None:
    rng = np.random.default_rng(20260107)
    effects = {"uniform": 0.0, "a": 0.0, "b": 0.0, "none": -0.1}
    rows = [row for _ in range(40) for row in differences(study(rng, effects, 0.2), ["uniform"])]
    words = [row.verdict for row in rows if row.composition != "none"]
    assert np.mean([word == "equivalent within 0.01" for word in words]) >= 0.9
    # The same scores without a positive control are called nothing.
    del effects["none"]
    lone = differences(study(rng, effects, 0.2), ["uniform"])
    assert {row.verdict for row in lone} == {"undecided"}
    assert all("no positive control" in row.note for row in lone)


def test_own_variances_are_right_on_average_though_one_composition_scatters_more() -> None:
    rng = np.random.default_rng(20260108)
    spread = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 4.0])
    means = rng.normal(0, 1, (6, 6, 4000)) * spread[:, None, None]
    means += rng.normal(0, 3, (6, 4000))
    found = own(means)
    assert found.variance.mean(axis=1) == pytest.approx(spread**2, rel=0.1)
    # A pair of alike ones has nearly twice the degrees of freedom of a paired t test.
    pair = found.variance[0] + found.variance[1]
    assert 2 * pair.mean() ** 2 / pair.var() == pytest.approx(2 * 5, rel=0.25)


@pytest.mark.parametrize("references", [["uniform"], ["uniform", "none"]])
def test_equals_are_ranked_in_at_most_five_of_a_hundred_studies(references: list[str]) -> None:
    # One region, where the family of a report alone tells the leader from another in .08 to .12.
    rng, told = np.random.default_rng(20260111), 0
    for _ in range(NULL):
        scores = study(rng, dict.fromkeys(NAMES, 0.0))
        (view,) = scores.families()
        found = Comparison(scores, view, references).with_every_pair()
        told += any(one.row.verdict == "worse" for one in found.ranking("Africa"))
    assert 0 < told / NULL <= CEILING


def test_the_detectable_difference_is_found_in_eight_of_ten_studies() -> None:
    rng = np.random.default_rng(20260109)
    size = np.median([compared(study(rng, dict.fromkeys(NAMES, 0.0))).rows[0].detectable
                      for _ in range(30)])  # fmt: skip
    found = 0
    for _ in range(150):
        rows = compared(study(rng, dict.fromkeys(NAMES, 0.0) | {"a": float(size)})).rows
        found += any(
            row.verdict == "better"
            for row in rows
            if (row.composition, row.reference) == ("a", "uniform")
        )
    assert found / 150 == pytest.approx(0.8, abs=0.12)


def test_intervals_speak_of_other_test_places_only_where_these_are_a_sample() -> None:
    rng = np.random.default_rng(20260110)
    keys = [Key("m", name, "t", 100, "knn", "f1_macro") for name in NAMES[:4]]
    axes = (list(range(6)), list(range(20)))
    inside = {"given": 0, "sampled": 0}
    for _ in range(STUDIES // 2):
        values = rng.normal(0, 0.004, (4, 6, 1)) + rng.normal(0, 0.01, (4, 1, 20))
        influence = rng.normal(0, 0.005 * np.sqrt(500), (4, 500))
        values = values + rng.normal(0, 0.01, (4, 6, 20)) + influence.mean(axis=1)[:, None, None]
        for way, places in {"given": None, "sampled": (np.cov(influence) / 500, 499.0)}.items():
            frame = Frame(keys, values, np.empty((0, 20)), axes, places)
            parts = frame.contrasts(np.array([[1.0, -1.0, 0.0, 0.0]]))
            inside[way] += abs(parts[0].estimate) <= half_width(parts)[0]
    assert 0.95 - SLACK * np.sqrt(2) <= inside["sampled"] / (STUDIES // 2) <= 0.98
    # The control: were the places' part not needed here, the test would say nothing.
    assert inside["given"] / (STUDIES // 2) < 0.85
