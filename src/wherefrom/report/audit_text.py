"""An audit in plain text, for the terminal."""

from __future__ import annotations

import textwrap

from wherefrom.auditing.audit import Audit
from wherefrom.auditing.findings import percent
from wherefrom.earth.surfaces import SURFACES

__all__ = ["audit_text"]

WIDTH = 100


def audit_text(audit: Audit) -> str:
    """Write the findings with their commands, then the table and the lines of each section."""
    about = audit.about
    lines = [
        f"{about['name']}: {audit.counted} against {about['against']}, key {about['key']}",
        "",
        *_findings(audit),
    ]
    for section, found in audit.sections().items():
        table = [row for one in found for row in one.rows()]
        said = section.lines(table) if table else []
        said += [line for one in found for line in one.lines()]
        lines += ["", *said] if said else []
    return "\n".join(lines).replace("{ground}", SURFACES[about["reference"]].name)


def _findings(audit: Audit) -> list[str]:
    if not audit.findings:
        return [f"nothing amiss against {audit.about['against']}"]
    lines = ["findings, by the share of the places that each concerns"]
    for number, finding in enumerate(audit.causes, 1):
        head = f"{number:>2}. {percent(finding.size):>6}  "
        lines += textwrap.wrap(
            f"{finding.text} {audit.consequences(finding)}".strip(),
            WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
        )
        lines += [f"{' ' * len(head)}$ {finding.command}"] if finding.command else []
    return lines
