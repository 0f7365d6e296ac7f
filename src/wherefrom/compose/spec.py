"""The text of a sampler or a payload, ``name:flag=value,flag=value``, and what it stands for.

A value, or a label of weights, may be written between double quotes, as JSON writes a text:
``only:layer=use,label="a;b, c=d"``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from wherefrom.errors import WherefromError, unknown
from wherefrom.plugins import ADDRESS, Group, kinds

__all__ = [
    "before_flag",
    "quoted",
    "read_spec",
    "spec_text",
    "split_outside_quotes",
    "translated",
    "unquoted",
]

_QUOTED = r'"(?:[^"\\]|\\.)*"'


def before_flag(mark: str) -> str:
    """Return the regular expression of a mark that parts two flags: only if a flag follows.

    Labels hold commas too ("Temperate Grasslands, Savannas & Shrublands").
    """
    return mark + r"(?=\s*[A-Za-z_][A-Za-z0-9_-]*=)"


_COMMA = before_flag(",")


def read_spec(text: str, group: Group) -> tuple[str, dict[str, str]]:
    """Part the name of a kind, or its address ``module:name``, from its flags.

    A part that is not flag=value, or a flag given twice, raises a `WherefromError`.

    >>> read_spec('only:layer=use,label="a, b=c"', "samplers")
    ('only', {'layer': 'use', 'label': 'a, b=c'})
    """
    name, _, flags = text.partition(":")
    # "module:Class:flag=value"; a flag's own name is followed by its "=".
    address = ADDRESS.match(text)
    if address and text[address.end() :][:1] in ("", ":") and name not in kinds(group):
        name, flags = address.group(), text[address.end() + 1 :]
    what = f"{group.removesuffix('s')} {text!r}"
    given: dict[str, str] = {}
    for part in split_outside_quotes(flags, _COMMA) if flags.strip() else []:
        flag, equals, value = part.partition("=")
        flag = flag.strip()
        if not equals:
            raise WherefromError(
                f"{what}: {part.strip()!r} is not flag=value; write name:flag=value,flag=value"
            )
        if flag in given:
            raise WherefromError(f"{what}: {flag!r} is given twice")
        given[flag] = unquoted(value.strip())
    return name.strip(), given


def translated(what: str, fields: Mapping[str, FieldInfo], err: ValidationError) -> WherefromError:
    """Say in one line what is wrong with the flags of `what`, a sampler or a payload and its name.

    `fields` are those of its class.
    """
    # A misspelt flag is the cause, the flag that is missing then only its consequence.
    first = min(err.errors(), key=lambda e: e["type"] != "extra_forbidden")
    flag = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        if not fields:
            return WherefromError(f"{what} takes no flags, but {flag!r} is given")
        return unknown(f"flag of {what}:", flag, list(fields))
    if first["type"] == "missing":
        return WherefromError(f"{what} needs {flag}=")
    if first["type"] == "literal_error":
        among = get_args(fields[flag].annotation)  # of those of an optional, within
        known = [one for part in among for one in get_args(part) or (part,) if one is not NoneType]
        return unknown(f"value of {flag!r} in {what}:", first["input"], known)
    reason = first["msg"].removeprefix("Value error, ")
    where = f"{flag}={first['input']}: " if flag else ""
    return WherefromError(f"{what}: {where}{reason[0].lower()}{reason[1:]}")


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
