"""What Presto's published pre-training is worth on real Sentinel series: crop or not, few-shot.

The published weights are compared with random initial weights, with the raw series and, if its
weights are given, with Galileo nano, on WorldCereal's labelled pixels, by every cheap head on
frozen features, and by full fine-tuning at the smallest n (an episode of n = 100 takes 3.5 times as
long, so there it is left out).

    python studies/worldcereal/run.py worldcereal_testdf.parquet default_model.pt \\
        --galileo encoder.pt

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

import numpy as np
import torch
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.evidence.intervals import Side, difference, half_width, two_sided_p
from wherefrom.evidence.verdict import holm
from wherefrom.gfms.presto import embed_series
from wherefrom.keys import generator
from wherefrom.models.base import Records
from wherefrom.models.galileo import Galileo
from wherefrom.models.galileo_series import GalileoSeries
from wherefrom.models.galileo_series import records_of as galileo_records
from wherefrom.models.masked import PrestoConfig, records_of
from wherefrom.models.presto import Presto
from wherefrom.pool.series.flat import raw_series
from wherefrom.tasks import Episodes, Task, episodes
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.table import label_series
from wherefrom.tasks.worldcereal import worldcereal
from wherefrom.train.embed import embed
from wherefrom.train.heads import head
from wherefrom.train.heads.finetune import FineTune
from wherefrom.train.scores import scores

SIZES = (20, 50, 100)
#: Randomness of the heads: the same for all inputs.
SAME = np.random.SeedSequence(0)
HEADS = ("logistic", "mlp", "knn")
#: On one episode a split only: full fine-tuning, and a cheap head beside it.
TUNED = ("finetune", "logistic, frozen")
METRICS = ("f1_macro", "f1_positive")
OFFICIAL, RANDOM, RAW = "official weights", "random weights", "raw series"
GALILEO = "Galileo nano"
OUT = Path(__file__).parents[2] / "docs" / "presto-sanity.md"


@dataclass(frozen=True)
class Plan:
    """How much is run.

    Attributes
    ----------
    initialisations : int
        Random ones, of which the first `tuned` are also fine-tuned.
    splits, episodes : int
        Random splits of the places, and episodes of each.
    tuned : int
        Random initialisations to fine-tune beside the published weights; 0 for no fine-tuning.
    """

    initialisations: int = 10
    splits: int = 10
    episodes: int = 5
    tuned: int = 3


Features = NDArray[np.float32]
#: Each split's task, and its episodes by size.
Drawn = list[tuple[Task, list[Episodes]]]
#: (head, n, metric) -> score of each split.
Runs = dict[tuple[str, int, str], list[float]]
#: (inputs, head, n, metric) -> scores, by initialisation and split.
Results = dict[tuple[str, str, int, str], Side]


def models_of(official: Presto, count: int) -> Iterator[tuple[str, Presto | None]]:
    """Give the name and the model of every kind of input; random weights come often."""
    yield OFFICIAL, official
    for i in range(count):
        seed = int(generator("worldcereal", "presto", i).integers(2**31))
        yield RANDOM, Presto(torch.Generator().manual_seed(seed)).eval()
    yield RAW, None


def measure(
    labelled: LabelledSeries,
    official: Presto,
    plan: Plan,
    sizes: Sequence[int] = SIZES,
    heads: Sequence[str] = HEADS,
    galileo: Galileo | None = None,
) -> Results:
    """Fit and score all heads on all inputs, with the same episodes for each.

    Parameters
    ----------
    labelled : LabelledSeries
        Places of a two-class task with their series; its own split is not used.
    official : Presto
    plan : Plan
    sizes : sequence of int
        Training places an episode; fine-tuned with the first of them.
    heads : sequence of str
    galileo : Galileo, optional
        Another model's weights, frozen.

    Returns
    -------
    Results
        Scores averaged over the episodes of a split: (1, splits), or (initialisations, splits)
        for random weights.
    """
    task, series = labelled.task, labelled.series
    records = records_of(series)
    drawn: Drawn = []
    for split in range(plan.splits):
        crop = task.label == task.positive
        one = label_series(task.name, series, crop, "crop", "all", split).task
        seeds = [split * plan.episodes + i for i in range(plan.episodes)]
        drawn.append((one, [episodes(one, "all", n, seeds) for n in sizes]))
    found: dict[tuple[str, str, int, str], list[list[float]]] = {}
    left = {OFFICIAL: min(1, plan.tuned), RANDOM: plan.tuned}
    for name, model in models_of(official, plan.initialisations):
        features = raw_series(series) if model is None else embed_series(model, records)
        runs = frozen(features, drawn, heads)
        if model is not None and left[name] > 0:
            runs |= tuned(model, records, features, drawn)
            left[name] -= 1
        for key, values in runs.items():
            found.setdefault((name, *key), []).append(values)
    if galileo is not None:
        features = embed(GalileoSeries(), galileo, galileo_records(series), batch=64)
        for key, values in frozen(features, drawn, heads).items():
            found[GALILEO, *key] = [values]
    return {key: Side(np.array(runs), fixed=key[0] != RANDOM) for key, runs in found.items()}


def frozen(features: Features, drawn: Drawn, heads: Sequence[str]) -> Runs:
    """Score heads on all episodes of every split."""
    runs: Runs = {}
    for one, by_size in drawn:
        for e in by_size:
            for kind in heads:
                guess = head(kind).fit_predict(features, one.label, e.train, e.test, SAME)
                _note(runs, kind, one, e, guess)
    return runs


def tuned(model: Presto, records: Records, features: Features, drawn: Drawn) -> Runs:
    """Score full fine-tuning, and the frozen logistic head, on one episode of every split."""
    runs: Runs = {}
    for one, (e, *_) in drawn:
        first = e.train[:1]
        guess = FineTune().fit_predict(PrestoConfig(), model, records, one.label, first, e.test)
        _note(runs, TUNED[0], one, e, guess)
        guess = head("logistic").fit_predict(features, one.label, first, e.test, SAME)
        _note(runs, TUNED[1], one, e, guess)
    return runs


def _note(runs: Runs, kind: str, one: Task, e: Episodes, guess: NDArray[np.int16]) -> None:
    score = scores(guess, one.label[e.test], one.positive)
    for metric in METRICS:
        runs.setdefault((kind, e.n, metric), []).append(float(score[metric].mean()))


def table(
    results: Results,
    metric: str,
    heads: Sequence[str] = HEADS,
    others: Sequence[str] = (RANDOM, RAW),
) -> list[str]:
    """Lay out one metric in Markdown: means, and what the published weights add, with intervals."""
    every = {(n, kind) for _, kind, n, m in results if m == metric and kind in heads}
    cases = sorted(every, key=lambda case: (case[0], heads.index(case[1])))
    sides = [[results[name, kind, n, metric] for name in (OFFICIAL, *others)] for n, kind in cases]
    pairs = [difference(official, other) for official, *rest in sides for other in rest]
    halves = half_width(pairs)
    p = holm(two_sided_p(pairs, np.array([abs(part.estimate) for part in pairs])))
    gains = []
    for pair, half, corrected in zip(pairs, halves, p, strict=True):
        low, high = pair.estimate - half, pair.estimate + half
        text = f"{pair.estimate:+.3f} [{low:+.3f}, {high:+.3f}]"
        gains.append(f"**{text}**" if corrected < 0.05 else text)
    title = ["n", "head", OFFICIAL, *others, *(f"official - {name.split()[0]}" for name in others)]
    rows = [title, ["--:", "---", *["--:"] * (1 + len(others)), *["---"] * len(others)]]
    for i, (n, kind) in enumerate(cases):
        means = [f"{side.values.mean():.3f}" for side in sides[i]]
        rows.append([str(n), kind, *means, *gains[i * len(others) : (i + 1) * len(others)]])
    return ["| " + " | ".join(cells) + " |" for cells in rows]


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
    others = [RANDOM, RAW]
    if any(name == GALILEO for name, *_ in results):
        others.append(GALILEO)
        inputs.append(
            f"**{GALILEO}**: its published encoder, frozen, on the same bands; place and months as "
            "Presto is given them, precipitation as the sum of 30 days; 128 features."
        )
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
        *(line for text in inputs for line in _wrapped(text, "- ")),
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
        *table(results, "f1_macro", others=others),
        "",
        "## F1 of crop",
        "",
        *table(results, "f1_positive", others=others),
        "",
    ]
    if plan.tuned:
        lines += [
            "## Full fine-tuning",
            "",
            *_wrapped(
                "Macro F1 of the whole encoder trained together with the head, from the published "
                f"weights and from {plan.tuned} of the random initialisations, on the first "
                "episode of each split; below it the logistic head on frozen features of the same "
                "episodes. Larger n is left out for its time."
            ),
            "",
            *table(results, "f1_macro", TUNED, (RANDOM,)),
            "",
        ]
    return "\n".join(lines)


def _wrapped(text: str, mark: str = "") -> list[str]:
    return textwrap.wrap(
        mark + text,
        110,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def main() -> None:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("worldcereal", type=Path, help="WorldCereal's table, Parquet")
    parser.add_argument("weights", type=Path, help="Presto's published weights, default_model.pt")
    parser.add_argument("--galileo", type=Path, help="Galileo nano's published encoder.pt")
    parser.add_argument("--out", type=Path, default=OUT, help="Markdown file to write")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        labelled = worldcereal(given.worldcereal, "all")
        presto = Presto.load_official(given.weights)
        galileo = None if given.galileo is None else Galileo.load_official(given.galileo)
        results = measure(labelled, presto, Plan(), galileo=galileo)
    except WherefromError as err:
        sys.exit(f"error: {err}")
    given.out.write_text(page(results, labelled, Plan()), encoding="utf-8")
    print(f"{given.out}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
