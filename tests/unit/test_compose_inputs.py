"""What a sampler reads is declared by its fields, and can be renamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from wherefrom import draw, earth
from wherefrom.compose import Composition, Inputs, Names, Sampler, sampler
from wherefrom.compose.base import InputFile, LayerName, NumbersName, SamplerModel
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

CITIES, LAND = ("geonames-cities",), ("natural-earth-countries",)
SIDES = "layer=a,label=x,other=y"
READ = {
    "none": Inputs(),
    "uniform": Inputs(),
    "uniform-area": Inputs(),
    "grid": Inputs(),
    "spread": Inputs(),
    "stratified:layer=a": Inputs(layers=("a",)),
    "only:layer=a,label=b": Inputs(layers=("a",)),
    "balanced:over=a+b": Inputs(layers=("a", "b")),
    "match:target=land,over=a+b": Inputs(layers=("a", "b"), sources=LAND),
    "match:target=some/where.parquet,over=a": Inputs(
        layers=("a",), files=("some/where.parquet",)
    ),
    "clustered:around=forest": Inputs(layers=("forest",)),
    "clustered:around=cities": Inputs(sources=CITIES),
    "gaussian-cities": Inputs(sources=CITIES),
    "kmeans:over=a+b": Inputs(numbers=("a", "b")),
    "entropy": Inputs(numbers=("spectral_entropy",)),
    f"entropy-matched:{SIDES},column=c": Inputs(layers=("a",), numbers=("c",)),
    f"geography-matched:of=regions,{SIDES},over=b+a": Inputs(layers=("a", "b")),
    "geography-matched:of=halves,half=low,over=a,column=c": Inputs(layers=("a",), numbers=("c",)),
    "ids:file=mine.csv": Inputs(files=("mine.csv",)),
    "mixture:parts=1*uniform+2*stratified:layer=a+1*gaussian-cities+1*match:target=t.csv;over=b+a":
        Inputs(layers=("a", "b"), sources=CITIES, files=("t.csv",)),
}  # fmt: skip


@pytest.mark.parametrize("spec", READ)
def test_something_that_a_sampler_reads_is_missing_from_a_key(spec: str) -> None:
    assert sampler(spec).inputs() == READ[spec]


def test_a_source_that_no_catalog_knows_is_declared() -> None:
    for inputs in READ.values():
        for name in inputs.sources:
            assert earth.source(name).name == name


@pytest.mark.parametrize(
    ("spec", "renamed"),
    [
        ("stratified:layer=biome,short=cap", "stratified:layer=zone,short=cap"),
        ("balanced:over=continent+biome", "balanced:over=continent+zone"),
        ("match:target=land,over=biome", "match:target=land,over=zone"),
        ("match:target=biome,over=biome", "match:target=biome,over=zone"),
        ("kmeans:over=biome+slope", "kmeans:over=zone+slope"),
        ("entropy:column=biome", "entropy:column=zone"),
        ("only:layer=use,label=biome", "only:layer=use,label=biome"),
        ("clustered:around=forest", "clustered:around=forest"),
        ("uniform", "uniform"),
        (
            "mixture:parts=1*uniform+2*stratified:layer=biome;short=cap+1*only:layer=a;label=biome",
            "mixture:parts=1*uniform+2*stratified:layer=zone;short=cap+1*only:layer=a;label=biome",
        ),
    ],
)
def test_a_stand_in_is_not_put_in_wherever_a_layer_is_named(spec: str, renamed: str) -> None:
    given = sampler(spec)
    assert given.renamed({"biome": "zone", "unused": "x"}) == sampler(renamed)
    assert given == sampler(spec)


def test_two_names_become_one_unnoticed() -> None:
    crossed = sampler("balanced:over=biome+zone")
    with pytest.raises(WherefromError, match=r"'balanced': over=.*a name is given twice"):
        crossed.renamed({"biome": "zone"})


def test_a_target_in_a_file_is_matched_in_the_old_layer_after_renaming(tmp_path: Path) -> None:
    def places(use: str, zone: str) -> Pool:
        size = len(use)
        columns = {"use": list(use), "zone": list(zone)}
        where = {"lon": np.arange(size) * 1.0, "lat": [0.0] * size}
        return Pool.from_table(pa.table(where | columns))

    pool = places("aabb" * 5, "xxxxy" * 4)
    places("aaab", "xyyy").write(tmp_path / "pool.parquet")
    draw(pool, "only:layer=zone,label=y", 4).write(tmp_path / "drawn.parquet")
    for name, share in (("pool", 0.75), ("drawn", 1.0)):
        spec = f"match:target={tmp_path}/{name}.parquet,over=use,short=repeat"
        margins = draw(pool, sampler(spec).renamed({"use": "zone"}), 8).provenance["margins"]
        assert margins["zone"]["y"] == [share, share]


class Plugged(SamplerModel):
    """A sampler of another package, with fields of every kind."""

    name: ClassVar[str] = "plugged"
    reads: ClassVar[Inputs] = Inputs(layers=("land",))
    one: LayerName
    perhaps: LayerName | None = None
    some: tuple[LayerName, ...] = ()
    crossed: Names = ("d",)
    column: NumbersName = "e"
    file: InputFile | None = None
    word: str = "a"

    def draw(self, pool: Any, n: int | None, rng: np.random.Generator) -> Composition:
        raise NotImplementedError


def test_fields_of_another_packages_sampler_are_not_seen() -> None:
    made = Plugged(one="a", perhaps="b", some=("c", "a"), file="f.csv")
    assert made.inputs() == Inputs(("land", "a", "b", "c", "d"), ("e",), (), ("f.csv",))
    assert Plugged(one="a").inputs() == Inputs(("land", "a", "d"), ("e",))
    renamed = made.renamed({"a": "A", "e": "E", "land": "sea", "f.csv": "g.csv"})
    assert renamed.inputs() == Inputs(("land", "A", "b", "c", "d"), ("E",), (), ("f.csv",))
    assert renamed.word == "a"


def test_an_object_that_declares_nothing_passes_for_a_sampler(tmp_path: Path) -> None:
    class Silent:
        name: ClassVar[str] = "silent"

        def spec(self) -> dict[str, Any]:
            return {"name": self.name}

        def draw(self, pool: Pool, n: int | None, rng: np.random.Generator) -> Composition:
            raise NotImplementedError

    assert not isinstance(Silent(), Sampler)
    with pytest.raises(WherefromError, match=r"not <.*Silent"):
        sampler(Silent())  # type: ignore[call-overload]


def test_the_engine_has_to_know_names_of_samplers() -> None:
    told = {
        spec: (sampler(spec).needs_n, sampler(spec).varies, sampler(spec).empty) for spec in READ
    }
    assert told.pop("none") == (False, False, True)
    assert told.pop("ids:file=mine.csv") == (False, False, False)
    assert set(told.values()) == {(True, True, False)}
