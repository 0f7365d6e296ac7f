"""The page of an audit: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wherefrom import earth, files
from wherefrom.auditing.audit import Audit
from wherefrom.auditing.findings import percent
from wherefrom.auditing.statistic import Section, Statistic
from wherefrom.earth.surfaces import SURFACES
from wherefrom.report.html import TEMPLATES, Picture

__all__ = ["audit_page", "write_audit_page"]


def write_audit_page(audit: Audit, path: Path | str, command: str = "") -> None:
    """Write the page of an audit, made by a command, to a file.

    Raises
    ------
    WherefromError
        If the disk is full or the folder cannot be written.
    """
    text = audit_page(audit, command)
    with files.atomic(path) as tmp:
        tmp.write_text(text, encoding="utf-8")


def audit_page(audit: Audit, command: str = "") -> str:
    """Write an audit as one HTML page with maps, plots and all tables; it needs no network."""
    against = str(audit.about["against"])
    return TEMPLATES.get_template("audit.html.j2").render(
        about=audit.about,
        counted=audit.counted,
        findings=[
            {
                "size": percent(finding.size),
                "width": max(1, round(100 * min(finding.size, 1.0))),
                "text": f"{finding.text} {audit.consequences(finding)}".strip(),
                "command": finding.command,
                "keeps": finding.keeps,
            }
            for finding in audit.causes
        ],
        ground=(ground := SURFACES[audit.about["reference"]]),
        sections=[_section(*each, against, ground.name) for each in audit.sections().items()],
        sources=_sources(audit),
        command=command,
    )


def _section(
    section: Section, found: Sequence[Statistic], against: str, ground: str
) -> dict[str, Any]:
    tables = [table for one in found for table in one.tables()]
    return {
        "id": section.id,
        "nav": section.nav,
        "title": section.title.replace("{against}", against),
        "head": [cell.replace("{ground}", ground) for cell in section.head],
        "rows": [row for one in found for row in one.rows()],
        "legend": section.legend.replace("{against}", against),
        "notes": [note for one in found for note in one.notes()],
        "pictures": [
            Picture(drawing.name, drawing.title, drawing.caption, drawing.png())
            for one in found
            for drawing in one.drawings()
        ],
        "tables": [table for table in tables if not table.folded],
        "folded": [table for table in tables if table.folded],
    }


def _sources(audit: Audit) -> list[earth.Source]:
    """Return whose data the layers are, each once."""
    named = [
        name for one in audit.results.values() if one is not None for name in one.layers_shown()
    ]
    # A plug-in speaks for itself.
    known = {*earth.CATEGORICAL, *earth.VALUES}
    ours = [name for name in ("land", *named) if name in known]
    found = {source.title: source for name in ours for source in earth.layer(name).source}
    return list(found.values())
