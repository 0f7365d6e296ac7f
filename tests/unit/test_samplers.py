"""What every sampler of the table promises, and how each refuses what it cannot take."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from wherefrom import draw, keys
from wherefrom.compose import DesignSampler, SamplerModel, StreamedSampler, sampler, spec_text
from wherefrom.compose.samplers.plain import Ids
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.plugins import BUILT_IN
from wherefrom.pool import Pool
from wherefrom.testing import check_sampler

PAIR = "layer=side,label=east,other=west"
#: A spec of every sampler, and of each way to use it; {} is a folder with a target and a list.
TABLE = (
    "none",
    "uniform",
    "uniform-area:cell_km=2000",
    "stratified:layer=use,allocation=proportional",
    "stratified:layer=use,short=redistribute",
    "stratified:layer=use,short=repeat",
    "stratified:layer=use,short=cap",
    "stratified:layer=use,weights=a:3;b:0.5",
    "only:layer=use,label=b",
    "only:layer=use,label=c,short=repeat",
    "clustered:around=cities,min_population=1000000,radius_km=900",
    "clustered:around=forest,clusters=40,radius_km=3000",
    "clustered:around=forest,clusters=20,radius_km=2000,short=repeat",
    "grid",
    "grid:spacing_km=1500",
    "spread",
    "kmeans:over=warmth+rain",
    "gaussian-cities:cities=300,sigma_km=700",
    "entropy",
    "entropy:column=rain,top=0.25",
    "balanced:over=use+belt,short=redistribute",
    "balanced:over=use,short=redistribute",
    "match:target={}/target.parquet,over=use+belt,short=redistribute",
    "match:target={}/target.parquet,over=belt",
    f"entropy-matched:{PAIR},bins=8",
    f"geography-matched:of=regions,{PAIR},over=use+belt",
    "geography-matched:of=halves,half=high,over=use+belt",
    "mixture:parts=0.7*uniform+0.2*stratified:layer=use;short=cap+0.1*clustered:around=cities;"
    "radius_km=900",
    "mixture:parts=1*spread+2*grid+1*entropy",
    "ids:file={}/list.csv",
)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """1500 places with layers of labels of unequal sizes, some missing, and columns of numbers."""
    rng, size = np.random.default_rng(3), 1500
    lon, lat = uniform_on_sphere(size, rng)
    use = np.array(["a", "b", "c", None])[rng.choice(4, size, p=[0.6, 0.31, 0.04, 0.05])]
    entropy = rng.normal(np.where(lon > 0, 2.5, 2.2) + 0.3 * (use == "a"), 0.4)
    entropy[::17] = np.nan
    columns = {
        "id": rng.permutation(size) * 3,
        "lon": lon,
        "lat": lat,
        "side": np.where(lon > 0, "east", "west"),
        "use": pa.array(use.tolist(), pa.string()),
        "belt": np.where(np.abs(lat) < 30, "low", "high"),
        "forest": [None if i % 4 else "forest" for i in range(size)],
        "spectral_entropy": entropy,
        "warmth": 30 - np.abs(lat) + rng.normal(size=size),
        "rain": rng.gamma(2.0, 500.0, size),
    }
    return Pool.from_table(pa.table(columns))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> Path:
    """Hold a pool whose shares are 80 % b and 60 % high, and a list of the first ids."""
    path: Path = tmp_path_factory.mktemp("read")
    use, belt = ["b"] * 8 + ["a"] * 2, ["high"] * 6 + ["low"] * 4
    table = pa.table({"lon": np.arange(10.0), "lat": np.zeros(10), "use": use, "belt": belt})
    Pool.from_table(table).write(path / "target.parquet")
    (path / "list.csv").write_text("id\n" + "\n".join(map(str, pool.ids[:60])) + "\n")
    return path


@pytest.fixture(params=TABLE)
def chosen(request: pytest.FixtureRequest, folder: Path) -> SamplerModel:
    made: SamplerModel = sampler(request.param.format(folder))
    return made


def test_a_sampler_is_missing_from_this_table() -> None:
    assert {spec.partition(":")[0] for spec in TABLE} == set(BUILT_IN["samplers"])


def test_no_sampler_of_ours_breaks_a_promise(
    chosen: SamplerModel, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(chosen, Ids):
        return  # all others draw the same whatever ids are called
    # Frequencies are tested in tests/statistical, by many more draws.
    monkeypatch.setattr("wherefrom.testing.samplers.REPEATS", 10)
    check_sampler(chosen, pool=pool, n=60)


@pytest.mark.slow
def test_a_draw_has_n_places_and_probabilities_that_sum_to_n(
    chosen: SamplerModel, pool: Pool
) -> None:
    composition = draw(pool, chosen, 60, seed=1)
    json.dumps(composition.provenance, allow_nan=False)
    assert composition.size == (0 if chosen.empty else 60)
    assert (np.diff(composition.ids) > 0).all()
    if isinstance(chosen, DesignSampler):
        state = keys.generator("draw", 1, keys.canonical(chosen.spec()))
        inclusion = chosen.inclusion(pool, 60, state)
        assert inclusion.shape == (len(pool),)
        assert inclusion.sum() == pytest.approx(60, abs=1e-9)
        rows = pool.take(composition.ids)
        np.testing.assert_array_equal(inclusion[rows], composition.inclusion_probability)
    other = draw(pool, chosen, 60, seed=2)
    assert chosen.varies == (other.expanded_ids().tolist() != composition.expanded_ids().tolist())


@pytest.mark.slow
def test_parts_of_a_pool_give_the_draw_of_the_whole(
    chosen: SamplerModel, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(pool, chosen, 60, seed=2)
    monkeypatch.setattr("wherefrom.pool.places.PART", 300)
    monkeypatch.setattr("wherefrom.pool.places.BLOCK", 100)
    assert len(pool.parts()) == 5
    pieces = draw(pool, chosen, 60, seed=2)
    assert pieces.key == whole.key
    assert pieces.provenance == whole.provenance


def test_draw_in_passes_is_not_the_draw_of_the_design_in_memory(
    chosen: SamplerModel, pool: Pool
) -> None:
    if not isinstance(chosen, StreamedSampler):
        return
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    streamed = chosen.draw(pool, 60, rng)
    sample = chosen.design(pool, 60, same).sample(same)
    order = np.argsort(pool.ids[sample.rows])
    assert streamed.ids.tolist() == pool.ids[sample.rows][order].tolist()
    assert streamed.multiplicity.tolist() == sample.multiplicity[order].tolist()
    assert streamed.inclusion_probability.tolist() == sample.inclusion_probability[order].tolist()
    # Whoever draws on with the generator goes on where the whole would have.
    assert rng.random() == same.random()


def test_groups_cannot_be_sent_to_another_process(chosen: SamplerModel, pool: Pool) -> None:
    if not isinstance(chosen, StreamedSampler):
        return
    groups = chosen.strata(pool, 60, np.random.default_rng(0)).groups
    batch = next(iter(pool.batches(groups.ask)))
    again = pickle.loads(pickle.dumps(groups))
    np.testing.assert_array_equal(again.keys(batch), groups.keys(batch))
    assert groups.keys(batch).dtype == np.int64
    part = pickle.loads(pickle.dumps(pool.parts()[0]))
    np.testing.assert_array_equal(next(part.batches(groups.ask)).lon, pool.lon)


def test_spec_and_its_text_make_the_same_sampler(chosen: SamplerModel) -> None:
    assert sampler(chosen.spec()) == chosen
    assert sampler(spec_text(chosen.spec())) == chosen
    assert chosen.spec()["name"] in BUILT_IN["samplers"]
    assert sampler(chosen) is chosen


@pytest.mark.parametrize("n", [0, -5, 1501, None])
def test_impossible_n_is_refused(chosen: SamplerModel, pool: Pool, n: int | None) -> None:
    if not chosen.needs_n or (n == 1501 and getattr(chosen, "short", "") in ("repeat", "cap")):
        return
    wrong = r"^n must be|^n = 1,501 is larger than the pool|give n="
    with pytest.raises(WherefromError, match=wrong):
        draw(pool, chosen, n)


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
        ("balanced", "needs over="),
        ("balanced:over=use+use", "a name is given twice"),
        ("balanced:over=use+", "a name is empty"),
        ("balanced:over=use+nonsense", "unknown layer 'nonsense'"),
        ("balanced:over=rain", "holds .* labels are text or whole"),
        ("balanced:over=use+belt", r"too few places in 2 of 6 strata: 'c / high' has"),
        ("grid:spacing_km=0", "greater than 0"),
        ("grid:spacing_km=5000", r"only \d+ cells of 5000 km have places, but n = 400"),
        ("kmeans:over=use", "'use' is string, not numbers"),
        ("kmeans:over=nonsense", "unknown column or layer of numbers 'nonsense'"),
        ("entropy:column=nonsense", "unknown layer 'nonsense'"),
        ("entropy:column=use", "'use' is string, not numbers"),
        ("entropy:top=1.5", "less than or equal to 1"),
        ("gaussian-cities:cities=10000000", "GeoNames lists"),
        ("match:over=use", "needs target="),
        ("entropy-matched:layer=side,label=east,other=est", "unknown label of layer 'side': 'est'"),
        ("entropy-matched:layer=side,label=east,other=east", "name two regions"),
        ("geography-matched:over=use", "needs of=: one of regions, halves"),
        ("geography-matched:of=regions,layer=side,label=east,other=west,over=side", "in common"),
        ("geography-matched:of=halves,half=top,over=use", "high"),
        ("mixture", "needs parts="),
        ("mixture:parts=uniform", r"'uniform' is not WEIGHT\*SAMPLER"),
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
def test_wrong_spec_names_the_word_and_the_nearest_valid_one(
    pool: Pool, spec: str | dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message) as err:
        draw(pool, spec, 400)
    assert "\n" not in str(err.value)
