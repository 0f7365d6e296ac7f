"""Tables, figures, maps and one self-contained page, from results and their evidence."""

from wherefrom.report.context import DataSource, ReportContext, StandIn, Statement, evidence_of
from wherefrom.report.html import write
from wherefrom.report.terminal import terminal_table
from wherefrom.report.words import statements

__all__ = [
    "DataSource", "ReportContext", "StandIn", "Statement", "evidence_of", "statements",
    "terminal_table", "write",
]  # fmt: skip
