"""Tables of text, read whole: as many rows as there are lines, and codes as they are written."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from wherefrom import parallel, shown
from wherefrom.errors import WherefromError, of_the_system

__all__ = ["MISSING", "NUMBER", "TEXT", "first_line", "numeric", "read_text"]

#: Names of text tables.
TEXT = re.compile(r"\.(csv|tsv|txt|tab)(\.(gz|zst|bz2))?$", re.IGNORECASE)
_PACKED = rb"(?P<gzip>\x1f\x8b)|(?P<zstd>\x28\xb5\x2f\xfd)|(?P<bz2>BZh[1-9]1AY&SY)"
NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
#: What programs write for a missing value: none among numbers, among words a label like others.
MISSING = frozenset(
    form(word)
    for word in (*pa.csv.ConvertOptions().null_values, "<NA>", "NaT")
    for form in (str, str.lower, str.upper, str.capitalize)
) | {"None"}  # Python's; in small letters it is a label like others
_MISSING = pa.array(sorted(MISSING))

_WIDE = {  # The longer marks first: one begins like another.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DELIMITERS = ",;\t|"
_COMMA = re.compile(r"[-+]?\d+,\d+")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+")
#: What Python writes of a whole real number, as far as one holds all its digits.
_POINT_ZERO = r"^(0|-?[1-9]\d{0,14})\.0$"
#: What of text may be taken for numbers or truth values by whoever reads it.
_TYPED = rf"{NUMBER}|^(?i:true|false)$"
#: A value in quotation marks among values parted by tabs.
_QUOTED = r'(^|\t)"[^"\t]*"(\t|$)'
#: Bytes from which delimiter and types are told, and rows of them.
_HEAD, _ROWS = 1 << 18, 100
#: Longest line that is read.
_LONGEST = 1 << 28


def read_text(path: Path, id: str = "id") -> pa.Table:
    """Read a table of text with a header line.

    Fields are parted by comma, semicolon, tab, bar or blanks, whichever makes a table of the first
    lines; `sep=` on the first line says so too. Lines before the header that begin with ``#`` are
    comments. A column is of whole numbers if all of them are written as Python writes them; one
    with ``0007``, ``1e5`` or ``true``, which may be a code or a label, stays text as it is. Only a
    fraction, as in ``1.50``, makes numbers of a column however they are written. Among numbers
    ``NA``, ``None``, ``nan`` and the like are null; among words they are words.

    Parameters
    ----------
    path : Path
        UTF-8, or UTF-16 with its mark; compressed as its name says.
    id : str
        Column of ids, which are never measurements: ``1.10`` and ``5.0`` stay text, too. So does
        the only column of a table.

    Raises
    ------
    WherefromError
        If there is no header, a line has more or fewer fields than it, or a quotation mark takes
        lines in that are rows by themselves.
    """
    try:
        return _Text(path, _content(path), id).table()
    except (pa.ArrowException, OSError, csv.Error) as err:
        raise WherefromError(
            of_the_system(err) or f"{path} is not a table of text: {first_line(err)}"
        ) from err


def first_line(err: BaseException) -> str:
    """Return an error's first line; control characters of a file that is no text are escapes."""
    lines = str(err).splitlines()
    return shown.line(lines[0][:200].rstrip(". ")) if lines else type(err).__name__


def _content(path: Path) -> pa.Buffer:
    """Return a file's bytes as UTF-8, unpacked."""
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()
    packed = re.match(_PACKED, content[:10].to_pybytes(), re.DOTALL)
    if packed:  # whatever its name says
        with pa.CompressedInputStream(pa.BufferReader(content), packed.lastgroup) as stream:
            content = stream.read_buffer()
    head = content[:_HEAD].to_pybytes()
    wide = next((code for mark, code in _WIDE.items() if head.startswith(mark)), _unmarked(head))
    if wide:
        try:
            text = content.to_pybytes().decode(wide)
        except UnicodeDecodeError as err:
            raise WherefromError(
                f"{path} begins as {wide.upper()} does, but is none ({err.reason} at byte "
                f"{err.start:,}): copy it again, or save it as UTF-8"
            ) from err
        return pa.py_buffer(text.encode())
    if b"\0" in head:
        raise WherefromError(f"{path} holds zero bytes, which no text does: save it as UTF-8")
    if b"\r" in head and b"\n" not in head:
        return pa.py_buffer(content.to_pybytes().replace(b"\r", b"\n"))
    return content[3:] if head.startswith(codecs.BOM_UTF8) else content


def _unmarked(head: bytes) -> str:
    """Tell UTF-16 without its mark: read so, it has ends of lines and no zeros any more."""
    for wide in ("utf-16-le", "utf-16-be") if b"\0" in head else ():
        text = head.decode(wide, errors="replace")
        if "\n" in text and "\0" not in text:
            return wide
    return ""


class _Text:
    """A text, how its lines are parted, and what its columns are called."""

    def __init__(self, path: Path, content: pa.Buffer, id_: str) -> None:
        self.path, self.content, self.body = path, content, content
        head = self._head()
        start, self.skipped, comment, said = _preamble(head)
        self.body = content[start:]
        lines = [line.decode(errors="replace") for line in head[start:].splitlines()]
        if "\ufffd" in "".join(lines[:1]):
            self._refuse_other_encoding()
        sample = [line for line in lines if line.strip()][: _ROWS + 1]
        self.delimiter = said or self._parted(sample)
        self.rows = list(csv.reader(sample, delimiter=self.delimiter))
        self.names = self.rows[0] if self.rows else []
        self.headless = False
        numbers = [bool(re.match(NUMBER, name)) for name in self.names]
        above = next(csv.reader([comment], delimiter=self.delimiter), [])
        if any(numbers) and len(above) == len(self.names) > 1:  # the header is the comment
            self.names, self.headless = [name.strip() for name in above], True
            if "\ufffd" in comment:
                self._refuse_other_encoding()
        elif numbers and all(numbers):
            example = "id,lon,lat" if len(self.names) > 1 else "id"
            raise WherefromError(
                f"{path} has no header: its first line holds only numbers "
                f"({', '.join(self.names[:5])}); put the columns' names above it, such as {example}"
            )
        self.id = id_ if len(self.names) > 1 else "".join(self.names)

    def _head(self) -> bytes:
        """Return the first lines, none of them cut."""
        head: bytes = self.body[:_HEAD].to_pybytes()
        return head if len(head) == self.body.size else head[: head.rfind(b"\n") + 1] or head

    def _parted(self, sample: list[str]) -> str:
        """Tell the delimiter: of those that part the first lines alike, the one that parts most."""
        ranks = {}
        for mark in _DELIMITERS:
            widths = [len(row) for row in csv.reader(sample, delimiter=mark)] or [1]
            ranks[mark] = (widths[0] > 1 and len(set(widths)) == 1, widths[0])
        best = max(ranks, key=lambda mark: ranks[mark])
        words = [line.split() for line in sample]
        even = len(words) > 1 and len({len(row) for row in words}) == 1
        if ranks[best][1] == 1 and even and sum(bool(re.match(NUMBER, w)) for w in words[1]) > 1:
            lines = (b" ".join(line.split()) for line in self._lines())
            self.body = pa.py_buffer(b"\n".join(lines))
            return " "
        return best

    def table(self) -> pa.Table:
        """Read the rows, and see that there are as many as lines."""
        as_text = self._as_text()
        quoted = any(b'"' in piece.to_pybytes() for piece in self._pieces())
        try:
            table = self._read(as_text, '"' if quoted else False)
        except pa.ArrowInvalid as err:
            table = self._read_again(as_text, err)
        else:
            # A line that ends in a quoted value goes on: rows get fewer, never more.
            rows = table.num_rows + (not self.headless)
            fewer = quoted and rows < self._line_ends() and rows < sum(map(bool, self._lines()))
            tail = self.body[-_HEAD:].to_pybytes().rstrip().splitlines()[-1:]
            if fewer or (quoted and self._open([line.decode(errors="replace") for line in tail])):
                table = self._read_again(as_text)
        names, columns = table.column_names, table.columns
        if any(pa.types.is_binary(kind) for kind in table.schema.types):
            self._refuse_other_encoding()

        def plain(at: int) -> pa.ChunkedArray:
            if names[at] not in as_text:
                return columns[at]
            return _plain(columns[at], self._point, names[at] == self.id)

        return pa.table(list(parallel.here(plain, range(len(names)))), names)

    def _as_text(self) -> set[str]:
        """Name the columns to be read as text first: all but those of numbers with a fraction."""
        rows = [row for row in self.rows[not self.headless :] if len(row) == len(self.names)]

        def measured(field: str) -> bool:
            field = field.strip().replace(self._point, ".")
            return bool(re.match(NUMBER, field)) and float(field) % 1 != 0

        return {
            name
            for at, name in enumerate(self.names)
            if name == self.id or not any(measured(row[at]) for row in rows)
        }

    def _read(self, as_text: Collection[str], quote: str | bool, over: bool = False) -> pa.Table:
        return pa.csv.read_csv(
            pa.BufferReader(self.body),
            pa.csv.ReadOptions(
                block_size=min(self.body.size + 1, _LONGEST) if over else None,
                column_names=self.names if self.headless else None,
            ),
            pa.csv.ParseOptions(
                delimiter=self.delimiter, quote_char=quote, newlines_in_values=over
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(as_text, pa.string()),
                null_values=MISSING,
                decimal_point=self._point,
            ),
        )

    @cached_property
    def _point(self) -> str:
        """Tell a decimal comma: there is one, and neither points nor what may be thousands."""
        fields = [field.strip() for row in self.rows for field in row]
        commas = any(_COMMA.fullmatch(f) and not _THOUSANDS.fullmatch(f) for f in fields)
        points = any("." in f and re.match(NUMBER, f) for f in fields)
        return "," if commas and not points else "."

    def _pieces(self) -> Iterator[pa.Buffer]:
        return (self.body[at : at + _HEAD] for at in range(0, self.body.size, _HEAD))

    def _line_ends(self) -> int:
        ends = (np.count_nonzero(np.frombuffer(p, np.uint8) == 10) for p in self._pieces())
        return int(sum(ends)) + int(self.body[-1:].to_pybytes() != b"\n")

    def _lines(self) -> list[bytes]:
        lines: list[bytes] = self.body.to_pybytes().splitlines()
        return lines

    def _read_again(self, as_text: Collection[str], err: pa.ArrowInvalid | None = None) -> pa.Table:
        """Read a table of which a value spans lines, or say in which line it is none."""
        self._refuse_other_encoding()
        limit = csv.field_size_limit(_LONGEST)
        try:
            return self._over_lines(as_text, err)
        finally:
            csv.field_size_limit(limit)

    def _over_lines(self, as_text: Collection[str], err: pa.ArrowInvalid | None) -> pa.Table:
        lines = [line.decode() for line in self._lines()]
        reader = csv.reader((line + "\n" for line in lines), delimiter=self.delimiter)
        records, start, last, wrong = 0, 0, 0, None
        try:
            for row in reader:
                if reader.line_num > start + 1 and self._stray(lines[start : reader.line_num]):
                    return self._unquoted(as_text, lines, start, reader.line_num)
                if wrong is None and row and len(row) != len(self.names):
                    wrong = start, len(row)
                records, last, start = records + bool(row), start if row else last, reader.line_num
        except csv.Error:  # a value longer than any
            return self._unquoted(as_text, lines, start, None)
        if self._open(lines[last:]):
            return self._unquoted(as_text, lines, last, None)
        if wrong is not None:
            raise self._other_width(lines, *wrong)
        table = self._read(as_text, '"', over=True)
        if table.num_rows + (not self.headless) != records:
            raise WherefromError(
                f"{self.path} is not a table of text: of its {records:,} lines {table.num_rows:,} "
                "are read; write it as Parquet"
            ) from err
        return table

    def _open(self, lines: list[str]) -> bool:
        """Say whether the lines end within a quoted value: what follows them belongs to it."""
        text = [*(line + "\n" for line in lines), "x"]
        return sum(map(bool, csv.reader(text, delimiter=self.delimiter))) == 1

    def _stray(self, span: list[str]) -> bool:
        """Say whether a quoted value over these lines takes in rows of the table."""
        try:
            list(csv.reader((line + "\n" for line in span), delimiter=self.delimiter, strict=True))
        except csv.Error:  # it does not end, or ends within a field
            return True
        sure = [r for r in self.rows[1:] if not any(self.delimiter in field for field in r)]
        numeric = [
            at
            for at in range(len(self.names))
            if sure and all(re.match(NUMBER, r[at].strip()) for r in sure if len(r) > at)
        ]

        def is_row(line: str, quoted: bool = True) -> bool:
            mark = '"' if quoted else None
            row = next(csv.reader([line], delimiter=self.delimiter, quotechar=mark), [])
            return len(row) == len(self.names) and all(re.match(NUMBER, row[at]) for at in numeric)

        return any(map(is_row, span[1:-1])) or (is_row(span[0], False) and is_row(span[-1], False))

    def _unquoted(
        self, as_text: Collection[str], lines: list[str], start: int, end: int | None
    ) -> pa.Table:
        """Read tabs without quoting, as is their custom, if no value is quoted; else refuse."""
        if self.delimiter == "\t" and not any(re.search(_QUOTED, line) for line in lines):
            try:
                return self._read(as_text, False)
            except pa.ArrowInvalid:
                pass
        at, to = self.skipped + start + 1, self.skipped + (end or 0)
        what = "is never closed" if end is None else f"takes in rows up to line {to}"
        raise WherefromError(
            f"{self.path}: the quotation mark in line {at} {what}: delete it, or double it in a "
            f"quoted value; the line is {lines[start][:80]!r}"
        )

    def _other_width(self, lines: list[str], at: int, width: int) -> WherefromError:
        why = "mend the line"
        if len(self.names) == 1:
            why = "put the header first; only lines that begin with # may stand above it"
        elif lines[at].startswith("#"):
            why = "comments are read above the header only: take it out"
        elif width > len(self.names):
            why = "put a value that holds the delimiter into quotation marks"
            why += ", and write decimals with a point" if self.delimiter == "," else ""
        return WherefromError(
            f"{self.path} is not a table of text: line {self.skipped + at + 1} has {width} "
            f"field{'s' * (width != 1)}, but the header {len(self.names)}: {why}; the line is "
            f"{lines[at][:80]!r}"
        )

    def _refuse_other_encoding(self) -> None:
        """Name the first line that is no UTF-8, if there is one."""
        content = self.content.to_pybytes()
        try:
            content.decode()
        except UnicodeDecodeError as err:
            line = len((content[: err.start] + b"x").splitlines())
            raise WherefromError(
                f"{self.path}: line {line} is not UTF-8 (byte {content[err.start]:#04x}): save the "
                "text in this encoding; of one that Excel wrote: iconv -f WINDOWS-1252 -t UTF-8"
            ) from err


def _preamble(head: bytes) -> tuple[int, int, str, str]:
    """Skip what comes before the header: bytes, lines, the last comment, and the delimiter said."""
    start, skipped, comment, said = 0, 0, "", ""
    for line in head.splitlines(keepends=True):
        told = re.fullmatch(rb'"?sep=(\\t|.)"?', line.rstrip(b"\r\n"), re.IGNORECASE)
        if told and not skipped:
            said = told[1].decode("latin-1").replace("\\t", "\t")
        elif line.startswith(b"#"):
            comment = line[1:].decode(errors="replace").strip()
        elif line.strip():
            break
        start, skipped = start + len(line), skipped + 1
    return start, skipped, comment, said


def numeric(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, NDArray[np.int64]]:
    """Return what text says as numbers, null for what is missing, and the rows that hold others.

    >>> numeric(pa.chunked_array([["1e3", " 2", "n/a"]]))[0].cast(pa.float64()).to_pylist()
    [1000.0, 2.0, None]
    """
    fields = _fields(column)
    right = pc.match_substring_regex(fields, NUMBER).fill_null(True)
    return fields, np.flatnonzero(pc.invert(right))


def _fields(words: pa.ChunkedArray) -> pa.ChunkedArray:
    fields = pc.utf8_trim_whitespace(words)
    return pc.if_else(pc.is_in(fields, _MISSING.cast(words.type)), None, fields)


def _plain(words: pa.ChunkedArray, point: str, ids: bool) -> pa.ChunkedArray:
    """Make numbers of text where that loses no character of it; else null what is missing.

    Of ids only whole numbers are made.
    """
    try:
        numbers = words.cast(pa.int64())
    except pa.ArrowInvalid:
        if not _typed(_fields(words.slice(0, _ROWS)), point):  # of text the first ones tell
            return words
        coded = words.dictionary_encode().unify_dictionaries()  # most such columns repeat a few
        plain = _plain_values(coded.chunk(0).dictionary, point, ids)
        return pa.chunked_array([plain.take(chunk.indices) for chunk in coded.chunks], plain.type)
    return words if _loses(words) else numbers


def _plain_values(words: pa.Array, point: str, ids: bool) -> pa.Array:
    fields = _fields(words)
    if fields.null_count == len(fields):
        return pa.nulls(len(words))
    text = pc.if_else(pc.is_valid(fields), words, None)
    try:
        numbers = fields.cast(pa.int64())
    except pa.ArrowInvalid:
        fields = _pointed(fields, point)
        try:
            numbers = fields.cast(pa.float64())
        except pa.ArrowInvalid:
            return text if _typed(fields) else words
        fraction = pc.any(pc.not_equal(numbers, pc.floor(numbers))).as_py()
        loses = ids or (not fraction and not _all(fields, _POINT_ZERO))
    else:
        loses = _loses(fields)
    return text if loses else numbers


def _loses(whole: pa.Array | pa.ChunkedArray) -> bool:
    """Say whether whole numbers are written otherwise than Python writes them."""
    zeros = pc.and_(pc.starts_with(whole, "0"), pc.greater(pc.binary_length(whole), 1))
    return bool(pc.any(pc.or_(zeros, pc.starts_with(whole, "-0"))).as_py())


def _typed(fields: pa.Array | pa.ChunkedArray, point: str = ".") -> bool:
    return _all(_pointed(fields, point), _TYPED)


def _all(fields: pa.Array | pa.ChunkedArray, pattern: str) -> bool:
    return not pc.any(pc.invert(pc.match_substring_regex(fields, pattern))).as_py()


def _pointed(fields: pa.Array | pa.ChunkedArray, point: str) -> pa.Array | pa.ChunkedArray:
    """Write decimal commas as points, and points, which may be of thousands, as no number."""
    if point == ".":
        return fields
    return pc.replace_substring(pc.replace_substring(fields, ".", "?"), point, ".")
