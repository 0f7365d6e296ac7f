"""Shares, divergences and diversity: worked by hand, from any cut of the pool, with odd labels."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wherefrom import earth
from wherefrom.auditing import divergence as div
from wherefrom.auditing.asked import default_layers
from wherefrom.auditing.reference import Reference, of
from wherefrom.auditing.shares import LayerShares, shares_of
from wherefrom.auditing.statistic import plain
from wherefrom.auditing.tally import LayerTally, run
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import Batch

LABELS = ("crop", "forest", "town")


def pool_of(labels: list[str | None], name: str = "use") -> Pool:
    column = pa.array(labels, pa.string())
    numbers = np.arange(len(labels), dtype=np.float64) / len(labels)
    return Pool.from_table(pa.table({"lon": numbers, "lat": numbers, name: column}))


def beside(labels: list[str | None], reference: Reference | None) -> LayerShares:
    pool = pool_of(labels)
    (tally,) = run(pool, [LayerTally("use", pool.labels("use"))])
    return shares_of(tally, reference)


def reference(counts: dict[str, float], **rest: object) -> Reference:
    total = sum(counts.values())
    return Reference(
        "use", "the plan", tuple(counts), np.array([*counts.values()]), 0.0, total, **rest
    )  # type: ignore[arg-type]


def test_shares_and_divergences_differ_from_those_worked_by_hand() -> None:
    found = beside(["crop"] * 2 + ["forest", "town", None], reference({"crop": 25, "forest": 75}))
    assert (found.places, found.none, found.effective_places) == (4.0, 1.0, 4.0)
    rows = {row.label: row for row in found.rows}
    assert [row.label for row in found.rows] == ["crop", "forest", "town"]
    assert (rows["crop"].places, rows["crop"].share, rows["crop"].ratio) == (2.0, 0.5, 2.0)
    assert rows["forest"].ratio == pytest.approx(1 / 3)
    assert (rows["town"].reference_share, rows["town"].ratio) == (0.0, None)
    # p = (1/2, 1/4, 1/4), q = (1/4, 3/4, 0)
    assert found.shannon == pytest.approx(1.5 * math.log(2))
    assert found.effective == pytest.approx(2**1.5)
    assert found.reference_shannon == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))
    assert found.tv == pytest.approx(0.5)
    # m = (3/8, 1/2, 1/8)
    of_p = 0.5 * math.log(4 / 3) + 0.25 * math.log(1 / 2) + 0.25 * math.log(2)
    of_q = 0.25 * math.log(2 / 3) + 0.75 * math.log(3 / 2)
    assert found.js == pytest.approx((of_p + of_q) / 2)
    assert found.kl is None
    assert found.notes == (
        "the plan has none of town: the Kullback-Leibler divergence is infinite",
    )


def test_an_infinite_divergence_is_told_where_it_is_finite() -> None:
    found = beside(["crop", "forest"], reference({"crop": 1, "forest": 3}))
    assert found.kl == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert found.notes == ()


def test_six_equal_continents_lack_their_published_diversity() -> None:
    found = beside(list("abcdef") * 7, None)
    assert found.shannon == pytest.approx(1.79, abs=0.005)  # specs: Global continents
    assert found.effective == pytest.approx(6.0)
    assert (found.reference, found.tv, found.p, found.empty) == ("", None, None, ())


def test_strata_without_a_place_go_unnoticed() -> None:
    found = beside(["crop"], reference({"crop": 5, "forest": 1, "town": 4}))
    assert found.empty == ("town", "forest")
    assert [row.places for row in found.rows] == [1.0, 0.0, 0.0]


def test_a_label_below_the_lattice_makes_the_divergence_infinite() -> None:
    land = reference({"crop": 50, "forest": 50, "town": 0}, resolution=0.01, unresolved=("town",))
    found = beside(["crop"] * 50 + ["forest"] * 49 + ["town"], land)
    q = np.array([0.5, 0.5, 0.005]) / 1.005
    assert found.kl == pytest.approx(
        float((np.array([0.5, 0.49, 0.01]) * np.log(np.array([0.5, 0.49, 0.01]) / q)).sum())
    )
    assert found.notes == ("too small for the lattice that measures areas: town",)


def test_the_z_of_a_share_is_not_that_of_two_samples() -> None:
    found = beside(["crop"] * 60 + ["forest"] * 40, reference({"crop": 50, "forest": 50}))
    assert found.rows[0].z == pytest.approx(0.1 / math.sqrt(0.55 * 0.45 * 0.02))
    # The chi-square of the 2 x 2 table is 200 / 99, with one degree of freedom.
    assert found.p == pytest.approx(math.erfc(math.sqrt(100 / 99)))
    assert found.rows[1].z == pytest.approx(-found.rows[0].z)


def test_rare_labels_spoil_the_chi_square_test() -> None:
    rare = 200 * [0.0001]
    p = np.array([0.49, 0.49, *rare])
    assert div.homogeneity(p, 1000, p, 1000) == pytest.approx(1.0)
    assert div.homogeneity([1.0], 10, [1.0], 10) is None
    assert div.homogeneity([1.0, 0.0], 2, [0.0, 1.0], 2) is None  # too few for any test
    assert div.homogeneity([1.0, 0.0], 0, [0.0, 1.0], 20) is None


def test_a_place_without_label_becomes_a_label() -> None:
    found = beside([None, "", None], reference({"crop": 1}))
    assert (found.places, found.none, found.shannon, found.kl, found.p) == (
        0.0,
        3.0,
        None,
        None,
        None,
    )
    assert found.notes == ("no place has a label of this layer",)
    assert found.empty == ("crop",)


def test_labels_with_odd_characters_break_the_result() -> None:
    odd = ["a\tb", "line\nbreak", 'say "hi"', "none", "Ωμέγα 🌍", "a,b;c", " "]
    found = beside([*odd, odd[0]], reference(dict.fromkeys([*odd, "new"], 1.0)))
    assert {row.label for row in found.rows} == {*odd, "new"}
    again = json.loads(json.dumps(plain(found), allow_nan=False))
    assert {row["label"] for row in again["rows"]} == {*odd, "new"}


def test_the_order_of_a_references_labels_matters() -> None:
    labels: list[str | None] = ["crop", "crop", "forest"]
    one = beside(labels, reference({"crop": 1, "forest": 2, "town": 3}))
    two = beside(labels, reference({"town": 3, "forest": 2, "crop": 1}))
    assert one == two


def test_multiplicities_count_as_if_they_were_independent_places() -> None:
    pool = pool_of(["crop", "crop", "forest", None, "town"])
    weights = np.array([3.0, 1.0, 2.0, 5.0, 0.0])
    (tally,) = run(pool, [LayerTally("use", pool.labels("use"))], weights=weights)
    found = shares_of(tally)
    assert [(row.label, row.places) for row in found.rows] == [("crop", 4.0), ("forest", 2.0)]
    assert found.none == 5.0
    assert found.effective_places == pytest.approx(36 / 14)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.ones(4), "4 weights for 5 places"),
        (np.array([1.0, 1.0, -1.0, 1.0, 1.0]), "not negative"),
        (np.array([1.0, 1.0, np.nan, 1.0, 1.0]), "finite"),
    ],
)
def test_weights_that_fit_no_pool_are_taken(weights: np.ndarray, said: str) -> None:
    pool = pool_of(["crop"] * 5)
    with pytest.raises(WherefromError, match=said):
        run(pool, [LayerTally("use", pool.labels("use"))], weights=weights)


codes_and_cut = st.lists(st.integers(-1, 2), min_size=0, max_size=40).flatmap(
    lambda codes: st.tuples(st.just(codes), st.integers(0, len(codes)))
)


@given(codes_and_cut, st.booleans())
def test_where_a_pool_is_cut_changes_the_counts(cut: tuple[list[int], int], weighted: bool) -> None:
    codes, at = np.array(cut[0], np.int32), cut[1]
    weight = np.arange(len(codes), dtype=np.float64) % 4 if weighted else None

    def tally(rows: slice) -> LayerTally:
        made = LayerTally("use", LABELS)
        part = codes[rows]
        batch = Batch(0, np.zeros(len(part)), np.zeros(len(part)), codes={"use": part})
        made.update(batch, None if weight is None else weight[rows])
        return pickle.loads(pickle.dumps(made))

    whole, first = tally(slice(None)), tally(slice(None, at))
    first.merge(tally(slice(at, None)))
    assert shares_of(first) == shares_of(whole)


simplex = arrays(np.float64, 6, elements=st.floats(0.0, 1.0)).filter(lambda x: x.sum() > 0.01)


@example(np.array([1.0, 0.0]), np.array([1.0, 5e-324]))
@given(simplex, simplex)
def test_divergences_leave_their_bounds(x: np.ndarray, y: np.ndarray) -> None:
    p, q = x / x.sum(), y / y.sum()
    kl, js, tv = div.kullback_leibler(p, q), div.jensen_shannon(p, q), div.total_variation(p, q)
    assert 0.0 <= js <= math.log(2) + 1e-12
    assert 0.0 <= tv <= 1.0 + 1e-12
    assert js == pytest.approx(div.jensen_shannon(q, p), abs=1e-12)
    assert kl >= 2.0 * tv**2 - 1e-12  # Pinsker
    assert js <= tv * math.log(2) + 1e-12  # Lin 1991
    assert -1e-12 <= div.shannon(p) <= math.log(6) + 1e-12
    assert div.kullback_leibler(p, p) == div.total_variation(p, p) == 0.0


def test_another_pool_as_reference_loses_places_or_labels() -> None:
    pool = pool_of(["crop", "forest", "forest", None])
    found = of(pool, ["use"], name="last year's list")["use"]
    assert (found.labels, found.counts.tolist(), found.none) == (
        ("crop", "forest"),
        [1.0, 2.0],
        1.0,
    )
    assert (found.name, found.size, found.unresolved) == ("last year's list", 3.0, ())
    assert of(pool, ["use"])["use"].name == "the other pool"
    weights = np.array([0.0, 1.0, 3.0, 1.0])
    (weighted,) = run(pool, [LayerTally("use", pool.labels("use"))], weights=weights)
    assert (weighted.places.tolist(), weighted.effective_size) == ([0.0, 4.0], 1.6)
    result = beside(["crop", "forest", "forest"], found)
    assert (result.kl, result.tv, result.reference_none) == (0.0, 0.0, 0.25)


def test_an_audit_starts_a_large_download_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earth, "available", lambda name: False)
    layers, notes = default_layers()
    assert "biome" not in layers
    assert "climate_zone" in layers
    assert "wherefrom data fetch resolve-ecoregions" in notes[0]
    monkeypatch.setattr(earth, "available", lambda name: True)
    assert default_layers()[1] == ()
    assert len(default_layers()[0]) == 8
