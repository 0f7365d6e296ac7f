"""The text of a sampler, ``name:flag=value,flag=value``, and the dictionary that it stands for.

A value, or a label of weights, may be written between double quotes, as JSON writes a text:
``only:layer=use,label="a;b, c=d"``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wherefrom.errors import WherefromError

__all__ = [
    "before_flag",
    "flags_of",
    "quoted",
    "spec_text",
    "split_outside_quotes",
    "unquoted",
]

_QUOTED = r'"(?:[^"\\]|\\.)*"'


def before_flag(mark: str) -> str:
    """Return the regular expression of a mark that parts two flags: only if a flag follows.

    Labels hold commas too ("Temperate Grasslands, Savannas & Shrublands").
    """
    return mark + r"(?=\s*[A-Za-z_][A-Za-z0-9_-]*=)"


_COMMA = before_flag(",")


def flags_of(flags: str, text: str) -> dict[str, str]:
    """Read ``flag=value,flag=value``, which may be empty; `text` is the whole spec, for messages.

    A part that is not flag=value, or a flag given twice, raises a `WherefromError`.

    >>> flags_of('layer=use,label="a, b=c"', "")
    {'layer': 'use', 'label': 'a, b=c'}
    """
    given: dict[str, str] = {}
    for part in split_outside_quotes(flags, _COMMA) if flags.strip() else []:
        flag, equals, value = part.partition("=")
        flag = flag.strip()
        if not equals:
            raise WherefromError(
                f"sampler {text!r}: {part.strip()!r} is not flag=value; write "
                "name:flag=value,flag=value"
            )
        if flag in given:
            raise WherefromError(f"sampler {text!r}: {flag!r} is given twice")
        given[flag] = unquoted(value.strip())
    return given


def spec_text(spec: dict[str, Any]) -> str:
    """Write a sampler's spec as the text that makes it.

    Examples
    --------
    >>> spec_text({"name": "stratified", "layer": "biome", "weights": {"a": 2.0, "b": 1.0}})
    'stratified:layer=biome,weights=a:2.0;b:1.0'
    >>> spec_text({"name": "only", "layer": "use", "label": "a, b=c"})
    'only:layer=use,label="a, b=c"'
    """

    def value(given: Any) -> str:
        if isinstance(given, dict):
            return ";".join(f"{quoted(k, f';|{_COMMA}')}:{weight}" for k, weight in given.items())
        return quoted(str(given), _COMMA)

    flags = ",".join(f"{flag}={value(v)}" for flag, v in spec.items() if flag != "name")
    return f"{spec['name']}:{flags}" if flags else str(spec["name"])


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split a text at a separator, a regular expression, that is not between quotes.

    Quotes begin a value: at the start, or after ``=`` or ``;``.

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
    """Return a value without its quotes, or as it is where it has none or is no JSON text."""
    if re.fullmatch(_QUOTED, text):
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def quoted(text: str, separator: str) -> str:
    """Return a value between quotes if it would not be read back without."""
    plain = (
        text == text.strip()
        and not text.startswith('"')
        and text.isprintable()
        and re.search(separator, text) is None
    )
    return text if plain and text else json.dumps(text, ensure_ascii=False)
