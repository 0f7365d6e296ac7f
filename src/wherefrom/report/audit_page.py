"""The page of an audit: one self-contained HTML file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined

from wherefrom import earth, files
from wherefrom.auditing.audit import Audit
from wherefrom.auditing.wording import percent, title
from wherefrom.report.audit_figures import (
    distance_curve,
    entropy_bars,
    latitude_curve,
    loss_bars,
    ripley_curve,
    share_bars,
)
from wherefrom.report.audit_maps import entropy_map, places_map, ratio_map
from wherefrom.report.audit_style import Shown
from wherefrom.report.audit_tables import (
    LABEL_HEAD,
    LAYER_HEAD,
    SPACE_HEAD,
    label_rows,
    layer_rows,
    space_rows,
)
from wherefrom.report.html import Picture

__all__ = ["audit_page", "write_audit_page"]

DPI = 150


def write_audit_page(audit: Audit, path: Path | str, command: str = "") -> None:
    """Write the page of an audit to a file.

    Parameters
    ----------
    audit : Audit
    path : Path or str
    command : str
        That made the audit.

    Raises
    ------
    WherefromError
        If the disk is full or the folder cannot be written.
    """
    text = audit_page(audit, command)
    with files.atomic(path) as tmp:
        tmp.write_text(text, encoding="utf-8")


def audit_page(audit: Audit, command: str = "") -> str:
    """Write an audit as one HTML page with maps, plots and all tables; it needs no network.

    Parameters
    ----------
    audit : Audit
    command : str
        That made the audit.

    Returns
    -------
    str

    Examples
    --------
    >>> from wherefrom.auditing.audit import audit
    >>> from wherefrom.pool import Pool
    >>> page = audit_page(audit(Pool.build(500, seed=0), layers=["continent"]))
    >>> page[:15], "Nothing amiss" in page
    ('<!doctype html>', True)
    """
    environment = Environment(
        loader=PackageLoader("wherefrom.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    against = str(audit.about["against"])
    space = audit.space
    curves = [latitude_curve(space.latitude)]
    if space.ripley is not None:
        curves.append(ripley_curve(space.ripley))
    return environment.get_template("audit.html.j2").render(
        about=audit.about,
        findings=[
            {
                "size": percent(finding.size),
                "width": max(1, round(100 * min(finding.size, 1.0))),
                "text": finding.text,
                "command": finding.command,
            }
            for finding in audit.findings
        ],
        maps=_pictures([places_map(audit.places), ratio_map(audit.places, against)]),
        shares=_pictures(share_bars(layer, against) for layer in audit.layers.values()),
        layer_head=LAYER_HEAD,
        layer_rows=layer_rows(audit),
        label_head=LABEL_HEAD,
        labels=[(title(layer.layer), label_rows(layer)) for layer in audit.layers.values()],
        layer_notes=[
            f"{title(layer.layer)}: {note}"
            for layer in audit.layers.values()
            for note in layer.notes
        ],
        curves=_pictures(curves),
        space_head=SPACE_HEAD,
        space_rows=space_rows(audit),
        entropy=_pictures(_entropy(audit)),
        leakage=_pictures([] if audit.leakage is None else [distance_curve(audit.leakage)]),
        leaks=[] if audit.leakage is None else audit.leakage.nearest,
        losses=_pictures(_losses(audit)),
        realised=audit.realised,
        sources=_sources(audit),
        command=command,
    )


def _entropy(audit: Audit) -> list[Shown | None]:
    if audit.entropy is None:
        return []
    return [entropy_map(audit.entropy), entropy_bars(audit.entropy)]


def _losses(audit: Audit) -> list[Shown | None]:
    if audit.realised is None:
        return []
    return [loss_bars(audit.realised, layer) for layer in audit.realised.layers]


def _pictures(figures: Sequence[Shown | None] | Iterator[Shown | None]) -> list[Picture]:
    """Draw figures as PNG; a label may hold dollar signs, which are no formula."""
    pictures = []
    for shown in figures:
        if shown is None:
            continue
        stream = io.BytesIO()
        with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
            # The tables below have the letters that the plots' font lacks.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            shown.figure.savefig(
                stream, format="png", dpi=DPI, facecolor="white", metadata={"Software": None}
            )
        pictures.append(Picture(shown.name, shown.title, shown.caption, stream.getvalue()))
    return pictures


def _sources(audit: Audit) -> list[earth.Source]:
    """Return whose data the layers are, each once."""
    found: dict[str, earth.Source] = {}
    for name in ("land", *audit.layers):
        if name in earth.CATEGORICAL:  # a plug-in speaks for itself
            for source in earth.layer(name).source:
                found[source.title] = source
    return list(found.values())
