"""What a notebook shows of a composition: its counts, or its card with the map."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib.figure import Figure

from wherefrom.compose import card as cards
from wherefrom.compose.composition import Composition
from wherefrom.compose.parse import spec_text
from wherefrom.pool import Pool, PoolScan

__all__ = ["Card", "summary_html"]

STRATA_SHOWN = 12
_CELL = "padding:1px 12px 1px 0;text-align:right;border:0"


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
    >>> from wherefrom.compose import draw
    >>> pool = Pool.build(500, seed=0)
    >>> shown = Card(draw(pool, "uniform", n=50), pool)
    >>> shown.to_dict()["size"], shown._repr_html_()[:9]
    (50, '<img alt=')
    """

    composition: Composition
    pool: Pool | PoolScan

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, as `wherefrom.compose.card.card` does."""
        return cards.card(self.composition, self.pool)

    def figure(self) -> Figure:
        """Draw the map above the shares."""
        return cards.card_figure(self.composition, self.pool, self.to_dict())

    def _repr_html_(self) -> str:
        out = io.BytesIO()
        self.figure().savefig(out, format="png", dpi=110)
        picture = base64.b64encode(out.getvalue()).decode("ascii")
        name = escape(f"composition {self.composition.key}", quote=True)
        return f"<img alt='{name}' width='820' src='data:image/png;base64,{picture}'>"


def summary_html(composition: Composition) -> str:
    """Write a composition's counts as a compact piece of HTML.

    Parameters
    ----------
    composition : Composition

    Returns
    -------
    str

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.compose import draw
    >>> pool = Pool.from_table(pa.table({"lon": [0.0, 1.0], "lat": [0.0, 0.0]}))
    >>> "2 places" in summary_html(draw(pool, "uniform", n=2))
    True
    """
    told = composition.provenance
    spec = escape(spec_text(told["sampler"])) if "sampler" in told else "composition"
    seed = "" if told.get("seed") is None else f", seed {told['seed']}"
    of = told.get("pool") or {}
    pool = f" of {of['places']:,}" if "places" in of else ""
    strata = told.get("strata") or []
    table = _table(strata, composition.size) if len(strata) > 1 else ""
    counted = f"{composition.size:,} places{pool}{seed}, key {composition.key}"
    style = "font:13px/1.45 system-ui,sans-serif"
    return f"<div style='{style}'><b>{spec}</b>: {counted}{table}</div>"


def _table(strata: list[dict[str, Any]], size: int) -> str:
    shown = sorted(strata, key=lambda s: -s["drawn"])[:STRATA_SHOWN]
    most = max(1, *(s["drawn"] for s in shown))
    rows = "".join(
        f"<tr><td style='{_CELL};text-align:left'>{escape(s['label'])}</td>"
        f"<td style='{_CELL}'>{s['pool']:,}</td><td style='{_CELL}'>{s['drawn']:,}</td>"
        f"<td style='{_CELL}'>{s['drawn'] / max(size, 1):.1%}</td><td style='border:0'>"
        f"<div style='background:#1f5a96;height:9px;width:{160 * s['drawn'] / most:.0f}px'></div>"
        "</td></tr>"
        for s in shown
    )
    head = "".join(
        f"<th style='{_CELL};text-align:{'right' if at else 'left'}'>{text}</th>"
        for at, text in enumerate(("stratum", "in pool", "drawn", "share"))
    )
    more = (
        f"<div>and {len(strata) - len(shown)} strata more</div>"
        if len(strata) > STRATA_SHOWN
        else ""
    )
    return (
        f"<table style='border-collapse:collapse;font:inherit'><tr>{head}</tr>{rows}</table>{more}"
    )
