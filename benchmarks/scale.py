"""From a million places to a billion: build, label, audit and draw, by the command line.

Each step is one command in a process of its own. Printed of it: seconds, processor seconds, places
per processor second, peak memory of its whole process tree, bytes on disk for a place; then how
all of it grows from size to size, and the places per second that each layer labels on one core.
What was measured is kept in OUT/scale.json, so that sizes can be added later; --table prints it.

    python benchmarks/scale.py --out FOLDER [--places 1e6 1e7 1e8] [--cluster ADDRESS]
    python benchmarks/scale.py --out FOLDER --places 1e9        # 30 GB of disk
    python benchmarks/scale.py --out FOLDER --table
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

LAYERS = ("continent", "biome", "land_cover", "climate_zone")
STEPS = ("build", "label", "audit", "draw")
DRAWN = 1_000_000
SAMPLER = "stratified:layer=biome,short=redistribute"
#: Seconds between two looks at the memory of the process tree.
EVERY = 0.1
ROUNDS = 9
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measured:
    """One step at one size: `written` counts the bytes on disk of what it made."""

    step: str
    places: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    written: int
    machine: str


def tree_of(root: int) -> set[int]:
    """Processes that descend from one, itself included."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state = (folder / "stat").read_text()
            except OSError:  # ended since
                continue
            parents[int(folder.name)] = int(state.rpartition(")")[2].split()[1])
    found, size = {root}, 0
    while size < len(found):
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found


def resident(process: int) -> int:
    """Bytes of memory a process holds now; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def watched(words: list[str]) -> tuple[float, float, int]:
    """Run a command of wherefrom; return its seconds, processor seconds and peak memory in bytes.

    Memory is the sum over the process tree at the worst of ten looks a second, and never less than
    the peak of its largest process, which the kernel keeps exactly.
    """
    print("wherefrom", *words, file=sys.stderr, flush=True)
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "wherefrom", *words], stdout=sys.stderr)
    peak, ended = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not ended.wait(EVERY):
            peak = max(peak, sum(resident(each) for each in tree_of(process.pid)))

    looking = threading.Thread(target=look)
    looking.start()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    ended.set()
    looking.join()
    if status:
        sys.exit(f"the command failed: {' '.join(words)}")
    return seconds, used.ru_utime + used.ru_stime, max(peak, used.ru_maxrss * 1024)


def bytes_of(path: Path) -> int:
    """Bytes on disk of a file, or of all files under a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def measure(places: int, out: Path, cluster: str | None, keep: bool) -> list[Measured]:
    """Build, label, audit and draw at one size."""
    home = out / f"{places:.0e}".replace("+0", "")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    pool, labelled, page, drawn = (
        home / name for name in ("pool", "labelled", "audit.html", "drawn.parquet")
    )
    n = min(DRAWN, places // 10)
    on = ["--cluster", cluster] if cluster else []
    commands: dict[str, tuple[list[object], Path]] = {
        "build": (["pool", "build", "--places", places, "--out", pool], pool),
        "label": (
            ["pool", "label", pool, "--layers", ",".join(LAYERS), "--out", labelled, *on],
            labelled,
        ),
        "audit": (["audit", labelled, "--out", page, *on], page),
        "draw": (
            ["draw", labelled, "--sampler", SAMPLER, "-n", n, "--out", drawn, *on],
            drawn,
        ),
    }
    results = []
    for step, (words, made) in commands.items():
        numbers = watched([str(word) for word in words])
        results.append(Measured(step, places, *numbers, bytes_of(made), machine(cluster)))
        show(results[-1:])
        if step == "label" and not keep:
            shutil.rmtree(pool)
    if (size := pq.read_metadata(drawn).num_rows) != n:
        sys.exit(f"{drawn} has {size} places instead of {n}")
    if not keep:
        shutil.rmtree(labelled)
    return results


def machine(cluster: str | None) -> str:
    return f"{len(os.sched_getaffinity(0))} cores" + (", on Ray" if cluster else "")


def speed(layer: str) -> float:
    """Places that a layer labels in a second on this core, its index loaded before.

    Median of rounds, each of a batch of its own: random places by area, as the build makes them.
    """
    from wherefrom.earth import layer as open_layer
    from wherefrom.pool import Pool
    from wherefrom.pool.batches import BLOCK

    pool, opened = Pool.build((ROUNDS + 1) * BLOCK), open_layer(layer)
    seconds = []
    for round_ in range(ROUNDS + 1):
        rows = slice(round_ * BLOCK, (round_ + 1) * BLOCK)
        start = time.process_time()
        opened.codes(pool.lon[rows], pool.lat[rows])
        seconds.append(time.process_time() - start)
    return BLOCK / statistics.median(seconds[1:])


def speeds() -> dict[str, float]:
    """Measure each layer in a process that is bound to one core."""
    core = min(os.sched_getaffinity(0))
    code = (
        "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); sys.path[0] = sys.argv[2]; "
        "import scale; print(scale.speed(sys.argv[3]))"
    )
    here = str(Path(__file__).parent)
    results = {}
    for layer in LAYERS:
        words = [sys.executable, "-c", code, str(core), here, layer]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        results[layer] = float(done.stdout)
        print(f"{layer:14} {results[layer] / 1e6:6.2f} million places/s on one core", flush=True)
    return results


def show(results: list[Measured]) -> None:
    for each in results:
        print(
            f"{each.step:6} {each.places:>13,} places  {each.seconds:8.1f} s  "
            f"{each.cpu_seconds:8.1f} cpu s  {each.places / each.cpu_seconds / 1e6:6.2f} M/cpu s  "
            f"{each.peak_bytes / 2**30:5.2f} GiB  {each.written / each.places:6.2f} bytes/place  "
            f"{each.machine}",
            flush=True,
        )


def table(kept: dict[str, Any]) -> str:
    """Lay out all that was measured as Markdown, with the growth from size to size."""
    rows = [Measured(**row) for row in kept["steps"]]
    lines = [
        "| step | places | seconds | times the size before | million places per core second "
        "| peak memory, GiB | bytes a place on disk |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for step in STEPS:
        before: Measured | None = None
        for row in sorted((row for row in rows if row.step == step), key=lambda row: row.places):
            grown = f"{row.seconds / before.seconds:.1f}" if before else ""
            disk = f"{row.written / row.places:.2f}" if step in ("build", "label") else ""
            lines.append(
                f"| {step} | 10^{math.log10(row.places):.3g} | {row.seconds:,.1f} | {grown} "
                f"| {row.places / row.cpu_seconds / 1e6:.2f} | {row.peak_bytes / 2**30:.2f} "
                f"| {disk} |"
            )
            before = row
    if kept["layers"]:
        lines += ["", "| layer | million places labelled a second on one core |", "|---|---:|"]
        lines += [f"| {name} | {rate / 1e6:.1f} |" for name, rate in kept["layers"].items()]
    return "\n".join([f"Measured on {', '.join(sorted({r.machine for r in rows}))}.", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to work in")
    parser.add_argument("--places", type=float, nargs="+", default=[1e6, 1e7, 1e8])
    parser.add_argument("--cluster", help="address of a Ray cluster; its memory is not counted")
    parser.add_argument("--keep", action="store_true", help="leave the pools on disk")
    parser.add_argument("--table", action="store_true", help="print what was measured before")
    given = parser.parse_args()
    notes = given.out / "scale.json"
    kept = json.loads(notes.read_text()) if notes.is_file() else {"steps": [], "layers": {}}
    if not given.table:
        given.out.mkdir(parents=True, exist_ok=True)
        kept["layers"] = speeds()
        for places in map(int, given.places):
            new = measure(places, given.out, given.cluster, given.keep)
            kept["steps"] = [row for row in kept["steps"] if row["places"] != places]
            kept["steps"] += [asdict(each) for each in new]
            notes.write_text(json.dumps(kept, indent=1))
    print(table(kept))


if __name__ == "__main__":
    main()
