"""The composition's file and card: same spec, same bytes, nothing silent."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from wherefrom import draw, earth
from wherefrom.compose import Composition
from wherefrom.compose.card import card, write_card
from wherefrom.earth.maps import draw_places, project, world_axes
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, scan


@pytest.fixture(scope="module")
def pool() -> Pool:
    lon, lat = uniform_on_sphere(400, np.random.default_rng(5))
    use = ["a"] * 300 + ["b"] * 95 + ["c"] * 5
    continent = ["Africa"] * 200 + ["Asia"] * 150 + [None] * 50
    ids = [f"tile-{i}" for i in range(400)]
    return Pool.from_table(
        pa.table({"id": ids, "lon": lon, "lat": lat, "use": use, "continent": continent})
    )


def test_same_spec_gives_the_same_bytes(pool: Pool, tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = tmp_path / name / "c.parquet"
        composition = draw(pool, "stratified:layer=use,short=cap", 90, seed=4)
        composition.write(path)
        write_card(composition, pool, path)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"c.parquet", "c.card.json", "c.card.png"}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_composition_is_read_back_whole(pool: Pool, tmp_path: Path) -> None:
    composition = draw(pool, "stratified:layer=use,short=repeat", 90, seed=4)
    composition.write(tmp_path / "c.parquet")
    again = Composition.read(tmp_path / "c.parquet")
    assert again.key == composition.key
    assert again.provenance == composition.provenance
    np.testing.assert_array_equal(again.expanded_ids(), composition.expanded_ids())
    assert again.multiplicity.dtype == np.int32


def test_other_file_is_not_taken_for_a_composition(pool: Pool, tmp_path: Path) -> None:
    pool.write(tmp_path / "p.parquet")
    with pytest.raises(WherefromError, match=r"not a composition.*ids:file="):
        Composition.read(tmp_path / "p.parquet")
    (tmp_path / "c.csv").write_text("id\n1\n")
    with pytest.raises(WherefromError, match="is a Parquet file"):
        Composition.read(tmp_path / "c.csv")


def test_card_states_what_was_realised_and_what_was_short(pool: Pool, tmp_path: Path) -> None:
    composition = draw(pool, "stratified:layer=use,short=cap", 90)
    write_card(composition, pool, tmp_path / "c.parquet")
    stated = json.loads((tmp_path / "c.card.json").read_text())
    rare = stated["strata"][2]
    assert rare == {"label": "c", "pool": 5, "asked": 30.0, "expected": 5.0, "drawn": 5}
    assert stated["short_strata"] == ["c"]
    assert (stated["n"], stated["size"], stated["expected_size"]) == (90, 65, 65.0)
    assert [c["label"] for c in stated["continents"]] == ["none", "Africa", "Asia"]
    assert sum(c["drawn"] for c in stated["continents"]) == 65
    assert stated["pool"]["key"] == pool.key


def test_card_of_a_pool_in_files_differs_from_that_of_the_pool_in_memory(
    pool: Pool, tmp_path: Path
) -> None:
    for name in ("labelled", "bare"):
        table = pool.table if name == "labelled" else pool.table.drop_columns(["continent"])
        (tmp_path / name).mkdir()
        for at in (0, 150):
            piece = table.slice(at, 150 if at == 0 else 400)
            pq.write_table(piece, tmp_path / name / f"{at}.parquet")
        held, scanned = Pool.from_table(table), scan(tmp_path / name)
        composition = draw(scanned, "stratified:layer=use,short=repeat", 90, seed=4)
        stated = card(composition, scanned)
        assert stated == card(composition, held)
        if "continents_missing" in stated:
            pytest.skip(f"no continents: {stated['continents_missing']}")
        assert sum(c["drawn"] for c in stated["continents"]) == 90
        assert sum(c["pool"] for c in stated["continents"]) == 400


def test_label_called_none_is_mixed_up_with_no_label(pool: Pool) -> None:
    continent = ["none"] * 390 + [None] * 10
    table = pool.table.drop_columns(["continent"]).append_column("continent", pa.array(continent))
    other = Pool.from_table(table)
    shares = card(draw(other, "uniform", 400), other)["continents"]
    assert {c["label"]: c["pool"] for c in shares} == {"no label": 10, "none": 390}


def test_card_of_another_pool_is_refused(pool: Pool) -> None:
    other = Pool.from_table(pool.table.slice(1))
    with pytest.raises(WherefromError, match="drawn from pool"):
        card(draw(pool, "uniform", 10), other)


def test_card_without_earth_data_says_so_and_the_draw_is_not_lost(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise WherefromError("no network and nothing cached")

    monkeypatch.setattr(earth, "layer", gone)
    bare = Pool.from_table(pool.table.drop_columns(["continent"]))
    notes = write_card(draw(bare, "uniform", 30), bare, tmp_path / "c.parquet")
    assert notes == ["the card has no continents and no land: no network and nothing cached"]
    assert (tmp_path / "c.card.png").stat().st_size > 10_000


@pytest.mark.parametrize("spec", ["none", "uniform"])
def test_card_of_a_draw_without_strata_is_drawn(pool: Pool, tmp_path: Path, spec: str) -> None:
    write_card(draw(pool, spec, 30), pool, tmp_path / "c.parquet")
    image = matplotlib.image.imread(tmp_path / "c.card.png")
    assert image.shape[1] == 1500


def test_projection_keeps_areas_and_known_points() -> None:
    # The map's own area is that of the unit sphere, 4 pi.
    lat = np.linspace(-90, 90, 20_001)
    x, y = project(180.0, lat)
    assert 2 * np.trapezoid(x, y) == pytest.approx(4 * np.pi, rel=1e-6)
    # A belt's area on the map against the sphere's: 2 pi (sin b - sin a).
    x, y = project(180.0, np.linspace(50, 60, 2001))
    belt = 2 * np.pi * (np.sin(np.radians(60)) - np.sin(np.radians(50)))
    assert 2 * np.trapezoid(x, y) == pytest.approx(belt, rel=1e-6)


def test_many_places_are_a_density_and_all_are_counted() -> None:
    lon, lat = uniform_on_sphere(60_000, np.random.default_rng(0))
    axes = world_axes(Figure().add_subplot(), land=False)
    image = draw_places(axes, lon, lat)
    assert image.get_array().sum() == 60_000
    few = draw_places(axes, lon[:100], lat[:100])
    assert len(few.get_offsets()) == 100
