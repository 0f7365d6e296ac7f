"""Audit three known sets of places: the cards of docs/gallery.md.

    python studies/gallery/run.py [--out runs/gallery] [--figures docs/figures]

Writes a page and a JSON file for each set into OUT, and its card into FIGURES, and prints the table
of docs/gallery.md.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

from PIL import Image

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import Audit, audited
from wherefrom.auditing.drawing import Drawing
from wherefrom.auditing.findings import Named, percent
from wherefrom.pool import Pool
from wherefrom.pool.gallery import known_pool
from wherefrom.report.audit_page import write_audit_page

WIDTH = 1600
SETS = {
    "geoclip-gallery": lambda: known_pool("geoclip-gallery"),
    "geonames-cities": lambda: known_pool("geonames-cities"),
    "built-in-pool": lambda: Pool.build(100_000, seed=0),
}


def row(drawings: list[Drawing], width: int) -> Image.Image:
    """Put plots side by side, at one height."""
    pictures = [Image.open(io.BytesIO(one.png(120))).convert("RGB") for one in drawings]
    height = round(width / sum(p.width / p.height for p in pictures))
    made = Image.new("RGB", (width, height), "white")
    left = 0
    for one in pictures:
        scaled = one.resize((round(one.width * height / one.height), height), Image.LANCZOS)
        made.paste(scaled, (left, 0))
        left += scaled.width
    return made


def card(found: Audit) -> Image.Image:
    plots = [found.layers, found.space.latitude, found.space.ripley]
    first = [one.drawings()[0] for one in plots]  # of the layers: continents
    rows = [row(found.map.drawings(), WIDTH), row(first, WIDTH)]
    whole = Image.new("RGB", (WIDTH, sum(one.height for one in rows)), "white")
    top = 0
    for one in rows:
        whole.paste(one, (0, top))
        top += one.height
    return whole


def line(name: str, found: Audit) -> str:
    continent = {r.label: r.share for r in found.layers["continent"].rows}
    layer = found.layers["continent"]
    sea = layer.none / (layer.places + layer.none)
    space = found.space
    largest = found.findings[0].name if found.findings else "none"
    return (
        f"| {name} | {found.about['places']:,} | {percent(continent['Europe'] * (1 - sea))} | "
        f"{percent(continent['Africa'] * (1 - sea))} | {percent(sea)} | "
        f"{space.coverage.median_km:.0f} km ({space.coverage.uniform_median_km:.0f}) | "
        f"{space.nearest.index:.2f} | {percent(space.duplicates.repeats)} | "
        f"{space.effective.sizes[1].effective:,.0f} ({space.effective.sizes[1].uniform:,.0f}) | "
        f"{len(found.findings)}, {largest} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/gallery"))
    parser.add_argument("--figures", type=Path, default=Path("docs/figures"))
    given = parser.parse_args()
    given.figures.mkdir(parents=True, exist_ok=True)
    print(
        "| set | places | Europe | Africa | at sea | median distance from land (uniform) | "
        "nearest-neighbour index | repeats | worth at 100 km (uniform) | findings, largest |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, make in SETS.items():
        begun = time.perf_counter()
        pool = make()
        found = audited(Asked(pool, named=Named(f"{name}.parquet")))
        seconds = time.perf_counter() - begun
        given.out.mkdir(parents=True, exist_ok=True)
        pool.write(given.out / f"{name}.parquet")
        write_audit_page(found, given.out / f"{name}.html", f"wherefrom audit {name}.parquet")
        found.write_json(given.out / f"{name}.json")
        card(found).save(given.figures / f"audit-{name}.png", optimize=True)
        print(line(name, found), flush=True)
        print(f"{name}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
