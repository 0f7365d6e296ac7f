"""Samplers that match a target, mix others, or hold one of two things alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from wherefrom import draw, earth, keys
from wherefrom.compose import Composition, DesignSampler, sampler, spec_text
from wherefrom.compose.samplers.match import target_of
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

Floats = NDArray[np.float64]

PAIR = "layer=side,label=east,other=west"


def make_pool(size: int, seed: int = 3) -> Pool:
    """Two sides whose use, belt and entropy differ."""
    rng = np.random.default_rng(seed)
    lon, lat = uniform_on_sphere(size, rng)
    east = lon > 0
    use = np.where(rng.random(size) < np.where(east, 0.7, 0.3), "crop", "grass").astype(object)
    use[::40] = None
    entropy = rng.normal(np.where(east, 2.5, 2.0) + 0.3 * (use == "crop"), 0.4)
    entropy[::31] = np.nan
    columns = {
        "id": rng.permutation(size) * 3,
        "lon": lon,
        "lat": lat,
        "side": np.where(east, "east", "west"),
        "use": pa.array(use.tolist(), pa.string()),
        "belt": np.where(np.abs(lat) < 30, "low", np.where(np.abs(lat) < 60, "mid", "high")),
        "spectral_entropy": entropy,
    }
    return Pool.from_table(pa.table(columns))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return make_pool(4000)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool whose shares are 80 % grass and 60 % high."""
    path: Path = tmp_path_factory.mktemp("target") / "target.parquet"
    use = ["grass"] * 8 + ["crop"] * 2
    belt = ["high"] * 6 + ["low"] * 3 + ["mid"]
    table = pa.table({"lon": np.arange(10.0), "lat": np.zeros(10), "use": use, "belt": belt})
    Pool.from_table(table).write(path)
    return path


MIXED = "0.7*uniform+0.2*stratified:layer=use;short=cap+0.1*clustered:around=cities;radius_km=900"


@pytest.fixture(
    params=[
        "match:target={target},over=use+belt",
        "match:target={target},over=belt,short=redistribute",
        f"entropy-matched:{PAIR},bins=8",
        f"geography-matched:of=regions,{PAIR},over=use+belt",
        "geography-matched:of=halves,half=high,over=use+belt",
        f"mixture:parts={MIXED}",
        "mixture:parts=1*spread+2*grid+1*entropy",
    ]
)
def spec(request: pytest.FixtureRequest, target: Path) -> str:
    return str(request.param).format(target=target)


def test_a_draw_has_n_places_and_probabilities_that_sum_to_n(pool: Pool, spec: str) -> None:
    composition = draw(pool, spec, 60, seed=1)
    assert composition.size == 60
    chosen = sampler(spec)
    assert isinstance(chosen, DesignSampler)
    state = keys.generator("draw", 1, keys.canonical(chosen.spec()))
    inclusion = chosen.inclusion(pool, 60, state)
    assert inclusion.sum() == pytest.approx(60, abs=1e-9)
    rows = pool.take(composition.ids)
    np.testing.assert_array_equal(inclusion[rows], composition.inclusion_probability)
    json.dumps(composition.provenance, allow_nan=False)


def test_parts_of_a_pool_give_the_draw_of_the_whole(
    pool: Pool, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(pool, spec, 80, seed=2)
    monkeypatch.setattr("wherefrom.pool.places.PART", 800)
    monkeypatch.setattr("wherefrom.pool.places.BLOCK", 200)
    assert len(pool.parts()) == 5
    pieces = draw(pool, spec, 80, seed=2)
    assert pieces.ids.tolist() == whole.ids.tolist()
    assert pieces.inclusion_probability.tolist() == whole.inclusion_probability.tolist()


def test_a_spec_survives_its_text(spec: str) -> None:
    chosen = sampler(spec)
    assert sampler(spec_text(chosen.spec())) == chosen
    assert sampler(chosen.spec()) == chosen


def shares(composition: Composition, pool: Pool, name: str) -> dict[str, float]:
    column = pool.table.column(name).to_pylist()
    found: dict[str, float] = {}
    for row, times in zip(pool.take(composition.ids), composition.multiplicity, strict=True):
        found[str(column[row])] = found.get(str(column[row]), 0) + times / composition.size
    return found


def test_match_has_the_margins_of_the_target_to_a_place(pool: Pool, target: Path) -> None:
    drawn = draw(pool, f"match:target={target},over=use+belt", 200)
    use, belt = shares(drawn, pool, "use"), shares(drawn, pool, "belt")
    # Six combinations, each rounded up or down: at most one place off for each.
    assert use["grass"] == pytest.approx(0.8, abs=3.01 / 200)
    assert belt["high"] == pytest.approx(0.6, abs=2.01 / 200)
    assert "None" not in use
    margins = drawn.provenance["margins"]
    assert margins["use"] == {"crop": [0.2, 0.2], "grass": [0.8, 0.8]}
    assert drawn.provenance["raking_converged"]
    assert drawn.provenance["remarks"] == []


def test_match_keeps_margins_where_short_strata_must_give_way(pool: Pool, target: Path) -> None:
    base = f"match:target={target},over=use+belt"
    with pytest.raises(WherefromError, match=r"too few places in \d of 6 strata"):
        draw(pool, base, 600)
    drawn = draw(pool, base + ",short=redistribute", 600)
    assert drawn.size == 600
    assert shares(drawn, pool, "use")["grass"] == pytest.approx(0.8, abs=0.005)
    assert shares(drawn, pool, "belt")["high"] == pytest.approx(0.6, abs=0.005)
    # Where they cannot be kept, that is said.
    beyond = draw(pool, base + ",short=redistribute", 1500)
    assert not beyond.provenance["raking_converged"]
    assert any("raking ended" in remark for remark in beyond.provenance["remarks"])
    capped = draw(pool, base + ",short=cap", 1500)
    assert capped.size < 1500
    assert any("since short strata give less" in r for r in capped.provenance["remarks"])


def test_match_of_a_composition_has_its_shares(pool: Pool, tmp_path: Path) -> None:
    given = draw(pool, "stratified:layer=belt,weights=low:8;mid:1;high:1", 500)
    given.write(tmp_path / "given.parquet")
    drawn = draw(pool, f"match:target={tmp_path / 'given.parquet'},over=belt", 500, seed=9)
    assert shares(drawn, pool, "belt") == pytest.approx(shares(given, pool, "belt"))
    assert drawn.ids.tolist() != given.ids.tolist()
    with pytest.raises(WherefromError, match="was drawn from pool"):
        draw(make_pool(500, 8), f"match:target={tmp_path / 'given.parquet'},over=belt", 50)


def test_match_says_which_labels_of_the_target_are_missing(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("lon,lat,belt\n0,0,low\n1,0,low\n2,0,swamp\n3,0,swamp\n")
    drawn = draw(pool, f"match:target={path},over=belt", 100)
    assert shares(drawn, pool, "belt") == {"low": pytest.approx(1)}
    assert drawn.provenance["labels_without_place_by_layer"] == {"belt": ["swamp"]}
    assert "1 labels of belt with 50 % of the target" in drawn.provenance["remarks"][0]
    path.write_text("lon,lat,belt\n2,0,swamp\n3,0,swamp\n")
    with pytest.raises(WherefromError, match="no place of the pool has a label of layer 'belt'"):
        draw(pool, f"match:target={path},over=belt", 100)
    path.write_text("lon,lat,use\n2,0,swamp\n")
    with pytest.raises(WherefromError, match="unknown layer 'belt'"):
        draw(pool, f"match:target={path},over=belt", 100)
    with pytest.raises(WherefromError, match=r"nowhere\.parquet"):
        draw(pool, f"match:target={tmp_path / 'nowhere.parquet'},over=belt", 100)
    with pytest.raises(WherefromError, match="target=land knows layers of the Earth only"):
        draw(pool, "match:target=land,over=belt", 100)


def test_match_to_land_undoes_a_crowded_pool() -> None:
    try:
        earth.layer("continent"), earth.layer("land")
    except WherefromError as err:
        pytest.skip(f"no land polygons: {err}")
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(30_000, rng)
    crowded = (rng.random(30_000) < 0.05) | ((lat > 35) & (lon > -15) & (lon < 60))
    pool = Pool.from_table(pa.table({"lon": lon[crowded], "lat": lat[crowded]}))
    drawn = draw(pool, "match:target=land,over=continent", 300)
    codes, labels = pool.codes("continent")
    counts = np.bincount(codes[pool.take(drawn.ids)], minlength=len(labels))
    found = dict(zip(labels, counts / 300, strict=True))
    # Land areas in million km2 (Encyclopaedia Britannica, Russia in Europe as in Natural Earth).
    known = {"Africa": 30.4, "South America": 17.8, "Antarctica": 0.0}
    for label, area in known.items():
        assert found[label] == pytest.approx(area / 135.0, abs=0.012)
    land = target_of("land", ("continent",), pool)
    assert sum(land.shares["continent"].values()) == pytest.approx(1)


def test_entropy_matched_draws_of_two_regions_have_one_histogram(pool: Pool) -> None:
    spec = "entropy-matched:layer=side,label={},other={},bins=10"
    east = draw(pool, spec.format("east", "west"), 400)
    west = draw(pool, spec.format("west", "east"), 400, seed=5)
    assert set(shares(east, pool, "side")) == {"east"}
    assert set(shares(west, pool, "side")) == {"west"}
    strata = [
        {s["label"]: s["expected"] for s in drawn.provenance["strata"]} for drawn in (east, west)
    ]
    assert strata[0] == strata[1]
    assert len(strata[0]) == 10
    values = np.asarray(pool.table["spectral_entropy"])
    means = [values[pool.take(drawn.ids)].mean() for drawn in (east, west)]
    assert abs(means[0] - means[1]) < 0.05
    # Without matching they differ by 0.62.
    plain = [
        np.nanmean(values[np.asarray(pool.table["side"]) == side]) for side in ("east", "west")
    ]
    assert abs(plain[0] - plain[1]) > 0.5


def test_geography_matched_draws_of_two_regions_have_one_mix(pool: Pool) -> None:
    spec = "geography-matched:of=regions,layer=side,label={},other={},over=use+belt"
    east = draw(pool, spec.format("east", "west"), 300)
    west = draw(pool, spec.format("west", "east"), 300)
    for name in ("use", "belt"):
        assert shares(east, pool, name) == pytest.approx(shares(west, pool, name), abs=0.015)
    most = east.provenance["most_of_both_sides"]
    assert most == west.provenance["most_of_both_sides"]
    assert draw(pool, spec.format("east", "west"), most).size == most
    with pytest.raises(WherefromError, match=rf"can give {most:,} places each that are alike"):
        draw(pool, spec.format("west", "east"), most + 1)


def test_geography_matched_halves_differ_in_entropy_alone(pool: Pool) -> None:
    spec = "geography-matched:of=halves,half={},over=side+use"
    high, low = (draw(pool, spec.format(half), 400) for half in ("high", "low"))
    for name in ("side", "use"):
        assert shares(high, pool, name) == pytest.approx(shares(low, pool, name), abs=0.01)
    values = np.asarray(pool.table["spectral_entropy"])
    assert np.median(values[pool.take(high.ids)]) > np.median(values[pool.take(low.ids)]) + 0.4
    assert not set(high.ids) & set(low.ids)
    # The top half by entropy alone is a choice of side as well.
    top = shares(draw(pool, "entropy:top=0.5", 400), pool, "side")
    assert top["east"] > 0.65


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("match:over=use", "needs target="),
        ("entropy-matched:layer=side,label=east,other=est", "unknown label of layer 'side': 'est'"),
        ("entropy-matched:layer=side,label=east,other=east", "name two regions"),
        ("geography-matched:over=use", "needs of=: one of regions, halves"),
        ("geography-matched:of=regions,layer=side,label=east,other=west,over=side", "in common"),
        ("geography-matched:of=halves,half=top,over=use", "high"),
        ("mixture", "needs parts="),
        ("mixture:parts=uniform", "'uniform' is not WEIGHT*SAMPLER"),
        ("mixture:parts=0*uniform", "weight 0 must be above 0"),
        ("mixture:parts=x*uniform", "weight 'x' is not a number"),
        ("mixture:parts=1*unifrom", "did you mean 'uniform'"),
        ("mixture:parts=1*none", "'none' has no probabilities"),
        ("mixture:parts=1*clustered:around=cities,radius_km=5", "join the flags of a part by ;"),
        (
            "mixture:parts=1*uniform+1*only:layer=use;label=rice",
            "part only of the mixture: unknown",
        ),
        ("mixture:parts=1*mixture:parts=1*uniform", "write out its parts"),
    ],
)
def test_mistakes_are_named(pool: Pool, spec: str, text: str) -> None:
    with pytest.raises(WherefromError) as err:
        draw(pool, spec, 50)
    assert text in str(err.value)
    assert "\n" not in str(err.value)


def test_a_mixture_adds_up_what_its_parts_expect(pool: Pool) -> None:
    spec = "mixture:parts=3*uniform+1*only:layer=use;label=crop"
    chosen = sampler(spec)
    assert isinstance(chosen, DesignSampler)
    inclusion = chosen.inclusion(pool, 100)
    crop = np.array([use == "crop" for use in pool.table["use"].to_pylist()])
    np.testing.assert_allclose(inclusion, 75 / 4000 + np.where(crop, 25 / crop.sum(), 0))
    drawn = draw(pool, spec, 100)
    parts = drawn.provenance["parts"]
    assert [part["expected"] for part in parts] == [75, 25]
    assert [s["label"] for s in drawn.provenance["strata"]] == ["pool", "pool + crop"]


def test_a_mixture_takes_places_twice_only_where_its_parts_do() -> None:
    table = pa.table({"lon": np.arange(10.0), "lat": np.zeros(10), "use": ["a"] * 4 + ["b"] * 6})
    pool = Pool.from_table(table)
    drawn = draw(pool, "mixture:parts=1*only:layer=use;label=a+1*uniform", 8)
    # The four of `a` are expected 1 + 0.4 times, the others 0.4 times.
    assert drawn.inclusion_probability.tolist()[:4] == pytest.approx([1.4] * 4)
    assert drawn.multiplicity[:4].min() >= 1
    assert drawn.size == 8
    assert drawn.provenance["expected_repeats"] == pytest.approx(1.6)


def test_a_mixture_of_one_part_is_that_part(pool: Pool) -> None:
    for spec in ("stratified:layer=use", "entropy", "spread"):
        alone, mixed = sampler(spec), sampler(f"mixture:parts=5*{spec}")
        assert isinstance(alone, DesignSampler)
        assert isinstance(mixed, DesignSampler)
        state = np.random.default_rng(1), np.random.default_rng(1)
        np.testing.assert_allclose(
            alone.inclusion(pool, 90, state[0]), mixed.inclusion(pool, 90, state[1]), rtol=1e-9
        )


def test_a_mixture_from_python_equals_that_of_its_text() -> None:
    pairs: list[Any] = [(0.5, "uniform"), (1.5, {"name": "only", "layer": "a", "label": "b+2"})]
    made = sampler({"name": "mixture", "parts": pairs})
    assert made.spec()["parts"] == "0.5*uniform+1.5*only:layer=a;label=b+2;short=error"
    assert sampler(spec_text(made.spec())) == made
    comma = [(1, {"name": "only", "layer": "a", "label": "b, c=d; e=f"})]
    quoted = sampler({"name": "mixture", "parts": comma})
    assert sampler(spec_text(quoted.spec())) == quoted
    assert "b, c=d; e=f" in quoted.spec()["parts"]
    odd = [(1, {"name": "only", "layer": "a", "label": "x+2*uniform"})]
    with pytest.raises(WherefromError, match="looks like a part or a flag"):
        sampler({"name": "mixture", "parts": odd})
