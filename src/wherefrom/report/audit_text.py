"""An audit in plain text, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from wherefrom.auditing.audit import Audit
from wherefrom.auditing.wording import kilometres, percent, title
from wherefrom.report.audit_tables import LAYER_HEAD, layer_rows, space_rows

__all__ = ["audit_text"]

WIDTH = 100
#: Labels with the largest losses that are named.
LOSSES = 8


def audit_text(audit: Audit) -> str:
    """Write the findings with their commands, then one line for each layer and statistic.

    Parameters
    ----------
    audit : Audit

    Returns
    -------
    str

    Examples
    --------
    >>> from wherefrom.auditing.audit import audit
    >>> from wherefrom.pool import Pool
    >>> print(audit_text(audit(Pool.build(500, seed=0), layers=["continent"])).splitlines()[2])
    nothing amiss against land
    """
    about = audit.about
    rows = "" if about["rows"] == about["places"] else f" ({about['rows']:,} distinct)"
    lines = [
        f"{about['name']}: {about['places']:,} places{rows} against {about['against']}, "
        f"key {about['key']}",
        "",
    ]
    lines += _findings(audit)
    lines += ["", *_table(LAYER_HEAD, layer_rows(audit)), ""]
    stats = space_rows(audit)
    wide = max(len(row.name) for row in stats)
    values = max(len(row.value) for row in stats)
    lines += [
        f"{row.name:{wide}}  {row.value:>{values}}"
        + (f"  ({row.uniform} if uniform on land)" if row.uniform else "")
        for row in stats
    ]
    lines += _entropy(audit) + _leakage(audit) + _realised(audit)
    return "\n".join(lines)


def _findings(audit: Audit) -> list[str]:
    if not audit.findings:
        return [f"nothing amiss against {audit.about['against']}"]
    lines = ["findings, by the share of the places that each concerns"]
    for number, finding in enumerate(audit.findings, 1):
        head = f"{number:>2}. {percent(finding.size):>6}  "
        lines += textwrap.wrap(
            finding.text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )
        lines.append(f"{' ' * len(head)}$ {finding.command}")
    return lines


def _entropy(audit: Audit) -> list[str]:
    found = audit.entropy
    if found is None:
        return []
    by = [
        f"  {title(layer)}: " + ", ".join(f"{row.label} {row.mean:.2f}" for row in rows)
        for layer, rows in list(found.layers.items())[:1]
    ]
    return [
        "",
        f"spectral entropy of {found.samples:,} samples: mean {found.mean:.3f} nats "
        f"(sd {found.sd:.3f}, at most {found.most:.2f})",
        *by,
    ]


def _leakage(audit: Audit) -> list[str]:
    found = audit.leakage
    if found is None:
        return []
    within = ", ".join(f"{percent(row.share)} within {row.km:g} km" for row in found.within)
    return [
        "",
        f"test places: of {found.n_test:,}, {within} of a training place; the nearest "
        f"{kilometres(found.quantiles[0.0])}, median {kilometres(found.quantiles[0.5])}",
    ]


def _realised(audit: Audit) -> list[str]:
    found = audit.realised
    if found is None:
        return []
    lines = [
        "",
        f"planned {found.planned:,}, there {found.realised:,}, lost {found.lost:,.0f} "
        f"({percent(found.share)}), matched by {found.matched_by}",
    ]
    return lines + [
        f"  {title(row.layer)} {row.label}: lost {row.lost:,.0f} of {row.planned:,.0f} "
        f"({percent(row.share)})"
        for row in found.largest[:LOSSES]
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
