"""Statistics over results: what they support, by how much, and how sure that is."""

from wherefrom.evidence.correlation import (
    FEWEST,
    Coefficient,
    CorrelationRow,
    correlate,
    correlation,
    less,
)
from wherefrom.evidence.differences import (
    BEST_BASELINE,
    CONTROLS,
    MARGIN,
    Comparison,
    differences,
)
from wherefrom.evidence.headline import Evidence, Headline, Row, gather
from wherefrom.evidence.power import RARE_DRAWS
from wherefrom.evidence.records import (
    BudgetRow,
    DeviationRow,
    DifferenceRow,
    LeaderRow,
    SensitivityDifferenceRow,
    SensitivityRow,
    SummaryRow,
    VarianceRow,
    table_of,
)
from wherefrom.evidence.scores import (
    ALL_REGIONS,
    COLUMNS,
    INITIAL,
    Key,
    PlaceVariance,
    Scores,
    Units,
    View,
)
from wherefrom.evidence.sensitivity import (
    compare,
    deviations,
    sensitivity,
    sensitivity_differences,
)
from wherefrom.evidence.summary import summary, variance_shares
from wherefrom.evidence.transfer import HomeRow, Transfer, TransferRow, transfer
from wherefrom.evidence.verdict import (
    BETTER,
    FAILS,
    HOLDS,
    OPEN,
    UNDECIDED,
    WORSE,
    above,
    all_better,
    all_equal,
    equivalent,
    holm,
    rank_correlation,
    verdict,
)

__all__ = [
    "ALL_REGIONS", "BEST_BASELINE", "BETTER", "BudgetRow", "COLUMNS", "CONTROLS", "Coefficient",
    "Comparison", "CorrelationRow", "DeviationRow", "DifferenceRow", "Evidence", "FAILS", "FEWEST",
    "HOLDS", "Headline", "HomeRow", "INITIAL", "Key", "LeaderRow", "MARGIN", "OPEN",
    "PlaceVariance", "RARE_DRAWS", "Row", "Scores", "SensitivityDifferenceRow", "SensitivityRow",
    "SummaryRow", "Transfer", "TransferRow", "UNDECIDED", "Units", "VarianceRow", "View",
    "WORSE", "above",
    "all_better", "all_equal", "compare", "correlate", "correlation", "deviations", "differences",
    "equivalent", "gather", "holm", "less", "rank_correlation", "sensitivity",
    "sensitivity_differences", "summary", "table_of", "transfer", "variance_shares", "verdict",
]  # fmt: skip
