"""Columns and layers of a pool as codes of labels or as numbers."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.errors import UnknownNameError, WherefromError, unknown
from wherefrom.pool.text import MISSING, numeric

__all__ = [
    "alike",
    "column_codes",
    "column_labels",
    "column_numbers",
    "encoded",
    "label_column",
    "label_layer",
    "present_values",
    "value_layer",
]

#: Lines about labels that are alike.
_TOLD = 5
#: Threads that want the same layer at once would each read it.
_OPENING = threading.Lock()


def encoded(column: pa.ChunkedArray, name: str) -> pa.DictionaryArray:
    """Encode a label column by one dictionary: what takes longest of its values and its codes.

    Raises
    ------
    WherefromError
        If the column is of another type, or of real numbers that are not all whole.
    """
    if pa.types.is_floating(column.type):
        column = _whole(column, name)
    kind = column.type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(value):
        column = column.cast(pa.string())
    elif not (_textual(value) or pa.types.is_integer(value) or pa.types.is_boolean(value)):
        raise WherefromError(
            f"column {name!r} is {value}, not labels: these are text (UTF-8), whole numbers or "
            "booleans"
        )
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], column.type)
    return whole


def present_values(column: pa.ChunkedArray, name: str) -> pa.Array:
    """Return the values of a label column that occur, unsorted, each once.

    The column is of text, whole numbers (as reals, too), booleans, or a dictionary of these; null,
    NaN and blank text are no label. Text becomes large_string. `name` is what to call the column in
    a message.

    Raises
    ------
    WherefromError
        If the column is of another type.
    """
    whole = encoded(column, name)
    indices = whole.indices.drop_null().to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(indices, minlength=len(whole.dictionary)))
    values = _plain(whole.dictionary).take(pa.array(used)).drop_null()
    if pa.types.is_large_string(values.type):
        values = values.filter(pc.not_equal(pc.utf8_trim_whitespace(values), ""))
    return values.unique()


def column_labels(values: pa.Array) -> tuple[pa.Array, tuple[str, ...]]:
    """Sort the values of a label column, numbers by size, text by code points, and name them."""
    ordered = sorted(values.to_pylist())
    return pa.array(ordered, values.type), tuple(str(value) for value in ordered)


def column_codes(column: pa.ChunkedArray, values: pa.Array, name: str) -> NDArray[np.int32]:
    """Return each row's position in `values`, -1 for null, blanks and values not in it.

    The column is as in `present_values`, which gives the type of `values`.

    >>> column = pa.chunked_array([["b", None, "a", ""]])
    >>> values, labels = column_labels(present_values(column, "use"))
    >>> column_codes(column, values, "use").tolist(), labels
    ([1, -1, 0, -1], ('a', 'b'))
    """
    whole = encoded(column, name)
    if not len(whole.dictionary) or not len(values):
        return np.full(len(column), -1, dtype=np.int32)
    at = pc.index_in(_plain(whole.dictionary), value_set=values).fill_null(-1)
    # A null row picks the last entry.
    code_of = np.append(at.to_numpy(zero_copy_only=False), np.int32(-1))
    indices = whole.indices
    if indices.null_count:
        indices = indices.cast(pa.int64()).fill_null(len(code_of) - 1)
    return np.asarray(code_of[indices.to_numpy(zero_copy_only=False)])


def column_numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    """Return a column of numbers, also as text, as float64, shape (N,), NaN for null.

    Raises
    ------
    WherefromError
        If the column holds anything else.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if _textual(kind):
        column, wrong = numeric(column)
        if len(wrong):
            held = column[int(wrong[0])].as_py()
            raise WherefromError(
                f"column {name!r} is {kind}, not numbers (it holds {held!r}): name a numeric column"
            )
    elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise WherefromError(f"column {name!r} is {kind}, not numbers: name a numeric column")
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy())


def alike(labels: Iterable[str]) -> list[str]:
    """Say in a few lines which labels are hardly meant as different ones, or as they stand.

    Examples
    --------
    >>> alike(["Crop", "Non-crop", "NonCrop", "Noncrop", "1.0", "10"])
    ["'Non-crop', 'NonCrop', 'Noncrop' differ by case, signs or blanks alone: are they one label?"]
    >>> alike(["Crop "])
    ["'Crop ' begins or ends with a blank"]
    >>> alike(["land", "sea"])
    []
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        letters = filter(str.isalnum, unicodedata.normalize("NFKD", label).casefold())
        groups.setdefault("".join(letters), []).append(label)
    same = [group for key, group in groups.items() if len(group) > 1 and not key.isdigit() and key]
    told = {label for group in same for label in group}
    edged = [label for group in groups.values() for label in group if label != label.strip()]
    said = [
        f"{', '.join(map(repr, group))} differ by case, signs or blanks alone: are they one label?"
        for group in same
    ]
    said += [f"{label!r} begins or ends with a blank" for label in edged if label not in told]
    said += [
        f"{label!r} reads like a missing value, and is taken for a label"
        for group in groups.values()
        for label in group
        if label.strip() in MISSING
    ]
    more = [f"and {len(said) - _TOLD} more such labels"] if len(said) > _TOLD else []
    return said[:_TOLD] + more


def label_column(codes: NDArray[np.int32], labels: Iterable[str]) -> pa.DictionaryArray:
    """Make a column of text of codes: a dictionary of all labels, null for -1."""
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(labels), pa.string()))


def label_layer(name: str, columns: Iterable[str]) -> earth.Layer:
    """Open a categorical layer for a pool that has no such column, under the name asked for.

    Raises
    ------
    WherefromError
        If there is no such layer (names the columns of the pool too), it holds values, or its
        data cannot be had.
    """
    layer = _layer(name, earth.CATEGORICAL, columns)
    if not isinstance(layer, earth.Layer):
        raise WherefromError(
            f"layer {name!r} holds values, not labels: cut it into classes in a column of "
            "the pool and name that column"
        )
    # A plug-in may be called otherwise where it lies: its column is found by the name asked for.
    return layer if layer.name == name else replace(layer, name=name)


def value_layer(name: str, columns: Iterable[str]) -> earth.ValueLayer:
    """Open a layer of one value a place, for a pool that has no such column.

    Raises
    ------
    WherefromError
        If there is no such layer, it holds labels or monthly values, or its data cannot be had.
    """
    layer = _layer(name, earth.VALUES, columns)
    if not isinstance(layer, earth.ValueLayer):
        raise WherefromError(f"layer {name!r} holds labels, not values: name a layer of values")
    width = layer(np.zeros(1), np.zeros(1)).ndim
    if width != 1:
        raise WherefromError(
            f"layer {name!r} has a value a month, not one a place: put what you need of it, such "
            "as the mean, into a column of the pool and name that column"
        )
    return layer


def _layer(name: str, kind: Iterable[str], columns: Iterable[str]) -> Any:
    try:
        with _OPENING:
            return earth.layer(name)
    except UnknownNameError as err:
        if err.kind != "layer":
            raise
        raise unknown("layer", name, dict.fromkeys([*kind, *columns])) from None


def _textual(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _whole(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Turn real numbers that are whole into whole ones, NaN into null."""
    column = column.cast(pa.float64())
    for part in (column.slice(0, 1024), column):  # of real numbers the first ones tell
        values = part.to_numpy()
        odd = values[~((values == np.round(values)) & (np.abs(values) < 2**53) | np.isnan(values))]
        if odd.size:
            raise WherefromError(
                f"column {name!r} holds {odd[0]:g}, and labels are text or whole numbers: cut "
                "values into classes first"
            )
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column).cast(pa.int64())


def _plain(values: pa.Array) -> pa.Array:
    """Bring the kinds of text to one, which any number of labels fits."""
    integer = pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)
    return values if integer else values.cast(pa.large_string())
