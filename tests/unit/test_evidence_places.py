"""Test places as a sample: which units are drawn, and what they make of the mean scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_predictions import made_task, save, tells
from wherefrom.errors import WherefromError
from wherefrom.evidence import ALL_REGIONS
from wherefrom.evidence.influence import measured
from wherefrom.evidence.places import (
    Places,
    Sample,
    covariance,
    population,
    sampled,
    trained_on,
    units_of,
)
from wherefrom.evidence.scores import Key

T = 300
RNG = np.random.default_rng(5)
LON, LAT = RNG.uniform(0, 40, T), RNG.uniform(-20, 20, T)
LABEL = RNG.integers(0, 3, T)
REGION = (np.arange(T) >= 100).astype(np.int16)
TASK = made_task(LON, LAT, LABEL, REGION)
TOLD = {
    ("m", name, run): tells(LABEL, rate, 3, RNG)
    for name, rate in (("uniform", 0.7), ("none", 0.5), ("", 0.4))
    for run in range(1 if name == "" else 2)
}


def key(composition: str, metric: str = "f1_macro") -> Key:
    return Key("m", composition, "demo", 20, "knn", metric)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return sampled(save(tmp_path_factory.mktemp("saved"), TASK, TOLD))


def of_row(composition: str, region: int, metric: str = "f1_macro") -> Any:
    """Measure a row by hand: the mean influence over its runs."""
    at = np.flatnonzero(region == REGION)
    runs = [told for (_, name, _), told in TOLD.items() if name == composition]
    return np.mean([measured(told[:, at], LABEL[at])[metric].influence for told in runs], axis=0)


def test_runs_and_seeds_are_not_averaged_before_places_are_squared(places: Places) -> None:
    found = places.covariance([key("uniform"), key("none"), key("")], "region 1")
    assert found is not None
    rows = np.stack([of_row(name, 1) for name in ("uniform", "none", "")])
    np.testing.assert_allclose(found[0], rows @ rows.T * 200 / 199, rtol=1e-12)
    assert found[1] == pytest.approx(199)
    assert found[0].dtype == np.float64


def test_the_macro_average_takes_regions_of_other_places_for_the_same(places: Places) -> None:
    keys = [key("uniform", "accuracy"), key("none", "accuracy")]
    own = [places.covariance(keys, f"region {i}") for i in (0, 1)]
    whole = places.covariance(keys, ALL_REGIONS)
    assert whole is not None
    assert own[0] is not None
    assert own[1] is not None
    np.testing.assert_allclose(whole[0], (own[0][0] + own[1][0]) / 4, rtol=1e-12)
    # Satterthwaite: the smaller region has most of the variance.
    assert 99 < whole[1] < 298
    one = places.covariance(keys, ALL_REGIONS, among=["region 1"])
    assert one is not None
    np.testing.assert_allclose(one[0], own[1][0])


def test_a_place_in_two_regions_or_rows_counts_as_two_places() -> None:
    influence = np.array([[0.3, -0.1, -0.2]])
    apart = covariance([Sample(influence, np.arange(3)), Sample(influence, np.arange(3) + 3)])
    shared = covariance([Sample(influence, np.arange(3)), Sample(influence, np.arange(3))])
    assert apart is not None
    assert shared is not None
    np.testing.assert_allclose(shared[0], 2 * apart[0])
    task = made_task(np.array([5.0, 5.0, 5.00001, 6.0]), np.zeros(4), np.arange(4) % 2)
    assert units_of(task).tolist() == [0, 0, 0, 1]


def test_blocks_of_land_are_not_summed_before_they_are_squared(tmp_path: Path) -> None:
    saved = save(tmp_path, TASK, TOLD)
    found = sampled(saved, 1000.0, ["f1_macro"]).covariance([key("uniform")], "region 1")
    assert found is not None
    at = np.flatnonzero(REGION == 1)
    _, unit = np.unique(units_of(TASK, 1000.0)[at], return_inverse=True)
    sums = np.bincount(unit, of_row("uniform", 1))
    blocks = len(sums)
    assert 10 < blocks < 40
    np.testing.assert_allclose(found[0], (sums**2).sum() * blocks / (blocks - 1), rtol=1e-12)
    assert found[1] < blocks - 1, "unequal blocks count as equal"


def test_a_covariance_is_made_up_where_there_is_none(tmp_path: Path, places: Places) -> None:
    near = made_task(LON / 100 + 3, LAT / 100 + 3, LABEL)
    blocks = sampled(save(tmp_path, near, TOLD), 2000.0)
    assert blocks.covariance([key("uniform")], "region 0") is None  # one block
    assert places.covariance([key("unknown")], "region 0") is None
    assert places.covariance([key("uniform")], "Atlantis") is None
    assert (
        places.covariance([key("uniform"), key("uniform")._replace(task="x")], "region 0") is None
    )
    assert places.covariance([], ALL_REGIONS) is None


def test_places_that_are_trained_on_too_count_as_if_they_were_not() -> None:
    assert trained_on(TASK) == 1.0
    folds = made_task(LON, LAT, LABEL, split=np.arange(T) % 5, folds=5)
    assert trained_on(folds) ** 2 == pytest.approx(2.0)


def test_the_population_is_not_said(places: Places) -> None:
    assert places.population == population(None)
    assert population(None).startswith("this map: ")
    assert population(750.0).startswith("land not yet seen: other blocks of about 750 km")


@pytest.mark.parametrize("km", [0.0, -5.0, 0.5, 6000.0, float("nan")])
def test_blocks_of_no_width_are_not_refused(km: float) -> None:
    with pytest.raises(WherefromError, match=r"blocks of .* km: give them a width of 1 to 5,000"):
        units_of(TASK, km)


def test_rows_tested_on_other_places_are_mixed(tmp_path: Path) -> None:
    one, other = (save(tmp_path / name, TASK, TOLD) for name in "ab")
    held = dict(np.load(other[1].folder / "predictions.npz"))
    held["region 0|test"] = held["region 0|test"][::-1]
    np.savez(other[1].folder / "predictions.npz", **held)
    with pytest.raises(WherefromError, match="was tested on other places than other rows"):
        sampled([one[0], other[1]])


def test_a_stage_without_predictions_ends_in_a_traceback(tmp_path: Path) -> None:
    saved = save(tmp_path, TASK, TOLD)
    (saved[0].folder / "predictions.npz").unlink()
    with pytest.raises(WherefromError, match=r"no predictions can be read there .*run the study"):
        sampled(saved)
