"""A composition: ids to pre-train on, how often, how likely each was, and where they come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import files, keys
from wherefrom.errors import WherefromError
from wherefrom.pool import read_table

__all__ = ["Composition"]

COLUMNS = ("id", "multiplicity", "inclusion_probability")


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
        # Needs the parser of specs, which needs this class.
        from wherefrom.compose.inline import summary_html

        return summary_html(self)

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
