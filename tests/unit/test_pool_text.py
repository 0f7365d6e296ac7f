"""Tables of text: every row is read, as it is written, or one line says why not."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherefrom import draw
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, read_table
from wherefrom.pool.batches import Ask
from wherefrom.tasks import from_table

PLAIN = "id,lon,lat,use\n7,10.5,50.25,a\n8,-1.5,3.0,b\n"
ROWS = [(i, round(i * 1.25 - 50, 2), round(i * 0.5 - 20, 2)) for i in range(60)]


def tabs(changed: dict[int, str]) -> str:
    """Write a table parted by tabs, without quotation marks but in some names."""
    lines = [f"{i}\t{changed.get(i, f'site {i}')}\t{lon}\t{lat}\tsp" for i, lon, lat in ROWS]
    return "\n".join(["id\tname\tlon\tlat\tspecies", *lines]) + "\n"


@pytest.mark.parametrize(
    "names", [{20: '"Old mill', 50: '"New mill'}, {20: '"Old mill'}, {20: '"Old', 50: 'mill"'}]
)
def test_a_stray_quotation_mark_swallows_rows(tmp_path: Path, names: dict[int, str]) -> None:
    (tmp_path / "a.tsv").write_text(tabs(names))
    table = read_table(tmp_path / "a.tsv")
    assert table.num_rows == 60
    assert {at: table["name"][at].as_py() for at in names} == names
    # Where other values are quoted, or commas part them, nobody can tell how it is meant.
    (tmp_path / "b.csv").write_text("# of sites\n" + tabs(names).replace("\t", ","))
    (tmp_path / "b.tsv").write_text(tabs({**names, 5: '"a site"'}))
    for name, line in (("b.csv", 23), ("b.tsv", 22)):
        with pytest.raises(WherefromError, match=rf"{name}: the quotation mark in line {line} "):
            read_table(tmp_path / name)


def test_a_value_over_several_lines_ends_the_table_or_is_cut(tmp_path: Path) -> None:
    rows = [(i, f'mill {i}, "old",\nby the river\n\n{i},1,x', 1.5, 2.5) for i in range(40_000)]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "note", "lon", "lat"), *rows])
    assert (tmp_path / "a.csv").stat().st_size > 3 << 19  # more than a block of the reader
    table = read_table(tmp_path / "a.csv")
    assert table["note"].to_pylist() == [row[1] for row in rows]
    assert table["id"].to_pylist() == list(range(40_000))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lon,lat\n1,2\n3\n", "line 3 has 1 field, but the header 2"),
        (b"lon,lat\n1,2\n# end\n", "line 3 has 1 field, .* above the header only"),
        (b"id,lon,lat\n1,10,5,50,2\n", "line 2 has 5 fields, .* decimals with a point"),
        (b'lon,lat,use\n1,2,"a b"\n3,4,"b', "quotation mark in line 3 is never closed"),
        (b'lon,lat,use\n1,2,"a b"\n3,4,"b\n\n', "quotation mark in line 3 takes in"),
        (b'lon,lat,use\n1,2,"a\n3,4,b\n', "quotation mark in line 2 takes in rows up to line 3"),
        (b"366\t8.585\t-75.77\n373\t5.48\t-58.33\n", r"no header: .* \(366, 8.585, -75.77\); put"),
        (b"12\n13\n", "no header.*such as id"),
        (b"Our sites\nlon,lat\n1,2\n", "line 2 has 2 fields, .* put the header first"),
        (b"lon,lat,gr\xf6\xdfe\n1,2,3\n", r"line 1 is not UTF-8 \(byte 0xf6\)"),
        (b"lon,lat,id\n1,2,a\n1,2,gr\xf6\n", r"line 3 is not UTF-8 .* iconv -f WINDOWS-1252"),
        (b"#lon,lat,gr\xf6\xdfe\n1,2,3\n", "line 1 is not UTF-8"),
        (b"# of 2\nlon,lat,k\n1,2,1.5\n\n1,2,gr\xf6\n", "line 5 is not UTF-8"),
        (b'lon,lat,k\n1,2,"a\nb"\n1,2,gr\xf6\n', "line 4 is not UTF-8"),
        (b"lon,lat,k\n1,2,3,4\n1,2,gr\xf6\n", "line 3 is not UTF-8"),
        (b"lon lat k\n1 2 3\n\n1 2 gr\xf6\n", "line 4 is not UTF-8"),
        (b"lon;lat;k\r1;2;caf\xe9\r", "line 2 is not UTF-8"),
        (gzip.compress(b"lon,lat,k\n1,2,caf\xe9\n", mtime=0), "line 2 is not UTF-8"),
        ("lon,lat,k\n1,2,3\n".encode("utf-32-le"), "holds zero bytes"),
        (b"lon,lat,k\n1,2,\0\0\0\n", "holds zero bytes"),
        (PLAIN.encode("utf-16-le")[:-1], "begins as UTF-16-LE does, but is none"),
        (b"\xff\xfel\0o\0n\0,", "begins as UTF-16 does"),
    ],
)
def test_a_line_that_is_no_row_is_left_out_or_not_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(WherefromError, match=message) as said:
        read_table(tmp_path / "a.csv")
    assert str(said.value).isprintable()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", PLAIN.encode("utf-8-sig")),
        ("a.csv", PLAIN.encode("utf-16")),
        ("a.csv", b"\xfe\xff" + PLAIN.encode("utf-16-be")),
        ("a.csv", PLAIN.encode("utf-16-le")),
        ("a.csv", PLAIN.encode("utf-16-be")),
        ("a.csv.gz", gzip.compress(PLAIN.encode("utf-16-le"), mtime=0)),
        ("a.csv", b"sep=\\t\n" + PLAIN.replace(",", "\t").encode()),
        ("a.csv", b"# EPSG:4326\n#\n\n" + PLAIN.encode()),
        ("a.csv", b"#" + PLAIN.encode()),
        ("a.csv", PLAIN.replace(",", ";").replace(".", ",").encode()),
        ("a.csv", b'id,lon,lat,use\n7,"10,5","50,25",a\n8,"-1,5","3,0",b\n'),
        ("a.csv", PLAIN.replace(",", "|").encode()),
        ("a.csv", b"sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n").encode()),
        ("a.csv", b'"SEP=\t"\n' + PLAIN.replace(",", "\t").encode()),
        ("a.csv", PLAIN.replace("\n", "\r").encode()),
        ("a.csv", PLAIN.replace("\n", "\n\n").rstrip().encode()),
        ("a.txt", PLAIN.replace(",", "   ").encode()),
        ("A.TSV.GZ", gzip.compress(PLAIN.replace(",", "\t").encode(), mtime=0)),
        (
            "a.csv.gz",
            b"".join(gzip.compress(some.encode(), mtime=0) for some in (PLAIN[:20], PLAIN[20:])),
        ),
        ("a.csv", bz2.compress(PLAIN.encode())),
        ("a.csv.zst", pa.compress(PLAIN.encode(), "zstd", asbytes=True)),
    ],
)
def test_a_way_of_writing_text_changes_the_places(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    pool = Pool.read(tmp_path / name)
    assert pool.table.to_pylist() == [
        {"id": 7, "lon": 10.5, "lat": 50.25, "use": "a"},
        {"id": 8, "lon": -1.5, "lat": 3.0, "use": "b"},
    ]


def test_text_in_utf_16_without_its_mark_is_told_by_its_first_bytes_alone(tmp_path: Path) -> None:
    rows = [f"{at},{at}.5,2.5,\u56db\u5ddd\u7701 \u0100" for at in range(50)]
    for code in ("utf-16-le", "utf-16-be"):
        (tmp_path / "a.csv").write_bytes("\n".join(["id,lon,lat,use", *rows]).encode(code))
        assert Pool.read(tmp_path / "a.csv").labels("use") == ("\u56db\u5ddd\u7701 \u0100",)


def test_a_torn_archive_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = gzip.compress(tabs({}).encode())
    (tmp_path / "a.tsv.gz").write_bytes(whole[:-20])
    with pytest.raises(WherefromError, match=r"a.tsv.gz is not a table of text"):
        read_table(tmp_path / "a.tsv.gz")


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (["0000007", "0000178"], ["0000007", "0000178"]),
        (["7", "0178"], ["7", "0178"]),
        (["1e5", "2e3"], ["1e5", "2e3"]),
        (["1e5", "100000"], ["1e5", "100000"]),
        (["1", "01", "1.0"], ["1", "01", "1.0"]),
        (["1", "+1"], ["1", "+1"]),
        (["1.0", "1.00"], ["1.0", "1.00"]),
        (["0.0", "-0.0"], ["0.0", "-0.0"]),
        (["0x1F", "12"], ["0x1F", "12"]),
        (["true", "false"], ["true", "false"]),
        (["true", "1"], ["true", "1"]),
        (["True", "TRUE"], ["True", "TRUE"]),
        (["2020-01-01", "2020-01-02"], ["2020-01-01", "2020-01-02"]),
        (["1" * 23, "2"], ["1" * 23, "2"]),
        (["1" * 23 + ".0", "2.0"], ["1" * 23 + ".0", "2.0"]),
        (["-7", "178"], [-7, 178]),
        (["NA", "US"], ["NA", "US"]),
    ],
)
def test_ids_and_codes_lose_characters(tmp_path: Path, ids: list[str], read: list[object]) -> None:
    rows = [f"{name},{name},{at}.5,2.5" for at, name in enumerate(ids)]
    (tmp_path / "a.csv").write_text("\n".join(["tile,code,lon,lat", *rows]))
    pool = Pool.read(tmp_path / "a.csv", id="tile")
    assert pool.ids.tolist() == read
    (tmp_path / "b.csv").write_text("\n".join(["key", *ids]))
    assert read_table(tmp_path / "b.csv")["key"].to_pylist() == read
    assert pool.table["code"].to_pylist() == read  # what is written again
    # Far below other numbers, and without a value in some rows.
    start = [f"{at},5,1.5,2.5" for at in range(100_000, 100_200)] + ["9,NA,1.5,2.5"]
    (tmp_path / "c.csv").write_text("\n".join(["tile,code,lon,lat", *start, *rows]))
    pool = Pool.read(tmp_path / "c.csv")
    assert set(pool.labels("code")) - {"NA"} == {"5", *ids} - {"NA"}
    assert ("NA" in pool.labels("code")) == (ids[0] in ("NA", "2020-01-01"))


@pytest.mark.parametrize(
    ("ids", "codes"),
    [
        (["1.1", "1.10"], [1.1, 1.1]),
        (["5.0", "6.0"], [5, 6]),
        (["10.50", "7"], [10.5, 7]),
        (["007.5", "1e-3"], [7.5, 1e-3]),
    ],
)
@pytest.mark.parametrize("named", ["id", "tile"])
def test_ids_with_a_point_are_numbers(
    tmp_path: Path, ids: list[str], codes: list[float], named: str
) -> None:
    rows = [f"{name},{name},{at}.5,2.5" for at, name in enumerate(ids)]
    (tmp_path / "a.csv").write_text("\n".join([f"{named},code,lon,lat", *rows]))
    for id_ in {named, None if named == "id" else named}:
        pool = Pool.read(tmp_path / "a.csv", id_)
        assert pool.ids.tolist() == ids
        assert pool.table["code"].to_pylist() == codes
    for header in (["id"], ["tile"], ["id,multiplicity"]):  # a list to draw
        lines = [name + ",1" * header[0].count(",") for name in ids]
        (tmp_path / "b.csv").write_text("\n".join(header + lines))
        assert draw(pool, f"ids:file={tmp_path / 'b.csv'}").size == 2


@pytest.mark.parametrize("word", ["NA", "None", "nan", "NULL", "N/A", "<NA>", "NaT", "#NA"])
def test_a_word_for_nothing_is_a_class_without_a_note(tmp_path: Path, word: str) -> None:
    rows = [
        f"{at}.5,2.5,{word if at % 2 else 'crop'},{word if at == 9 else at}" for at in range(20)
    ]
    rows = [f"{row},{word if at == 9 else at + 0.5}" for at, row in enumerate(rows)]
    (tmp_path / "a.csv").write_text("\n".join(["lon,lat,use,whole,real", *rows]))
    pool = Pool.read(tmp_path / "a.csv")
    assert set(pool.labels("use")) == {word, "crop"}
    remarks = draw(pool, "stratified:layer=use", 4).provenance["remarks"]
    assert f"{word!r} reads like a missing value, and is taken for a label" in " ".join(remarks)
    for name in ("whole", "real"):
        assert np.flatnonzero(pool.table[name].is_null().to_numpy()).tolist() == [9]
    with pytest.raises(WherefromError, match="missing or not finite in 1 of 20 rows: 9"):
        Pool.read(tmp_path / "a.csv", lon="real")


def test_labels_of_a_text_table_are_typed_anew_by_a_draw(tmp_path: Path) -> None:
    rows = [f"{at}.5,2.5,{('1e5', '100000', 'true', '1')[at % 4]}" for at in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["lon,lat,k", *rows]))
    pool = Pool.read(tmp_path / "a.csv")
    assert pool.labels("k") == ("1", "100000", "1e5", "true")
    assert pool.counts("k").tolist() == [10] * 4
    assert draw(pool, "only:layer=k,label=1e5", 5, seed=0).size == 5


def test_numbers_kept_as_text_are_no_longer_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lon,lat,people\n1,2,1e3\n3,4,2.0e3\n5,6,NA\n7,8,007\n")
    [batch] = Pool.read(tmp_path / "a.csv").batches(Ask(values=("people",)))
    np.testing.assert_array_equal(batch.values["people"], [1000, 2000, np.nan, 7])
    (tmp_path / "a.csv").write_text("lon,lat,people\n1,2,1e3\n3,4,many\n")
    with pytest.raises(WherefromError, match=r"'people' is string, not numbers \(.* 'many'\)"):
        list(Pool.read(tmp_path / "a.csv").batches(Ask(values=("people",))))


def test_a_decimal_comma_makes_labels_of_numbers(tmp_path: Path) -> None:
    rows = "1,5;2;1,0;1,0;2,5\n3;4,5;2,0;1;1,00\n"
    (tmp_path / "a.csv").write_text("lon;lat;whole;mixed;real\n" + rows)
    table = Pool.read(tmp_path / "a.csv").table
    assert table.select(["lon", "whole", "mixed", "real"]).to_pydict() == {
        "lon": [1.5, 3], "whole": [1, 2], "mixed": ["1,0", "1"], "real": [2.5, 1]
    }  # fmt: skip


def test_a_code_with_zeros_far_down_is_taken_for_a_number(tmp_path: Path) -> None:
    codes = [*map(str, range(5_000)), "007"]
    (tmp_path / "a.csv").write_text("\n".join(["code,lon,lat", *(f"{c},1.5,2.5" for c in codes)]))
    assert read_table(tmp_path / "a.csv")["code"].to_pylist() == codes
    (tmp_path / "b.csv").write_text("lon,lat,n,real\n1.5,2.5,,1\n1.5,2.5,3,\n1.5,2.5,NA,2.5\n")
    table = read_table(tmp_path / "b.csv")
    assert table.select(["n", "real"]).to_pydict() == {"n": [None, 3, None], "real": [1, None, 2.5]}


def test_a_long_value_is_taken_for_a_stray_mark(tmp_path: Path) -> None:
    outline = "POLYGON((" + ", ".join(["1 2"] * 300_000) + "))"
    rows = "".join(f'{at},2,"{outline}"\n' for at in range(3))
    (tmp_path / "a.csv").write_text("lon,lat,outline\n" + rows)
    assert read_table(tmp_path / "a.csv")["outline"].to_pylist() == [outline] * 3


def test_thousands_are_taken_for_decimals(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lon;lat;people\n1;2;1,234\n3;4;5,678\n")
    assert read_table(tmp_path / "a.csv")["people"].to_pylist() == ["1,234", "5,678"]


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_a_table_that_is_written_rightly_is_read_otherwise(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], mark: str
) -> None:
    path = tmp_path_factory.mktemp("text") / "a.csv"
    sink = io.StringIO(newline="")
    header, body = (
        ("id", "lon", "note", "other"),
        [(f"a{i}", i, *row) for i, row in enumerate(rows)],
    )
    csv.writer(sink, delimiter=mark, quoting=csv.QUOTE_NONNUMERIC).writerows([header, *body])
    path.write_text(sink.getvalue(), "utf-8", newline="")
    with contextlib.suppress(WherefromError):  # said, not lost
        table = read_table(path)
        assert table["id"].to_pylist() == [row[0] for row in body]
        assert table["lon"].to_pylist() == list(range(len(rows)))


def test_classes_that_differ_by_zeros_are_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = zip(
        rng.uniform(10, 20, 60), rng.uniform(10, 20, 60), ["1e5", "100000"] * 30, strict=True
    )
    rows = "\n".join(f"{x},{y},{code},{code}" for x, y, code in places)
    (tmp_path / "a.csv").write_text("lon,lat,code,zone\n" + rows)
    task = from_table(tmp_path / "a.csv", "code", region_layer="zone")
    assert task.classes == task.regions == ("100000", "1e5")


def test_the_first_id_of_a_list_without_header_is_lost(tmp_path: Path) -> None:
    ids = ["a1", "b2", "c3"]
    pool = Pool.from_table(pa.table({"id": ids, "lon": [1.0, 2, 3], "lat": [1.0, 2, 3]}))
    for lines, size in ((["tile", "b2"], 1), (["a1", "b2"], None), (["b2", "c3", "a1"], None)):
        (tmp_path / "mine.csv").write_text("\n".join(lines))
        spec = f"ids:file={tmp_path / 'mine.csv'}"
        if size is None:
            with pytest.raises(WherefromError, match=f"its first line, '{lines[0]}', is an id of"):
                draw(pool, spec)
        else:
            assert draw(pool, spec).size == size


@given(
    st.lists(st.text('"a, ;', max_size=5), min_size=1, max_size=9),
    st.sampled_from("\t;"),
    st.booleans(),
)
def test_rows_get_lost_between_odd_quotation_marks(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], mark: str, last: bool
) -> None:
    names = [name.replace(mark, "") for name in names]
    path = tmp_path_factory.mktemp("text") / "a.csv"
    rows = [
        mark.join([str(at), "1.5", name] if last else [str(at), name, "1.5"])
        for at, name in enumerate(names)
    ]
    header = mark.join(["id", "lon", "name"] if last else ["id", "name", "lon"])
    path.write_text("\n".join([header, *rows]))
    with contextlib.suppress(WherefromError):  # said, not lost
        table = read_table(path)
        assert table["id"].to_pylist() == list(range(len(names)))
        for read, name in zip(table["name"].to_pylist(), names, strict=True):
            assert read in (name, *next(csv.reader([name], delimiter=mark)), None)
