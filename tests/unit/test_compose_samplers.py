"""Samplers: what each draws, and what each refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom import draw
from wherefrom.compose import Composition, DesignSampler, Sampler, sampler, spec_text
from wherefrom.earth.sphere import distance_km, uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.plugins import BUILT_IN
from wherefrom.pool import Pool

SIZES = {"a": 400, "b": 90, "c": 10}


@pytest.fixture(scope="module")
def pool() -> Pool:
    """500 places on the sphere with labels a, b, c, and 20 without; a tenth is forest."""
    rng = np.random.default_rng(3)
    use = [label for label, size in SIZES.items() for _ in range(size)] + [None] * 20
    lon, lat = uniform_on_sphere(520, rng)
    forest = ["forest" if i % 4 == 0 else None for i in range(520)]
    ids = rng.permutation(520) * 3
    columns = {"id": ids, "lon": lon, "lat": lat, "use": use, "forest": forest}
    return Pool.from_table(pa.table(columns))


def counts(composition: Composition, pool: Pool, column: str = "use") -> dict[str, int]:
    labels = pool.table.column(column).to_pylist()
    found: dict[str, int] = {}
    for row, times in zip(pool.take(composition.ids), composition.multiplicity, strict=True):
        found[labels[row]] = found.get(labels[row], 0) + int(times)
    return found


@pytest.mark.parametrize(
    "spec",
    [
        "uniform",
        "uniform-area:cell_km=2000",
        "stratified:layer=use,allocation=proportional",
        "stratified:layer=use,short=redistribute",
        "stratified:layer=use,short=repeat",
        "stratified:layer=use,weights=a:3;b:0.5",
        "only:layer=use,label=b",
        "clustered:around=forest,clusters=40,radius_km=3000",
    ],
)
def test_design_draws_n_and_its_probabilities_sum_to_n(pool: Pool, spec: str) -> None:
    composition = draw(pool, spec, 60, seed=1)
    assert composition.size == 60
    chosen = sampler(spec)
    assert isinstance(chosen, DesignSampler)
    from wherefrom import keys

    same_state = keys.generator("draw", 1, keys.canonical(chosen.spec()))
    inclusion = chosen.inclusion(pool, 60, same_state)
    assert inclusion.shape == (len(pool),)
    assert inclusion.sum() == pytest.approx(60, abs=1e-9)
    rows = pool.take(composition.ids)
    np.testing.assert_array_equal(inclusion[rows], composition.inclusion_probability)
    assert (np.diff(composition.ids) > 0).all()
    assert isinstance(chosen, Sampler)


def test_equal_allocation_is_equal_to_the_row(pool: Pool) -> None:
    assert counts(draw(pool, "stratified:layer=use", 30), pool) == {"a": 10, "b": 10, "c": 10}
    for seed in range(20):
        few = counts(draw(pool, "stratified:layer=use", 28, seed), pool)
        assert sorted(few.values()) == [9, 9, 10]


def test_short_strata_follow_the_policy_that_was_named(pool: Pool) -> None:
    spec = "stratified:layer=use,short="
    with pytest.raises(WherefromError, match="'c' has 10 of 50"):
        draw(pool, "stratified:layer=use", 150)
    capped = draw(pool, spec + "cap", 150)
    assert counts(capped, pool) == {"a": 50, "b": 50, "c": 10}
    assert capped.size == 110
    assert capped.provenance["short_strata"] == ["c"]
    assert counts(draw(pool, spec + "redistribute", 150), pool) == {"a": 70, "b": 70, "c": 10}
    repeated = draw(pool, spec + "repeat", 155)
    assert repeated.size == 155
    times = repeated.multiplicity[np.isin(repeated.inclusion_probability, 155 / 30)]
    assert len(times) == 10
    assert set(times.tolist()) <= {5, 6}


def test_repeat_and_cap_may_ask_for_more_than_the_pool_has(pool: Pool) -> None:
    assert draw(pool, "stratified:layer=use,short=repeat", 3000).size == 3000
    assert draw(pool, "only:layer=use,label=c,short=cap", 3000).size == 10


@pytest.mark.parametrize("n", [0, -5, 521, None])
@pytest.mark.parametrize("spec", ["uniform", "uniform-area", "stratified:layer=use"])
def test_impossible_n_is_refused(pool: Pool, spec: str, n: int | None) -> None:
    with pytest.raises(
        WherefromError, match=r"^n must be|^n = 521 is larger than the pool|give -n"
    ):
        draw(pool, spec, n)


def test_empty_strata_are_refused_or_named(pool: Pool) -> None:
    column = pa.array(["x"] * 520).dictionary_encode()
    named = Pool.from_table(pool.table.append_column("none_here", pa.nulls(520, pa.string())))
    with pytest.raises(WherefromError, match="all strata are empty"):
        draw(named, "stratified:layer=none_here", 10)
    labelled = Pool.from_table(pool.table.append_column("one", column))
    labelled._codes["one"] = (np.zeros(520, np.int32), ("x", "never"))
    with pytest.raises(WherefromError, match=r"stratum is empty.*'never'"):
        draw(labelled, "only:layer=one,label=never", 10)
    with pytest.raises(WherefromError, match=r"stratum is empty.*'never'"):
        draw(labelled, "stratified:layer=one,weights=x:1;never:1", 10)
    drawn = draw(labelled, "stratified:layer=one", 10)
    assert drawn.provenance["labels_without_place"] == ["never"]


def test_places_without_a_label_are_not_drawn_but_counted(pool: Pool) -> None:
    composition = draw(pool, "stratified:layer=use,short=cap", 520)
    assert None not in counts(composition, pool)
    assert composition.provenance["without_label"] == 20


def test_only_draws_one_label(pool: Pool) -> None:
    assert counts(draw(pool, "only:layer=use,label=b", 33), pool) == {"b": 33}
    with pytest.raises(WherefromError, match=r"'b' has 90 of 91"):
        draw(pool, "only:layer=use,label=b", 91)


def test_forest_draw_is_forest_near_its_seeds_and_says_so(pool: Pool) -> None:
    composition = draw(pool, "clustered:around=forest,clusters=3,radius_km=2500,short=cap", 40)
    assert counts(composition, pool, "forest").keys() == {"forest"}
    rows = pool.take(composition.ids)
    assert composition.provenance["inclusion_given"] == "the 3 clusters drawn"
    assert composition.provenance["candidates"] >= len(rows)
    # Three disks of 2500 km: every drawn place has a forest place as centre within reach.
    spread = distance_km(
        pool.lon[rows][:, None], pool.lat[rows][:, None], pool.lon[rows], pool.lat[rows]
    )
    groups = 0
    left = np.ones(len(rows), dtype=bool)
    while left.any():
        left &= spread[np.flatnonzero(left)[0]] > 5000
        groups += 1
    assert groups <= 3
    with pytest.raises(WherefromError, match="only 130 forest places"):
        draw(pool, "clustered:around=forest,clusters=131", 10)


def test_cities_draw_is_within_the_radius_of_a_city() -> None:
    from wherefrom.earth import cities

    try:
        large = cities(5_000_000)
    except WherefromError as err:
        pytest.skip(f"no list of cities: {err}")
    rng = np.random.default_rng(0)
    at = rng.integers(0, len(large.lon), 3000)
    lon = np.clip(large.lon[at] + rng.normal(0, 1.5, 3000), -180, 180)
    lat = large.lat[at] + rng.normal(0, 1.5, 3000)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    nearest = distance_km(lon[:, None], lat[:, None], large.lon, large.lat).min(axis=1)
    inside = int((nearest <= 80).sum())
    assert 100 < inside < 2000
    spec = "clustered:around=cities,min_population=5000000,radius_km=80"
    composition = draw(pool, spec, 100)
    assert composition.provenance["candidates"] == inside
    assert nearest[pool.take(composition.ids)].max() <= 80
    assert composition.provenance["inclusion_given"] == "nothing: unconditional"
    fewer = draw(pool, spec + ",clusters=5", 10)
    assert fewer.provenance["candidates"] < inside
    with pytest.raises(WherefromError, match="there are only"):
        draw(pool, spec + ",clusters=5000", 10)


def test_uniform_area_undoes_a_crowd(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    lon = np.r_[rng.uniform(0, 1, 5000), rng.uniform(90, 91, 50)]
    crowd = Pool.from_table(pa.table({"lon": lon, "lat": np.full(5050, 0.5)}))
    composition = draw(crowd, "uniform-area:cell_km=2000", 60)
    assert (crowd.lon[crowd.take(composition.ids)] > 45).sum() == 30


def test_no_pretraining_is_empty_for_any_n(pool: Pool, tmp_path: Path) -> None:
    for n in (None, 0, 100):
        nothing = draw(pool, "none", n)
        assert nothing.size == 0
        assert len(nothing.expanded_ids()) == 0
    nothing.write(tmp_path / "none.parquet")
    assert Composition.read(tmp_path / "none.parquet").key == nothing.key


def test_list_of_ids_is_taken_as_it_is(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n6\n3\n6\n")
    composition = draw(pool, f"ids:file={tmp_path}/a.csv")
    assert composition.ids.tolist() == [3, 6]
    assert composition.multiplicity.tolist() == [1, 2]
    composition.write(tmp_path / "b.parquet")
    again = draw(pool, f"ids:file={tmp_path}/b.parquet")
    assert again.multiplicity.tolist() == [1, 2]
    with pytest.raises(WherefromError, match="lists 3 places, but n = 4"):
        draw(pool, f"ids:file={tmp_path}/a.csv", 4)
    (tmp_path / "c.csv").write_text("id\n6\n4\n5\n")
    with pytest.raises(WherefromError, match=r"c.csv: 2 of 3 ids are not in the pool: 4, 5"):
        draw(pool, f"ids:file={tmp_path}/c.csv")
    pq.write_table(pa.table({"x": [1], "y": [2]}), tmp_path / "d.parquet")
    with pytest.raises(WherefromError, match="no column 'id'; columns: x, y"):
        draw(pool, f"ids:file={tmp_path}/d.parquet")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("unifrom", "unknown sampler 'unifrom': did you mean 'uniform'"),
        ("stratified", "needs layer="),
        ("stratified:layr=use", "'layr': did you mean 'layer'"),
        ("stratified:layer=ues", "unknown layer 'ues': did you mean 'use'"),
        ("stratified:layer=use,short=capped", "'capped': did you mean 'cap'"),
        ("stratified:layer=use,allocation=equl", "'equl': did you mean 'equal'"),
        ("stratified:layer=use,allocation=custom", "go together"),
        ("stratified:layer=use,allocation=equal,weights=a:1", "go together"),
        ("stratified:layer=use,weights=a:x", "weights.a=x: input should be a valid number"),
        ("stratified:layer=use,weights=a:-1", "greater than or equal to 0"),
        ("stratified:layer=use,weights=a:0", "at least one weight must be above 0"),
        ("stratified:layer=use,weights=aa:1", "unknown label of layer 'use': 'aa': did you"),
        ("stratified:layer=use,layer=use", "'layer' is given twice"),
        ("stratified:use", "'use' is not flag=value"),
        ("only:layer=use,label=d", "unknown label of layer 'use': 'd'"),
        ("only:layer=use,label=a,short=redistribute", "Known: error, cap, repeat"),
        ("clustered", "needs around=: one of cities, forest"),
        ("clustered:around=forests", "did you mean 'forest'"),
        ("clustered:around=forest,radius_km=0", "radius_km=0: input should be greater than 0"),
        ("clustered:around=forest,min_population=5", "unknown flag of sampler 'clustered'"),
        ("uniform:n=4", "takes no flags, but 'n' is given"),
        ("uniform-area:cell_km=one", "should be a valid number"),
        ({"layer": "use"}, "a sampler needs a name"),
    ],
)
def test_wrong_spec_names_the_word_and_the_nearest_valid_one(
    pool: Pool, spec: str | dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        draw(pool, spec, 10)


def test_labels_with_commas_and_colons_survive_the_spec() -> None:
    text = "only:layer=biome,label=Temperate Grasslands, Savannas & Shrublands,short=cap"
    assert sampler(text).spec()["label"] == "Temperate Grasslands, Savannas & Shrublands"
    weights = sampler("stratified:layer=x,weights=a: b:2;c:1").spec()["weights"]
    assert weights == {"a: b": 2.0, "c": 1.0}


@pytest.mark.parametrize(
    "spec",
    [
        "none",
        "uniform",
        "uniform-area",
        "stratified:layer=use,weights=a:2;b:1",
        "clustered:around=cities",
        "clustered:around=forest",
        "only:layer=use,label=a",
        "ids:file=a.csv",
    ],
)
def test_spec_and_its_text_make_the_same_sampler(spec: str) -> None:
    chosen = sampler(spec)
    assert sampler(chosen.spec()) == chosen
    assert sampler(spec_text(chosen.spec())) == chosen
    assert chosen.spec()["name"] in BUILT_IN["samplers"]
    assert sampler(chosen) is chosen


def test_draws_depend_on_seed_and_spec_and_on_nothing_else(pool: Pool) -> None:
    first = draw(pool, "uniform", 50, seed=0)
    np.random.seed(1)  # noqa: NPY002 (the global state must not matter)
    assert draw(pool, "uniform", 50, seed=0).key == first.key
    assert draw(pool, "uniform", 50, seed=1).ids.tolist() != first.ids.tolist()
    with_column = pool.table.append_column("more", pa.array(range(520)))
    assert draw(Pool.from_table(with_column), "uniform", 50, seed=0).key == first.key


def test_label_order_of_the_layer_does_not_change_the_draw(pool: Pool) -> None:
    other = Pool.from_table(pool.table)
    codes, labels = pool.codes("use")
    turned = np.where(codes < 0, -1, len(labels) - 1 - codes).astype(np.int32)
    other._codes["use"] = (turned, labels[::-1])
    spec = "stratified:layer=use,short=cap"
    assert draw(pool, spec, 100).key == draw(other, spec, 100).key
