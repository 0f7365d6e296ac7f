"""A task: places with a label or a number each, region and split, as Parquet with provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom.earth.base import checked_places
from wherefrom.errors import WherefromError, of_the_system
from wherefrom.files import atomic
from wherefrom.keys import key_of
from wherefrom.pool.columns import label_column
from wherefrom.pool.tables import is_parquet
from wherefrom.pool.text import first_line

__all__ = ["METADATA", "SPLITS", "Predicts", "Task", "is_task"]

#: What is told of a place: one of several classes, or a number.
Predicts = Literal["classes", "numbers"]

#: Splits of a task; the code of a split is its position. Hyper-parameters are chosen on the
#: `tune-` splits alone, which no reported score uses.
SPLITS = ("train", "test", "tune-train", "tune-test")

#: Key of the metadata of a file that holds a task.
METADATA = b"wherefrom.task"


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled places, each in one region and one split.

    Parameters
    ----------
    name : str
        E.g. ``"ecoregions-biome"``; names the task in every table.
    lon, lat : (N,) float64 array
        Degrees.
    label : (N,) int32 array, or float64
        Class code: position in `classes`. Of a task of numbers, the number.
    classes : tuple of str
        Names of the classes; none of a task of numbers.
    region : (N,) int16 array
        Position in `regions`; -1 for a place in none.
    regions : tuple of str
        Names of the regions.
    split : (N,) int8 array
        Position in `splits`.
    label_layer : str
        What the label is, e.g. ``"biome"``, or the user's column.
    positive : int, optional
        Code of the positive class; only for two classes.
    provenance : mapping
        Plain values that say how the task was made.
    id : (N,) array of str, optional
        By which payloads look the places up, many rows perhaps by one; by default their numbers.
    units : str, optional
        Units of the numbers, ``""`` where they are not stated; None for classes. This declares
        which of the two a task is of (`predicts`).
    folds : int
        Above 0, its splits are so many folds: each is tested on once, trained on the others.

    Raises
    ------
    WherefromError
        If the arrays do not fit each other, a coordinate is missing or out of range, a code has
        no name, or a number is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> task = Task("demo", np.array([10.0, 20.0]), np.array([0.0, 5.0]), np.array([0, 1]),
    ...             ("forest", "other"), np.array([0, 0]), ("Africa",), np.array([0, 1]), "cover")
    >>> len(task), task.counts()[0, :, 0].tolist()
    (2, [1, 0])
    """

    name: str
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    label: NDArray[Any]
    classes: tuple[str, ...]
    region: NDArray[np.int16]
    regions: tuple[str, ...]
    split: NDArray[np.int8]
    label_layer: str
    positive: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    id: NDArray[np.str_] | None = None
    units: str | None = None
    folds: int = 0

    def __post_init__(self) -> None:
        if self.units is not None and (self.classes or self.positive is not None):
            raise WherefromError(f"task {self.name!r} has units, and classes: it is of one of them")
        for column, dtype in (_DTYPES | self._numbers).items():
            # A read-only copy: a task is hashed once, so its content must not change after.
            values: NDArray[Any] = np.array(getattr(self, column), dtype=dtype)
            values.flags.writeable = False
            object.__setattr__(self, column, values)
            if values.shape != self.lon.shape or values.ndim != 1:
                raise WherefromError(
                    f"task {self.name!r}: {column} has shape {values.shape}, lon {self.lon.shape}"
                )
        checked_places(self.lon, self.lat)
        if self.folds < 0 or self.folds == 1:
            raise WherefromError(f"task {self.name!r}: {self.folds} folds; two are the least")
        bad = np.flatnonzero(~np.isfinite(self.label))
        if bad.size:
            raise WherefromError(
                f"task {self.name!r}: the number of row {bad[0]} is {self.label[bad[0]]}"
            )
        for column, low, high in (
            ("label", 0, len(self.classes)),
            ("region", -1, len(self.regions)),
            ("split", 0, len(self.splits)),
        ):
            if column in self._numbers:
                continue
            values = getattr(self, column)
            bad = np.flatnonzero((values < low) | (values >= high))
            if bad.size:
                raise WherefromError(
                    f"task {self.name!r}: {column} code {values[bad[0]]} of row {bad[0]} has no "
                    f"name; codes run from {low} to {high - 1}"
                )
        if self.positive is not None and not (len(self.classes) == 2 and self.positive in (0, 1)):
            raise WherefromError(
                f"task {self.name!r}: a positive class needs exactly two classes, "
                f"not {len(self.classes)}"
            )

        if self.id is not None and len(self.id) != len(self.lon):
            raise WherefromError(
                f"task {self.name!r}: {len(self.id):,} ids are given for {len(self.lon):,} places"
            )

    def __len__(self) -> int:
        return len(self.lon)

    @property
    def predicts(self) -> Predicts:
        """What is told of its places."""
        return "classes" if self.units is None else "numbers"

    @property
    def _numbers(self) -> dict[str, type]:
        return {} if self.units is None else {"label": np.float64}

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of its splits: `SPLITS`, or ``fold-1`` and so on."""
        return _splits(self.folds)

    @property
    def reported(self) -> NDArray[np.bool_]:
        """Which places scores are made of, (N,): those not kept to choose hyper-parameters."""
        return np.isin(self.split, range(self.folds or SPLITS.index("test") + 1))

    @property
    def tuning(self) -> NDArray[np.bool_]:
        """Which places are kept to choose hyper-parameters, (N,): of a task in folds none."""
        return ~self.reported

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Which places are tested on, (N,): in folds, all."""
        return self.reported if self.folds else self.split == SPLITS.index("test")

    @property
    def ids(self) -> NDArray[Any]:
        """What payloads look the places up by, (N,): text, or the numbers of the rows."""
        return np.arange(len(self)) if self.id is None else np.asarray(self.id)

    @cached_property
    def where(self) -> str:
        """Hash of its places, whatever is told of them."""
        return hashlib.sha256(self.lon.tobytes() + self.lat.tobytes()).hexdigest()

    @cached_property
    def key(self) -> str:
        """Hash of the name and the whole content; not of the provenance."""
        digest = hashlib.sha256()
        for column in _DTYPES:
            digest.update(np.ascontiguousarray(getattr(self, column)).tobytes())
        names = [self.name, self.label_layer, list(self.classes), list(self.regions)]
        ids = [] if self.id is None else [self.id.tolist()]
        # What tasks of classes and of four splits lack stays out of their keys.
        more: list[Any] = [{"units": self.units}] if self.units is not None else []
        more += [{"folds": self.folds}] if self.folds else []
        return key_of(["task", *names, self.positive, digest.hexdigest(), *ids, *more])

    def rows(self, region: str | int, split: str) -> NDArray[np.int64]:
        """Return the rows of one region and split, ascending."""
        code = self.regions.index(region) if isinstance(region, str) else region
        return np.flatnonzero((self.region == code) & (self.split == self.splits.index(split)))

    def counts(self) -> NDArray[np.int64]:
        """Count places by region, class and split: (regions, classes, splits) int64.

        Numbers count as one class.
        """
        label = self.label if self.units is None else np.zeros(len(self), np.int32)
        shape = (len(self.regions), max(1, len(self.classes)), len(self.splits))
        inside = self.region >= 0
        cells = np.ravel_multi_index(
            (self.region[inside], label[inside], self.split[inside]), shape
        )
        return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)

    def write(self, path: Path | str) -> None:
        """Write the task as Parquet: lon, lat, label, region, split, and metadata.

        Labels, regions and splits are written as words, so that any tool can read them.
        """
        columns = {"lon": self.lon, "lat": self.lat}
        named = {"label": self.classes, "region": self.regions, "split": self.splits}
        for column, names in named.items():
            values = getattr(self, column)
            of_numbers = column in self._numbers
            columns[column] = values if of_numbers else label_column(values.astype(np.int32), names)
        if self.id is not None:
            columns["id"] = pa.array(self.id.tolist(), pa.string())
        about: dict[str, Any] = {
            "name": self.name,
            "classes": self.classes,
            "regions": self.regions,
            "label_layer": self.label_layer,
            "positive": self.positive,
            "provenance": dict(self.provenance),
        }
        about |= {} if self.units is None else {"units": self.units}
        about |= {"folds": self.folds} if self.folds else {}
        table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about)})
        with atomic(path) as tmp:
            pq.write_table(table, tmp, write_page_checksum=True)

    @classmethod
    def read(cls, path: Path | str) -> Task:
        """Read a task that `write` made; the same content has the same key.

        Raises
        ------
        WherefromError
            If the file is absent, not Parquet, or not a task.
        """
        try:
            table = pq.read_table(path, page_checksum_verification=True)
        except FileNotFoundError as err:
            raise WherefromError(f"no such file: {path}; make it with `wherefrom task`") from err
        except (pa.ArrowInvalid, OSError) as err:
            raise WherefromError(
                of_the_system(err)
                or f"{path} is not the Parquet file of a task: make one of a table with `wherefrom "
                f"task from-table`, or copy it again ({first_line(err)})"
            ) from err
        meta = (table.schema.metadata or {}).get(METADATA)
        if meta is None:
            raise WherefromError(
                f"{path} is not a task: it lacks our metadata; make a task of your table with "
                "`wherefrom task from-table`"
            )
        about = json.loads(meta)
        classes, regions = tuple(about["classes"]), tuple(about["regions"])
        units, folds, label = about.get("units"), about.get("folds", 0), table["label"]
        return cls(
            name=about["name"],
            lon=table["lon"].to_numpy(),
            lat=table["lat"].to_numpy(),
            label=_codes(label, classes) if units is None else label.to_numpy(),
            classes=classes,
            region=_codes(table["region"], regions),
            regions=regions,
            split=_codes(table["split"], _splits(folds)),
            label_layer=about["label_layer"],
            positive=about["positive"],
            provenance=about["provenance"],
            id=table["id"].to_numpy().astype(str) if "id" in table.column_names else None,
            units=units,
            folds=folds,
        )


_DTYPES: dict[str, type] = {
    "lon": np.float64,
    "lat": np.float64,
    "label": np.int32,
    "region": np.int16,
    "split": np.int8,
}


def is_task(path: Path | str) -> bool:
    """Tell whether a file is one that `Task.write` made, by its metadata alone."""
    file = Path(path)
    if not (file.is_file() and is_parquet(file)):
        return False
    try:
        return METADATA in (pq.read_schema(file).metadata or {})
    except (pa.ArrowException, OSError):  # torn: whoever reads it says so
        return False


def _splits(folds: int) -> tuple[str, ...]:
    return tuple(f"fold-{i + 1}" for i in range(folds)) or SPLITS


def _codes(column: pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[Any]:
    words = column.cast(pa.string())
    found = pc.index_in(words, pa.array(names, pa.string()))
    codes: NDArray[Any] = found.fill_null(-1).to_numpy().astype(np.int32)
    return codes
