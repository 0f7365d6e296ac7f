"""Passes over a pool: pieces give what the whole gives, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.compose import DesignSampler, base, design, drawn, passes, sampler
from wherefrom.compose.allocate import Exact, allocate, round_at_random
from wherefrom.compose.samplers.plain import Everywhere
from wherefrom.compose.strata import LabelGroups
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, scan
from wherefrom.pool.batches import Ask, Batch

PLACES = 2000
SPECS = (
    "uniform",
    "uniform-area:cell_km=1500",
    "stratified:layer=use,short=cap",
    "stratified:layer=use,short=repeat",
    "stratified:layer=use,weights=a:2;c:1",
    "only:layer=use,label=b",
    "clustered:around=forest,clusters=30,radius_km=1500",
)


@dataclass(frozen=True)
class Piece:
    """Some rows of a pool, in batches of a size of their own."""

    pool: Pool
    start: int
    stop: int
    size: int

    def __len__(self) -> int:
        return self.stop - self.start

    def batches(self, ask: Ask) -> Iterator[Batch]:
        whole = next(iter(self.pool.batches(ask)))
        for at in range(self.start, self.stop, self.size):
            rows = slice(at, min(at + self.size, self.stop))
            codes = {name: code[rows] for name, code in whole.codes.items()}
            ids = None if whole.ids is None else whole.ids[rows]
            yield Batch(at, whole.lon[rows], whole.lat[rows], ids, codes)


class Pieces:
    """A pool cut into parts at any rows; knows no counts."""

    def __init__(self, pool: Pool, cuts: list[int], size: int) -> None:
        self._pool, self._size = pool, size
        self._cuts = sorted({0, *cuts, len(pool)})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def __len__(self) -> int:
        return len(self._pool)

    def counts(self, name: str) -> None:
        return None

    def parts(self) -> list[Piece]:
        pairs = zip(self._cuts, self._cuts[1:], strict=False)
        return [Piece(self._pool, start, stop, self._size) for start, stop in pairs]

    def batches(self, ask: Ask) -> Iterator[Batch]:
        for part in self.parts():
            yield from part.batches(ask)


def table(places: int = PLACES) -> pa.Table:
    rng = np.random.default_rng(9)
    lon, lat = uniform_on_sphere(places, rng)
    use = rng.choice(np.array(["a", "b", "c", "d", ""]), places, p=[0.5, 0.3, 0.15, 0.01, 0.04])
    forest = np.where(rng.random(places) < 0.4, "forest", "")
    ids = rng.permutation(places) * 2 + 1
    return pa.table({"id": ids, "lon": lon, "lat": lat, "use": use, "forest": forest})


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.from_table(table())


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
@given(st.lists(st.integers(1, PLACES - 1), max_size=6), st.integers(200, 3000))
@settings(max_examples=12)
def test_pieces_give_another_draw_than_the_whole(
    pool: Pool, spec: str, cuts: list[int], size: int
) -> None:
    whole = drawn(pool, spec, 150, seed=2)
    cut = drawn(Pieces(pool, cuts, size), spec, 150, seed=2)
    assert cut.key == whole.key
    assert cut.provenance == whole.provenance


@pytest.mark.parametrize("spec", ["uniform-area:cell_km=1500", "stratified:layer=use,short=cap"])
def test_small_buffers_or_a_wrong_guess_of_the_numbers_change_the_draw(
    pool: Pool, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn(pool, spec, 400, seed=3)
    cut = Pieces(pool, [300, 301, 900], 64)
    monkeypatch.setattr(design, "ROOM", 10)
    assert drawn(cut, spec, 400, seed=3).key == before.key

    # Limits so low that some strata find too little, and all their numbers are looked at.
    def low(counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        return 0.8 * counts / sizes

    monkeypatch.setattr(passes, "near", low)
    assert drawn(cut, spec, 400, seed=3).key == before.key
    monkeypatch.setattr(design, "near", low)
    chosen, rng = sampler(spec), np.random.default_rng(5)
    assert isinstance(chosen, DesignSampler)
    sample = chosen.design(pool, 400, rng).sample(rng)
    assert len(sample.rows) == chosen.draw(pool, 400, np.random.default_rng(5)).size


def test_of_equal_numbers_a_later_row_is_taken() -> None:
    kept = design.Smallest(np.array([2]), np.array([6]), np.ones(1))
    stratum = np.zeros(3, dtype=np.int64)
    kept.add(np.array([0, 1, 2]), np.array([0.5, 0.3, 0.5]), stratum)
    kept.places()
    kept.add(np.array([3, 4, 5]), np.array([0.5, 0.5, 0.9]), stratum)
    assert kept.places()[0].tolist() == [0, 1]


def test_keys_too_large_for_a_table_are_counted_or_found_wrongly(pool: Pool) -> None:
    class Far(Everywhere):
        def counts(self, pool: Any) -> None:  # type: ignore[override]
            return None

        def keys(self, batch: Batch) -> NDArray[np.int64]:
            return np.where(batch.lat > 60, -1, (batch.lon > 0) * 2**62 + (batch.lat > 0) * 2**40)

    keys, sizes = passes.count(Pieces(pool, [700], 300), Far())
    assert keys.tolist() == [0, 2**40, 2**62, 2**62 + 2**40]
    south, east = pool.lat <= 0, pool.lon > 0
    assert sizes.tolist() == [
        (south & ~east).sum(),
        (~south & ~east & (pool.lat <= 60)).sum(),
        (south & east).sum(),
        (~south & east & (pool.lat <= 60)).sum(),
    ]
    counts, rng = np.array([5, 0, 7, 1]), np.random.default_rng(0)
    sample = passes.select(pool, Far(), keys, sizes, counts, counts / sizes, rng)
    found = Far().keys(Batch(0, pool.lon[sample.rows], pool.lat[sample.rows]))
    assert [(found == key).sum() for key in keys] == [5, 0, 7, 1]


def test_pool_that_holds_less_than_its_notes_say_is_drawn_from(pool: Pool) -> None:
    class Noted(Pieces):
        def counts(self, name: str) -> Any:
            return np.array([900, 700, 300, 40])

    with pytest.raises(WherefromError, match="fewer places in some strata than were counted"):
        drawn(Noted(pool, [], 500), "stratified:layer=use", 152)


def test_known_counts_are_counted_again(pool: Pool) -> None:
    class Noted(Pieces):
        def counts(self, name: str) -> Any:
            return np.bincount(pool.codes(name)[0][pool.codes(name)[0] >= 0])

        def parts(self) -> Any:
            raise AssertionError("a pass")

    noted = Noted(pool, [], 500)
    key_of = np.array([4, -1, 2, 4])
    keys, sizes = passes.count(noted, LabelGroups("use", key_of))
    by_pass = passes.count(Pieces(pool, [], 500), LabelGroups("use", key_of))
    assert keys.tolist() == by_pass[0].tolist() == [2, 4]
    assert sizes.tolist() == by_pass[1].tolist()
    assert passes.count(noted, Everywhere())[1].tolist() == [PLACES]


def test_generator_that_cannot_be_entered_anywhere_draws_wrongly(pool: Pool) -> None:
    with pytest.raises(WherefromError, match=r"generator of PCG64.*not of MT19937"):
        sampler("uniform").draw(pool, 5, np.random.Generator(np.random.MT19937(0)))


@dataclass(frozen=True)
class Endless:
    """A part whose places are made as they are asked for."""

    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def batches(self, ask: Ask) -> Iterator[Batch]:
        for at in range(self.start, self.start + self.count, 1 << 18):
            rows = np.arange(at, at + (1 << 18))
            codes = {name: (rows % 11).astype(np.int32) for name in ask.codes}
            lon = (rows % 360 - 180).astype(np.float64)
            yield Batch(at, lon, lon / 2, rows if ask.ids else None, codes)


@pytest.mark.slow
def test_memory_of_a_draw_grows_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)

    class Large:
        key, origin, notes = "large", "", ()

        def __len__(self) -> int:
            return 32 << 18

        def labels(self, name: str) -> tuple[str, ...]:
            return tuple("abcdefghijk")

        def labels_key(self, name: str) -> str:
            return name

        def counts(self, name: str) -> None:
            return None

        def parts(self) -> list[Endless]:
            return [Endless(at << 18, 1 << 18) for at in range(32)]

        def batches(self, ask: Ask) -> Iterator[Batch]:
            for part in self.parts():
                yield from part.batches(ask)

    drawn(Large(), "uniform", 10)
    tracemalloc.start()
    composition = drawn(Large(), "stratified:layer=use", 22_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The ids alone of all its places are 67 MB; a thread holds a batch of 2 MB a column.
    assert peak < 40e6
    assert composition.size == 22_000
    assert np.bincount(composition.ids % 11).tolist() == [2000] * 11


def test_ids_are_found_elsewhere_or_not_at_all(pool: Pool) -> None:
    wanted = pool.ids[[1500, 3, 3, 0, 777]]
    for cut in (pool, Pieces(pool, [3, 800], 90)):
        found = passes.find(cut, wanted, ["use"])
        assert found.rows.tolist() == [1500, 3, 3, 0, 777]
        assert found.lon.tolist() == pool.lon[found.rows].tolist()
        assert found.codes["use"].tolist() == pool.codes("use")[0][found.rows].tolist()
        with pytest.raises(WherefromError, match=r"2 of 3 ids are not in the pool: 0, 99999"):
            passes.find(cut, np.array([0, 3, 99999]))
        with pytest.raises(WherefromError, match="ids are text"):
            passes.find(cut, np.array(["3"]))
        assert len(passes.find(cut, np.zeros(0, dtype=np.int64)).rows) == 0
    ascending = Pieces(Pool.from_table(table().sort_by("id")), [20, 1200], 111)
    assert passes.find(ascending, np.array([3999, 1, 201])).rows.tolist() == [1999, 0, 100]
    with pytest.raises(WherefromError, match=r"1 of 2 ids are not in the pool: 200"):
        passes.find(ascending, np.array([200, 3]))
    texts = [f"{i:05d}" if i % 3 else f"{i}" for i in range(PLACES)]
    named = Pool.from_table(table().set_column(0, "id", pa.array(texts)))
    found = passes.find(Pieces(named, [10], 600), np.array(["00004", "3"]))
    assert found.rows.tolist() == [4, 3]
    assert found.ids.tolist() == ["00004", "3"]
    assert passes.find(named, np.array([9])).rows.tolist() == [9]


@pytest.mark.slow
@pytest.mark.parametrize("spec", [*SPECS, "none"])
def test_files_give_another_draw_than_memory(tmp_path: Path, pool: Pool, spec: str) -> None:
    for name, start in (("a", 0), ("b", 700), ("c", 1300)):
        stop = {"a": 700, "b": 1300, "c": PLACES}[name]
        piece = table().slice(start, stop - start)
        pq.write_table(piece, tmp_path / f"{name}.parquet", row_group_size=256)
    scanned = drawn(scan(tmp_path), spec, 120, seed=8)
    whole = drawn(pool, spec, 120, seed=8)
    assert scanned.key == whole.key
    ours, theirs = (c.provenance for c in (scanned, whole))
    assert {**ours, "pool": None} == {**theirs, "pool": None}
    assert ours["pool"]["key"] == theirs["pool"]["key"]
    whole.write(tmp_path / "list.parquet")
    ids = drawn(scan(tmp_path / "a.parquet"), f"ids:file={_first_ids(tmp_path)}")
    assert ids.ids.tolist() == sorted(pool.ids[:5].tolist())


def _first_ids(folder: Path) -> Path:
    (folder / "few.csv").write_text("id\n" + "\n".join(map(str, table()["id"][:5])) + "\n")
    return folder / "few.csv"


@pytest.mark.parametrize("spec", ["uniform", "none", "stratified:layer=use,short=cap"])
def test_text_ids_of_files_are_cut_or_turned_into_numbers(tmp_path: Path, spec: str) -> None:
    # The longest ids are in one file alone.
    ids = [f"{i}" if i < 900 else f"place-{i:08d}" for i in range(PLACES)]
    named = table().set_column(0, "id", pa.array(ids))
    for at in (0, 900):
        pq.write_table(named.slice(at, 900 if at == 0 else PLACES), tmp_path / f"{at}.parquet")
    scanned, whole = (drawn(p, spec, 300, seed=1) for p in (scan(tmp_path), Pool.from_table(named)))
    assert scanned.ids.dtype.kind == "U"
    assert scanned.ids.tolist() == whole.ids.tolist()
    assert scanned.key == whole.key
    for name, composition in (("a", scanned), ("b", whole)):
        composition.write(tmp_path / "out" / name)
    assert (tmp_path / "out" / "a").read_bytes() == (tmp_path / "out" / "b").read_bytes()


def test_sampler_that_needs_memory_takes_a_pool_that_does_not_fit(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Halves(DesignSampler):
        """Draw from the north alone."""

        name = "halves"

        def design(self, pool: Pool, n: int, rng: np.random.Generator) -> design.Design:
            codes = np.where(pool.lat > 0, 0, -1)
            sizes = np.array([(codes == 0).sum()])
            return design.Design(codes, sizes, allocate([1], sizes, n, "error"))

    pq.write_table(table(), tmp_path / "a.parquet")
    assert drawn(scan(tmp_path), Halves(), 50).key == drawn(pool, Halves(), 50).key
    monkeypatch.setattr(base, "IN_MEMORY", 1000)
    with pytest.raises(WherefromError, match=r"'halves' needs .* 2,000 places.*thin it first: "):
        drawn(scan(tmp_path), Halves(), 50)


FRACTIONS = st.lists(st.fractions(0, 9, max_denominator=40), min_size=1, max_size=9)


@given(FRACTIONS, st.integers(0, 80), st.integers(0, 99))
@settings(max_examples=60)
def test_arrays_of_whole_numbers_are_not_exact(
    values: list[Fraction], bits: int, seed: int
) -> None:
    # Beyond 64 bits, Python's own whole numbers take over.
    large = [value / 3**bits for value in values]
    exact = Exact.of(large)
    assert list(exact) == large
    assert exact.total() == sum(large)
    sizes = np.random.default_rng(seed).integers(0, 4, len(values)) * 10**9
    rates = [float(v / int(s)) if s else 0.0 for v, s in zip(large, sizes, strict=True)]
    assert exact.over(sizes).tolist() == rates


@pytest.mark.slow
@given(FRACTIONS.filter(any), st.integers(1, 400), st.integers(0, 90), st.integers(0, 2**32))
@settings(max_examples=60)
def test_rounding_in_whole_numbers_differs_from_fractions(
    weights: list[Fraction], n: int, bits: int, seed: int
) -> None:
    targets = [n * w / sum(weights) * Fraction(2**bits, 2**bits + 1) for w in weights]
    counts = round_at_random(targets, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    some = [h for h, target in enumerate(targets) if target]
    order = rng.permutation(len(some))
    reached, before, plain = -Fraction(float(rng.random())), 0, [0] * len(targets)
    for at in order:
        reached += targets[some[at]]
        plain[some[at]] = -(-reached // 1) - before
        before = -(-reached // 1)
    assert counts.tolist() == plain


def test_many_strata_take_minutes_or_lose_places() -> None:
    sizes = np.random.default_rng(0).geometric(1 / 50, 300_000)
    plan = allocate(np.ones_like(sizes), sizes, 6_000_000, "redistribute")
    counts = round_at_random(plan.targets, np.random.default_rng(1))
    assert counts.sum() == 6_000_000
    assert (counts <= sizes).all()
    rates = Exact.of(plan.targets).over(sizes)
    assert rates[7] == float(plan.targets[7] / int(sizes[7]))


def test_strata_too_many_to_list_swell_the_card() -> None:
    table = pa.table({"lon": np.arange(24_000) / 200, "lat": np.zeros(24_000)})
    table = table.append_column("tile", pa.array(np.arange(24_000) // 2))
    composition = drawn(Pool.from_table(table), "stratified:layer=tile", 12_000)
    assert (np.diff(composition.ids // 2) == 1).all()
    assert composition.provenance["strata"] == []
    assert composition.provenance["strata_not_listed"] == 12_000
