"""The table ``tuned.csv`` beside a study file: what was tried on the tuning places, and chosen."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from wherefrom.errors import WherefromError, of_the_system
from wherefrom.files import atomic
from wherefrom.part import Part
from wherefrom.shown import count_of
from wherefrom.train.scores import METRICS

__all__ = [
    "COLUMNS", "NAME", "Choice", "Option", "Tried", "Tuned", "best", "groups", "read", "replaced",
    "text_of", "write",
]  # fmt: skip

#: Of the table, in the folder of the study file.
NAME = "tuned.csv"
#: Value of a head's option in a study file.
Option = bool | int | float | str | None


class Choice(Part):
    """The options of a head that were chosen for a row on a task, and their score."""

    task: str
    row: str
    kind: str
    head: str
    options: dict[str, Option]
    score: float
    metric: str


class Tuned(Part):
    """What of the table fits the study, by keys of the study file, and what no longer does."""

    choices: tuple[Choice, ...] = ()
    #: In words, one line a row of the study.
    unfit: tuple[str, ...] = ()

    def choice(self, task: str, row: str, head: str) -> Choice | None:
        """Return what was chosen, or None."""
        key = task, row, head
        found = (one for one in self.choices if (one.task, one.row, one.head) == key)
        return next(found, None)


@dataclass(frozen=True)
class Tried:
    """A line of the table: one point of the grid of a head, for one row on one task.

    Attributes
    ----------
    study, scale : str
        Of the study file.
    task, row, kind, head : str
        Keys of the study file; the kind of row is model, baseline or published.
    options : str
        As `text_of` writes them.
    score, se : float
        Mean over regions, fine-tune seeds and, of a model, compositions; and its standard error
        over fine-tune seeds, None of a single one.
    n, seeds : int
        Labelled places, and fine-tune seeds.
    metric : str
    chosen : bool
        Of the points of one grid one is.
    task_key, row_key : str
        Hashes of what the study file says of the task and of the row.
    version : int
        Of the head.
    """

    study: str
    scale: str
    task: str
    row: str
    kind: str
    head: str
    options: str
    score: float
    se: float | None
    n: int
    seeds: int
    metric: str
    chosen: bool
    task_key: str
    row_key: str
    version: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Scale, task, row and head."""
        return self.scale, self.task, self.row, self.head


COLUMNS = tuple(field.name for field in fields(Tried))
_BOOLS = {"yes": True, "no": False}


def text_of(options: Mapping[str, Option]) -> str:
    """Write options in one cell; equal numbers have one text.

    Examples
    --------
    >>> text_of({"C": 1.0, "balanced": True}), text_of({"C": 1, "balanced": True}), text_of({})
    ('C=1 balanced=True', 'C=1 balanced=True', 'defaults')
    """

    def plain(value: Option) -> str:
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)

    return " ".join(f"{name}={plain(options[name])}" for name in sorted(options)) or "defaults"


def best(scores: Sequence[float], metric: str) -> int:
    """Return the position of the best score, of equals the first."""
    sign = METRICS[metric].sign
    return max(range(len(scores)), key=lambda at: (sign * scores[at], -at))


def groups(table: Iterable[Tried]) -> dict[tuple[str, str, str, str], list[Tried]]:
    """Group lines by scale, task, row and head, sorted by these."""
    ordered = sorted(table, key=attrgetter("key"))
    return {key: list(lines) for key, lines in groupby(ordered, key=attrgetter("key"))}


def read(file: Path, study: str) -> list[Tried]:
    """Read a table; none if there is no file.

    Raises
    ------
    WherefromError
        If it is no such table, of another study, torn, or changed by hand so that what is chosen
        is not what scores best. Names the file and the line.
    """
    again = f"restore it, or remove it and run 'wherefrom study tune' again ({file})"
    if not file.exists():
        return []
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise WherefromError(f"{file}: cannot be read: {of_the_system(err) or err}") from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise WherefromError(
            f"{file}: not a table of this version as it was written: its first line must be "
            f"{','.join(COLUMNS)}; {again}"
        )
    found = []
    for number, cells in enumerate(lines[1:], start=2):
        if not cells:  # a blank line
            continue
        if len(cells) != len(COLUMNS):
            raise WherefromError(
                f"line {number} has {count_of(len(cells), 'cell')}, not {len(COLUMNS)}: the table "
                f"is torn: {again}"
            )
        values = dict(zip(COLUMNS, cells, strict=True))
        try:
            line = Tried(**{name: _parsed(name, text) for name, text in values.items()})
            _refuse_impossible(line)
        except ValueError as err:
            raise WherefromError(f"line {number}, {err}: {again}") from None
        if line.study != study:
            raise WherefromError(
                f"{file}, line {number}: it is of study {line.study!r}, not {study!r}: remove it, "
                "and run 'wherefrom study tune', which writes the study's own"
            )
        found.append(line)
    for key, tried in groups(found).items():
        what = f"{key[2]} on {key[1]}, {key[3]}, scale {key[0]}"
        texts = [one.options for one in tried]
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise WherefromError(f"{what}: {twice} is there twice: {again}")
        chosen = [one.score for one in tried if one.chosen]
        if len(chosen) != 1:
            raise WherefromError(
                f"{what}: {len(chosen)} lines are chosen, not one: the table is torn: {again}"
            )
        scores = [one.score for one in tried]
        if len({one.metric for one in tried}) > 1 or (
            chosen[0] != scores[best(scores, tried[0].metric)]
        ):
            raise WherefromError(f"{what}: the line that is chosen does not score best: {again}")
    return found


def _refuse_impossible(line: Tried) -> None:
    """Refuse numbers that no tuning gives; a ValueError says which."""
    least, most = METRICS[line.metric].limits
    if not least <= line.score <= most:
        raise ValueError(f"score is {line.score:g}, and {line.metric} is {least:g} to {most:g}")
    for name, lowest in (("se", 0), ("n", 2), ("seeds", 1)):
        if (value := getattr(line, name)) is not None and value < lowest:
            raise ValueError(f"{name} is {value:g}, and {lowest} is the least")


def _parsed(name: str, text: str) -> Any:
    """Read a cell by its column; a ValueError says what is wrong with it."""
    if name == "chosen":
        if text not in _BOOLS:
            raise ValueError(f"chosen is {text!r}, not yes or no")
        return _BOOLS[text]
    if name == "metric" and text not in METRICS:
        raise ValueError(f"metric is {text!r}, none of {', '.join(METRICS)}")
    if name in ("n", "seeds", "version"):
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{name} is {text!r}, no whole number") from None
    if name in ("score", "se"):
        if name == "se" and not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{name} is {text!r}, no finite number")
        return value
    return text


def replaced(old: Iterable[Tried], new: Iterable[Tried]) -> list[Tried]:
    """Put new lines in the place of those of the same scale, task, row and head; others stay."""
    new = list(new)
    gone = {line.key for line in new}
    return [line for line in old if line.key not in gone] + new


def write(table: Iterable[Tried], file: Path) -> None:
    """Write a table, sorted by scale, task, row and head; points in the order of their grid."""
    with atomic(file) as tmp, tmp.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for lines in groups(table).values():
            for line in lines:
                cells = {name: getattr(line, name) for name in COLUMNS}
                cells |= {"chosen": "yes" if line.chosen else "no"}
                writer.writerow(["" if cell is None else cell for cell in cells.values()])
