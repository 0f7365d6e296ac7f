"""Layers and samplers of other packages: found by entry point or address, broken ones named."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wherefrom import draw, earth, plugins
from wherefrom.compose import sampler
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, label

CODE = '''
from fractions import Fraction
import numpy as np
from wherefrom.compose import Allocation, Design, DesignSampler
from wherefrom.earth import Layer, ValueLayer


class South(DesignSampler):
    """Uniform south of a latitude."""
    name = "south"
    below: float = 0.0

    def design(self, pool, n, rng):
        codes = np.where(pool.lat < self.below, 0, -1).astype(np.int32)
        sizes = np.array([int((codes == 0).sum())])
        return Design(codes, sizes, Allocation((Fraction(n),), (Fraction(n),), ()))


belt = Layer("belt", ("south", "north"), (), "b1", lambda lon, lat: (lat > 0).astype(np.int32))


def opened():
    return ValueLayer("height", "m", (), "h1", lambda lon, lat: lat.astype(np.float32))


number = 3
'''


def install(folder: Path, package: str, module: str, code: str, points: str) -> None:
    """Write what pip would: a module and its metadata."""
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    points = (
        "[wherefrom.samplers]\nsouth = planted_bands:South\nnumber = planted_bands:number\n"
        "[wherefrom.layers]\nbelt = planted_bands:belt\nheight = planted_bands:opened\n"
        "number = planted_bands:number\n"
    )
    install(folder, "planted-bands", "planted_bands", CODE, points)
    importlib.invalidate_caches()
    earth.layers._listed.cache_clear()
    yield folder
    earth.layers._listed.cache_clear()
    sys.modules.pop("planted_bands", None)


@pytest.fixture
def pool() -> Pool:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 200), rng.uniform(-90, 90, 200)
    return Pool.from_table(pa.table({"lon": lon, "lat": lat}))


@pytest.mark.parametrize("name", ["south", "planted_bands:South"])
def test_a_sampler_of_another_package_is_not_unknown(name: str, site: Path, pool: Pool) -> None:
    spec = f"{name}:below=-30"
    assert sampler(spec).spec() == {"name": "south", "below": -30.0}
    drawn = draw(pool, spec, n=10)
    assert (pool.lat[pool.take(drawn.ids)] < -30).all()
    assert drawn.provenance["class"] == "planted_bands:South"
    assert "class" not in draw(pool, "uniform", n=10).provenance


@pytest.mark.parametrize("name", ["belt", "planted_bands:belt"])
def test_a_layer_of_another_package_serves_as_strata(name: str, site: Path, pool: Pool) -> None:
    drawn = draw(pool, {"name": "stratified", "layer": name}, n=10)
    assert [s["label"] for s in drawn.provenance["strata"]] == ["north", "south"]
    assert earth.layer_key(name) == "b1"
    assert earth.available(name)


def test_a_function_that_opens_a_layer_is_called(site: Path) -> None:
    assert earth.layer("height")([0.0], [12.0]).tolist() == [12.0]


def test_offered_names_are_suggested(site: Path) -> None:
    with pytest.raises(WherefromError, match="did you mean 'south'"):
        sampler("souht")
    with pytest.raises(WherefromError, match="did you mean 'belt'"):
        earth.layer("bellt")


@pytest.mark.parametrize("name", ["number", "planted_bands:number"])
def test_what_is_no_layer_or_sampler_is_refused_by_name(name: str, site: Path) -> None:
    with pytest.raises(WherefromError, match=f"layer '{name}' is a int"):
        earth.layer(name)
    with pytest.raises(WherefromError, match=f"sampler '{name}' is no class"):
        sampler(name)


def test_a_package_that_cannot_be_imported_is_named(site: Path) -> None:
    install(site, "torn-plugin", "torn_plugin", "import no_such_thing\n",
            "[wherefrom.samplers]\ntorn = torn_plugin:Torn\n")  # fmt: skip
    importlib.invalidate_caches()
    with pytest.raises(WherefromError, match="'torn' of package torn-plugin cannot be loaded"):
        sampler("torn")
    with pytest.raises(WherefromError, match="module 'torn_plugin' cannot be imported"):
        sampler("torn_plugin:Torn")
    assert sampler("uniform").name == "uniform"  # the others go on


def test_two_packages_with_one_name_are_both_named(site: Path) -> None:
    install(site, "rival", "rival", CODE, "[wherefrom.samplers]\nsouth = rival:South\n")
    importlib.invalidate_caches()
    with pytest.raises(WherefromError, match=r"2 packages offer 'south'.*planted-bands, rival"):
        sampler("south")


def test_an_absent_name_at_an_address_is_said(site: Path) -> None:
    with pytest.raises(WherefromError, match="module 'planted_bands' has no 'Nroth'"):
        sampler("planted_bands:Nroth")


def test_nothing_is_imported_before_it_is_asked_for(site: Path) -> None:
    assert "south" in plugins.kinds("samplers")
    sampler("uniform")
    assert "planted_bands" not in sys.modules


def test_code_of_the_working_folder_runs_unsaid(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins._say_whose.cache_clear()  # as in a new process
    for _ in range(2):
        sampler("planted_bands:South")
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("planted_bands is code of") == 1
    assert str(site / "planted_bands.py") in said
    sampler("south")  # of a package that was installed on purpose
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["planted_bands:South", "south"])
def test_code_that_is_refused_runs(name: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.NO_PLUGINS, "1")
    with pytest.raises(WherefromError, match="--no-plugins"):
        sampler(name)
    assert "planted_bands" not in sys.modules
    assert sampler("uniform").name == "uniform"


def test_a_labelled_folder_names_a_layer_otherwise_than_its_user(
    site: Path, pool: Pool, tmp_path: Path
) -> None:
    labelled = label(pool, ["planted_bands:belt"], tmp_path / "labelled")
    assert labelled.columns == ("planted_bands:belt",)
    counts = labelled.counts("planted_bands:belt")
    assert counts is not None
    found = dict(zip(labelled.labels("planted_bands:belt"), counts.tolist(), strict=True))
    assert found == {"south": int((pool.lat <= 0).sum()), "north": int((pool.lat > 0).sum())}
    spec = "stratified:layer=planted_bands:belt"
    assert (
        draw(labelled, spec, 20, seed=0).ids.tolist() == draw(pool, spec, 20, seed=0).ids.tolist()
    )
