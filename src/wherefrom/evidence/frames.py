"""Rows of one table in one region, on the blocks and fine-tune seeds that they share.

The model of composition c in block b and episode f is

    y[c, b, f] = mean[c] + shared[b] + own[c, b] + episode[f] + taste[c, f] + rest[c, b, f];

a baseline has neither block nor rest. Blocks are crossed with episodes, and both are paired over
all rows. Where the weights of a contrast's compositions add up to zero, what a block shares
cancels and their own variances count (`wherefrom.evidence.own`). Where they do not, as against a
baseline, the spread over blocks of their weighted sum counts, with one degree of freedom less than
blocks: no assumption on how compositions react to a pre-training seed enters there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce

import numpy as np

from wherefrom.evidence.intervals import ENOUGH, NOTHING, Floats, Parts
from wherefrom.evidence.own import Own, own
from wherefrom.evidence.scores import Ints, Key, Scored, Scores, View

__all__ = ["Column", "Frame", "Weights", "column_of", "pair"]

#: A contrast: the weight of each row in it.
Weights = Mapping[Key, float]


@lru_cache(maxsize=512)
def column_of(scores: Scores, view: View, region: str) -> Column:
    """Return a column, made once: differences, deviations and spreads are of the same."""
    return Column(scores, view, region)


def pair(key: Key, reference: Key) -> Weights:
    """Return the contrast of a row with another."""
    return {key: 1.0, reference: -1.0}


@dataclass(frozen=True, eq=False)
class Frame:
    """The scores of K compositions and of baselines on common blocks and fine-tune seeds."""

    #: Compositions, then baselines.
    keys: list[Key]
    #: Scores of the compositions, shape (K, B, F), and of the baselines, shape (N - K, F).
    values: Floats
    fixed: Floats
    #: The blocks and the fine-tune seeds.
    axes: tuple[list[int], list[int]]
    #: Covariance of the rows over the sampling of test places, shape (N, N), and its degrees of
    #: freedom; None where the test places are given.
    places: tuple[Floats, float] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of compositions, blocks and fine-tune seeds."""
        compositions, blocks, seeds = self.values.shape
        return compositions, blocks, seeds

    @cached_property
    def means(self) -> Floats:
        """Block means of the compositions, shape (K, B)."""
        return np.asarray(self.values.mean(axis=2))

    @cached_property
    def own(self) -> Own:
        """The own variances of the compositions; of one alone, that of its block means."""
        if len(self.values) > 1:
            return own(self.means)
        variance = self.means.var(axis=1, ddof=1)
        return Own(variance, np.zeros(1), 0 * self.means[0], self.shape[1] - 1)

    @cached_property
    def series(self) -> Floats:
        """Mean over the blocks of every row by fine-tune seed, shape (N, F)."""
        if not len(self.values):
            return self.fixed
        return np.concatenate([self.values.mean(axis=1), self.fixed])

    def weights(self, contrasts: Sequence[Weights]) -> Floats:
        """Write contrasts as a matrix, shape (len(contrasts), N)."""
        at = {key: i for i, key in enumerate(self.keys)}
        matrix = np.zeros((len(contrasts), len(self.keys)))
        for row, contrast in zip(matrix, contrasts, strict=True):
            for key, weight in contrast.items():
                row[at[key]] += weight
        return matrix

    def contrasts(self, weights: Floats) -> list[Parts]:
        """Estimate weighted sums of the rows' means, shape (C, N), with their parts of variance."""
        count, blocks, seeds = self.shape
        estimate = weights @ self.series.mean(axis=1)
        trained = weights[:, :count]
        touched = (trained != 0).any(axis=1)
        if seeds < 2:
            return [Parts(float(value), why="one fine-tune seed") for value in estimate]
        episode = (weights @ self.series).var(axis=1, ddof=1) / seeds
        block, block_df = np.zeros(len(weights)), np.ones(len(weights))
        if touched.any() and blocks > 1:
            block, block_df = self._blocks(trained)
            table = np.einsum("ck,kbf->cbf", trained, self.values)
            table -= table.mean(axis=1, keepdims=True)
            table -= table.mean(axis=2, keepdims=True)
            freedom = (blocks - 1) * (seeds - 1)
            # The rest is in the spread over blocks already; it must not count twice.
            rest = (table**2).sum(axis=(1, 2)) / (freedom * blocks * seeds)
            episode = np.maximum(0.0, episode - rest * (seeds >= ENOUGH))
        place, place_df = np.zeros(len(weights)), float(np.inf)
        if self.places is not None:
            square, place_df = self.places
            unknown = np.isnan(square.diagonal())
            place = np.einsum("cn,nm,cm->c", weights, np.nan_to_num(square), weights)
            place[(weights[:, unknown] != 0).any(axis=1)] = np.nan
        made = []
        for i, value in enumerate(estimate.tolist()):
            note = "its test places are taken as given" * bool(np.isnan(place[i]))
            place[i] = np.nan_to_num(place[i])
            why = "" if block[i] + episode[i] + place[i] > NOTHING else "no score varies"
            if touched[i] and blocks < 2:
                why = "one block"
            first, second = (float(block[i]), float(block_df[i])), (float(episode[i]), seeds - 1.0)
            made.append(Parts(value, *first, *second, float(place[i]), place_df, why, note))
        return made

    def _blocks(self, trained: Floats) -> tuple[Floats, Floats]:
        """Return the part of the blocks in each variance, and its degrees of freedom."""
        _, blocks, _ = self.shape
        freedom = blocks - 1.0
        block = (trained @ self.means).var(axis=1, ddof=1) / blocks
        df = np.full(len(trained), freedom)
        cancels = np.abs(trained.sum(axis=1)) < 1e-9 * np.abs(trained).sum(axis=1)
        square, one = trained**2, self.own
        each = square * one.variance
        spent = np.einsum("ck,kl,cl->c", square, one.alike, square)
        total = each.sum(axis=1)
        wide = np.divide(total**2 * freedom, spent, out=df.copy(), where=spent > 0)
        # Never below those of the paired t test: of two or three blocks two variances that are
        # small by chance would have next to none, and an interval without end.
        wide = np.maximum(wide, df)
        return np.where(cancels, total / blocks, block), np.where(cancels, wide, df)


class Column:
    """All rows of a view that have scores in one region, and the frames of what is compared.

    Beside another head, baselines are averaged over the regions of the compositions' rows.
    """

    def __init__(self, scores: Scores, view: View, region: str) -> None:
        self.view, self.region, self._places = view, region, scores.places
        keys = scores.families()[view]
        self._among = scores.averaged(keys[0])
        self.rows: dict[Key, Scored] = {}
        for key in [*keys, *scores.baselines(*view[1:])]:
            row = scores.scored(key, region, keys[0])
            if row is not None:
                self.rows[key] = row
        self.compositions = [key for key in self.rows if key.composition]
        self._frames: dict[frozenset[tuple[bytes, bytes]], tuple[Frame, str]] = {}
        self._axes = {
            key: (row.blocks.tobytes() if key.composition else b"", row.seeds.tobytes())
            for key, row in self.rows.items()
        }

    def frame(self, keys: Iterable[Key]) -> tuple[Frame, str]:
        """Return the frame of some rows, with all others that share its blocks and seeds.

        And what it leaves out of them, in words.
        """
        axes = frozenset(self._axes[key] for key in keys)
        if axes not in self._frames:
            self._frames[axes] = self._shared(list(keys))
        return self._frames[axes]

    def _shared(self, keys: list[Key]) -> tuple[Frame, str]:
        rows = [self.rows[key] for key in keys]
        seeds = reduce(np.intersect1d, (row.seeds for row in rows))
        trained = [self.rows[key].blocks for key in keys if key.composition]
        blocks = reduce(np.intersect1d, trained) if trained else np.empty(0, dtype=np.int64)
        notes = []
        for name, common, each in (
            ("blocks", blocks, trained),
            ("fine-tune seeds", seeds, [row.seeds for row in rows]),
        ):
            most = max(map(len, each), default=0)
            notes += [f"{len(common)} of {most} {name} in common"] * (len(common) < most)
        same = [f for f, _ in self._frames.values() if f.axes == (blocks.tolist(), seeds.tolist())]
        return same[0] if same else self._frame(blocks, seeds), "; ".join(notes)

    def _frame(self, blocks: Ints, seeds: Ints) -> Frame:
        fit = {
            key: row
            for key, row in self.rows.items()
            if np.isin(seeds, row.seeds).all()
            and (not key.composition or (len(blocks) > 0 and np.isin(blocks, row.blocks).all()))
        }
        values = {
            key: row.values[:, np.isin(row.seeds, seeds)][np.isin(row.blocks, blocks)]
            if key.composition
            else row.values[:, np.isin(row.seeds, seeds)][0]
            for key, row in fit.items()
        }
        keys = list(fit)
        trained = [values[key] for key in keys if key.composition]
        fixed = [values[key] for key in keys if not key.composition]
        return Frame(
            keys,
            np.array(trained).reshape(len(trained), len(blocks), len(seeds)),
            np.array(fixed).reshape(len(fixed), len(seeds)),
            (blocks.tolist(), seeds.tolist()),
            self._sampled(keys),
        )

    def _sampled(self, keys: list[Key]) -> tuple[Floats, float] | None:
        """Return the covariance of rows over test places, NaN of those of which it is not known."""
        if self._places is None:
            return None
        known = keys
        sample = self._places.covariance(known, self.region, self._among)
        if sample is None:
            one = self._places.covariance
            known = [key for key in keys if one([key], self.region, self._among) is not None]
            sample = one(known, self.region, self._among) if known else None
        square = np.full((len(keys), len(keys)), np.nan)
        if sample is not None:
            at = [keys.index(key) for key in known]
            square[np.ix_(at, at)] = sample[0]
        return square, np.inf if sample is None else sample[1]

    def contrasts(self, asked: Sequence[Weights]) -> list[Parts]:
        """Estimate contrasts, each on the blocks and fine-tune seeds that its rows share."""
        made: dict[int, Parts] = {}
        groups: dict[Frame, list[tuple[int, str]]] = {}
        for i, weights in enumerate(asked):
            frame, note = self.frame(weights)
            _, blocks, seeds = frame.shape
            trained = any(key.composition for key in weights)
            if seeds == 0 or (trained and blocks == 0):
                means = sum(w * self.rows[key].mean for key, w in weights.items())
                why = f"no common {'block' if seeds else 'fine-tune seed'}"
                made[i] = Parts(float(means), why=why)
            else:
                groups.setdefault(frame, []).append((i, note))
        for frame, members in groups.items():
            parts = frame.contrasts(frame.weights([asked[i] for i, _ in members]))
            for (i, note), part in zip(members, parts, strict=True):
                made[i] = replace(part, note="; ".join(filter(None, (note, part.note))))
        return [made[i] for i in range(len(asked))]
