"""Bad input ends in one line that names the file, the row or the field, exit code 2, no loss.

The mistakes that one command alone can meet are tested with that command; here are those that
several commands share, and what lies between the commands and the disk.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom.cli import main

Run = Callable[..., "Done"]

BUILD = ("pool", "build", "--places", 10)
DRAW = ("draw", "pool.parquet", "--sampler", "uniform", "-n", 2)
TASK = ("task", "from-table", "pool.parquet", "--label", "use")


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line of a mistake."""
        assert self.returncode == 2, self.stderr
        assert self.stdout == ""
        assert self.stderr.startswith("error: ")
        assert self.stderr.count("\n") == 1
        return self.stderr.removeprefix("error: ").rstrip("\n")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line's own entry in this process, which saves seconds of imports."""

    def call(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["wherefrom", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        text = capsys.readouterr()
        return Done(int(left.value.code or 0), text.out, text.err)

    return call


@pytest.fixture(autouse=True)
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pool in the working folder, which needs no data of the Earth."""
    monkeypatch.chdir(tmp_path)
    table = pa.table(
        {
            "id": list(range(40)),
            "lon": [float(i) for i in range(40)],
            "lat": [float(i % 7) for i in range(40)],
            "use": ["a", "b"] * 20,
            "continent": ["Africa"] * 40,
        }
    )
    pq.write_table(table, "pool.parquet")
    return tmp_path / "pool.parquet"


@pytest.mark.parametrize("words", [BUILD, DRAW, TASK], ids=lambda words: words[0])
def test_output_that_cannot_be_a_file_is_refused_before_the_work(
    run: Run, pool: Path, words: tuple[object, ...]
) -> None:
    Path("folder.parquet").mkdir()
    os.mkfifo("pipe.parquet")
    before = sorted(Path().iterdir())
    for out, message in (
        ("folder.parquet", "cannot write folder.parquet: it is a folder; name a file in it"),
        ("pipe.parquet", "cannot write pipe.parquet: it is a device, no file; name a file"),
        ("pool.parquet/c.parquet", "pool.parquet is a file, no folder; choose another folder"),
        ("c.csv", "is a Parquet file; name it .parquet"),
        ("", "is a Parquet file; name it .parquet"),
    ):
        assert message in run(*words, "--out", out).error
    assert sorted(Path().iterdir()) == before
    assert Path("pipe.parquet").is_fifo()


def test_too_long_a_name_is_one_line(run: Run) -> None:
    assert "choose a shorter name" in run(*DRAW, "--out", "a" * 300 + ".parquet").error


def test_the_users_own_list_of_ids_is_not_overwritten(run: Run) -> None:
    assert run(*DRAW, "--out", "mine.parquet").returncode == 0
    before = Path("mine.parquet").read_bytes()
    words = ("draw", "pool.parquet", "--sampler", "ids:file=mine.parquet")
    assert "is the list of ids itself" in run(*words, "--out", "mine.parquet").error
    assert Path("mine.parquet").read_bytes() == before


def test_a_link_is_replaced_and_its_file_left_behind(run: Run) -> None:
    Path("disk").mkdir()
    Path("c.parquet").symlink_to("disk/c.parquet")
    assert run(*DRAW, "--out", "c.parquet").returncode == 0
    assert Path("c.parquet").is_symlink()
    assert pq.read_table("disk/c.parquet").num_rows == 2
