"""Samplers from elsewhere: told apart from ours, named in texts, refused where incomplete."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from wherefrom import draw
from wherefrom.compose import (
    Composition,
    DesignSampler,
    LayerName,
    Names,
    SamplerModel,
    StreamedSampler,
    sampler,
    text_of,
)
from wherefrom.compose.samplers.mixture import Mixture
from wherefrom.compose.samplers.plain import Uniform
from wherefrom.compose.samplers.stratified import Stratified
from wherefrom.errors import WherefromError
from wherefrom.keys import canonical
from wherefrom.pool import Pool

HERE = __name__


class Fake(Uniform):
    """Bears the name of one of ours."""

    name: ClassVar[str] = "uniform"


class Newer(Fake):
    """Draws otherwise than it did."""

    version: ClassVar[int] = 2


class Banded(Stratified):
    """Bears a name that no table has."""

    name: ClassVar[str] = "banded"
    layer: LayerName = "use"
    more: LayerName | None = "use"


class Listed(Uniform):
    """Has a field that no text can hold."""

    name: ClassVar[str] = "listed"
    some: tuple[LayerName, ...] = ()
    crossed: Names = ("a",)


class Half(DesignSampler):
    """Has no design, and no name."""


class Nameless(SamplerModel):
    """Has no name."""

    def draw(self, pool: Any, n: int | None, rng: np.random.Generator) -> Composition:
        raise NotImplementedError


class Unplanned(StreamedSampler):
    """Has no strata."""

    name: ClassVar[str] = "unplanned"


PART = f"{HERE}:Banded:layer=use;more=kind"


@pytest.fixture
def pool() -> Pool:
    where = {"lon": np.arange(40) * 1.0, "lat": np.zeros(40)}
    return Pool.from_table(pa.table(where | {"use": ["a", "b"] * 20, "kind": ["c", "d"] * 20}))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the samplers of this file under names, as a package does."""
    about = tmp_path / "planted-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    points = f"[wherefrom.samplers]\nother-name = {HERE}:Banded\nlisted = {HERE}:Listed\n"
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_sampler_that_bears_the_name_of_ours_shares_its_draws() -> None:
    given = ("uniform", f"{HERE}:Fake", f"{HERE}:Newer")
    keys = {canonical(sampler(spec).identity()) for spec in given}
    assert len(keys) == 3
    assert sampler(given[1]).spec() == {"name": "uniform"}
    assert sampler(given[2]).identity()["version"] == 2
    mixed = {canonical(sampler(f"mixture:parts=1*{spec}").identity()) for spec in given}
    assert len(mixed) == 3


def test_a_new_version_of_a_part_reuses_a_mixtures_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = sampler(f"mixture:parts=1*uniform+2*{PART}")
    old = canonical(mixed.identity())
    monkeypatch.setattr(Banded, "version", 2)
    assert canonical(mixed.identity()) != old


@pytest.mark.parametrize("part", [PART, "other-name:layer=use;more=kind"])
def test_a_sampler_named_otherwise_than_its_class_fails_in_a_mixture(
    part: str, pool: Pool, site: None
) -> None:
    mixed = sampler(f"mixture:parts=1*uniform+2*{part}")
    assert mixed.inputs().layers == ("use", "kind")
    assert draw(pool, mixed, 10).size == 10
    renamed = mixed.renamed({"kind": "type"})
    assert renamed.inputs().layers == ("use", "type")
    for made in (mixed, renamed):
        assert sampler(text_of(made)) == made
        assert sampler(made.spec()) == made


@pytest.mark.parametrize("given", [f"{HERE}:Banded", "other-name"])
def test_a_stand_in_loses_the_name_by_which_its_sampler_is_found(given: str, site: None) -> None:
    made = sampler(f"{given}:short=cap").renamed({"use": "zone"})
    assert text_of(made) == f"{HERE}:Banded:layer=zone,short=cap,more=zone"
    assert sampler(text_of(made)) == made
    assert text_of(sampler(f"{HERE}:Fake")) == f"{HERE}:Fake"
    assert text_of(sampler("listed")) == "listed"


def test_a_class_that_nothing_leads_to_ends_in_a_traceback() -> None:
    class Local(Uniform):
        """Lies within a function."""

        name: ClassVar[str] = "local"

    with pytest.raises(WherefromError, match="'local' cannot be named in a text"):
        text_of(Local())
    with pytest.raises(WherefromError, match=r"'mixture': parts=.*'local' cannot be named"):
        Mixture.from_flags({"parts": [(1, Local())]})


def test_a_value_that_a_text_cannot_hold_is_changed_in_silence(site: None) -> None:
    with pytest.raises(WherefromError, match=r"listed:some=.* is not read back"):
        text_of(Listed(some=("a", "b")))
    assert text_of(Listed(crossed=("a", "b"))) == "listed:crossed=a+b"


def test_a_part_that_another_process_cannot_find_ends_in_a_traceback() -> None:
    lost = Mixture.model_construct(parts="1*no_such_module:Lost")
    with pytest.raises(WherefromError, match="'mixture': no_such_module:Lost"):
        lost.inputs()


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [(Half, r"name: ClassVar\[str\], design\(\)"), (Nameless, "name"), (Unplanned, "strata")],
)
def test_a_class_that_lacks_something_ends_in_a_traceback(kind: type, lacks: str) -> None:
    with pytest.raises(WherefromError, match=f"sampler class {HERE}:{kind.__name__} lacks {lacks}"):
        sampler(f"{HERE}:{kind.__name__}")
