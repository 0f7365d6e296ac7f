"""Audit numbers of compositions: analytic values, weights, and what cannot be asked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from wherefrom.auditing.numbers import ANY, AuditNumber
from wherefrom.auditing.shares import shares_of
from wherefrom.auditing.tally import LayerTally
from wherefrom.earth.sphere import distance_km
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import Ask

PLACES = Pool.from_table(
    pa.table(
        {
            "lon": [10.0, 11.0, 12.0, 100.0],
            "lat": [50.0, 50.0, 50.0, 20.0],
            "use": ["a", "a", "b", None],
            "wet": [1.0, 2.0, None, 6.0],
        }
    )
)
ONCE = np.ones(4)


def number(kind: str, **fields: object) -> AuditNumber:
    return AuditNumber.model_validate({"number": kind, **fields})


def test_a_diversity_is_no_shannon_entropy_of_weighted_shares() -> None:
    shares = np.array([2, 1]) / 3
    expected = -(shares * np.log(shares)).sum()
    assert number("diversity", layer="use").of(PLACES, ONCE)[ANY] == pytest.approx(expected)
    twice = np.array([1.0, 1.0, 2.0, 5.0])  # equal shares; a place without label does not count
    assert number("diversity", layer="use").of(PLACES, twice)[ANY] == pytest.approx(np.log(2))
    alone = np.array([1.0, 1.0, 0.0, 0.0])
    assert number("diversity", layer="use").of(PLACES, alone)[ANY] == 0


def test_a_diversity_differs_from_that_of_the_audit() -> None:
    pool = Pool.build(3000, seed=1)
    tally = LayerTally("continent", pool.labels("continent"), False, False)
    for batch in pool.batches(Ask(codes=("continent",))):
        tally.update(batch)
    found = number("diversity", layer="continent").of(pool, np.ones(len(pool)))[ANY]
    assert found == pytest.approx(shares_of(tally).shannon)


def test_a_mean_counts_places_without_a_value() -> None:
    assert number("mean", layer="wet").of(PLACES, ONCE)[ANY] == pytest.approx(3.0)
    weight = np.array([1.0, 1.0, 9.0, 2.0])
    assert number("mean", layer="wet").of(PLACES, weight)[ANY] == pytest.approx(15 / 4)
    none = Pool.from_table(PLACES.table.slice(2, 1))
    assert np.isnan(number("mean", layer="wet").of(none, np.ones(1))[ANY])


def test_a_distance_is_to_another_place_than_the_nearest() -> None:
    tests = {"t": (np.array([10.0, 12.0, 100.0]), np.array([51.0, 50.0, 21.0]))}
    found = number("distance").of(PLACES, ONCE, tests)
    assert found["t"] == pytest.approx(distance_km(10.0, 51.0, 10.0, 50.0), rel=1e-6)


def test_coverage_does_not_grow_with_places_and_radius() -> None:
    pool = Pool.build(400, seed=0)
    few = Pool.from_table(pool.table.slice(0, 40))
    ones = np.ones(400)
    narrow, wide = (number("coverage", km=km).of(pool, ones)[ANY] for km in (100.0, 500.0))
    assert number("coverage", km=500.0).of(few, ones[:40])[ANY] < wide
    assert 0 < narrow < wide < 1
    assert number("coverage", km=20_100.0).of(few, ones[:40])[ANY] == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"number": "diversity"}, "a diversity needs 'layer'"),
        ({"number": "distance", "layer": "biome"}, "a distance is of no 'layer'"),
        ({"number": "mean", "layer": "biome"}, "'biome' holds labels, not values: ask for its div"),
        (
            {"number": "diversity", "layer": "slope"},
            "'slope' holds values, not labels: ask for",
        ),
        ({"number": "mean", "layer": "slope", "km": 5}, "a mean has no 'km'"),
        ({"number": "beauty"}, "Input should be 'diversity', 'mean', 'coverage' or 'distance'"),
    ],
)
def test_a_number_that_is_none_is_asked_for(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AuditNumber.model_validate(fields)


def test_a_column_that_is_not_of_numbers_is_averaged() -> None:
    with pytest.raises(WherefromError, match="use"):
        number("mean", layer="use").of(PLACES, ONCE)
    with pytest.raises(WherefromError, match="a value a month"):
        number("mean", layer="temperature").of(PLACES, ONCE)
