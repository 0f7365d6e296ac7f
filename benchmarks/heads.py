"""Heads of 50 seeds at once against loops over the seeds: time, memory and agreement.

    python benchmarks/heads.py [--rounds 5] [--dim 256]

One region: 50 seeds, n = 100, 2,000 test places, embeddings of an untrained SatCLIP encoder
(L = 40), about ten classes. Ours and the loops run in turn on one thread; medians and their ratio.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from wherefrom.models.satclip import LocationEncoder
from wherefrom.train.heads import KNN, MLP, Logistic
from wherefrom.train.heads.fewshot import FewShot
from wherefrom.train.heads.newton import fit
from wherefrom.train.heads.perceptron import EPSILON, initial, train_all

SEEDS, N, TEST, PLACES, CLASSES = 50, 100, 2000, 7500, 12


def region(dim: int) -> tuple[Any, ...]:
    """Make one region: patches of classes (nearest of 60 random centres) in a part of Africa."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-20, 50, PLACES), rng.uniform(-35, 37, PLACES)
    centres = rng.uniform([-20, -35], [50, 37], (60, 2))
    owner = ((np.stack([lon, lat], 1)[:, None] - centres) ** 2).sum(2).argmin(1)
    label = rng.choice(CLASSES, 60, p=np.arange(CLASSES, 0, -1) / 78)[owner]
    encoder = LocationEncoder(40, out=dim).eval()
    with torch.no_grad():
        features = encoder(torch.from_numpy(lon), torch.from_numpy(lat)).numpy()
    train = np.stack([rng.permutation(PLACES - TEST)[:N] for _ in range(SEEDS)])
    return features, label, train, np.arange(PLACES - TEST, PLACES)


def in_turn(rounds: int, **runs: Callable[[], object]) -> dict[str, float]:
    """Time every run once per round; return medians of processor seconds, for shared machines."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            run()
            taken[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in taken.items()}


def report(what: str, times: dict[str, float]) -> None:
    ours = times.pop("ours")
    for name, seconds in times.items():
        print(
            f"{what:34} ours {ours:7.3f} s   {name:34} {seconds:7.2f} s   x {seconds / ours:6.1f}"
        )


def logistic(data: tuple[Any, ...], rounds: int) -> None:
    few = FewShot.of(*data)
    features, label, train, test = data
    tested = [few.standardised_test(s).double().numpy() for s in range(SEEDS)]
    x = few.x.double().numpy()
    double = features.astype(np.float64)

    def scikit(tol: float, seeds: int) -> list[Any]:
        found = []
        for rows in train[:seeds]:
            model = LogisticRegression(C=1.0, tol=tol, max_iter=100_000)
            pipe = make_pipeline(StandardScaler(), model)
            found.append(pipe.fit(double[rows], label[rows]).predict_proba(double[test]))
        return found

    def plain_torch(seeds: int) -> list[Any]:
        found = []
        for s in range(seeds):
            seen = few.present[s]
            y = (seen.cumsum(0) - 1)[few.y[s]]
            w = torch.zeros(int(seen.sum()), x.shape[2], dtype=torch.float64, requires_grad=True)
            b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.LBFGS(
                [w, b], max_iter=5000, tolerance_grad=1e-6, tolerance_change=0,
                line_search_fn="strong_wolfe",
            )  # fmt: skip
            rows = few.x[s].double()

            def closure(w=w, b=b, rows=rows, y=y, optimizer=optimizer) -> Any:  # type: ignore[no-untyped-def]
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(rows @ w.T + b, y, reduction="sum")
                loss = loss + w.square().sum() / 2
                loss.backward()
                return loss

            optimizer.step(closure)
            with torch.no_grad():
                tests = torch.from_numpy(tested[s])
                found.append((tests @ w.T + b).softmax(1).numpy())
        return found

    def gap(theirs: list[Any]) -> float:
        few = FewShot.of(*data)
        ours = few.linear(*fit(few, 1.0)).softmax(2)
        return max(
            float(np.abs(ours[:, s, few.present[s]].numpy() - t).max())
            for s, t in enumerate(theirs)
        )

    seed = np.random.SeedSequence(0)
    times = in_turn(rounds, ours=lambda: Logistic().fit_predict(*data, seed))
    few_seeds = 10
    loops = in_turn(
        max(1, rounds // 3),
        **{
            "scikit-learn, tol 1e-4 (default)": lambda: scikit(1e-4, few_seeds),
            "scikit-learn, tol 1e-8": lambda: scikit(1e-8, few_seeds),
            "torch.optim.LBFGS loop": lambda: plain_torch(few_seeds),
        },
    )
    times |= {name: seconds * SEEDS / few_seeds for name, seconds in loops.items()}
    report("logistic, fit and predict", times)
    for name, theirs in (
        ("scikit-learn, tol 1e-4", scikit(1e-4, few_seeds)),
        ("scikit-learn, tol 1e-8", scikit(1e-8, few_seeds)),
        ("torch.optim.LBFGS", plain_torch(few_seeds)),
    ):
        print(f"    probabilities differ from {name} by at most {gap(theirs):.1e}")


def mlp(data: tuple[Any, ...], rounds: int, hidden: int) -> None:
    few = FewShot.of(*data)
    kind = MLP(hidden=hidden)
    x = few.axes.z.float()
    seed = np.random.SeedSequence(0)
    begin = initial(seed, range(SEEDS), CLASSES, few.classes, hidden, x.shape[2])

    def loop(fused: bool | None) -> list[Any]:
        modules = []
        for s in range(SEEDS):
            seen = few.present[s]
            w1, b1, w2, b2 = (w[s] for w in begin)
            module = torch.nn.Sequential(
                torch.nn.Linear(x.shape[2], hidden),
                torch.nn.Tanh(),
                torch.nn.Linear(hidden, int(seen.sum())),
            )
            with torch.no_grad():
                given = (w1, b1[:, 0], w2[seen], b2[seen, 0])
                for mine, value in zip(module.parameters(), given, strict=True):
                    mine.copy_(value)
            y = (seen.cumsum(0) - 1)[few.y[s]]
            adam = torch.optim.AdamW(
                module.parameters(),
                lr=kind.lr,
                weight_decay=kind.weight_decay,
                eps=EPSILON,
                fused=fused,
            )
            for _ in range(kind.steps):
                adam.zero_grad()
                torch.nn.functional.cross_entropy(module(x[s]), y).backward()
                adam.step()
            modules.append(module)
        return modules

    def ours() -> Any:
        return train_all(few, begin, kind.steps, kind.lr, kind.weight_decay)

    times = in_turn(
        rounds,
        ours=ours,
        **{
            "nn.Module and AdamW loop": lambda: loop(None),
            "the same, fused AdamW": lambda: loop(True),
        },
    )
    report(f"mlp, {hidden} hidden, {kind.steps} steps", times)
    w1, b1, w2, b2 = ours()
    worst = 0.0
    for s, module in enumerate(loop(None)):
        seen = few.present[s]
        tested = few.standardised_test(s) @ few.axes.back[s].float().T
        mine = (tested @ w1[s].T + b1[s, :, 0]).tanh() @ w2[s].T + b2[s, :, 0]
        with torch.no_grad():
            worst = max(
                worst, float((mine[:, seen].softmax(1) - module(tested).softmax(1)).abs().max())
            )
    print(f"    probabilities differ by at most {worst:.1e}")
    whole = in_turn(rounds, ours=lambda: kind.fit_predict(*data, seed))["ours"]
    print(f"    with standardisation, axes and predictions {whole:.3f} s")


def knn(data: tuple[Any, ...], rounds: int) -> None:
    few = FewShot.of(*data)
    label, train = data[1], data[2]
    x = few.x.numpy()
    tested = [few.standardised_test(s).numpy() for s in range(SEEDS)]

    def scikit() -> Any:
        pairs = zip(x, train, tested, strict=True)
        return [KNeighborsClassifier(5).fit(a, label[r]).predict(t) for a, r, t in pairs]

    seed = np.random.SeedSequence(0)
    times = in_turn(
        rounds,
        ours=lambda: KNN().fit_predict(*data, seed),
        **{"scikit-learn": scikit},
    )
    report("knn, fit and predict", times)
    differ = (np.stack(scikit()) != KNN().fit_predict(*data, seed)).mean()
    print(f"    predictions that differ: {differ:.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dim", type=int, default=256)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        made = region(chosen.dim)
        print(f"{SEEDS} seeds, n = {N}, D = {chosen.dim}, {TEST} test places, one thread")
        for width in (16, 24):
            mlp(made, chosen.rounds, width)
        knn(made, chosen.rounds)
        logistic(made, chosen.rounds)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(f"peak memory of the whole run {peak:,.0f} MiB")
