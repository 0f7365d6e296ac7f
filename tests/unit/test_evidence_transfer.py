"""The transfer matrix: planted home advantage found, good compositions and easy regions not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from wherefrom.compose import sampler
from wherefrom.evidence import (
    ALL_REGIONS,
    BETTER,
    COLUMNS,
    UNDECIDED,
    WORSE,
    Headline,
    Transfer,
    gather,
    transfer,
)

NAMES = ("Africa", "Asia", "Europe")
ORIGINS = {f"from-{name}": ("continent", name) for name in NAMES}


def headline(
    home: float, seed: int = 0, metric: str = "f1_macro", blocks: int = 5, noise: float = 0.01
) -> Headline:
    """Plant scores: compositions and regions of their own level, and a gain at home."""
    rng = np.random.default_rng(seed)
    rows = []
    for c, composition in enumerate((*ORIGINS, "uniform")):
        for block in range(blocks):
            drawn = rng.normal(0, noise)
            for r, region in enumerate(NAMES):
                run = drawn + rng.normal(0, noise)
                for episode in range(6):
                    value = 0.4 + 0.05 * c + 0.1 * r + home * (c == r) + run
                    value += 0.03 * np.sin(3 * r + episode) + rng.normal(0, noise)
                    axes = ("gfm", composition, block, "task", region, 100, "knn", episode, metric)
                    rows.append((*axes, float(value)))
    table = pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
    (one,) = gather(table).headlines.values()
    return one


def made(*args: float, **known: object) -> Transfer:
    found = transfer(headline(*args, **known), ORIGINS, "continent")  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_planted_home_advantage_goes_unseen_or_is_of_another_size() -> None:
    found = made(0.06, seed=1)
    assert found.overall is not None
    assert found.overall.verdict == BETTER
    assert found.overall.low is not None
    assert found.overall.high is not None
    assert found.overall.low < 0.06 < found.overall.high
    assert found.overall.gain == pytest.approx(0.06, abs=0.02)
    assert [one.region for one in found.home] == [*NAMES, ALL_REGIONS]


def test_a_good_composition_or_an_easy_region_is_taken_for_home_advantage() -> None:
    """Without any, 120 studies: false claims on the whole at 5 %, plus three standard errors."""
    claims = 0
    for seed in range(120):
        whole = made(0.0, seed=seed, blocks=4).overall
        assert whole is not None
        claims += whole.verdict != UNDECIDED
    assert claims <= 13


def test_exact_scores_are_rearranged() -> None:
    found = made(0.06, noise=0.0, blocks=2)
    assert found.overall is not None
    assert found.overall.gain == pytest.approx(0.06)
    asia = found.cell("from-Asia", "Asia")
    assert asia is not None
    assert asia.home
    # Asia's own level is that of the mean of the others here: what is left is the gain at home.
    assert asia.difference == pytest.approx(0.06)
    africa = found.cell("from-Africa", "Asia")
    assert africa is not None
    assert not africa.home
    assert africa.difference == pytest.approx(0.05 * (0 - 1.5) - 0.06 / 2)
    assert {cell.composition for cell in found.cells} == set(ORIGINS)  # uniform is of no label


def test_where_lower_is_better_a_loss_at_home_is_called_a_gain() -> None:
    found = made(0.06, metric="rmse")
    assert found.overall is not None
    assert found.overall.verdict == WORSE
    assert found.overall.gain == pytest.approx(-0.06, abs=0.02)


def test_one_block_gets_an_interval() -> None:
    found = made(0.06, blocks=1)
    assert found.overall is not None
    assert found.overall.low is None
    assert found.overall.verdict == UNDECIDED
    assert found.overall.note


def test_a_label_of_another_layer_is_at_home_in_a_region_of_that_name() -> None:
    found = transfer(headline(0.06), ORIGINS, "biome")
    assert found is not None
    assert found.home == ()
    assert not any(cell.home for cell in found.cells)


def test_one_composition_makes_a_matrix() -> None:
    assert transfer(headline(0.06), {"from-Asia": ("continent", "Asia")}, "continent") is None
    # Names are never read: only what is declared counts.
    assert transfer(headline(0.06), {}, "continent") is None


def test_blocks_that_one_composition_lacks_are_invented() -> None:
    one = headline(0.06)
    cells = one.evidence.scores.cells[one.view.key("from-Asia")]
    cells.values[3:] = np.nan
    found = transfer(one, ORIGINS, "continent")
    assert found is not None
    assert found.overall is not None
    assert found.overall.blocks == 3


def test_the_label_of_a_draw_is_guessed_from_its_name() -> None:
    assert sampler("only:layer=continent,label=Asia").origin == ("continent", "Asia")
    assert sampler("uniform").origin is None
    control = "entropy-matched:layer=continent,label=Asia,other=Europe"
    assert sampler(control).origin is None  # of Asia, but matched to another place
