"""A payload's records kept in folders: arrays that are mapped, not read, and what is lacking."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wherefrom.errors import WherefromError
from wherefrom.payload.base import NAMES, Lost, Modality, Payload, Records, Sought, checked

__all__ = ["Images", "Stored", "gathered", "keep", "moments", "refuse_many"]

#: Files of a folder besides the arrays: where in them each place is, -1 if nowhere; what was left
#: out, and the bands; and of each feature or channel how many numbers there are, their mean and
#: the sum of their squared deviations.
AT, LOST, MOMENTS = "at.npy", "lost.json", "moments.npy"
#: Bytes of the header of an array, whatever its shape.
_HEADER = 128


def keep(
    payload: Payload, places: Sought, out: Path, tell: Callable[[float], None] | None = None
) -> None:
    """Read a payload into a folder, a piece at a time; `tell` is called with the share done.

    Places without a record take no room.

    Raises
    ------
    WherefromError
        As `Payload.read`; or if a labelled place is without.
    """
    lost, at = Lost(), np.full(len(places), -1, dtype=np.int64)
    written: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    moments: NDArray[np.float64] | None = None
    count = 0
    with ExitStack() as files:
        streams = {
            name: files.enter_context((out / f"{name}.npy").open("wb"))
            for name in NAMES[payload.modality]
        }
        for stream in streams.values():
            stream.write(bytes(_HEADER))
        for rows, records in checked(payload, places, lost):
            for name, values in records.items():
                held = written.setdefault(name, (values.shape[1:], values.dtype))
                if held != (values.shape[1:], values.dtype):
                    raise WherefromError(
                        f"payload {payload.kind!r} gives {name} of shape {values.shape[1:]} "
                        f"({values.dtype}) after {held[0]} ({held[1]}): state one size"
                    )
                streams[name].write(np.ascontiguousarray(values).data)
            if payload.modality in records and len(rows):
                moments = _joined(moments, _moments(records[payload.modality]))
            at[rows] = np.arange(count, count + len(rows))
            count += len(rows)
            if tell:
                tell(count / max(1, len(places)))
        for name, stream in streams.items():
            shape, kind = written.get(name, ((), np.dtype("f4")))
            stream.seek(0)
            stream.write(_header((count, *shape), kind))
    np.save(out / AT, at)
    if moments is not None:
        np.save(out / MOMENTS, moments)
    about = {"lost": lost.counts, "first": lost.first, "known": lost.known, "such": lost.such}
    about["bands"] = payload.bands
    (out / LOST).write_text(json.dumps(about, indent=1), encoding="utf-8")
    if places.labelled:
        refuse_many(payload, at >= 0, places.ids, lost)


def _header(shape: tuple[int, ...], kind: np.dtype[Any]) -> bytes:
    """Write the header of a ``.npy`` (format 1.0), always as long."""
    fields = {
        "descr": np.lib.format.dtype_to_descr(kind),
        "fortran_order": False,
        "shape": shape,
    }
    text = repr(fields).encode("latin1").ljust(_HEADER - 11) + b"\n"
    return np.lib.format.magic(1, 0) + len(text).to_bytes(2, "little") + text


def refuse_many(
    payload: Payload,
    there: NDArray[np.bool_],
    ids: NDArray[Any],
    lost: Lost,
    labelled: bool = True,
    name: str = "",
) -> None:
    """Refuse places of which more lack a payload than may; of a task none may.

    `there` (N,) tells which have one, `lost` why the others do not; `name` is that of the payload
    where it has another than its kind.
    """
    lacking = np.flatnonzero(~there)
    if lacking.size <= (0 if labelled else payload.most_missing * len(there)):
        return
    share = f"{lacking.size:,} of {len(there):,}"
    why = f" ({lost})" if lost else ""
    remedy = (
        "take these rows out of the task's table"
        if labelled
        else f"only {payload.most_missing:.1%} may be (most_missing)"
    )
    if lacking.size == len(there) and not lost:
        such = f", such as {lost.such!r}" if lost.such else ""
        remedy = f"are their ids those of the data{such}?"
    raise WherefromError(
        f"payload {name or payload.kind!r}: {share} places are without, first "
        f"{_some(ids[lacking])}{why}; {remedy}"
    )


def _some(ids: NDArray[Any]) -> str:
    shown = ", ".join(str(one) for one in ids[:3].tolist())
    return shown + (", ..." if len(ids) > 3 else "")


def gathered(payload: Payload, places: Sought, lost: Lost) -> tuple[NDArray[np.bool_], Records]:
    """Read a payload into memory: which places are there (N,), and the records of these alone."""
    there = np.zeros(len(places), dtype=bool)
    found: list[NDArray[np.int64]] = []
    pieces: dict[str, list[NDArray[Any]]] = {name: [] for name in NAMES[payload.modality]}
    for rows, records in checked(payload, places, lost):
        there[rows] = True
        found.append(rows)
        for name, values in records.items():
            pieces[name].append(values)
    if not found and len(places):
        refuse_many(payload, there, places.ids, lost, places.labelled)
    order = np.argsort(np.concatenate(found), kind="stable")
    return there, {name: np.concatenate(some)[order] for name, some in pieces.items()}


class Images:
    """Images of N places, (N, C, H, W), that stay in their files until they are asked for.

    Indexed along the first axis, or made an array of as a whole, they are read.

    Attributes
    ----------
    bands : tuple of str
        Names of the channels; empty if they have none.
    shape, dtype
        As of an array.

    Examples
    --------
    >>> images = Images(np.zeros((4, 3, 8, 8)).__getitem__, np.arange(2, 4), (3, 8, 8), "f8")
    >>> images.shape, images[:1].shape, np.asarray(images).shape
    ((2, 3, 8, 8), (1, 3, 8, 8), (2, 3, 8, 8))
    """

    def __init__(
        self,
        read: Callable[[NDArray[np.int64]], NDArray[Any]],
        rows: NDArray[np.int64],
        each: tuple[int, ...],
        dtype: DTypeLike,
        bands: tuple[str, ...] = (),
    ) -> None:
        self._read, self._rows, self.bands = read, rows, bands
        self.shape, self.dtype, self.ndim = (len(rows), *each), np.dtype(dtype), 1 + len(each)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds in memory: none."""
        return 0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        rows = self._rows[index]
        return self._read(rows) if np.ndim(rows) else self._read(rows[None])[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


@dataclass(frozen=True)
class Stored:
    """Records that `keep` wrote into folders, one after the other, of consecutive places."""

    modality: Modality
    folders: tuple[Path, ...]

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """Which places have records, (N,)."""
        return np.concatenate([at >= 0 for at in self._at])

    @cached_property
    def _at(self) -> list[NDArray[np.int64]]:
        return [np.load(folder / AT) for folder in self.folders]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *map(len, self._at)])

    @cached_property
    def _arrays(self) -> dict[str, list[NDArray[Any]]]:
        return {
            name: [np.load(folder / f"{name}.npy", mmap_mode="r") for folder in self.folders]
            for name in NAMES[self.modality]
        }

    def take(self, rows: NDArray[np.int64]) -> Records:
        """Gather the records of some places (k,), which all have some; only theirs are read."""
        return {name: self._gathered(parts, rows) for name, parts in self._arrays.items()}

    def _gathered(self, parts: Sequence[NDArray[Any]], rows: NDArray[np.int64]) -> NDArray[Any]:
        if len(parts) == 1:
            return np.asarray(parts[0][self._at[0][rows]])
        some = _filled(parts)
        made = np.empty((len(rows), *some.shape[1:]), some.dtype)
        part = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            at = self._at[number][rows[here] - self._starts[number]]
            made[here] = parts[number][at]
        return made

    def images(self, rows: NDArray[np.int64]) -> Images:
        """Give the images of some places (k,), which all have some, to be read when indexed."""
        parts = self._arrays["images"]
        some = _filled(parts)
        read = partial(self._gathered, parts)
        return Images(read, rows, some.shape[1:], some.dtype, self.bands)

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Names of the channels of images."""
        return tuple(json.loads((self.folders[0] / LOST).read_text(encoding="utf-8"))["bands"])

    @cached_property
    def lost(self) -> Lost:
        """What was left out in all of them."""
        all_of_them = Lost()
        for folder in self.folders:
            about = json.loads((folder / LOST).read_text(encoding="utf-8"))
            all_of_them.known = max(all_of_them.known, about.get("known", 0))
            all_of_them.such = all_of_them.such or about.get("such", "")
            for reason, count in about["lost"].items():
                all_of_them.counts[reason] = all_of_them.counts.get(reason, 0) + count
                all_of_them.first.setdefault(reason, about["first"][reason])
        return all_of_them

    @cached_property
    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each feature of all places, or of each channel, (F,).

        Of images they are over places and pixels; NaN counts nowhere.
        """
        joined: NDArray[np.float64] | None = None
        for folder in self.folders:
            if (folder / MOMENTS).is_file():  # not where no place has any
                joined = _joined(joined, np.load(folder / MOMENTS))
        if joined is None:
            such = f"the data have ids such as {self.lost.such!r}" if self.lost.such else ""
            why = f" ({self.lost or such})" if self.lost or such else ""
            raise WherefromError(f"no place of the pool has {self.modality}{why}")
        return _spread(joined)


def moments(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each column, or channel, as `Stored.moments`."""
    return _spread(_moments(values))


def _spread(found: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return found[1], np.sqrt(found[2] / np.maximum(found[0], 1))


def _filled(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return an array that tells the shape and the type of all: an empty one may not."""
    return next((part for part in parts if len(part)), parts[0])


def _moments(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return how many numbers a column has, their mean and sum of squared deviations, (3, F).

    A column, or channel, at a time, so that little is in memory.
    """
    made = np.zeros((3, values.shape[1]))
    for column in range(values.shape[1]):
        numbers = values[:, column].ravel().astype(np.float64)
        if values.dtype.kind == "f":
            numbers = numbers[~np.isnan(numbers)]
        if len(numbers):
            mean = numbers.mean()
            numbers -= mean
            made[:, column] = len(numbers), mean, numbers @ numbers
    return made


def _joined(one: NDArray[np.float64] | None, other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join the moments of two sets of rows (Chan, Golub and LeVeque 1979)."""
    if one is None:
        return other
    count = one[0] + other[0]
    delta = other[1] - one[1]
    share = other[0] / np.maximum(count, 1)
    mean = one[1] + delta * share
    squares = one[2] + other[2] + delta**2 * (one[0] * share)
    return np.stack([count, mean, squares])
