"""A statistic is one class in the tuple, and every form of an audit has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pytest
from matplotlib.axes import Axes
from numpy.typing import NDArray

import wherefrom
from wherefrom.auditing import audit as engine
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import Drawing
from wherefrom.auditing.findings import Commands, Finding
from wherefrom.auditing.statistic import SPACE, Section, Statistic
from wherefrom.auditing.tally import Tally
from wherefrom.pool import Pool
from wherefrom.pool.batches import Ask, Batch
from wherefrom.report.audit_page import audit_page
from wherefrom.report.audit_text import audit_text


class EastTally:
    """Places east of Greenwich, and all."""

    ask = Ask()

    def __init__(self) -> None:
        self.counts = np.zeros(2)

    def update(self, batch: Batch, weight: NDArray[np.float64] | None = None) -> None:
        each = np.ones(len(batch)) if weight is None else weight
        self.counts += [each[batch.lon > 0].sum(), each.sum()]

    def merge(self, other: Self) -> None:
        self.counts += other.counts


@dataclass(frozen=True)
class East(Statistic):
    """Share of the places that lie in the east."""

    name, section = "east", SPACE

    share: float

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        return [EastTally()]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[EastTally]) -> Self:
        return cls(float(counted[0].counts[0] / counted[0].counts[1]))

    def rows(self) -> list[tuple[str, ...]]:
        return [("east of Greenwich", f"{self.share:.3f}", "0.71", "half of the sphere")]

    def findings(self, commands: Commands) -> list[Finding]:
        return [Finding("east", self.share, "Many places lie in the east.", commands.build())]

    def drawings(self) -> list[Drawing]:
        def draw(ax: Axes) -> None:
            drawn.append(ax)
            ax.bar([0], [self.share])

        return [Drawing("east", "East", "How many lie in the east.", draw)]


class Alone(East):
    """The same in a section of its own."""

    name = "alone"
    section = Section("own", "Own", "Own beside {against}", head=("what", "share", "due", "why"))


drawn: list[Any] = []


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.build(400, seed=2)


@pytest.mark.slow
def test_a_statistic_of_one_class_is_lost_on_the_way(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = wherefrom.audit(pool, layers=["continent"])
    monkeypatch.setattr(engine, "STATISTICS", (*engine.STATISTICS, East, Alone))
    found = wherefrom.audit(pool, layers=["continent"])
    share = float((pool.lon > 0).mean())
    told = found.to_dict()
    assert told["space"].pop("east") == told.pop("alone") == {"share": share}
    assert found.space.east.share == found.alone.share == share
    text = audit_text(found)
    assert "Many places lie in the east." in text
    assert f"{share:.3f}  (0.71 if uniform on land)" in text
    assert text.splitlines()[-2].split() == ["what", "share", "due", "why"]
    page = audit_page(found)
    assert len(drawn) == 2
    assert 'id="east"' in page
    assert "How many lie in the east." in page
    assert "<h2>Own beside land</h2>" in page
    assert f"<td>{share:.3f}</td>" in page
    # The numbers of the others are as they were.
    told["findings"] = [row for row in told["findings"] if row["name"] != "east"]
    assert told == plain.to_dict()


def test_what_no_statistic_found_is_an_attribute(pool: Pool) -> None:
    found = wherefrom.audit(pool, layers=["continent"])
    assert found.leakage is None
    assert found.to_dict()["leakage"] is None
    with pytest.raises(AttributeError, match="an audit has no 'coverage'"):
        found.coverage  # noqa: B018


def test_two_statistics_overwrite_each_other_in_json() -> None:
    names = [kind.name for kind in engine.STATISTICS]
    assert len(set(names)) == len(names)
