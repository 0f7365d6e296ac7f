"""Arrays of a Zarr group of version 2 in a zip, as SSL4EO-S12 v1.1 has its tiles."""

from __future__ import annotations

import itertools
import json
import re
import zipfile
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.payload.tiles.geotiff import DamagedError, Tile

__all__ = ["decode", "shape_of", "texts"]

#: Compressors that only compress; others, such as pickles, may run code.
_HARMLESS = ("blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "lzma")
#: Types of numbers, and of texts of a fixed width.
_PLAIN = re.compile(r"[<>|][iufUS]\d{1,6}")


def decode(store: zipfile.ZipFile, sample: int, season: int | None) -> Tile:
    """Decode one tile of the array ``bands``: ([[sample,] time,] band, y, x).

    Parameters
    ----------
    store : ZipFile
    sample : int
        Position on the first axis of five.
    season : int, optional
        Position on the axis of time; needed where there are several.

    Raises
    ------
    DamagedError
        If the tile cannot be read.
    WherefromError
        If there are several dates, and it is not said which.
    """
    shape = shape_of(store)
    lead: list[int] = [] if len(shape) < 5 else [sample]
    if len(shape) >= 4:
        dates = shape[-4]
        if season is None and dates > 1:
            raise WherefromError(
                f"{store.filename or 'the tile'} has {dates} dates: say which by `season`, "
                f"0 to {dates - 1}"
            )
        if (season or 0) >= dates:
            raise DamagedError(f"has {dates} dates, of which none is number {season} from 0")
        lead.append(season or 0)
    try:
        names = tuple(texts(store, "band"))
    except DamagedError:
        names = ()
    return Tile(_array(store, "bands", tuple(lead)), names or ("",) * shape[-3])


def shape_of(store: zipfile.ZipFile) -> tuple[int, ...]:
    """Return the shape of the array ``bands``: three to five axes."""
    shape = tuple(int(n) for n in _about(store, "bands")["shape"])
    if not 3 <= len(shape) <= 5:
        raise DamagedError(f"has an array `bands` of {len(shape)} axes, not of 3 to 5")
    return shape


def texts(store: zipfile.ZipFile, name: str) -> list[str]:
    """Read an array of texts of a fixed width."""
    found = _array(store, name, ())
    if found.dtype.kind not in "US" or found.ndim != 1:
        raise DamagedError(f"has an array {name!r} that is no list of texts")
    return [str(text) for text in found.astype(np.str_)]


def _array(store: zipfile.ZipFile, name: str, lead: tuple[int, ...]) -> NDArray[Any]:
    """Read an array at fixed positions of its first axes; only these chunks are decoded."""
    about = _about(store, name)
    shape, chunks = about["shape"], about["chunks"]
    dtype, dot = np.dtype(about["dtype"]), about.get("dimension_separator", ".")
    rest = len(lead)
    try:
        made = np.empty(shape[rest:], dtype.newbyteorder("="))
    except (ValueError, MemoryError) as err:  # of a damaged description
        raise DamagedError(f"has a Zarr array `{name}` of no possible shape") from err
    ahead = [at // chunk for at, chunk in zip(lead, chunks, strict=False)]
    within = tuple(at % chunk for at, chunk in zip(lead, chunks, strict=False))
    counts = [-(-n // chunk) for n, chunk in zip(shape[rest:], chunks[rest:], strict=True)]
    for place in itertools.product(*map(range, counts)):
        raw = _read(store, f"{name}/{dot.join(map(str, (*ahead, *place)))}")
        try:
            if about["compressor"]:
                raw = _codec(json.dumps(about["compressor"])).decode(raw)
            held = np.frombuffer(raw, dtype).reshape(chunks, order=about["order"])[within]
        except (ValueError, RuntimeError, TypeError, EOFError, OSError) as err:
            raise DamagedError(f"has a torn chunk of `{name}`") from err
        area = tuple(
            slice(at * chunk, min((at + 1) * chunk, n))
            for at, chunk, n in zip(place, chunks[rest:], shape[rest:], strict=True)
        )
        made[area] = held[tuple(slice(one.stop - one.start) for one in area)]
    return made


def _about(store: zipfile.ZipFile, name: str) -> dict[str, Any]:
    if f"{name}/.zarray" not in store.NameToInfo:
        newer = "zarr.json" in store.NameToInfo
        raise DamagedError(
            "is Zarr of version 3, and only 2 is read" if newer else f"has no Zarr array `{name}`"
        )
    try:
        about = json.loads(_read(store, f"{name}/.zarray"))
        plain = _PLAIN.fullmatch(about["dtype"]) and not about.get("filters")
        np.dtype(about["dtype"] if plain else "u1")  # of a possible size
        codec = (about["compressor"] or {"id": "none"})["id"]
        whole = len(about["shape"]) == len(about["chunks"]) and min(about["chunks"], default=1) > 0
        if plain and whole and about["order"] in ("C", "F") and codec in (*_HARMLESS, "none"):
            return dict(about)
    except (ValueError, KeyError, TypeError) as err:
        raise DamagedError(f"has no Zarr array `{name}` that can be read") from err
    raise DamagedError(f"has a Zarr array `{name}` of a type or compression that is not read")


def _read(store: zipfile.ZipFile, name: str) -> bytes:
    try:
        return store.read(name)
    except KeyError:  # Zarr leaves out chunks without values
        raise DamagedError(f"lacks {name}") from None
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as err:
        raise DamagedError(f"has a torn {name}") from err


@lru_cache(maxsize=64)
def _codec(about: str) -> Any:
    try:
        import numcodecs
    except ImportError:
        raise WherefromError(
            'tiles in Zarr need numcodecs: pip install "wherefrom[zarr]"'
        ) from None
    return numcodecs.get_codec(json.loads(about))
