"""Write the table of docs/leaderboard.md from the entries in this folder, each with its list.

    python studies/leaderboard/table.py

An entry is entry.json of `wherefrom evaluate`, a list its list.parquet, under one name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wherefrom.errors import WherefromError
from wherefrom.files import atomic, sha256_of

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "leaderboard.md"
BEGIN, END = "<!-- rows: studies/leaderboard/table.py -->\n", "<!-- end of rows -->"
#: What makes two rows comparable.
ALIKE = ("model", "task", "metric", "places", "wherefrom")


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a folder, checked against their lists and each other."""
    beside: dict[tuple[Any, ...], tuple[str, str]] = {}
    for file in sorted(folder.glob("*.json")):
        entry = json.loads(file.read_text(encoding="utf-8"))
        listed = file.with_suffix(".parquet")
        if entry["scale"] != "laptop":
            raise WherefromError(f"{file}: scale {entry['scale']}; the table is of laptop alone")
        if not listed.is_file():
            raise WherefromError(f"{file}: its list is not there: put list.parquet at {listed}")
        if sha256_of(listed) != entry["sha256"]:
            raise WherefromError(f"{listed} is not the list of {file}: evaluate it again")
        first, key = beside.setdefault(
            tuple(entry[name] for name in ALIKE), (file.name, entry["beside"])
        )
        if key != entry["beside"]:
            raise WherefromError(
                f"{file}: compared with other uniform runs than {first}: evaluate both with one "
                "version, and the same data"
            )
        yield entry


def table(folder: Path) -> str:
    """Return the rows, those of a model and size together, the best first."""
    found = sorted(
        entries(folder),
        key=lambda one: (one["model"], one["task"], one["places"], -one["difference"]),
    )
    if not found:
        return "No list has been handed in yet.\n"
    lines = ["| list | places | model | minus uniform | interval | blocks | SHA-256 |"]
    lines.append("|---|--:|---|--:|---|--:|---|")
    for one in found:
        between = "" if one["low"] is None else f"{one['low']:+.3f} to {one['high']:+.3f}"
        lines.append(
            f"| [{one['name']}](../studies/leaderboard/{one['name']}.parquet) | {one['places']:,} "
            f"| {one['model']} | {one['difference']:+.3f} | {between} | {one['blocks']} "
            f"| `{one['sha256'][:12]}` |"
        )
    return "\n".join(lines) + "\n"


def written(page: str, rows: str) -> str:
    """Put rows into a page, in the place of those that it has."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + "\n" + rows + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    try:
        text = written(PAGE.read_text(encoding="utf-8"), table(HERE))
    except WherefromError as err:
        sys.exit(str(err))
    with atomic(PAGE) as tmp:
        tmp.write_text(text, encoding="utf-8")
