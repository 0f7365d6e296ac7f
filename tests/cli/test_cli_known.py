"""`wherefrom data known`: every entry listed, its commands valid, its file made a table."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer.main
from running import Done, run_apart

from wherefrom.cli import app
from wherefrom.cli.data import _commands
from wherefrom.pool.known import Known, entries


def run(folder: Path, *words: str) -> Done:
    return run_apart(list(words), folder, {})


def test_the_list_leaves_none_out(tmp_path: Path) -> None:
    done = run(tmp_path, "data", "known")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for one in entries().values():
        (line,) = [x for x in lines if x.split()[:2] == [one.name, one.kind]]
        assert line.endswith(one.licence)
        assert one.count in line
        assert f"  {one.address}" in lines


@pytest.mark.parametrize("one", entries().values(), ids=lambda one: one.name)
def test_a_printed_command_has_a_flag_that_audit_lacks(one: Known) -> None:
    lines = _commands(one)
    assert len(lines) == {"table": 1, "none": 0}.get(one.reads.layout, 2)
    for line in lines:
        _, *words = shlex.split(line)
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)  # raises where a flag is not known


def test_an_entry_hides_what_is_not_verified_or_how_to_read_it(tmp_path: Path) -> None:
    done = run(tmp_path, "data", "known", "lucas-2018")
    assert done.returncode == 0, done.stderr
    one = entries()["lucas-2018"]
    for text in (*one.source, *one.caveats, one.citation, "not verified", "unknown"):
        assert text in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith(
        "  wherefrom audit EU_2018_20200213.CSV --id POINT_ID --lon TH_LONG --lat"
    )


def test_a_list_in_json_is_no_pool_after_its_table_was_made(tmp_path: Path) -> None:
    (tmp_path / "lon_lats.json").write_text(json.dumps([[1.5, 2.5], [30, -4]]))
    words = ("data", "known", "olmoearth", "--table", "lon_lats.json", "--out", "o.parquet")
    done = run(tmp_path, *words)
    assert (done.returncode, done.stdout) == (0, "o.parquet: 2 rows\n"), done.stderr
    assert pq.read_table(tmp_path / "o.parquet").to_pydict() == {
        "lon": [1.5, 30.0],
        "lat": [2.5, -4.0],
    }
    done = run(tmp_path, "pool", "check", "o.parquet")
    assert done.returncode == 0, done.stderr
    assert "fit for a pool: lon 1.5000 to 30.0000" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pastiss",), "error: unknown pool or benchmark 'pastiss': did you mean 'pastis'?"),
        (("eurosat", "--table", "a.json", "--out", "a.parquet"), "error: eurosat has no table"),
        (("olmoearth", "--table", "a.json", "--out", "a.parquet"), "error: a.json: no such file"),
        (("olmoearth", "--table", "a.json", "--out", "a.csv"), "error: --out a.csv: a table is a"),
        (("olmoearth", "--table", "a.json"), "error: --table goes with a NAME and --out"),
        (("--table", "a.json", "--out", "a.parquet"), "error: --table goes with a NAME and --out"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run(tmp_path, "data", "known", *words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)
