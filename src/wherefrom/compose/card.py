"""The card beside a composition: what was planned, what was realised, and where it lies."""

from __future__ import annotations

import base64
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wherefrom import files, shown
from wherefrom.compose.composition import Composition
from wherefrom.compose.passes import Found, count, find
from wherefrom.compose.spec import spec_text
from wherefrom.compose.strata import LabelGroups
from wherefrom.earth.maps import draw_places, world_axes
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, PoolScan
from wherefrom.pool.columns import label_layer
from wherefrom.shown import count_of

__all__ = ["Card", "card", "write_card"]

OURS, POOL, SHORT = "#1f5a96", "#b9bec4", "#b3261e"
STRATA_SHOWN = 20


def card(composition: Composition, pool: Pool | PoolScan) -> dict[str, Any]:
    """Describe a composition: its provenance, and its share of each continent beside the pool's.

    Parameters
    ----------
    composition : Composition
    pool : Pool or PoolScan
        That it was drawn from.

    Returns
    -------
    dict
        Plain values. If the continents cannot be had, ``continents_missing`` says why.

    Raises
    ------
    WherefromError
        If the composition is of another pool.
    """
    return _described(composition, pool)[0]


def write_card(
    composition: Composition,
    pool: Pool | PoolScan,
    path: Path | str,
) -> list[str]:
    """Write ``NAME.card.json`` and ``NAME.card.png`` beside a composition's file, which is `path`.

    Returns what the card had to leave out and why; normally nothing. A pool in files is passed over
    to find the places, and once more to count its continents if they are no column of it. If the
    composition is of another pool, or the disk is full, a `WherefromError` is raised.
    """
    path = Path(path)
    described, found = _described(composition, pool)
    with files.atomic(path.with_suffix(".card.json")) as tmp:
        text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        tmp.write_text(text, encoding="utf-8")
    with shown.figures(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        figure = _figure(described, found)
        with files.atomic(path.with_suffix(".card.png")) as tmp:
            figure.savefig(tmp, dpi=150)
    notes = []
    if "continents_missing" in described:
        missing = described["continents_missing"]
        notes.append(f"the card has no continents and no land: {missing}")
    if any("missing from font" in str(warning.message) for warning in warned):
        notes.append("the map's font lacks some letters of the labels; the card's JSON has them")
    return notes


@dataclass(frozen=True, eq=False)
class Card:
    """The card of a composition, to be looked at: the last line of a notebook's cell shows it.

    Attributes
    ----------
    composition : Composition
    pool : Pool or PoolScan
        That it was drawn from.

    Examples
    --------
    >>> from wherefrom import draw
    >>> pool = Pool.build(500, seed=0)
    >>> shown = Card(draw(pool, "uniform", n=50), pool)
    >>> shown.to_dict()["size"], shown._repr_html_()[:9]
    (50, '<img alt=')
    """

    composition: Composition
    pool: Pool | PoolScan

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, as `wherefrom.compose.card.card` does."""
        return card(self.composition, self.pool)

    def figure(self) -> Figure:
        """Draw the map above the shares."""
        return _figure(*_described(self.composition, self.pool))

    def _repr_html_(self) -> str:
        out = io.BytesIO()
        with shown.figures():
            self.figure().savefig(out, format="png", dpi=110)
        picture = base64.b64encode(out.getvalue()).decode("ascii")
        name = shown.html(f"composition {self.composition.key}")
        return f"<img alt='{name}' width='820' src='data:image/png;base64,{picture}'>"


def _described(composition: Composition, pool: Pool | PoolScan) -> tuple[dict[str, Any], Found]:
    """Describe a composition, and find its places, with their continents if the pool holds them."""
    key = composition.provenance["pool"]["key"]
    if key != pool.key:
        raise WherefromError(
            f"the composition was drawn from pool {key}, not from pool {pool.key}: name the pool "
            "that it was drawn from"
        )
    found = find(pool, composition.ids, ["continent"] if "continent" in pool.columns else [])
    described: dict[str, Any] = {
        "key": composition.key,
        "spec": spec_text(composition.provenance["sampler"]),
        **composition.provenance,
    }
    try:
        labels = pool.labels("continent")
        # The layer is looked up for the drawn places alone.
        codes = found.codes.get("continent")
        if codes is None:
            codes = label_layer("continent", ()).codes(found.lon, found.lat)
        keys, sizes = count(pool, LabelGroups("continent", np.arange(len(labels))))
    except WherefromError as err:
        return {**described, "continents": [], "continents_missing": str(err)}, found
    here = np.zeros(len(labels) + 1, dtype=np.int64)
    here[keys + 1] = sizes
    here[0] = len(pool) - sizes.sum()
    drawn = np.bincount(codes + 1, composition.multiplicity, minlength=len(labels) + 1)
    without = "none" if "none" not in labels else "no label"
    described["continents"] = [
        {
            "label": label,
            "pool": int(here[i]),
            "drawn": int(drawn[i]),
            "pool_share": round(float(here[i] / len(pool)), 6),
            "drawn_share": round(float(drawn[i] / max(composition.size, 1)), 6),
        }
        for i, label in enumerate((without, *labels))
        if here[i]
    ]
    return described, found


@shown.figures()
def _figure(described: dict[str, Any], found: Found) -> Figure:
    strata = described.get("strata") or []
    named = len(strata) > 1
    bars = max(len(described["continents"]), min(len(strata), STRATA_SHOWN) if named else 0, 4)
    low = 0.65 + 0.21 * bars
    figure = Figure(figsize=(10, 5.3 + low), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[5.3, low])
    above, below = parts
    world = above.add_subplot()
    world_axes(world, land="continents_missing" not in described)
    if len(found.lon):
        draw_places(world, found.lon, found.lat, color=OURS)
    else:
        world.text(0, 0, "no places: zero pre-training", ha="center", size=13, color=OURS)
    above.suptitle(shown.brief(described["spec"], 90), x=0.02, ha="left", size=13, weight="bold")
    above.supxlabel(_subtitle(described), x=0.02, ha="left", size=9, color="#444444")
    axes = below.subplots(1, 2 if named else 1, squeeze=False, width_ratios=[2, 3][: 1 + named])[0]
    if described["continents"]:
        names = [shown.brief(c["label"]) for c in described["continents"]]
        shares = [(c["drawn_share"], c["pool_share"]) for c in described["continents"]]
        notes = [f"{c['drawn']:,}" for c in described["continents"]]
        _bars(axes[0], "share per continent", names, shares, notes, [False] * len(names))
    else:
        axes[0].set_axis_off()
    if named:
        size, places = max(described["size"], 1), described["pool"]["places"]
        by_size = sorted(strata, key=lambda s: -s["pool"])[:STRATA_SHOWN]
        names = [shown.brief(s["label"]) for s in by_size]
        shares = [(s["drawn"] / size, s["pool"] / places) for s in by_size]
        lack = [s["pool"] < s["asked"] for s in by_size]
        notes = [
            f"{s['drawn']:,}" + (f" (asked {s['asked']:,.0f}, has {s['pool']:,})" if few else "")
            for s, few in zip(by_size, lack, strict=True)
        ]
        more = f", {STRATA_SHOWN} largest of {len(strata)}" if len(strata) > len(by_size) else ""
        _bars(axes[1], f"share per stratum{more}", names, shares, notes, lack)
    if named or described["continents"]:
        axes[-1].legend(frameon=False, fontsize=8, loc="best")
    return figure


def _bars(
    ax: Axes,
    title: str,
    names: list[str],
    shares: list[tuple[float, float]],
    notes: list[str],
    lack: list[bool],
) -> None:
    at = np.arange(len(names))
    ours, pool = np.array(shares).T
    ax.barh(at - 0.19, ours * 100, 0.38, color=OURS, label="composition")
    ax.barh(at + 0.19, pool * 100, 0.38, color=POOL, label="pool")
    for y, (share, note, few) in enumerate(zip(ours, notes, lack, strict=True)):
        ax.annotate(
            note,
            (share * 100, y - 0.19),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            size=7,
            color=SHORT if few else OURS,
        )
    ax.set_yticks(at, names, size=8)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, max(ours.max(), pool.max()) * 128 + 0.1)
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= 100])
    ax.set_xlabel("%", size=8)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_title(title, loc="left", size=9, weight="bold")


def _subtitle(described: dict[str, Any]) -> str:
    pool = described["pool"]
    places = f"{count_of(described['size'], 'place')}"
    if described["n"] not in (None, described["size"]):
        places = f"{described['size']:,} of {count_of(described['n'], 'place')}"
    if described["distinct"] != described["size"]:
        places += f" ({described['distinct']:,} distinct)"
    origin = f", {pool['origin']}" if pool["origin"] else ""
    seed = "" if described["seed"] is None else f", seed {described['seed']}"
    return (
        f"composition {described['key']}: {places}{seed}\n"
        f"pool {pool['key']}: {count_of(pool['places'], 'place')}{origin}"
    )
