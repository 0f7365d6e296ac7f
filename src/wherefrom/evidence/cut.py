"""What a score is cut by, and what it is weighted to: labels of test places, and their shares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing import reference
from wherefrom.earth.cities import SMALLEST
from wherefrom.earth.land import codes_of
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool import Pool, read_table
from wherefrom.pool.columns import column_numbers, label_layer
from wherefrom.shown import line
from wherefrom.tasks import Task

__all__ = ["REGION", "Cut", "Target", "cut_by", "cut_by_column", "target"]

#: The cut by the task's own regions.
REGION = "region"
#: Digits of degrees to which places of a table are matched, about a metre.
_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Cut:
    """Labels of a task's places.

    Attributes
    ----------
    name : str
        The layer or column.
    labels : tuple of str
    codes : (N,) int32 array
        By row of the task, position in `labels`; -1 for none.
    layer : wherefrom.earth.Layer, optional
        Where the labels are those of a layer of the Earth.
    """

    name: str
    labels: tuple[str, ...]
    codes: NDArray[np.int32]
    layer: earth.Layer | None = None


@dataclass(frozen=True)
class Target:
    """Shares that test places are weighted to.

    Attributes
    ----------
    name : str
        ``"land"``, ``"people"`` or the name of the user's file.
    shares : dict of str to float
        By label; they add up to 1.
    about : str
        What the shares are of, in words.
    """

    name: str
    shares: dict[str, float]
    about: str


def cut_by(task: Task, name: str) -> Cut:
    """Label the places of a task by a layer of the Earth, or by its own regions (``"region"``).

    Raises
    ------
    WherefromError
        If there is no such layer, it is of numbers, its data cannot be had, or it has no label
        where the test places are.

    Examples
    --------
    >>> lon, lat = np.array([20.0, 100.0]), np.array([0.0, 50.0])
    >>> task = Task("demo", lon, lat, lon * 0, ("a",), lon * 0, ("x",), lon * 0, "demo")
    >>> cut = cut_by(task, "continent")
    >>> [cut.labels[code] for code in cut.codes]
    ['Africa', 'Asia']
    """
    if name == REGION:
        return Cut(name, task.regions, task.region.astype(np.int32))
    layer = label_layer(name, (REGION,))
    return _there(Cut(name, layer.labels, layer.codes(task.lon, task.lat), layer), task)


def cut_by_column(
    task: Task, file: Path, name: str, id: str | None = None, lon: str = "lon", lat: str = "lat"
) -> Cut:
    """Label the places of a task by a column of the user's table.

    Rows are matched by id where the task has ids and one of them is in the table, else by place, to
    about a metre. Where a place has several rows, they must have one label.

    Raises
    ------
    WherefromError
        If the table cannot be read, it has no such column of labels, no row matches, or the rows
        of one place differ.
    """
    pool = Pool.read(file, id, lon, lat)
    if name not in pool.columns:
        raise unknown(f"column of {file}", name, pool.columns)
    codes, labels = pool.codes(name)
    wanted = _keys(task.lon, task.lat)
    given = _keys(pool.lon, pool.lat)
    if task.id is not None and np.isin(ids := pool.ids.astype(np.str_), task.id).any():
        wanted, given = task.id.tolist(), ids.tolist()
    found: dict[object, int] = {}
    for key, code in zip(given, codes.tolist(), strict=True):
        if code >= 0 and found.setdefault(key, code) != code:
            raise WherefromError(
                f"{file}: column {name!r} has both {labels[found[key]]!r} and {labels[code]!r} at "
                f"one place ({key}): keep one row of each place"
            )
    made = np.array([found.get(key, -1) for key in wanted], dtype=np.int32)
    return _there(Cut(name, labels, made), task, f"{file}: no row of it is at a test place: ")


def _keys(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> list[object]:
    return list(zip(lon.round(_DIGITS).tolist(), lat.round(_DIGITS).tolist(), strict=True))


def _there(cut: Cut, task: Task, else_: str = "") -> Cut:
    if not (cut.codes[task.reported] >= 0).any():
        raise WherefromError(
            else_ + f"{cut.name!r} has no label where the places of task {task.name!r} are: cut by "
            "something else"
        )
    return cut


def target(asked: str, cut: Cut) -> Target:
    """Find the shares that scores are weighted to.

    Parameters
    ----------
    asked : str
        ``"land"``: of the land's area without Antarctica. ``"people"``: of the inhabitants of
        GeoNames' cities, which stand in for all people. Else a file with columns ``label`` and
        ``share``.
    cut : Cut
        Whose labels have the shares.

    Raises
    ------
    WherefromError
        If the labels are not those of a layer (land, people), or the file cannot be used: names
        the row.

    Examples
    --------
    >>> lon, lat = np.array([20.0, 100.0]), np.array([0.0, 50.0])
    >>> task = Task("demo", lon, lat, lon * 0, ("a",), lon * 0, ("x",), lon * 0, "demo")
    >>> shares = target("land", cut_by(task, "continent")).shares
    >>> round(shares["Africa"], 2), round(shares["Asia"], 2)
    (0.22, 0.23)
    """
    if asked not in ("land", "people"):
        return _of_file(Path(asked), cut)
    if cut.layer is None:
        raise WherefromError(
            f"--for {asked}: how much of it each label of {cut.name!r} has is known for layers of "
            "the Earth alone: cut by one of these (wherefrom list layers), or give the shares in a "
            "file (--for FILE, columns label and share)"
        )
    if asked == "land":
        of = reference.land(cut.layer)
        shares, about = of.shares, f"the area of {of.name}"
    else:
        people = earth.cities(SMALLEST)
        codes = codes_of(cut.layer, people.lon, people.lat)
        at = codes >= 0
        counts = np.bincount(codes[at], people.population[at], len(cut.labels))
        shares = counts / max(counts.sum(), 1.0)
        about = (
            f"the {counts.sum() / 1e9:.2f} billion inhabitants of GeoNames' cities of at least "
            f"{SMALLEST:,}, which stand in for all people (villages are not in it)"
        )
    return Target(asked, dict(zip(cut.labels, shares.tolist(), strict=True)), about)


def _of_file(file: Path, cut: Cut) -> Target:
    table = read_table(file, id="label")
    for column in ("label", "share"):
        if column not in table.column_names:
            raise unknown(f"column of {file}", column, table.column_names)
    labels = [str(one) for one in table["label"].to_pylist()]
    try:
        shares = column_numbers(table["share"], "share")
    except WherefromError as err:
        raise WherefromError(f"{file}: {err}") from err
    seen: set[str] = set()
    for row, (label, share) in enumerate(zip(labels, shares, strict=True)):
        if not share >= 0 or not np.isfinite(share):
            raise WherefromError(
                f"{file}: row {row} ({line(label)}) has the share {share}, not 0 to 1"
            )
        if label in seen:
            raise WherefromError(f"{file}: row {row} repeats the label {label!r}: add them up")
        seen.add(label)
    _refuse_others(file, labels, cut)
    if abs(shares.sum() - 1) > 0.005:
        raise WherefromError(
            f"{file}: the shares add up to {shares.sum():.4g}, not 1: divide them by that, or add "
            "what is missing"
        )
    return Target(
        file.name,
        dict(zip(labels, (shares / shares.sum()).tolist(), strict=True)),
        f"the shares of {file.name}",
    )


def _refuse_others(file: Path, labels: Iterable[str], cut: Cut) -> None:
    for row, label in enumerate(labels):
        if label not in cut.labels:
            raise WherefromError(
                f"{file}: row {row}: {unknown(f'label of {cut.name}', label, cut.labels)}"
            )
