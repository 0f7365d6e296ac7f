"""``wherefrom card``: a folder with the card of a file of places, and benchmarks beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from running import Done

Run = Callable[..., Done]


def test_a_benchmark_is_beside_the_wrong_name(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(10, 30, 300), rng.uniform(-20, 10, 300)
    pq.write_table(pa.table({"lon": lon, "lat": lat}), tmp_path / "tiles.parquet")
    (tmp_path / "fields.csv").write_text(f"lon,lat\n{lon[0]},{lat[0]}\n100,60\n")
    tests = ["--test", tmp_path / "fields.csv", "--test", f"other={tmp_path / 'fields.csv'}"]
    done = run("card", tmp_path / "tiles.parquet", *tests, "--name", "Ours")
    assert done.returncode == 0, done.stderr
    made = tmp_path / "tiles-card"
    assert sorted(path.name for path in made.iterdir()) == [
        "README.md", "card-dark.png", "card.html", "card.png",
    ]  # fmt: skip
    text = (made / "README.md").read_text()
    for name in ("fields", "other"):
        assert f"- **50 %** of 2 places of {name} lie within 1 km of this set" in text
    again = run("card", tmp_path / "tiles.parquet", *tests[:2], *tests[:2])
    assert again.returncode == 2
    assert "two are called 'fields'" in again.error
    (tmp_path / "a-file").write_text("")
    done = run("card", tmp_path / "tiles.parquet", "--out", tmp_path / "a-file")
    assert "is a file: name a folder" in done.error
