"""Samplers without strata: none, uniform, only one label, and the user's own list."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import files
from wherefrom.compose import passes
from wherefrom.compose.allocate import AloneShort, allocate
from wherefrom.compose.base import MOST, InputFile, LayerName, SamplerModel, StreamedSampler
from wherefrom.compose.composition import Composition
from wherefrom.compose.design import Sample
from wherefrom.compose.strata import Groups, Ints, LabelGroups, Plan, Strata
from wherefrom.errors import WherefromError
from wherefrom.pool import ids_of, read_table
from wherefrom.pool.batches import AnyPool, Ask, Batch
from wherefrom.shown import count_of

__all__ = ["Everywhere", "Ids", "NoPretraining", "Only", "Uniform", "multiplicities"]


class NoPretraining(SamplerModel):
    """The empty composition: zero pre-training, random weights.

    The baseline of Purohit et al. 2025 (arXiv 2501.12535). Any n gives no place.
    """

    name: ClassVar[str] = "none"
    needs_n: ClassVar[bool] = False
    varies: ClassVar[bool] = False
    empty: ClassVar[bool] = True
    in_passes: ClassVar[bool] = True

    def draw(self, pool: AnyPool, n: int | None, rng: np.random.Generator) -> Composition:
        """Return the empty composition."""
        rows = np.zeros(0, dtype=np.int64)
        # Ids of the pool's own type, though there is none.
        ids = next(iter(pool.batches(Ask(ids=True)))).asked_ids()
        sample = Sample(rows, rows.astype(np.int32), rows.astype(np.float64), rows, ids[:0])
        design = "The empty composition: zero pre-training, random weights."
        return self.composed(pool, 0, sample, {"design": design})


class Everywhere(Groups):
    """All places in group 0."""

    def keys(self, batch: Batch) -> Ints:
        """Return zeros."""
        return np.zeros(len(batch), dtype=np.int64)

    def counts(self, pool: AnyPool) -> tuple[Ints, Ints]:
        """Return the pool's size."""
        return np.zeros(1, dtype=np.int64), np.array([len(pool)], dtype=np.int64)


class Uniform(StreamedSampler):
    """Uniform at random from the pool, without replacement; every place has probability n / N.

    "UAR" of Purohit et al. 2025 (arXiv 2501.12535). It keeps whatever bias the pool has.
    """

    name: ClassVar[str] = "uniform"

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return "drawn evenly from the whole pool"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Take all of n from one stratum of all places."""

        def plan(keys: Ints, sizes: Ints) -> Plan:
            return Plan(allocate([1], sizes, n, "error", ["pool"]), ("pool",))

        return Strata(Everywhere(), plan)


class Only(StreamedSampler):
    """Uniform at random from the places with one label of a layer, without replacement.

    One region alone, as in Kaur et al. 2026 (arXiv 2604.21104).

    Attributes
    ----------
    layer, label : str
        Layer or column of the pool, and the label to draw from.
    short : {"error", "cap", "repeat"}
        What to do if fewer than n places have the label.
    """

    name: ClassVar[str] = "only"
    layer: LayerName
    label: str
    short: AloneShort = "error"

    @property
    def origin(self) -> tuple[str, str]:
        """Layer and label."""
        return self.layer, self.label

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return f"from {self.label} alone"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Take n from the places with the label, with a policy if they are too few."""

        def plan(keys: Ints, sizes: Ints) -> Plan:
            if not len(sizes):
                raise WherefromError(
                    f"the stratum is empty: no place of the pool has the label {self.label!r} of "
                    f"layer {self.layer!r}"
                )
            return Plan(allocate([1], sizes, n, self.short, [self.label]), (self.label,))

        return Strata(LabelGroups.of(pool, self.layer, (self.label,)), plan)


class Ids(SamplerModel):
    """The places that a file of the user's lists, as they are.

    Attributes
    ----------
    file : str
        Parquet, CSV or text with a column ``id`` (or one column only). An id listed k times, or
        with k in a column ``multiplicity``, is taken k times.
    """

    name: ClassVar[str] = "ids"
    needs_n: ClassVar[bool] = False
    varies: ClassVar[bool] = False
    in_passes: ClassVar[bool] = True
    file: InputFile

    def draw(self, pool: AnyPool, n: int | None, rng: np.random.Generator) -> Composition:
        """Look up the file's ids in the pool; nothing is random.

        Raises
        ------
        WherefromError
            If the file cannot be read, an id is not in the pool, or n is given and is not the
            number of places listed.
        """
        name, ids, listed = self._read()
        try:
            found = passes.find(pool, ids)
            headless = name != "id" and _holds(pool, name)
        except WherefromError as err:
            raise WherefromError(f"{self.file}: {err}") from err
        if headless:
            raise WherefromError(
                f"{self.file}: its first line, {name!r}, is an id of the pool, and no header: put "
                "the line 'id' above it"
            )
        rows, first, which = np.unique(found.rows, return_index=True, return_inverse=True)
        counts = np.zeros(len(rows), dtype=np.int64)
        np.add.at(counts, which, listed)
        size = int(counts.sum())
        if size > MOST:
            raise WherefromError(
                f"{self.file} lists {count_of(size, 'place')}; a composition holds at most {MOST:,}"
            )
        times = counts.astype(np.int32)
        if n is not None and n != size:
            raise WherefromError(
                f"{self.file} lists {count_of(size, 'place')}, but n = {n:,}: leave n out, or "
                "change the file"
            )
        probability = times.astype(np.float64)
        sample = Sample(rows, times, probability, np.array([size]), found.ids[first])
        design = "The places that a file lists, as they are."
        more = {"design": design, "file_sha256": files.sha256_of(Path(self.file))}
        return self.composed(pool, size, sample, more)

    def listed(self) -> int:
        """Count the places of the file, repeated ones too."""
        return int(self._read()[2].sum())

    def _read(self) -> tuple[str, NDArray[Any], NDArray[np.int64]]:
        """Read the name of the column of ids, the ids, and how often each is taken."""
        table = read_table(self.file)
        names = table.column_names
        if "id" not in names and len(names) > 1:
            raise WherefromError(f"{self.file} has no column 'id'; columns: {', '.join(names)}")
        name = "id" if "id" in names else names[0]
        ids = ids_of(table.column(name), name, self.file)
        times = np.ones(len(ids), dtype=np.int64)
        if "multiplicity" in names:
            times = multiplicities(table.column("multiplicity"), self.file)
        return name, ids, times


def _holds(pool: AnyPool, name: str) -> bool:
    """Say whether a pool of ids of text has one of that name."""
    with suppress(WherefromError):
        return bool(len(passes.find(pool, np.array([name])).rows))
    return False


def multiplicities(column: pa.ChunkedArray, source: str) -> NDArray[np.int64]:
    """Return how often each id of a list is taken."""
    try:
        values = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    except pa.ArrowInvalid as err:
        raise WherefromError(f"{source}: multiplicity must be a whole number: {err}") from err
    wrong = np.flatnonzero(~((values >= 1) & (values <= MOST) & (values == np.round(values))))
    if len(wrong):
        raise WherefromError(
            f"{source}: multiplicity must be a whole number from 1 to {MOST:,}; row {wrong[0]} "
            f"holds {values[wrong[0]]:g}"
        )
    return np.asarray(values, dtype=np.int64)
