"""Statistics over results: what they support, by how much, and how sure that is."""

from wherefrom.evidence.differences import BEST_BASELINE, MARGIN, differences, leaders
from wherefrom.evidence.gather import Evidence, gather
from wherefrom.evidence.records import (
    DifferenceRow,
    LeaderRow,
    SensitivityDifferenceRow,
    SensitivityRow,
    SummaryRow,
    VarianceRow,
    table_of,
)
from wherefrom.evidence.scores import ALL_REGIONS, COLUMNS, Key, Scores
from wherefrom.evidence.sensitivity import compare, sensitivity, sensitivity_differences
from wherefrom.evidence.summary import INITIAL, summary
from wherefrom.evidence.variance import variance_shares
from wherefrom.evidence.verdict import BETTER, UNDECIDED, WORSE, equivalent, holm, verdict

__all__ = [
    "ALL_REGIONS",
    "BEST_BASELINE",
    "BETTER",
    "COLUMNS",
    "DifferenceRow",
    "Evidence",
    "INITIAL",
    "Key",
    "LeaderRow",
    "MARGIN",
    "Scores",
    "SensitivityDifferenceRow",
    "SensitivityRow",
    "SummaryRow",
    "UNDECIDED",
    "VarianceRow",
    "WORSE",
    "compare",
    "differences",
    "equivalent",
    "gather",
    "holm",
    "leaders",
    "sensitivity",
    "sensitivity_differences",
    "summary",
    "table_of",
    "variance_shares",
    "verdict",
]
