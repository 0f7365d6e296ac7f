"""What folders named ``key=value`` say of the rows of the files in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

__all__ = ["Key", "Keys", "columns_of", "keys_of", "texts_among", "with_keys"]

#: Names and values as they are written, of all rows of a file; None for no value.
Keys = tuple[tuple[str, str | None], ...]
#: A column's name and the value of all rows.
Key = tuple[str, str | int | None]

_NONE = "__HIVE_DEFAULT_PARTITION__"


def keys_of(folder: Path, below: Iterable[str] = ()) -> Keys:
    """Return what a folder and those right above it say, and names of folders in it.

    >>> keys_of(Path("/data/2021/use=crop/code=a%2Fb"), ["year=2021", "new"])
    (('use', 'crop'), ('code', 'a/b'), ('year', '2021'))
    """
    above = list(takewhile(lambda part: "=" in part, reversed(folder.absolute().parts)))[::-1]
    pairs = (part.split("=", 1) for part in (*above, *below) if "=" in part[1:])
    named = {unquote(key): unquote(value) for key, value in pairs}
    return tuple((key, None if value == _NONE else value) for key, value in named.items())


def texts_among(files: Iterable[Keys]) -> set[str]:
    """Name the keys of which not all values are whole numbers as Python writes them."""
    return {name for keys in files for name, value in keys if not _is_whole(value)}


def columns_of(keys: Keys, names: Collection[str], texts: Collection[str]) -> tuple[Key, ...]:
    """Return the columns that keys make of a file whose own, which win, are `names`."""
    taken = {*names, "id", "lon", "lat"}
    return tuple(
        (name, value if value is None or name in texts else int(value))
        for name, value in keys
        if name not in taken
    )


def with_keys(table: pa.Table, keys: Iterable[Key]) -> pa.Table:
    """Append columns of one value; of text as dictionaries, which are decoded once."""
    count = len(table)
    for name, value in keys:
        if isinstance(value, str):
            codes = np.zeros(count, np.int32)
            column = pa.DictionaryArray.from_arrays(codes, pa.array([value]))
        else:
            same = pa.nulls(count) if value is None else np.full(count, value, np.int64)
            column = pa.array(same)
        table = table.append_column(name, column)
    return table


def _is_whole(value: str | None) -> bool:
    if value is None:
        return True
    return value.removeprefix("-").isdecimal() and len(value) < 19 and str(int(value)) == value
