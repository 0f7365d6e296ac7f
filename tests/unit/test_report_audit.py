"""The page, text and card of an audit: whatever the labels hold, and whatever is absent."""

from __future__ import annotations

import pyarrow as pa
import pytest

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import Audit, audited
from wherefrom.auditing.findings import Named
from wherefrom.pool import Pool
from wherefrom.report.audit_page import audit_page
from wherefrom.report.audit_text import audit_text

ODD = (
    "<script>alert(1)</script>", "$x^2", 'tab\tand "quotes"', "森林 🌲", "none", r"$\input{x}$",
    "<$10%", "\x1b[31mred", f"a{chr(0x202E)}b", "new\nline",
)  # fmt: skip


@pytest.fixture(scope="module")
def odd() -> Audit:
    pool = Pool.build(300, seed=3)
    use = pa.array([ODD[i % len(ODD)] for i in range(len(pool))])
    pool = Pool.from_table(pool.table.append_column("use", use))
    return audited(Asked(pool, wanted=["use"], named=Named("<b>.csv")))


@pytest.mark.filterwarnings("error")  # such as that of a font without some of the letters
def test_a_label_breaks_out_of_the_page(odd: Audit) -> None:
    page = audit_page(odd, "wherefrom audit '<b>.csv'")
    assert "<script" not in page
    assert "<b>.csv" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "森林 🌲" in page
    assert r"a\u202eb" in page
    assert r"\x1b[31mred" in page
    assert not {"\x1b", chr(0x202E)} & set(page)


def test_a_label_breaks_out_of_the_card(odd: Audit) -> None:
    card = odd._repr_html_()
    assert "<script" not in card
    assert "<b>.csv" not in card
    assert not {"\x1b", chr(0x202E)} & set(card)


def test_a_layer_without_reference_ends_the_text(odd: Audit) -> None:
    line = next(line for line in audit_text(odd).splitlines() if line.startswith("use "))
    assert line.split()[:3] == ["use", str(len(ODD)), "–"]


def test_the_words_of_an_audit_take_sides(odd: Audit) -> None:
    told = (audit_page(odd) + audit_text(odd)).lower()
    for word in ("biased", "good pool", "bad pool", "should be"):
        assert word not in told
