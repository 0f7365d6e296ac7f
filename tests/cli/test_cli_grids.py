"""Places that are cells of a grid, by their ids: on the command line, in folders and in Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from running import Done

import wherefrom
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, scan
from wherefrom.pool.batches import Ask

Run = Callable[..., Done]

TILES = ["31UFU", "01XDJ", "33XXK", "60GUV", "31UFT", "18LVR"]


def test_cells_are_not_places(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tiles.csv"
    file.write_text("tile,use\n" + "".join(f"{tile},a\n" for tile in TILES))
    for words in (["--id", "tile"], ["--cell", "tile"]):
        done = run("pool", "check", file, "--grid", "mgrs", *words)
        assert done.returncode == 0, done.stderr
        assert "to 80.4684" in done.stdout
        assert "footprint" in done.stdout
    done = run("audit", file, "--grid", "mgrs", "--id", "tile", "--layers", "continent")
    assert done.returncode == 0, done.stderr
    assert "area of a footprint" in done.stdout
    out = tmp_path / "drawn.parquet"
    words = ("--grid", "mgrs", "--id", "tile", "--sampler", "uniform", "-n", "2", "--out", out)
    assert run("draw", file, *words, "--places").returncode == 0
    assert set(Pool.read(out).ids) <= set(TILES)
    assert Pool.read(out).extended


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--grid", "mgrs", "--cell", "use"], "'a' is no cell of grid 'mgrs'; its ids are"),
        (["--grid", "mgrs"], "unknown column of cells"),
        (["--grid", "mrgs", "--id", "tile"], "did you mean 'mgrs'?"),
        (["--grid", "mgrs", "--lon", "x"], "leave --lon"),
        (["--cell", "tile"], "name it"),
    ],
)
def test_unknown_cells_are_a_traceback(
    run: Run, tmp_path: Path, words: list[str], said: str
) -> None:
    file = tmp_path / "tiles.csv"
    file.write_text("tile,use\n31UFU,a\n")
    done = run("pool", "check", file, *words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_folder_of_cells_is_another_pool(tmp_path: Path) -> None:
    table = pa.table({"tile": TILES, "use": list("aabbab")})
    (tmp_path / "parts").mkdir()
    for number in (0, 1):
        pq.write_table(table.slice(3 * number, 3), tmp_path / "parts" / f"{number}.parquet")
    whole = Pool.from_table(table, id="tile", grid="mgrs")
    parts = scan(tmp_path / "parts", id="tile", grid="mgrs")
    assert parts.key == whole.key
    [batch] = parts.batches(Ask(footprints=True))
    assert shapely.equals(batch.footprints, whole.footprints()).all()
    frame = wherefrom.draw(pd.DataFrame(table.to_pydict()), "uniform", 3, grid="mgrs", cell="tile")
    assert list(frame.columns) == ["tile", "use", "multiplicity", "inclusion_probability"]
    with pytest.raises(WherefromError, match="geometry and grid both say where"):
        Pool.from_table(table, geometry="use", grid="mgrs")
    bad = pa.table({"tile": ["31UFU", "31UFX9"]})
    pq.write_table(bad, tmp_path / "bad.parquet")
    with pytest.raises(WherefromError, match=r"bad.parquet, column 'tile': row 1: '31UFX9' is no"):
        scan(tmp_path / "bad.parquet", id="tile", grid="mgrs")
