r"""What is shown is text: one function for each medium, whatever a label, name or path holds.

A label may carry terminal escapes, signs that turn the direction of writing, a formula of
matplotlib's or of a spreadsheet, or LaTeX. Each medium shows it as it stands, and what cannot be
printed as an escape such as ``\x1b``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

__all__ = [
    "brief", "cells", "count_of", "figures", "file_name", "html", "json_text", "latex", "line",
    "page", "terminal", "ticked", "time_of",
]  # fmt: skip

#: Joiners without width, of which Persian, Hindi and emoji make use, and wide or fixed blanks.
_HARMLESS = frozenset("\u200c\u200d\xa0\u1680\u202f\u205f\u3000") | set(
    map(chr, range(0x2000, 0x200B))
)
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
        "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
        "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "–": "--",
    }
)  # fmt: skip


def terminal(text: str) -> str:
    r"""Write a text of several lines so that nothing in it steers a terminal.

    Examples
    --------
    >>> print(terminal("\x1b[31mred,\n" + chr(0x202E) + "turned"))
    \x1b[31mred,
    \u202eturned
    """
    # Almost every text needs nothing done, and this way that is told at once.
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or _harmless(c) else _escape(c) for c in text)


def line(text: str) -> str:
    r"""Write a label on one line, as `terminal` does; tabs and line ends are escapes too.

    Examples
    --------
    >>> line("a\tb")
    'a\\tb'
    """
    if text.isprintable():
        return text
    return "".join(c if _harmless(c) else _escape(c) for c in text)


def count_of(count: int, one: str, many: str = "") -> str:
    """Write how many there are of something, whose plural is by default with an s.

    Examples
    --------
    >>> count_of(1, "place"), count_of(2000, "place"), count_of(0, "class", "classes")
    ('1 place', '2,000 places', '0 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def time_of(seconds: float) -> str:
    """Write a time in the unit that suits it, seconds to years.

    Examples
    --------
    >>> [time_of(one) for one in (5, 300, 36_000, 900_000, 2.45e10)]
    ['5 s', '5 min', '10 h', '10.4 days', '776 years']
    """
    day = 86_400.0
    units = (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 2 * day), ("days", day, 999 * day))
    unit, size = next(
        ((name, size) for name, size, most in units if seconds < most), ("years", 365.25 * day)
    )
    many = seconds / size
    return f"{many:.3g} {unit}" if many < 100 else f"{many:,.0f} {unit}"


def brief(text: str, limit: int = 46) -> str:
    """Write a label in a figure: on one line, cut where it is so long that nothing else fits."""
    text = line(text)
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."


def html(text: str) -> str:
    """Write a text within HTML that is put together by hand, attributes included."""
    return escape(terminal(text))


def page(value: Any) -> Any:
    """Hand a value to a page, whose templates escape its markup (`finalize` of jinja2)."""
    return terminal(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def latex(text: str) -> str:
    r"""Write a label as LaTeX.

    Examples
    --------
    >>> print(latex(r"50 % of $x^2$ \ {a_b}"))
    50 \% of \$x\textasciicircum{}2\$ \textbackslash{} \{a\_b\}
    """
    return line(text).translate(_LATEX)


def cells(table: pa.Table) -> pa.Table:
    """Make the text of a table safe in CSV: a spreadsheet computes nothing of it.

    What begins with ``= + - @``, a tab, a line end or an apostrophe gets an apostrophe before it,
    which spreadsheets do not show; take one away to have the text back.

    Examples
    --------
    >>> import pyarrow as pa
    >>> cells(pa.table({"label": ["=1+1", "'a", "a=1"], "difference": [-1, 0, 1]})).to_pydict()
    {'label': ["'=1+1", "''a", 'a=1'], 'difference': [-1, 0, 1]}
    """
    import pyarrow as pa  # slow, and `--help` writes no table
    import pyarrow.compute as pc

    for i, column in enumerate(table.columns):
        if pa.types.is_string(column.type):
            steers = pc.match_substring_regex(column, r"^[=+\-@\t\r\n']")
            safe = pc.if_else(steers, pc.binary_join_element_wise("'", column, ""), column)
            table = table.set_column(i, table.column_names[i], safe)
    return table


def json_text(text: str) -> str:
    r"""Write JSON so that nothing in it steers a terminal; it says the same.

    Examples
    --------
    >>> print(json_text('"' + chr(0x202E) + 'a"'))
    "\u202ea"
    """

    def escape(found: re.Match[str]) -> str:
        units = found[0].encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))

    return re.sub(r"[^\n -~]", lambda c: c[0] if _harmless(c[0]) else escape(c), text)


def file_name(text: str) -> str:
    """Write a name so that it stays one file in its folder; different names stay different.

    Examples
    --------
    >>> file_name("summary_../my task")
    'summary_..%2Fmy task'
    """
    return re.sub(
        r"[^\w .,=+@()-]|^\.",
        lambda c: "".join(f"%{b:02X}" for b in c[0].encode("utf-8", "surrogatepass")),
        text,
    )


@contextmanager
def figures() -> Iterator[None]:
    """Draw and save within this: a dollar sign is no formula, and a letter may lack in the font."""
    import matplotlib  # slow

    with (
        matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def ticked(figure: Figure) -> None:
    """Give every axis of numbers in a drawn figure three ticks with numbers at least.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot()
    >>> ax.set_yscale("log")
    >>> ax.set_ylim(0.6, 4)
    (0.6, 4)
    >>> ticked(ax.figure)
    >>> [tick for tick in ax.get_yticks().round(1).tolist() if 0.6 <= tick <= 4]
    [0.7, 1.0, 1.5, 2.0, 3.0]
    """
    from matplotlib.ticker import (  # slow
        FuncFormatter,
        LogFormatter,
        LogLocator,
        MaxNLocator,
        NullFormatter,
    )

    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            located = axis.get_major_locator()
            if isinstance(located, MaxNLocator):
                located.set_params(min_n_ticks=3)
            elif isinstance(located, LogLocator):
                low, high = sorted(axis.get_view_interval())
                # Decades where there are three, else the roundest numbers between them.
                for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
                    there = LogLocator(subs=steps, numticks=99)
                    if sum(low <= tick <= high for tick in there.tick_values(low, high)) >= 3:
                        break
                if len(steps) > 1:
                    axis.set_major_locator(there)
                    axis.set_minor_formatter(NullFormatter())
                    if isinstance(axis.get_major_formatter(), LogFormatter):
                        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _harmless(letter: str) -> bool:
    return letter.isprintable() or letter in _HARMLESS


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
