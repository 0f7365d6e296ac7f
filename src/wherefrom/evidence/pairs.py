"""What is compared in one region: pairs of rows of a view, and which of them are a family's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wherefrom.evidence.family import Design
from wherefrom.evidence.frames import Frame, column_of, pair
from wherefrom.evidence.intervals import Parts
from wherefrom.evidence.scores import Key, Scores, View

__all__ = ["BEST_BASELINE", "Pair", "Region", "label"]

#: The reference that is the task's strongest baseline (`Scores.strongest`) or, where none was
#: chosen before, in each region the baseline with the best mean; published weights are none.
BEST_BASELINE = "best baseline"


class Pair(NamedTuple):
    """A row minus another; `name` is what the reference is called."""

    key: Key
    reference: Key
    name: str

    @property
    def turned(self) -> Pair:
        """The pair from the other side."""
        return Pair(self.reference, self.key, self.name)

    @property
    def both(self) -> frozenset[Key]:
        """The pair, from whichever side and by however many sentences it is looked at."""
        return frozenset((self.key, self.reference))


class Region:
    """All that is said of one view in one region."""

    def __init__(
        self,
        scores: Scores,
        view: View,
        region: str,
        references: Sequence[str],
        pairs: Iterable[tuple[str, str]],
    ) -> None:
        self.column = column_of(scores, view, region)
        rows = self.column.rows
        self.order = sorted(rows, key=lambda key: -view.sign * rows[key].mean)
        present = {key.composition: key for key in self.column.compositions}
        beside = [key for key in self.order if not key.composition]
        self.trivial = [key for key in beside if key.model not in scores.official]
        strongest = scores.strongest.get(view.task)
        if chosen := [key for key in self.trivial if (key.model, key.head) == strongest]:
            self.trivial = chosen
        #: Each composition with each reference, then the pairs that were asked for.
        self.compared = []
        for name in references:
            reference = present.get(name)
            if name == BEST_BASELINE and self.trivial:
                reference = self.trivial[0]
            if reference is not None:
                own = [Pair(key, reference, name) for key in present.values() if key != reference]
                self.compared += own
        self.asked = [
            Pair(present[a], present[b], b) for a, b in pairs if a in present and b in present
        ]
        #: The row with the best mean with every other, from the best to the worst.
        best = self.order[0]
        self.leading = [Pair(best, key, label(key, view.head)) for key in self.order[1:]]
        #: Every row with the composition that has the best mean of those with several blocks.
        several = [
            key for key in self.order if key in present.values() and len(rows[key].blocks) > 1
        ]
        self.ranked = [
            Pair(key, first, first.composition)
            for first in several[:1]
            for key in self.order
            if key != first
        ]
        every = {
            one.both: one for one in [*self.compared, *self.asked, *self.leading, *self.ranked]
        }
        parts = self.column.contrasts([pair(one.key, one.reference) for one in every.values()])
        self._parts = {
            (one.key, one.reference): part for one, part in zip(every.values(), parts, strict=True)
        }
        #: The pairs of the family. Of those of the leading row it has only the first: a row is
        #: called the best where it is better than every other, and the truly best is one of these.
        self.members = {
            one.both: one
            for one in [*self.compared, *self.asked, *self.leading[:1]]
            if not self.part(one).why
        }

    def part(self, one: Pair) -> Parts:
        """Return the estimate of a pair that was compared."""
        known = self._parts.get((one.key, one.reference))
        if known is None:
            turned = self._parts[one.reference, one.key]
            return replace(turned, estimate=-turned.estimate)
        return known

    def judged(self, one: Pair) -> bool:
        """Tell whether a pair needs no larger family: it is a member, or has no interval."""
        if one.both in self.members:
            return True
        known = {(one.key, one.reference), (one.reference, one.key)} & self._parts.keys()
        return bool(known) and bool(self.part(one).why)

    def designs(self) -> list[Design]:
        """Return what the family is simulated from, a frame at a time."""
        frames: dict[Frame, list[Pair]] = {}
        for one in self.members.values():
            frames.setdefault(self.column.frame([one.key, one.reference])[0], []).append(one)
        made = []
        for frame, pairs in frames.items():
            at = {key: i for i, key in enumerate(frame.keys)}
            rows = [(at[one.key], at[one.reference]) for one in pairs]
            chosen = [at[key] for key in self.trivial if key in at]
            index = np.array(rows, dtype=np.intp), np.array(chosen, dtype=np.intp)
            made.append(Design(frame, *index, self.column.view.sign))
        return made


def label(key: Key, head: str) -> str:
    """Name a row of a table: its composition, or its baseline with the head if it differs."""
    if key.composition:
        return key.composition
    return key.model if key.head in (head, key.model) else f"{key.model} ({key.head})"
