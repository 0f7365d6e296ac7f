"""The leaderboard: every row is of the list that lies beside it, and of comparable runs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from wherefrom.errors import WherefromError
from wherefrom.files import sha256_of

FILE = Path(__file__).resolve().parents[2] / "studies" / "leaderboard" / "table.py"


@pytest.fixture(scope="module")
def script() -> Any:
    """Import the script that writes the table."""
    spec = importlib.util.spec_from_file_location("leaderboard", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def enter(folder: Path, name: str, **change: Any) -> None:
    (folder / f"{name}.parquet").write_bytes(name.encode())
    entry = {
        "name": name, "sha256": sha256_of(folder / f"{name}.parquet"), "places": 1000,
        "scale": "laptop", "model": "m", "task": "t", "metric": "f1_macro", "difference": -0.01,
        "low": -0.02, "high": 0.0, "blocks": 6, "beside": "b", "wherefrom": "1",
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(entry | change))


def test_the_page_is_not_what_the_entries_say(script: Any) -> None:
    page = script.PAGE.read_text()
    assert script.written(page, script.table(script.HERE)) == page


def test_rows_are_in_no_order(script: Any, tmp_path: Path) -> None:
    enter(tmp_path, "worse")
    enter(tmp_path, "better", difference=0.02, low=None, high=None)
    rows = script.table(tmp_path).splitlines()[2:]
    assert [row.split("]")[0] for row in rows] == ["| [better", "| [worse"]
    assert "| -0.010 | -0.020 to +0.000 | 6 |" in rows[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "is not the list of"),
        ({"scale": "debug"}, "scale debug"),
        ({"beside": "c"}, "other uniform runs than first.json"),
    ],
)
def test_a_row_that_is_not_comparable_is_shown(
    script: Any, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    enter(tmp_path, "first")
    enter(tmp_path, "second", **change)
    with pytest.raises(WherefromError, match=message):
        script.table(tmp_path)


def test_an_entry_without_its_list_is_shown(script: Any, tmp_path: Path) -> None:
    enter(tmp_path, "first")
    (tmp_path / "first.parquet").unlink()
    with pytest.raises(WherefromError, match=r"its list is not there: put list.parquet at"):
        script.table(tmp_path)
