"""The atlas holds each set beside land and beside each benchmark."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom.auditing.atlas import Listed, counted, drawn_up, listed
from wherefrom.errors import WherefromError
from wherefrom.report.atlas import markdown, write_atlas


def folder_of(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(10, 30, 300), rng.uniform(-20, 10, 300)
    pq.write_table(pa.table({"lon": lon, "lat": lat}), tmp_path / "tiles.parquet")
    rows = "".join(f"{x},{y}\n" for x, y in zip(lon[:3], lat[:3], strict=True))
    (tmp_path / "fields.csv").write_text(f"x,y\n{rows}100,60\n")
    (tmp_path / "atlas.yaml").write_text(
        "pools:\n  ours: {file: tiles.parquet, caveat: of today}\n"
        "  cities: {known: geonames-cities}\n"
        "tests:\n  fields: {file: fields.csv, lon: x, lat: y}\n"
    )
    return tmp_path


def test_a_set_stands_in_the_wrong_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    pools, tests = listed(folder / "atlas.yaml")
    atlas = counted(tests, tuple(drawn_up(pools, tests, folder)))
    ours, cities = atlas.rows
    assert (ours.name, ours.places, cities.name) == ("ours", 300, "cities")
    assert [each.share for each in ours.leakage["fields"].within] == [0.75, 0.75, 0.75]
    assert set(ours.continents) == {"Africa"}
    assert sum(cities.continents.values()) == pytest.approx(1.0)
    assert ours.median_km > cities.median_km
    made = write_atlas(atlas, folder / "out", "wherefrom atlas atlas.yaml")
    records = list(csv.DictReader(made[1].read_text().splitlines()))
    assert records[0]["fields within 1 km"] == "0.75"
    assert json.loads(made[2].read_text())[1]["name"] == "cities"
    page = made[0].read_text()
    for text in ("ours: of today", "75 %", "fields, 10 km", "wherefrom atlas atlas.yaml"):
        assert text in page
    assert markdown(atlas).splitlines()[2].startswith("| ours | 300 |")
    assert "| ours | 75 %, 75 % |" in markdown(atlas)


def test_a_known_file_is_read_by_guess(tmp_path: Path) -> None:
    table = pa.table({name: ["a"] for name in ("fn", "patch_idx", "shard")})
    for name, value in (("lon", 5.0), ("lat", 50.0)):
        table = table.append_column(name, [[value]])
    pq.write_table(table, tmp_path / "known.parquet")
    pool = Listed(file="known.parquet").opened(tmp_path)
    assert len(pool) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools: {a: {}}", "pools.a: .*name one of file and known"),
        ("pools: {a: {file: x.csv, column: y}}", "pools.a.column: Extra inputs"),
        ("pools: {}", "pools: .*at least 1 item"),
        ("pools: [", "is not YAML"),
        ("pools: {a: {file: none.csv}}", r"a: .*none.csv: no such file"),
        ("pools: {a: {known: none}}", "a: unknown list of places 'none'"),
    ],
)
def test_a_set_that_is_not_there_is_a_traceback(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "atlas.yaml").write_text(text)
    with pytest.raises(WherefromError, match=said):
        pools, tests = listed(tmp_path / "atlas.yaml")
        list(drawn_up(pools, tests, tmp_path))
