"""A pool of what a payload holds: the places of its records, written without reading these."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from wherefrom.compose.spec import read_spec, translated
from wherefrom.errors import WherefromError
from wherefrom.files import atomic
from wherefrom.payload.base import Lost, Payload
from wherefrom.plugins import kind
from wherefrom.pool.partition import open_writer

__all__ = ["payload_of", "write_places"]

#: Places that are written at a time.
_AT_ONCE = 1 << 17


def payload_of(spec: str) -> Payload:
    """Make a payload of its text, ``kind:flag=value,flag=value``.

    Raises
    ------
    WherefromError
        If there is no such kind, or a flag is wrong.

    Examples
    --------
    >>> payload_of("series:path=shards,seed=3").seed
    3
    """
    name, flags = read_spec(spec.strip(), "payloads")
    loaded = kind("payloads", name).load()
    if not (isinstance(loaded, type) and issubclass(loaded, Payload)):
        raise WherefromError(f"payload {name!r} is no class derived from wherefrom.payload.Payload")
    try:
        return loaded.model_validate({"kind": name, **flags})
    except ValidationError as err:
        fields = {flag: one for flag, one in loaded.model_fields.items() if flag != "kind"}
        raise translated(f"payload {name!r}", fields, err) from None


def write_places(payload: Payload, out: Path | str) -> tuple[int, Lost]:
    """Write the places of a payload's records as the Parquet file of a pool.

    Parameters
    ----------
    payload : Payload
        Of a kind that has `places`.
    out : path

    Returns
    -------
    count, lost
        Places written, and what was left out.

    Raises
    ------
    WherefromError
        If it tells of no place, or the file cannot be written.
    """
    lost, count = Lost(), 0
    parts = _gathered(payload.places(lost))
    first = next(parts, None)
    if first is None:
        raise WherefromError(
            f"payload {payload.kind!r} holds no record" + (f": {lost}" if lost else "")
        )
    about = {b"wherefrom": json.dumps({"origin": f"places of payload {payload.kind}"}).encode()}
    schema = first.schema.with_metadata(about)
    with atomic(out) as tmp, open_writer(tmp, schema) as writer:
        part: pa.Table | None = first
        while part is not None:
            writer.write_table(part.replace_schema_metadata(about))
            count += len(part)
            part = next(parts, None)
    return count, lost


def _gathered(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= _AT_ONCE:
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if sum(map(len, held)):
        yield pa.concat_tables(held).combine_chunks()
