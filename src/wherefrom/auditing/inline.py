"""The small card of an audit that a notebook shows."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure

from wherefrom.auditing.wording import percent, times, title
from wherefrom.earth.maps import draw_density, draw_places, world_axes

if TYPE_CHECKING:
    from wherefrom.auditing.audit import Audit
    from wherefrom.auditing.mapped import PlacesMap

__all__ = ["card", "places_png"]

#: Findings and labels that a card names.
FINDINGS, LABELS = 4, 7
_CELL = "padding:1px 10px 1px 0;text-align:left;border:0"


def card(audit: Audit) -> str:
    """Write an audit as a compact piece of HTML, without scripts or network.

    Parameters
    ----------
    audit : Audit

    Returns
    -------
    str
    """
    picture = base64.b64encode(places_png(audit.places, width=5.2, dpi=100)).decode("ascii")
    lines = "".join(
        f"<li><b>{percent(finding.size)}</b> {escape(finding.text)}</li>"
        for finding in audit.findings[:FINDINGS]
    )
    more = len(audit.findings) - FINDINGS
    if more > 0:
        lines += f"<li>and {more} more</li>"
    said = f"<ol style='margin:4px 0;padding-left:22px'>{lines}</ol>" if lines else _clean(audit)
    return (
        "<div style='font:13px/1.45 system-ui,sans-serif;max-width:960px'>"
        f"<b>{escape(str(audit.about['name']))}</b>: {audit.about['places']:,} places against "
        f"{escape(str(audit.about['against']))}"
        "<div style='display:flex;flex-wrap:wrap;gap:8px 24px;align-items:center'>"
        f"<img alt='map of the places' width='480' src='data:image/png;base64,{picture}'>"
        f"{_shares(audit)}</div>{said}</div>"
    )


def places_png(places: PlacesMap, *, width: float, dpi: int, color: str = "#1f5a96") -> bytes:
    """Draw the places on a world map.

    Parameters
    ----------
    places : PlacesMap
    width : float
        Inches.
    dpi : int
    color : str

    Returns
    -------
    bytes
        PNG.
    """
    with matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(width, width * 0.49), layout="constrained")
        ax = world_axes(figure.add_subplot())
        if places.lon is not None and places.lat is not None:
            size = min(6.0, max(0.8, 6000 / max(len(places.lon), 1)))
            draw_places(ax, places.lon, places.lat, color=color, size=size)
        else:
            draw_density(ax, places.squares, color=color)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def _clean(audit: Audit) -> str:
    return (
        f"<p style='margin:4px 0'>Nothing amiss against {escape(str(audit.about['against']))}.</p>"
    )


def _shares(audit: Audit) -> str:
    """Table the first layer's largest labels."""
    layer = next(iter(audit.layers.values()), None)
    if layer is None:
        return ""
    rows = sorted(layer.rows, key=lambda row: -max(row.share, row.reference_share or 0.0))[:LABELS]
    body = "".join(
        f"<tr><td style='{_CELL}'>{escape(row.label)}</td>"
        + "".join(
            f"<td style='{_CELL};text-align:right'>{text}</td>"
            for text in (percent(row.share), percent(row.reference_share or 0.0), times(row.ratio))
        )
        + "</tr>"
        for row in rows
    )
    head = "".join(
        f"<th style='{_CELL}'>{escape(text)}</th>"
        for text in (title(layer.layer), "places", str(audit.about["against"]), "times")
    )
    return f"<table style='border-collapse:collapse'><tr>{head}</tr>{body}</table>"
