"""An audit in plain text, for the terminal."""

from __future__ import annotations

from wherefrom.auditing.audit import Audit
from wherefrom.earth.surfaces import SURFACES

__all__ = ["audit_text"]


def audit_text(audit: Audit) -> str:
    """Write the findings with their commands, then the table and the lines of each section."""
    lines = audit.lines()
    for section, found in audit.sections().items():
        table = [row for one in found for row in one.rows()]
        said = section.lines(table) if table else []
        said += [line for one in found for line in one.lines()]
        lines += ["", *said] if said else []
    return "\n".join(lines).replace("{ground}", SURFACES[audit.about["reference"]].name)
