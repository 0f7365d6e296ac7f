"""Numbers of a table of the user's, or of an array beside it: another model's embeddings, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wherefrom.errors import WherefromError, of_the_system, unknown
from wherefrom.payload.base import Lost, Modality, Payload, Piece, Sought
from wherefrom.payload.matching import Rows
from wherefrom.pool.partition import files_in
from wherefrom.pool.tables import first_line, ids_of, is_parquet, read_table

__all__ = ["Columns", "numbers_of", "parts_of", "texts_of", "torn"]

#: Rows of a table that are read at a time.
_AT_ONCE = 65_536


class Columns(Payload):
    """Numeric columns of a table, or rows of a ``.npy`` beside it: embeddings of another model.

    Attributes
    ----------
    file : str
        Parquet (a file or a folder), CSV, or whatever else holds a pool; a row a place.
    id : str
        Its column of ids.
    columns : tuple of str
        Names or patterns (``A*``) of columns of numbers, or of lists of as many numbers a row.
    array : str, optional
        A ``.npy`` of shape (rows, D), in the order of the table's rows, in the place of columns.
    """

    modality: ClassVar[Modality] = "features"
    file_fields: ClassVar[tuple[str, ...]] = ("file", "array")

    file: str = Field(min_length=1)
    id: str = "id"
    columns: tuple[str, ...] = ()
    array: str | None = Field(min_length=1, default=None)

    @model_validator(mode="after")
    def _numbers_are_named(self) -> Self:
        if bool(self.columns) == (self.array is not None):
            raise ValueError("needs one of 'columns', of the table, and 'array', a .npy beside it")
        return self

    @property
    def seconds(self) -> float:
        """Columns are read as they lie."""
        return 5e-6

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Read the rows of the places."""
        rows = Rows(places.ids, lost)
        array = None if self.array is None else _array(Path(self.array))
        start = width = 0
        chosen: list[str] = []  # of the first file, in whose order those of all are read

        def needed(names: list[str]) -> list[str]:
            if self.id not in names:
                raise unknown(f"id column of {self.file}", self.id, names)
            own = self._chosen(names)
            chosen[:] = chosen or own
            if odd := sorted(set(chosen) ^ set(own)):
                raise WherefromError(
                    f"{self.file}: some of its files have a column {odd[0]!r}, others have none: "
                    "name the columns that all have"
                )
            return [self.id, *chosen]

        for part in parts_of(Path(self.file), self.kind, needed, self.id):
            ids = texts_of(part.column(self.id), self.id, self.file, start)
            at, found = rows.find(ids, self.file)
            if array is not None and start + len(part) > len(array):
                start += len(part)
                break
            if len(at):
                if array is not None:
                    values = np.asarray(array[start + at], np.float32)
                else:
                    values = numbers_of(part.take(pa.array(at)), chosen, self.file)
                whole = np.isfinite(values).all(axis=1)
                for one in at[~whole]:
                    lost.add(f"id {ids[one]}", "has a number that is missing or not finite")
                if whole.any():
                    width = width or values.shape[1]
                    if values.shape[1] != width:
                        raise WherefromError(
                            f"{self.file}: lists have {width} numbers in all, and "
                            f"{values.shape[1]} at id {str(ids[at[whole.argmax()]])!r}"
                        )
                yield from rows.spread(found[whole], {"features": values[whole]})
            start += len(part)
        if array is not None and start != len(array):
            raise WherefromError(
                f"{self.array} has {len(array):,} rows, {self.file} has other: a row of each is a "
                "place"
            )

    def _chosen(self, names: list[str]) -> list[str]:
        """Return the columns of numbers, in the table's order; each name or pattern has some."""
        for one in self.columns:
            if not any(fnmatchcase(name, one) for name in names):
                raise unknown(f"column of {self.file}", one, names)
        return [
            name
            for name in names
            if name != self.id and any(fnmatchcase(name, one) for one in self.columns)
        ]


def parts_of(
    path: Path,
    kind: str,
    needed: Callable[[list[str]], list[str]],
    id: str,
    rows: int = _AT_ONCE,
) -> Iterator[pa.Table]:
    """Give a table's rows in order, only what is read of them where the file allows.

    Parameters
    ----------
    path : Path
    kind : str
        Of the payload, for messages.
    needed : callable
        Says which of a file's columns are read, and refuses what they lack.
    id : str
        The column of ids, which stay as text has them.
    rows : int
        Most rows of a part, where the file allows.

    Raises
    ------
    WherefromError
        If there is no such file, it is torn, or a column's name occurs twice.
    """
    if not path.exists():
        raise WherefromError(f"payload {kind!r}: no such file or folder: {path}")
    for file in files_in(path) if path.is_dir() else [path]:
        if not is_parquet(file):
            table = read_table(file, id=id)  # which refuses what is called Parquet and is none
            yield table.select(needed(_once(table.column_names, file)))
            continue
        with torn(file):
            data = ds.dataset(file, format="parquet")
            columns = needed(_once(data.schema.names, file))
            for batch in data.to_batches(columns=columns, batch_size=rows):
                yield pa.Table.from_batches([batch])


@contextmanager
def torn(file: Path) -> Iterator[None]:
    """Turn what Arrow says of a Parquet file that is not whole into one clear error."""
    try:
        yield
    except (pa.ArrowException, OSError) as err:
        raise WherefromError(
            of_the_system(err)
            or f"{file} is a torn Parquet file ({first_line(err)}): copy or write it again"
        ) from err


def _once(names: list[str], file: Path) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise WherefromError(f"{file} has several columns {name!r}: rename or drop one")
    return names


def _array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise WherefromError(f"no such file: {path}") from None
    except (OSError, ValueError, EOFError) as err:
        raise WherefromError(f"{path} is no whole .npy: {err}") from err
    if not isinstance(array, np.ndarray):
        raise WherefromError(f"{path} holds several arrays: save the one of embeddings as .npy")
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "fiu":
        raise WherefromError(
            f"{path} holds {array.dtype} of shape {array.shape}: numbers of shape (rows, D) are due"
        )
    return array


def texts_of(column: pa.ChunkedArray, name: str, source: str, start: int) -> NDArray[np.str_]:
    """Return ids as text, refusing rows without."""
    return np.asarray(ids_of(column, name, source, start).astype(np.str_))


def numbers_of(
    part: pa.Table, names: Sequence[str], source: str, dtype: type[np.floating[Any]] = np.float32
) -> NDArray[Any]:
    """Return columns of numbers, and of lists of numbers, side by side; NaN for null."""
    wide = []
    for name in names:
        column = part.column(name).combine_chunks()
        kind = column.type
        there = column.is_valid().to_numpy(zero_copy_only=False)
        values = column.drop_null()
        if _is_list(kind):
            lengths = pc.unique(pc.list_value_length(values))
            if len(lengths) > 1:
                raise WherefromError(
                    f"{source}: lists of column {name!r} have {lengths[0]} numbers, and "
                    f"{lengths[1]} elsewhere"
                )
            if lengths.to_pylist() == [0]:
                raise WherefromError(f"{source}: lists of column {name!r} are empty")
            values = pc.list_flatten(values)
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise WherefromError(f"{source}: column {name!r} is {kind}, not numbers")
        values = values.cast(pa.from_numpy_dtype(dtype), safe=False)
        plain = np.asarray(values.to_numpy(zero_copy_only=False))
        width = len(plain) // max(int(there.sum()), 1)
        whole = np.full((len(part), width or 1), np.nan, dtype)
        if there.any():
            whole[there] = plain.reshape(int(there.sum()), -1)
        wide.append(whole)
    return np.concatenate(wide, axis=1)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
