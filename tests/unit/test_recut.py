"""Scores cut anew: right places, right weights, nothing left out in silence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from made_predictions import made_task, save, tells
from wherefrom.errors import WherefromError
from wherefrom.evidence.cut import Cut, Target, cut_by, cut_by_column, target
from wherefrom.evidence.recut import ALL_PLACES, RecutRow, recut, weighted
from wherefrom.evidence.recut_rows import RARE
from wherefrom.report.recut import recut_table, write_recut
from wherefrom.study.predictions import Saved
from wherefrom.train.scores import scores

T = 400
RNG = np.random.default_rng(11)
LON, LAT = RNG.uniform(0, 40, T), RNG.uniform(-20, 20, T)
LABEL = RNG.integers(0, 3, T)
REGION = (np.arange(T) >= 150).astype(np.int16)
#: Labels of the cut: large, of half the size, too few, of one class, and none.
CODES = np.select(
    [np.arange(T) < 5, (np.arange(T) < 120) & (LABEL == 1), np.arange(T) % 7 == 0, LON < 27],
    [2, 3, -1, 0],
    1,
).astype(np.int32)
CUT = Cut("zone", ("wet", "dry", "tiny", "plain", "empty"), CODES)
TASK = made_task(LON, LAT, LABEL, REGION)
TOLD = {
    ("m", name, run): tells(LABEL, rate, 4, RNG)
    for name, rate in (("uniform", 0.8), ("none", 0.5), ("", 0.4))
    for run in range(1 if name == "" else 3)
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Saved]:
    return save(tmp_path_factory.mktemp("saved"), TASK, TOLD)


def by_label(rows: list[RecutRow], composition: str) -> dict[str, RecutRow]:
    return {row.label: row for row in rows if row.composition == composition}


def test_a_label_is_scored_at_other_places_than_its_own(saved: list[Saved]) -> None:
    rows, left_out = recut(saved, 20, "f1_macro", CUT)
    assert [row.label for row in rows] == ["wet"] * 3 + ["dry"] * 3
    for composition in ("uniform", "none", ""):
        own = by_label(rows, composition)
        for code, label in enumerate(("wet", "dry")):
            at = code == CODES
            by_hand = [
                scores(told[:, at], LABEL[at])["f1_macro"]
                for (_, name, _), told in TOLD.items()
                if name == composition
            ]
            row = own[label]
            assert row.score == pytest.approx(np.mean(by_hand), abs=1e-12)
            assert row.places == at.sum() == row.effective_places
            assert (row.blocks, row.finetune_seeds) == (3 if composition else 0, 4)
            assert row.low is not None
            assert row.high is not None
            assert row.low < row.score < row.high
    none = int((CODES == -1).sum())
    assert left_out == [
        "tiny: 5 test places, fewer than 30",
        f"plain: all {(CODES == 3).sum()} test places are of one class, 'class 1'",
        f"{none} test places without a label of zone",
    ]


def test_an_interval_leaves_out_blocks_or_places(saved: list[Saved]) -> None:
    rows, _ = recut(saved, 20, "accuracy", CUT)
    for row in rows:
        at = np.flatnonzero(row_codes(row))
        told = np.stack([one[:, at] for (_, c, _), one in TOLD.items() if c == row.composition])
        right = (told == LABEL[at]).mean(axis=(0, 1))
        assert row.error_places == pytest.approx(np.sqrt(right.var(ddof=1) / len(at)))
        assert row.high is not None
        if row.composition:
            runs = (told == LABEL[at]).mean(axis=(1, 2))
            assert row.error_blocks == pytest.approx(np.sqrt(runs.var(ddof=1) / 3))
            whole = np.hypot(row.error_blocks, row.error_places)
            assert row.high - row.score > 1.96 * whole
        else:
            assert row.error_blocks is None  # a baseline has none, and an interval


def row_codes(row: RecutRow) -> Any:
    return CUT.labels.index(row.label) == CODES


def test_a_single_block_is_given_an_interval(saved: list[Saved]) -> None:
    (row, _) = recut(saved[:1], 20, "accuracy", CUT)[0]
    assert (row.low, row.high) == (None, None)
    assert row.note == "one block"
    assert row.error_places is not None
    assert row.note in _printed(recut_table([row]))


def test_numbers_cannot_be_cut(tmp_path: Path) -> None:
    numbers = RNG.normal(size=T) + (CODES == 1)
    numbers[CODES == 3] = 4.0
    task = made_task(LON, LAT, numbers, REGION, classes=(), units="m")
    told = {
        ("m", "uniform", run): numbers + RNG.normal(size=(4, T)) * (1 + (CODES == 0))
        for run in range(3)
    }
    rows, left_out = recut(save(tmp_path, task, told), 20, "rmse", CUT)
    wet, dry = rows
    assert wet.score == pytest.approx(2, rel=0.1)
    assert dry.score == pytest.approx(1, rel=0.1)
    assert wet.low is not None
    assert wet.low < 2 < wet.high  # type: ignore[operator]
    assert f"plain: all {(CODES == 3).sum()} test places have one number, 4" in left_out


def test_classes_of_few_places_are_trusted(saved: list[Saved]) -> None:
    few = np.zeros(T, np.int32)
    few[np.flatnonzero(LABEL == 2)[5:]] = -1
    cut = Cut("few", ("all",), few)
    for metric, note in (("f1_macro", RARE), ("accuracy", "")):
        assert {row.note for row in recut(saved, 20, metric, cut)[0]} == {note}
    assert {row.note for row in recut(saved, 20, "f1_macro", CUT)[0]} == {""}


def test_a_difference_is_not_between_the_same_places_and_runs(saved: list[Saved]) -> None:
    rows, _ = recut(saved, 20, "accuracy", CUT, against="none")
    for label in ("wet", "dry"):
        own = {row.composition: row for row in rows if row.label == label}
        at = np.flatnonzero(row_codes(own["none"]))
        right = {
            c: np.stack([t[:, at] == LABEL[at] for (_, name, _), t in TOLD.items() if name == c])
            for c in own
        }
        assert own["none"].difference is None
        for name in ("uniform", ""):
            row = own[name]
            apart = right[name] - right["none"].astype(float)  # the baseline has one run
            assert row.difference == pytest.approx(row.score - own["none"].score)
            places = apart.mean(axis=(0, 1)).var(ddof=1) / len(at)
            runs = right["none"] if name == "" else apart
            whole = np.sqrt(places + runs.mean(axis=(1, 2)).var(ddof=1) / 3)
            assert row.difference_high is not None
            half = row.difference_high - row.difference
            assert 1.96 * whole < half < 5 * whole
    against_baseline, _ = recut(saved, 20, "accuracy", CUT, against="m")
    assert by_label(against_baseline, "uniform")["wet"].difference is not None
    with pytest.raises(WherefromError, match="unknown row to subtract 'unifrom': did you mean"):
        recut(saved, 20, "accuracy", CUT, against="unifrom")
    printed = _printed(recut_table(rows))
    assert "minus none" in printed
    assert f"{by_label(rows, 'uniform')['wet'].difference:+.3f}" in printed


def test_weights_are_not_those_of_the_target(saved: list[Saved]) -> None:
    shares = Target("mine", {"wet": 0.2, "dry": 0.7, "tiny": 0.06, "empty": 0.04}, "mine")
    rows, left_out = weighted(saved, 20, "accuracy", CUT, shares)
    for composition in ("uniform", "none"):
        told = np.concatenate([one for (_, c, _), one in TOLD.items() if c == composition])
        right = (told == LABEL).mean(axis=0)
        wet, dry = right[CODES == 0].mean(), right[CODES == 1].mean()
        row = by_label(rows, composition)["mine"]
        assert row.score == pytest.approx((0.2 * wet + 0.7 * dry) / 0.9, abs=1e-12)
        assert row.effective_places < row.places == np.isin(CODES, (0, 1)).sum()
        whole = by_label(rows, composition)[ALL_PLACES]
        assert whole.score == pytest.approx(right.mean(), abs=1e-12)
        assert whole.places == T
    assert left_out == [
        "90.0% of mine is covered; left out are",
        "tiny (6.0% of mine): 5 test places",
        "empty (4.0% of mine): 0 test places",
        f"{(CODES == -1).sum()} test places without a label of zone",
    ]


def test_weighting_by_regions_to_their_own_shares_changes_a_score(saved: list[Saved]) -> None:
    cut = cut_by(TASK, "region")
    own = Target("same", {"region 0": 150 / T, "region 1": 250 / T}, "as they are")
    rows, left_out = weighted(saved, 20, "f1_macro", cut, own)
    assert left_out == []
    for composition in ("uniform", "none", ""):
        found = by_label(rows, composition)
        assert found["same"].score == pytest.approx(found[ALL_PLACES].score, abs=1e-12)
        assert found["same"].effective_places == pytest.approx(T)


def test_a_target_that_is_hardly_covered_is_scored(saved: list[Saved]) -> None:
    most_elsewhere = Target("sea", {"wet": 0.4, "empty": 0.6}, "the sea")
    with pytest.raises(WherefromError, match="have 40% of sea: weight by coarser labels, or allow"):
        weighted(saved, 20, "accuracy", CUT, most_elsewhere)


def test_an_n_without_predictions_or_labels_without_scores_are_not_refused(
    saved: list[Saved],
) -> None:
    with pytest.raises(WherefromError, match="for n = 7; there are n = 20"):
        recut(saved, 7, "accuracy", CUT)
    with pytest.raises(WherefromError, match=r"no label of 'zone' can be scored \(wet: .* fewer"):
        recut(saved, 20, "accuracy", CUT, fewest=1000)
    with pytest.raises(WherefromError, match="unknown metric 'rmse'"):
        recut(saved, 20, "rmse", CUT)
    with pytest.raises(WherefromError, match="blocks of 0 km"):
        recut(saved, 20, "accuracy", CUT, block_km=0.0)


def test_land_not_yet_seen_has_no_wider_intervals_where_neighbours_are_alike(
    tmp_path: Path,
) -> None:
    # Predictions are right in the west and wrong in the east.
    wrong = np.where(LON < 20, LABEL, (LABEL + 1) % 3)
    saved = save(tmp_path, TASK, {("raw", "", 0): np.stack([wrong, wrong])})
    (row,), _ = recut(saved, 20, "accuracy", Cut("all", ("all",), np.zeros(T, np.int32)))
    (far,), _ = recut(
        saved, 20, "accuracy", Cut("all", ("all",), np.zeros(T, np.int32)), block_km=1000
    )
    assert row.score == far.score
    assert row.error_places is not None
    assert far.error_places is not None
    assert far.error_places > 3 * row.error_places


def test_files_hold_other_rows_than_the_table(saved: list[Saved], tmp_path: Path) -> None:
    rows, _ = recut(saved, 20, "accuracy", CUT)
    text, parquet = write_recut(rows, tmp_path / "recut-a.b")
    assert (text.name, parquet.name) == ("recut-a.b.csv", "recut-a.b.parquet")
    read = pq.read_table(parquet)
    assert read.num_rows == len(rows) == pyarrow.csv.read_csv(text).num_rows
    assert read["score"].to_pylist() == [row.score for row in rows]
    assert read["by"].to_pylist() == ["zone"] * len(rows)
    printed = _printed(recut_table(rows))
    for row in rows:
        assert f"{row.score:.3f}" in printed
    assert f"wet ({(CODES == 0).sum()} places)" in printed


# Labels and shares.


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_a_column_is_matched_to_other_places(tmp_path: Path) -> None:
    order = RNG.permutation(T)
    rows = "".join(f"{LON[i]},{LAT[i]},{'ab'[LABEL[i] % 2]}\n" for i in order if i % 4)
    cut = cut_by_column(
        TASK, write(tmp_path / "mine.csv", "x,y,use\n" + rows), "use", None, "x", "y"
    )
    assert cut.labels == ("a", "b")
    expected = np.where(np.arange(T) % 4 == 0, -1, LABEL % 2)
    np.testing.assert_array_equal(cut.codes, expected)
    task = made_task(LON, LAT, LABEL, id=np.array([f"field {i}" for i in range(T)]))
    rows = "".join(f"field {i},0,0,{'ab'[LABEL[i] % 2]}\n" for i in order)
    by_id = cut_by_column(task, write(tmp_path / "ids.csv", "id,lon,lat,use\n" + rows), "use")
    np.testing.assert_array_equal(by_id.codes, LABEL % 2)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("lon,lat,use\n1,1,a\n", "kind", "unknown column of .*mine.csv 'kind'"),
        ("lon,lat,use\n1,1,a\n", "use", "mine.csv: no row of it is at a test place"),
        ("lon,lat,use\n{0},{1},a\n{0},{1},b\n", "use", "has both 'a' and 'b' at one place"),
        ("lon,lat,use\n{0},{1},0.5\n", "use", "labels are text or whole numbers"),
    ],
)
def test_a_table_that_does_not_label_the_places_is_not_refused(
    text: str, column: str, message: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "mine.csv", text.format(LON[0], LAT[0]))
    with pytest.raises(WherefromError, match=message):
        cut_by_column(TASK, file, column)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,part\nwet,1\n", "unknown column of .*'share'"),
        ("label,share\nwet,0.5\nmoist,0.5\n", "row 1: unknown label of zone 'moist': .*Known: wet"),
        ("label,share\nwet,0.5\ndry,0.4\n", "the shares add up to 0.9, not 1"),
        ("label,share\nwet,50\ndry,50\n", "the shares add up to 100, not 1"),
        ("label,share\nwet,1.5\ndry,-0.5\n", r"row 1 \(dry\) has the share -0.5, not 0 to 1"),
        ("label,share\nwet,0.5\nwet,0.5\n", "row 1 repeats the label 'wet'"),
        ("label,share\nwet,much\ndry,0.5\n", "mine.csv: column 'share' is"),
    ],
)
def test_shares_that_are_none_are_taken(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match=message):
        target(str(write(tmp_path / "mine.csv", text)), CUT)


def test_shares_of_a_file_are_not_taken_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.csv", "share,label\n0.25,dry\n0.75,wet\n")
    found = target(str(file), CUT)
    assert found.shares == {"dry": 0.25, "wet": 0.75}
    with pytest.raises(WherefromError, match="no such file"):
        target(str(tmp_path / "none.csv"), CUT)


@pytest.mark.parametrize("asked", ["land", "people"])
def test_shares_of_ones_own_labels_are_invented(asked: str) -> None:
    message = f"for='{asked}': .*or give the shares in a file"
    with pytest.raises(WherefromError, match=message):
        target(asked, CUT)


def test_layers_that_do_not_label_the_places_are_not_refused() -> None:
    with pytest.raises(WherefromError, match="unknown layer 'contnent': did you mean 'continent'"):
        cut_by(TASK, "contnent")
    with pytest.raises(WherefromError, match="'elevation' holds values, not labels"):
        cut_by(TASK, "elevation")
    sea = made_task(np.full(4, -150.0), np.zeros(4), np.arange(4) % 2)
    with pytest.raises(WherefromError, match="'continent' has no label where the places of task"):
        cut_by(sea, "continent")


def test_people_live_where_land_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = cut_by(TASK, "continent")
    land, people = target("land", cut), target("people", cut)
    for one in (land, people):
        assert sum(one.shares.values()) == pytest.approx(1)
    assert people.shares["Asia"] > 0.5 > land.shares["Asia"] > 0.2
    assert "GeoNames' cities" in people.about
    assert "stand in for all people" in people.about
    assert land.about == "the area of land without Antarctica"


def _printed(table: Any) -> str:
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()
