"""A composition: ids to pre-train on, how often, how likely each was, and where they come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import files, keys
from wherefrom.compose.passes import rows_with
from wherefrom.compose.spec import spec_text
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, PoolScan, read_table
from wherefrom.pool.batches import over
from wherefrom.pool.scan import ScanPart
from wherefrom.shown import count_of, html

__all__ = ["COLUMNS", "Composition", "drawn_places"]

COLUMNS = ("id", "multiplicity", "inclusion_probability")
#: Strata that a notebook shows.
_STRATA_SHOWN = 12
_CELL = "padding:1px 12px 1px 0;text-align:right;border:0"


@dataclass(frozen=True, eq=False)
class Composition:
    """A sorted list of ids of a pool, and nothing more of it.

    Attributes
    ----------
    ids : ndarray of int64 or str, shape (M,)
        Distinct ids, ascending. None for zero pre-training.
    multiplicity : ndarray of int32, shape (M,)
        How often each place is taken; above 1 only where the sampler's policy says so.
    inclusion_probability : ndarray of float64, shape (M,)
        Expected multiplicity under the design; over the whole pool it sums to n. Its inverse is
        the Horvitz-Thompson weight.
    provenance : dict
        Plain values: sampler, n, seed, pool, strata planned and realised.

    Examples
    --------
    >>> import numpy as np
    >>> c = Composition(np.array([3, 7]), np.array([1, 2], np.int32), np.array([0.1, 2.0]), {})
    >>> c.size, c.expanded_ids().tolist()
    (3, [3, 7, 7])
    """

    ids: NDArray[Any]
    multiplicity: NDArray[np.int32]
    inclusion_probability: NDArray[np.float64]
    provenance: dict[str, Any]

    @property
    def size(self) -> int:
        """Number of places with repetition."""
        return int(self.multiplicity.sum())

    @cached_property
    def key(self) -> str:
        """Hash of ids, multiplicities, probabilities, sampler, n, seed and pool."""
        content = hashlib.sha256("\0".join(map(str, self.ids.tolist())).encode())
        content.update(self.multiplicity.tobytes())
        content.update(self.inclusion_probability.tobytes())
        made = {name: self.provenance.get(name) for name in ("sampler", "n", "seed", "pool")}
        return keys.key_of({"content": content.hexdigest(), **made})

    def expanded_ids(self) -> NDArray[Any]:
        """Return the ids with repetition, shape (size,), ascending."""
        return np.repeat(self.ids, self.multiplicity)

    def _repr_html_(self) -> str:
        """Write the counts as a compact piece of HTML."""
        told = self.provenance
        spec = html(spec_text(told["sampler"])) if "sampler" in told else "composition"
        seed = "" if told.get("seed") is None else f", seed {told['seed']}"
        of = told.get("pool") or {}
        pool = f" of {of['places']:,}" if "places" in of else ""
        strata = told.get("strata") or []
        table = _table(strata, self.size) if len(strata) > 1 else ""
        counted = f"{count_of(self.size, 'place')}{pool}{seed}, key {self.key}"
        style = "font:13px/1.45 system-ui,sans-serif"
        return f"<div style='{style}'><b>{spec}</b>: {counted}{table}</div>"

    def write(self, path: Path | str) -> None:
        """Write the composition as Parquet; the same composition gives the same bytes.

        Columns are ``id``, ``multiplicity`` and ``inclusion_probability``; the provenance is JSON
        in the schema's metadata. The card is written by `wherefrom.compose.card.write_card`.

        Raises
        ------
        WherefromError
            If the disk is full or the folder cannot be written.
        """
        about = {b"wherefrom": keys.canonical(self.provenance).encode()}
        columns = (pa.array(self.ids), self.multiplicity, self.inclusion_probability)
        table = pa.table(dict(zip(COLUMNS, columns, strict=True)))
        with files.atomic(path) as tmp:
            pq.write_table(
                table.replace_schema_metadata(about),
                tmp,
                compression="zstd",
                write_page_checksum=True,
            )

    @classmethod
    def read(cls, path: Path | str) -> Composition:
        """Read a composition that `write` wrote.

        Raises
        ------
        WherefromError
            If the file is absent, torn, or not a composition.
        """
        path = Path(path)
        if path.suffix == ".csv":
            raise WherefromError(f"{path}: a composition is a Parquet file; draw it from ids:file=")
        table = read_table(path, empty=True)
        about = (table.schema.metadata or {}).get(b"wherefrom")
        if about is None or table.column_names != list(COLUMNS):
            raise WherefromError(
                f"{path} is not a composition (columns {', '.join(COLUMNS)}); to use a list of "
                f"your own, draw it: --sampler ids:file={path}"
            )
        textual = pa.types.is_string(table.schema.field("id").type)
        ids = np.asarray(table.column("id").to_numpy(), dtype=np.str_ if textual else np.int64)
        return cls(
            ids,
            table.column("multiplicity").to_numpy().astype(np.int32),
            table.column("inclusion_probability").to_numpy().astype(np.float64),
            json.loads(about),
        )


def drawn_places(composition: Composition, pool: Pool | PoolScan) -> Pool:
    """Make a pool of the places of a composition, each once, with all columns.

    Ids and the order of rows are those of `pool`; the origin says how they were drawn. An empty
    composition raises a `WherefromError`.
    """
    if not len(composition.ids):
        raise WherefromError("no place was drawn: a pool needs at least one")
    if isinstance(pool, PoolScan):
        look = partial(_rows, wanted=composition.ids)
        table = pa.concat_tables(list(over(pool.parts(), look, "reading places")))
    else:
        table = pool.table.take(sorted(pool.take(composition.ids).tolist()))
    made = composition.provenance
    seed = "" if made["seed"] is None else f", seed {made['seed']}"
    origin = f"{spec_text(made['sampler'])}{seed}, from pool {pool.key}"
    origin += f" ({pool.origin})" if pool.origin else ""
    return replace(Pool.from_table(table, id="id"), origin=origin)


def _rows(part: ScanPart, wanted: NDArray[Any]) -> pa.Table:
    found = []
    for _, table in part.tables():
        ids = table.column("id").to_numpy(zero_copy_only=False)
        ids = ids if ids.dtype.kind == "i" else ids.astype(np.str_)
        found.append(table.take(rows_with(ids, wanted)))
    return pa.concat_tables(found)


def _table(strata: list[dict[str, Any]], size: int) -> str:
    shown = sorted(strata, key=lambda s: -s["drawn"])[:_STRATA_SHOWN]
    most = max(1, *(s["drawn"] for s in shown))
    rows = "".join(
        f"<tr><td style='{_CELL};text-align:left'>{html(s['label'])}</td>"
        f"<td style='{_CELL}'>{s['pool']:,}</td><td style='{_CELL}'>{s['drawn']:,}</td>"
        f"<td style='{_CELL}'>{s['drawn'] / max(size, 1):.1%}</td><td style='border:0'>"
        f"<div style='background:#1f5a96;height:9px;width:{160 * s['drawn'] / most:.0f}px'></div>"
        "</td></tr>"
        for s in shown
    )
    head = "".join(
        f"<th style='{_CELL};text-align:{'right' if at else 'left'}'>{text}</th>"
        for at, text in enumerate(("stratum", "in pool", "drawn", "share"))
    )
    left_out = len(strata) - len(shown)
    more = f"<div>and {left_out} strata more</div>" if left_out else ""
    return (
        f"<table style='border-collapse:collapse;font:inherit'><tr>{head}</tr>{rows}</table>{more}"
    )
