"""What Presto's published pre-training is worth on real Sentinel series: crop or not, few-shot.

The published weights are compared with random initial weights and with the raw series, on
WorldCereal's labelled pixels, by every cheap head on frozen features.

    python studies/worldcereal/run.py worldcereal_testdf.parquet default_model.pt

writes docs/presto-sanity.md from what it measures.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wherefrom.errors import WherefromError
from wherefrom.evidence.intervals import Parts, Side, difference, half_width, two_sided_p
from wherefrom.evidence.verdict import holm
from wherefrom.keys import generator
from wherefrom.models.presto import Presto, normalise
from wherefrom.pool.series import PixelSeries
from wherefrom.pool.series.flat import raw_series
from wherefrom.tasks import episodes
from wherefrom.tasks.labelled import LabelledSeries, label_series
from wherefrom.tasks.worldcereal import worldcereal
from wherefrom.train.heads import head
from wherefrom.train.scores import scores

SIZES = (20, 50, 100)
HEADS = ("logistic", "mlp", "knn")
METRICS = ("f1_macro", "f1_positive")
OFFICIAL, RANDOM, RAW = "official weights", "random weights", "raw series"
OUT = Path(__file__).parents[2] / "docs" / "presto-sanity.md"


@dataclass(frozen=True)
class Plan:
    """How much is run: random initialisations, splits of the places, episodes of each split."""

    initialisations: int = 10
    splits: int = 10
    episodes: int = 5


#: (inputs, head, n, metric) -> scores, by initialisation and split.
Results = dict[tuple[str, str, int, str], Side]


def features_of(series: PixelSeries, official: Presto, count: int) -> Iterator[tuple[str, Any]]:
    """Give the name and the (N, D) features of every kind of input; random weights come often."""
    yield OFFICIAL, embed(official, series)
    for i in range(count):
        seed = int(generator("worldcereal", "presto", i).integers(2**31))
        yield RANDOM, embed(Presto(torch.Generator().manual_seed(seed)).eval(), series)
    yield RAW, raw_series(series)


def embed(model: Presto, series: PixelSeries) -> np.ndarray:
    """Embed series with whatever bands are there: (N, 128) float32."""
    x = torch.from_numpy(normalise(series.raw).astype(np.float32))
    classes, months = (torch.tensor(v) for v in (series.dynamic_world, series.month))
    lonlat = torch.tensor(np.stack([series.lon, series.lat], axis=1))
    pieces = [slice(start, start + 256) for start in range(0, len(series), 256)]
    with torch.inference_mode():
        parts = [model.embed(x[r], classes[r], lonlat[r], months[r]) for r in pieces]
    return torch.cat(parts).numpy()


def measure(
    labelled: LabelledSeries,
    official: Presto,
    plan: Plan,
    sizes: Sequence[int] = SIZES,
    heads: Sequence[str] = HEADS,
) -> Results:
    """Fit and score all heads on all inputs, with the same episodes for each.

    Parameters
    ----------
    labelled : LabelledSeries
        Places of a two-class task with their series; its own split is not used.
    official : Presto
    plan : Plan
    sizes : sequence of int
        Training places an episode.
    heads : sequence of str

    Returns
    -------
    Results
        Scores averaged over the episodes of a split: (1, splits), or (initialisations, splits)
        for random weights.
    """
    task = labelled.task
    positive = task.label == task.positive
    drawn = []
    for split in range(plan.splits):
        one = label_series(task.name, labelled.series, positive, "crop", "all", split).task
        seeds = [split * plan.episodes + i for i in range(plan.episodes)]
        drawn.append((one, [episodes(one, "all", n, seeds) for n in sizes]))
    found: dict[tuple[str, str, int, str], list[list[float]]] = {}
    for name, features in features_of(labelled.series, official, plan.initialisations):
        runs: dict[tuple[str, str, int, str], list[float]] = {}
        for one, by_size in drawn:
            for episode in by_size:
                for kind in heads:
                    guess = head(kind).fit_predict(
                        features, one.label, episode.train, episode.test, np.random.SeedSequence(0)
                    )
                    score = scores(guess, one.label[episode.test], one.positive)
                    for metric in METRICS:
                        key = (name, kind, episode.n, metric)
                        runs.setdefault(key, []).append(float(score[metric].mean()))
        for key, values in runs.items():
            found.setdefault(key, []).append(values)
    return {key: Side(np.array(values), fixed=key[0] != RANDOM) for key, values in found.items()}


def table(results: Results, metric: str) -> list[str]:
    """Lay out one metric in Markdown: means, and what the published weights add, with intervals."""
    cases = sorted({(n, kind) for _, kind, n, m in results if m == metric}, key=_order)
    pairs: list[Parts] = []
    for n, kind in cases:
        sides = [results[name, kind, n, metric] for name in (OFFICIAL, RANDOM, RAW)]
        pairs += [difference(sides[0], other) for other in sides[1:]]
    halves = half_width(pairs)
    p = holm(two_sided_p(pairs, np.array([abs(part.estimate) for part in pairs])))
    lines = [
        f"| n | head | {OFFICIAL} | {RANDOM} | {RAW} | official - random | official - raw |",
        "|--:|---|--:|--:|--:|---|---|",
    ]
    for i, (n, kind) in enumerate(cases):
        means = [results[name, kind, n, metric].values.mean() for name in (OFFICIAL, RANDOM, RAW)]
        cells = [f"{mean:.3f}" for mean in means]
        for j in (2 * i, 2 * i + 1):
            low, high = pairs[j].estimate - halves[j], pairs[j].estimate + halves[j]
            text = f"{pairs[j].estimate:+.3f} [{low:+.3f}, {high:+.3f}]"
            cells.append(f"**{text}**" if p[j] < 0.05 else text)
        lines.append("| " + " | ".join([str(n), kind, *cells]) + " |")
    return lines


def _order(case: tuple[int, str]) -> tuple[int, int]:
    return case[0], HEADS.index(case[1])


def page(results: Results, labelled: LabelledSeries, plan: Plan) -> str:
    """Write the whole page of what was measured."""
    crops = int((labelled.task.label == labelled.task.positive).sum())
    total = plan.splits * plan.episodes
    inputs = [
        f"**{OFFICIAL}**: the published weights, frozen; 128 features.",
        f"**{RANDOM}**: the same encoder as initialised, frozen; {plan.initialisations} "
        "initialisations.",
        f"**{RAW}**: all values of the same bands, without place and month.",
    ]
    lines = [
        "# What Presto's pre-training is worth on real series",
        "",
        *_wrapped(
            f"Crop or not, few-shot, at the {len(labelled)} labelled pixels of WorldCereal's test "
            f"table ({crops} of them temporary crops): twelve months of Sentinel-1 and -2, weather "
            "and terrain, without Dynamic World. Sentinel-2 is of level 2A, while Presto was "
            "pre-trained on level 1C. This page is written by `studies/worldcereal/run.py` from "
            "what it measured."
        ),
        "",
        *(f"- {text}" for text in inputs),
        "",
        *_wrapped(
            f"Means over {total} episodes: {plan.splits} random splits of the places (half to "
            f"train on, three tenths to test), {plan.episodes} episodes each. Every input sees the "
            "same episodes; classes keep their natural shares. Heads have their default settings; "
            "nothing was tuned. Intervals are 95 %: random weights are replicated by "
            "initialisation, episodes by split (`wherefrom.evidence.intervals`); they speak of "
            f"these {len(labelled)} places and of the one set of published weights. Bold: the "
            "difference is not zero after Holm's correction over the differences of its table, at "
            "5 %."
        ),
        "",
        "## Macro F1",
        "",
        *table(results, "f1_macro"),
        "",
        "## F1 of crop",
        "",
        *table(results, "f1_positive"),
        "",
    ]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("worldcereal", type=Path, help="WorldCereal's table, Parquet")
    parser.add_argument("weights", type=Path, help="Presto's published weights, default_model.pt")
    parser.add_argument("--out", type=Path, default=OUT, help="Markdown file to write")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        labelled = worldcereal(given.worldcereal, "all")
        results = measure(labelled, Presto.load_official(given.weights), Plan())
    except WherefromError as err:
        sys.exit(f"error: {err}")
    given.out.write_text(page(results, labelled, Plan()), encoding="utf-8")
    print(f"{given.out}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
