"""Labels with odd characters in a sampler's text and on the card.

A value of a spec, or a label of its weights, may be written between double quotes, as JSON writes
a text: ``only:layer=use,label="a;b, c=d"``.
"""

from __future__ import annotations

import json
import re

__all__ = ["one_line", "quoted", "split_outside_quotes", "unquoted"]

_QUOTED = r'"(?:[^"\\]|\\.)*"'


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split a text at a separator that is not between quotes.

    Parameters
    ----------
    text : str
    separator : str
        A regular expression. Quotes begin a value: at the start, or after ``=`` or ``;``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> split_outside_quotes('"a;b":2;c:1', ";")
    ['"a;b":2', 'c:1']
    """
    pieces, start = [], 0
    for found in re.finditer(rf"(?:^|(?<=[=;]))\s*{_QUOTED}|(?P<cut>{separator})", text):
        if found["cut"] is not None:
            pieces.append(text[start : found.start()])
            start = found.end()
    return [*pieces, text[start:]]


def unquoted(text: str) -> str:
    r"""Return a value without its quotes, or as it is where it has none or is no JSON text.

    Examples
    --------
    >>> unquoted(r'"a\tb"'), unquoted('5" pipe')
    ('a\tb', '5" pipe')
    """
    if re.fullmatch(_QUOTED, text):
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def quoted(text: str, separator: str) -> str:
    """Return a value between quotes if it would not be read back without.

    Examples
    --------
    >>> quoted("a;b", ";"), quoted("a b", ";")
    ('"a;b"', 'a b')
    """
    plain = (
        text == text.strip()
        and not text.startswith('"')
        and text.isprintable()
        and re.search(separator, text) is None
    )
    return text if plain and text else json.dumps(text, ensure_ascii=False)


def one_line(text: str) -> str:
    r"""Write what cannot be printed, such as tabs and line ends, as escapes.

    Examples
    --------
    >>> print(one_line("a\tb\nc"))
    a\tb\nc
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
