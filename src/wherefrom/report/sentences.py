"""All sentences of a report, in the order in which they are read."""

from __future__ import annotations

from wherefrom.evidence import Evidence
from wherefrom.report.context import ReportContext
from wherefrom.report.sensitivity import sensitivity_statements
from wherefrom.report.words import Statement, gaps, statements

__all__ = ["SENSITIVITY", "WHOLE", "sentences"]

#: Titles of the parts that are about no single headline.
SENSITIVITY = "Sensitivity to the composition"
WHOLE = "Left out or not evaluated"


def sentences(evidence: Evidence, context: ReportContext) -> list[tuple[str, list[Statement]]]:
    """Return the parts of the verdict: a title and its statements, none of them empty.

    Parameters
    ----------
    evidence : Evidence
    context : ReportContext

    Returns
    -------
    list of (str, list of Statement)
        One part for each headline, then the sensitivity of all, then what was left out.
    """
    parts = [
        (f"{view[0]} on {view[1]}", statements(evidence, context, view))
        for view in context.views(evidence)
    ]
    parts.append((SENSITIVITY, sensitivity_statements(evidence, context)))
    parts.append((WHOLE, gaps(context)))
    return [(title, found) for title, found in parts if found]
