"""Labels of 10 million places: as shared strings, beside codes and other ways to hold text.

Claim: labels come at no less than half the speed of codes, at 8 bytes a place or less.
Rivals: what ``layer(...)(lon, lat)`` was before, NumPy's text of a fixed width; NumPy's
StringDType; Arrow's dictionary; pandas' categorical. Each in a process of its own, since the first
call also waits for the memory of its answer; also what a comparison of the answer with one label,
``tolist`` and a pandas Series take.
Run: ``python benchmarks/layer_labels.py [layer ...]``
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from wherefrom.earth import Layer, layer
from wherefrom.earth.sphere import uniform_on_sphere

PLACES, CALLS, ROUNDS = 10_000_000, 4, 2


def fixed(opened: Layer, lon: Any, lat: Any) -> Any:
    return np.array((*opened.labels, ""))[opened.codes(lon, lat)]


def string(opened: Layer, lon: Any, lat: Any) -> Any:
    return np.array((*opened.labels, ""), np.dtypes.StringDType())[opened.codes(lon, lat)]


def arrow(opened: Layer, lon: Any, lat: Any) -> Any:
    from wherefrom.pool.columns import label_column

    return label_column(opened.codes(lon, lat), opened.labels)


def categorical(opened: Layer, lon: Any, lat: Any) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(opened.codes(lon, lat), opened.labels)


WAYS: dict[str, Callable[..., Any]] = {
    "codes": Layer.codes,
    "labels": Layer.__call__,
    "fixed width": fixed,
    "StringDType": string,
    "Arrow dictionary": arrow,
    "pandas categorical": categorical,
}


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def measure(name: str, way: str) -> None:
    opened = layer(name)
    lon, lat = uniform_on_sphere(PLACES, np.random.default_rng(0))
    WAYS[way](opened, lon[:1000], lat[:1000])
    times = []
    for _ in range(CALLS):
        took, answer = seconds(lambda: WAYS[way](opened, lon, lat))
        times.append(took)
    print(times[0], statistics.median(times[1:]), answer.nbytes / PLACES, end=" ")
    some = opened.labels[1 % len(opened.labels)]
    print(seconds(lambda: answer == some)[0], seconds(answer.tolist)[0])


def main(names: list[str]) -> None:
    for name in names:
        rounds: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way in WAYS:
                command = [sys.executable, __file__, name, "--way", way]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rounds[way].append([float(word) for word in said.split()])
        print(f"{name}: million places/s at the first call, later; of codes; bytes; ==, tolist (s)")
        medians = {way: np.median(rows, axis=0) for way, rows in rounds.items()}
        for way, row in medians.items():
            first, later, size, equal, listed = row
            share = medians["codes"][:2] / row[:2]
            print(
                f"  {way:18} {PLACES / first / 1e6:6.1f} {PLACES / later / 1e6:6.1f}  "
                f"{share[0]:5.2f} {share[1]:5.2f}  {size:6.1f}  {equal:6.2f} {listed:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    if "--way" in sys.argv:
        measure(sys.argv[1], sys.argv[-1])
    else:
        main(sys.argv[1:] or ["biome"])
