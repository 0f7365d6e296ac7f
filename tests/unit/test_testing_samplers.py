"""check_sampler finds each broken promise, and passes every sampler of ours."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from wherefrom.compose import Allocation, Composition, Design, DesignSampler
from wherefrom.compose.base import LayerName, NumbersName, SamplerModel
from wherefrom.compose.samplers.plain import Uniform
from wherefrom.compose.samplers.stratified import Stratified
from wherefrom.compose.strata import Groups, Strata
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import Ask, Batch
from wherefrom.testing import BrokenPromiseError, check_sampler


@pytest.fixture(scope="module")
def pool() -> Pool:
    rng = np.random.default_rng(3)
    n = 600
    return Pool.from_table(
        pa.table(
            {
                "id": np.arange(n) * 7,
                "lon": rng.uniform(-180, 180, n),
                "lat": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
                "use": rng.choice(["crop", "forest", "town"], n, p=[0.6, 0.3, 0.1]),
                "kind": rng.choice(["a", "b"], n),
                "spectral_entropy": rng.uniform(0, 4, n),
            }
        )
    )


def _design(codes: Any, n: int) -> Design:
    allocation = Allocation((Fraction(n),), (Fraction(n),), ())
    return Design(codes.astype(np.int32), np.array([int((codes >= 0).sum())]), allocation)


class Sound(DesignSampler):
    """Uniform."""

    name: ClassVar[str] = "sound"

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        return _design(np.zeros(len(pool)), n)


class Unseeded(Sound):
    """Draws half the places, other ones each time."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        if len(pool) < 100:
            return super().design(pool, n, rng)
        codes = np.random.default_rng().permutation(len(pool)) % 2 - 1
        return _design(codes, n)


class Global(Sound):
    """Draws from the global generator."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        np.random.random()  # noqa: NPY002
        return super().design(pool, n, rng)


class Mutating(Sound):
    """Moves the pool."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        pool.lon[0] += 1e-9
        return super().design(pool, n, rng)


class EarlyOnly(Sound):
    """Says uniform, draws from the first half."""

    def draw(self, pool: Any, n: Any, rng: Any) -> Composition:
        if n is None or n < 1 or len(pool) < 100:
            return super().draw(pool, n, rng)
        rows = np.sort(rng.choice(len(pool) // 2, n, replace=False))
        whole = super().draw(pool, n, rng)
        probability = np.full(n, n / len(pool))
        return replace(whole, ids=pool.ids[rows], inclusion_probability=probability)


class Northwards(Sound):
    """Says uniform, draws a tenth more often in the north."""

    def draw(self, pool: Any, n: Any, rng: Any) -> Composition:
        if n is None or n < 1 or len(pool) < 100:
            return super().draw(pool, n, rng)
        weight = 1 + 0.25 * (pool.lat > 0)
        rows = np.sort(rng.choice(len(pool), n, replace=False, p=weight / weight.sum()))
        whole = super().draw(pool, n, rng)
        probability = np.full(n, n / len(pool))
        return replace(whole, ids=pool.ids[rows], inclusion_probability=probability)


class Fewer(Sound):
    """Draws one place too few."""

    def draw(self, pool: Any, n: Any, rng: Any) -> Composition:
        c = super().draw(pool, n, rng)
        return replace(
            c,
            ids=c.ids[1:],
            multiplicity=c.multiplicity[1:],
            inclusion_probability=c.inclusion_probability[1:],
        )


class Unsorted(Sound):
    """Gives ids in falling order."""

    def draw(self, pool: Any, n: Any, rng: Any) -> Composition:
        c = super().draw(pool, n, rng)
        return replace(c, ids=c.ids[::-1])


class Twisted(Sound):
    """States other probabilities than it uses."""

    def inclusion(self, pool: Any, n: int, rng: Any = None) -> Any:
        return super().inclusion(pool, n, rng) * np.linspace(0.5, 1.5, len(pool))


class Lavish(Sound):
    """States probabilities that sum to more than n."""

    def inclusion(self, pool: Any, n: int, rng: Any = None) -> Any:
        return super().inclusion(pool, n, rng) * 1.01


class Hashing(Sound):
    """Its seed is the order of a set of texts."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        if len(pool) < 100:
            return super().design(pool, n, rng)
        order = [int(text) for text in {str(i) for i in range(len(pool))}]
        return _design(np.array(order) % 2 - 1, n)


class Homely(Sound):
    """Fails where it was not imported first."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        if os.getpid() != HOME:
            raise LookupError("not at home")
        return super().design(pool, n, rng)


HOME = int(os.environ.setdefault("WHEREFROM_TEST_HOME", str(os.getpid())))


class Fragile(Sound):
    """Needs at least ten places."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        assert pool.lon[9] < 999
        return super().design(pool, n, rng)


class ByName(Sound):
    """Looks at what the ids are called."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        if len(pool) < 100:
            return super().design(pool, n, rng)
        return _design(np.array([str(i)[-1] in "01234" for i in pool.ids]).astype(int) - 1, n)


class Generous(Sound):
    """Takes any n."""

    def draw(self, pool: Any, n: Any, rng: Any) -> Composition:
        return super().draw(pool, max(n or 1, 1), rng)


class Secretive(Sound):
    """Keeps its parameter out of its spec."""

    degrees: float = 1.0

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "degrees": 2.0}


class Silent(Stratified):
    """Reads a layer that its field's type does not tell of."""

    name: ClassVar[str] = "silent"
    layer: str = "use"  # type: ignore[assignment]


class Reading(Sound):
    """Reads a column's codes that it does not declare."""

    def read(self, pool: Any) -> Any:
        return pool.codes("use")[0]

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        return _design(np.where(self.read(pool) > 5, -1, 0), n)


class ReadingLabels(Reading):
    """Reads a column's labels alone."""

    def read(self, pool: Any) -> Any:
        return np.full(len(pool), len(pool.labels("use")))


class ReadingCounts(Reading):
    """Reads how many places have a label."""

    def read(self, pool: Any) -> Any:
        return np.minimum(0, pool.counts("use").sum() + np.zeros(len(pool)))


class ReadingKey(Reading):
    """Reads the hash of the labels."""

    def read(self, pool: Any) -> Any:
        return np.zeros(len(pool)) + (pool.labels_key("use") == "")


class ReadingBatches(Reading):
    """Passes over values."""

    def read(self, pool: Any) -> Any:
        asked = pool.batches(Ask(values=("spectral_entropy",)))
        return np.concatenate([batch.values["spectral_entropy"] for batch in asked])


class ReadingParts(Reading):
    """Passes over the parts of an undeclared layer of the Earth."""

    def read(self, pool: Any) -> Any:
        batches = [batch for part in pool.parts() for batch in part.batches(Ask(codes=("land",)))]
        return np.concatenate([batch.codes["land"] for batch in batches])


class ReadingTable(Reading):
    """Reads the table itself."""

    def read(self, pool: Any) -> Any:
        return pool.table.column("spectral_entropy").to_numpy()


class ReadingIfThere(Reading):
    """Reads a column where there is one."""

    def design(self, pool: Any, n: int, rng: Any) -> Design:
        if "use" not in pool.columns:
            return super(Reading, self).design(pool, n, rng)
        column = pool.table.column("use").to_pandas()
        return _design(np.where(column == "crop", 0, -1), min(n, int((column == "crop").sum())))


class Declaring(Reading):
    """Declares what it reads."""

    layer: LayerName = "use"


class Numbering(ReadingTable):
    """Declares the numbers that it reads in the table."""

    column: NumbersName = "spectral_entropy"


class Posing(Sound):
    """Bears the name of one of ours."""

    name: ClassVar[str] = "uniform"


class Unversioned(Sound):
    """Has a version that is no number."""

    version: ClassVar[Any] = "1"


class Half(DesignSampler):
    """Has neither name nor design."""


class Stubborn(Stratified):
    """Keeps its layer, whatever is put in its place."""

    name: ClassVar[str] = "stubborn"
    layer: LayerName = "use"

    def renamed(self, layers: Any) -> Any:
        return self


class Batchwise(Stratified):
    """Its strata depend on the batch that a place comes in."""

    name: ClassVar[str] = "batchwise"
    layer: LayerName = "use"

    def strata(self, pool: Any, n: int, rng: Any) -> Strata:
        return Strata(Numbered(), super().strata(pool, n, rng).plan)


class Numbered(Groups):
    def keys(self, batch: Batch) -> Any:
        return np.arange(len(batch)) % 3


class Short(Batchwise):
    """Gives fewer keys than there are places."""

    name: ClassVar[str] = "too-few-keys"

    def strata(self, pool: Any, n: int, rng: Any) -> Strata:
        return Strata(OneLess(), super().strata(pool, n, rng).plan)


class OneLess(Groups):
    def keys(self, batch: Batch) -> Any:
        return np.zeros(len(batch) - 1, dtype=np.int64)


BROKEN = [
    ("draws differently from a pool in pieces", Batchwise),
    ("with IndexError", Short),
    ("reads .'use'., but inputs", Silent),
    ("leaves out layers", Stubborn),
    ("reads .'use'., but inputs", Reading),
    ("reads .'use'., but inputs", ReadingLabels),
    ("reads .'use'., but inputs", ReadingCounts),
    ("reads .'use'., but inputs", ReadingKey),
    ("reads .'spectral_entropy'., but inputs", ReadingBatches),
    ("reads .'land'., but inputs", ReadingParts),
    ("fails without the columns that inputs.. does not name", ReadingTable),
    ("draws differently without the columns that inputs.. does not name", ReadingIfThere),
    ("bears the name of a sampler of wherefrom", Posing),
    ("version of 'sound' is '1'", Unversioned),
    ("differently from the same seed", Unseeded),
    ("in another process from the same seed: sort sets of texts", Hashing),
    ("fails in another process, with LookupError: not at home", Homely),
    ("global random generator", Global),
    ("changes the pool", Mutating),
    ("inclusion probabilit", EarlyOnly),
    ("inclusion probabilit", Northwards),
    ("not 120", Fewer),
    ("not sorted", Unsorted),
    ("other probabilities than inclusion", Twisted),
    ("sum to", Lavish),
    ("fails on one place", Fragile),
    ("what ids are called", ByName),
    ("draws n = ", Generous),
    ("does not make the same", Secretive),
]


@pytest.mark.parametrize(("broken", "kind"), BROKEN)
def test_no_broken_sampler_passes(broken: str, kind: type[SamplerModel], pool: Pool) -> None:
    with pytest.raises(BrokenPromiseError, match=broken):
        check_sampler(kind, pool=pool)


def test_no_sampler_that_moves_a_writeable_pool_passes(pool: Pool) -> None:
    loose = replace(pool, lon=pool.lon.copy(), lat=pool.lat.copy())
    with pytest.raises(BrokenPromiseError, match="changes the pool"):
        check_sampler(Mutating, pool=loose)


def test_a_sound_sampler_is_not_refused(pool: Pool) -> None:
    check_sampler(Sound, pool=pool)
    check_sampler(Uniform, pool=pool)
    check_sampler(Declaring, pool=pool)
    check_sampler(Numbering, pool=pool)


def test_a_sampler_that_cannot_be_sent_elsewhere_is_refused_or_passes_unsaid(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [one for one in sys.path if "tests" not in one])
    with pytest.warns(UserWarning, match="'sound' is not checked in another process"):
        check_sampler(Sound, pool=pool)


@pytest.mark.parametrize("version", [0, True, None])
def test_a_version_that_tells_nothing_passes(
    version: Any, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sound, "version", version)
    with pytest.raises(BrokenPromiseError, match="version of 'sound'"):
        check_sampler(Sound, pool=pool)


def test_a_class_that_lacks_something_ends_in_a_traceback(pool: Pool) -> None:
    with pytest.raises(WherefromError, match=r":Half lacks name: ClassVar\[str\], design\(\)"):
        check_sampler(Half, pool=pool)


def test_a_spec_that_is_none_is_refused_as_elsewhere() -> None:
    with pytest.raises(WherefromError, match="unknown sampler"):
        check_sampler("unifrom")
