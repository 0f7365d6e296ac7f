"""The card of a pre-training set says what its audit found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

import wherefrom
from wherefrom.auditing.audit import Audit
from wherefrom.auditing.findings import percent
from wherefrom.report.card import ROWS, Card, layers_for, licence_of, shown_of


@pytest.fixture(scope="module")
def audit() -> Audit:
    rng = np.random.default_rng(0)
    places = {"lon": rng.normal(20.0, 8.0, 400), "lat": rng.normal(5.0, 8.0, 400)}
    return wherefrom.audit(pa.table(places), layers=["continent", "climate_zone"])


def test_the_card_shows_other_shares_than_the_audit(audit: Audit) -> None:
    card = Card(audit, "Afri", licence="CC-BY 4.0", citation="Us (2026)")
    text = card.markdown()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "cc-by-4.0"
    assert front["size_categories"] == ["n<1K"]
    for layer in card.shares():
        rows = shown_of(layer)
        assert 0 < len(rows) <= ROWS
        for row in rows:
            assert (
                f"| {row.label} | {percent(row.share)} | {percent(row.reference_share)} |" in text
            )
    assert "Us (2026)" in text
    for number, said in card.numbers():
        assert f"- **{number}** {said}" in text
        assert number in card.page()


def test_a_card_differs_from_run_to_run(audit: Audit, tmp_path: Path) -> None:
    card = Card(audit, "Afri")
    made = card.write(tmp_path / "new" / "card")
    assert [path.name for path in made] == ["card.png", "card-dark.png", "card.html", "README.md"]
    first, dark = (path.read_bytes() for path in made[:2])
    assert first == card.png()
    assert first != dark
    width = int.from_bytes(first[16:20], "big")
    assert width == 1600


def test_a_biome_and_its_stand_in_are_both_shown() -> None:
    assert layers_for(["biome", "climate_zone", "continent"]) == ["continent", "biome"]


@pytest.mark.parametrize("name", ["$x_1$ tiles", "a" * 300, "<b>Ünïcode</b> 地图", 'quo"te'])
def test_a_name_breaks_the_card(audit: Audit, name: str) -> None:
    card = Card(audit, name, model=name, licence=name)
    front = yaml.safe_load(card.markdown().split("\n---\n")[0].removeprefix("---\n"))
    assert front["pretty_name"] == name
    assert card.png()[:4] == b"\x89PNG"
    assert "<b>Ünïcode" not in card.page()


def test_an_unknown_licence_becomes_a_known_one() -> None:
    assert licence_of("apache 2.0") == {"license": "apache-2.0"}
    assert licence_of("Our own, v1")["license"] == "other"
    assert json.dumps(licence_of("")) == "{}"
