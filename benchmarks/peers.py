"""Polygons and draws beside geopandas, SedonaDB, pandas and numpy, side by side in one run.

Groups: which RESOLVE and which Natural Earth polygon each of 500,000 places by area on the sphere
is in; 100,000 places uniform on land; about 100,000 places of a pool of 10 million, as many of
each biome, uniform, and by weight. Printed of each contender: seconds to load (read and index
polygons, make tables and point geometries) and to answer, times the seconds of wherefrom, the
most memory while it answers beyond what it had loaded, peak memory of its process, and whether it
is right. Contenders take turns, each round in a fresh process on one core, with one thread; every
number is the median of the rounds.

    python benchmarks/peers.py [--sedonadb PYTHON] [--rounds 3] [--core 0] [--groups GROUP ...]

SedonaDB lives in an environment of its own: pip install "apache-sedona[db]" geopandas
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peers_checks
from peers_contenders import CONTENDERS
from peers_inputs import SOURCES, Inputs, write

ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "GDAL", "RAYON")
#: Costs of one contender, round by round.
Rounds = list[dict[str, Any]]


def measured(python: str, group: str, name: str, folder: Path, turn: int, core: int) -> Any:
    """Run one contender in a process that is bound to the core before it imports anything."""
    words = [python, str(Path(__file__).with_name("peers_contenders.py")), group, name]
    threads = {f"{library}_NUM_THREADS": "1" for library in ONE_THREAD}
    threads |= {"TOKIO_WORKER_THREADS": "1", "ARROW_IO_THREADS": "1"}
    done = subprocess.run(
        [*words, str(folder), str(turn)],
        env=os.environ | threads,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),
    )
    if done.returncode:
        sys.exit(f"{name} failed in group {group}")
    return json.loads(done.stdout.splitlines()[-1])


def answers(folder: Path, group: str, name: str, rounds: Rounds) -> peers_checks.Answers:
    order = list(CONTENDERS[group]).index(name)
    stem, turns = str(folder / f"{group}-{order}"), range(len(rounds))
    return {
        call: [np.load(f"{stem}-{call}-{turn}.npy") for turn in turns]
        for call in rounds[0]["seconds"]
    }


def median(rounds: Rounds, *keys: str) -> float:
    values: list[Any] = list(rounds)
    for key in keys:
        values = [value[key] for value in values]
    return float(statistics.median(values))


def show(group: str, results: dict[str, Rounds], cells: dict[str, str]) -> None:
    """Print a table of Markdown: a line for each contender, the first being wherefrom."""
    again = "again" in next(iter(results.values()))[0]["seconds"]
    calls, claim = (("first", "again"), "again") if again else (("points", "borders"), "points")
    heads = ["contender", "load, s", *(f"{call}, s" for call in calls), "times ours"]
    heads += ["times ours with loading", "memory beyond loading, MiB", "peak, MiB", "right?"]
    print(f"\n### {group}\n\n| {' | '.join(heads)} |\n|---{'|---:' * (len(heads) - 2)}|---|")
    first = next(iter(results.values()))
    ours = median(first, "seconds", claim)
    whole = median(first, "load") + median(first, "seconds", calls[0])
    for name, rounds in results.items():
        seconds = [median(rounds, "seconds", call) for call in calls]
        beyond = max(median(rounds, "peaks", call) for call in calls)
        row = [name, f"{median(rounds, 'load'):.2f}", *(f"{each:.3g}" for each in seconds)]
        times = median(rounds, "seconds", claim) / ours
        loaded = (median(rounds, "load") + seconds[0]) / whole
        row += [f"{times:.3g}", f"{loaded:.3g}", f"{beyond / 2**20:,.0f}"]
        row += [f"{median(rounds, 'total') / 2**20:,.0f}", cells[name]]
        print(f"| {' | '.join(row)} |", flush=True)


def compare(group: str, given: Inputs, args: argparse.Namespace) -> None:
    names = [name for name in CONTENDERS[group] if args.sedonadb or "SedonaDB" not in name]
    results: dict[str, Rounds] = {name: [] for name in names}
    for turn in range(args.rounds):
        for name in names:
            python = args.sedonadb if "SedonaDB" in name else sys.executable
            done = measured(python, group, name, given.folder, turn, args.core)
            results[name].append(done)
            print(f"{turn} {name}: {done}", file=sys.stderr, flush=True)
    found = {name: answers(given.folder, group, name, each) for name, each in results.items()}
    show(group, results, peers_checks.check(group, given, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sedonadb", help="Python of an environment with SedonaDB and geopandas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--groups", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--points", type=int, default=500_000)
    parser.add_argument("--places", type=int, default=10_000_000, help="of the pool")
    parser.add_argument("--draw", type=int, default=100_000)
    args = parser.parse_args()
    if importlib.util.find_spec("geopandas") is None:
        sys.exit('geopandas is not installed here: pip install -e ".[geo]"')
    with tempfile.TemporaryDirectory() as name:
        given = write(Path(name), args.points, args.places, args.draw)
        for source in SOURCES:
            shapes = given.polygons(source).geometry
            vertices = shapes.count_coordinates().sum()
            print(f"{source}: {len(shapes)} polygons, {vertices:,} vertices", flush=True)
        for group in args.groups:
            compare(group, given, args)


if __name__ == "__main__":
    main()
