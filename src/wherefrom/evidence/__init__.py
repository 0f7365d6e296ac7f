"""Statistics over results: what they support, by how much, and how sure that is."""

from wherefrom.evidence.differences import BEST_BASELINE, MARGIN, differences, leaders
from wherefrom.evidence.gather import Evidence, gather
from wherefrom.evidence.records import (
    DeviationRow,
    DifferenceRow,
    LeaderRow,
    SensitivityDifferenceRow,
    SensitivityRow,
    SummaryRow,
    VarianceRow,
    table_of,
)
from wherefrom.evidence.scores import ALL_REGIONS, COLUMNS, OFFICIAL, Key, Scores
from wherefrom.evidence.sensitivity import (
    compare,
    deviations,
    sensitivity,
    sensitivity_differences,
)
from wherefrom.evidence.summary import INITIAL, summary
from wherefrom.evidence.variance import variance_shares
from wherefrom.evidence.verdict import BETTER, UNDECIDED, WORSE, equivalent, holm, verdict

__all__ = [
    "ALL_REGIONS",
    "BEST_BASELINE",
    "BETTER",
    "COLUMNS",
    "DeviationRow",
    "DifferenceRow",
    "Evidence",
    "INITIAL",
    "Key",
    "LeaderRow",
    "MARGIN",
    "OFFICIAL",
    "Scores",
    "SensitivityDifferenceRow",
    "SensitivityRow",
    "SummaryRow",
    "UNDECIDED",
    "VarianceRow",
    "WORSE",
    "compare",
    "deviations",
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
