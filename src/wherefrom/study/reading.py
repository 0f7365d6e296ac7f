"""Reading a study file: one base, scales that differ in numbers alone, mistakes in one line."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ValidationError

from wherefrom.errors import WherefromError, unknown
from wherefrom.study.machine import adapted
from wherefrom.study.pools import table_of
from wherefrom.study.spec import Study

__all__ = ["load"]

#: Fields that a study is given when it is resolved, never by its file.
_RESOLVED = ("scale", "stood_in", "left_out", "table")


def load(path: Path | str, scale: str) -> Study:
    """Read a study file and resolve one of its scales.

    Parameters
    ----------
    path : Path or str
        A ``study.yaml`` or the folder that holds it. The file has two keys: ``base``, and
        ``scales`` with changes to the base (nested mappings are merged).
    scale : str
        One of the file's scales, e.g. ``"laptop"``.

    Returns
    -------
    Study
        With stand-in layers put in place of those that this machine lacks (`Study.stood_in`), and
        without the tasks and baselines that it lacks the data for (`Study.left_out`).

    Raises
    ------
    WherefromError
        If the file is absent or not YAML, the scale or a key is unknown, a value is wrong, or the
        table that is the pool is faulty.

    Examples
    --------
    >>> load("studies/purohit2025", "debug").scale
    'debug'
    """
    file = path = Path(path)
    try:
        file = path / "study.yaml" if path.is_dir() else path
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WherefromError(
            f"{file}: no such study; give a study file or the folder of one, "
            "e.g. studies/purohit2025"
        ) from None
    except OSError as err:
        raise WherefromError(f"{file}: cannot be read: {err.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise WherefromError(f"{file}: not valid YAML: {' '.join(str(err).split())}") from None
    if not isinstance(content, dict) or set(content) != {"base", "scales"}:
        raise WherefromError(f"{file}: needs exactly the keys 'base' and 'scales'")
    base, scales = content["base"], content["scales"]
    for key, value in (("base", base), ("scales", scales)):
        if not isinstance(value, dict):
            raise WherefromError(f"{file}: {key!r} must hold keys and values, not {value!r:.60}")
    if scale not in scales:
        raise unknown("scale", scale, map(str, scales))
    change = {} if scales[scale] is None else scales[scale]
    if not isinstance(change, dict):
        raise WherefromError(f"{file}: scale {scale!r} must hold keys and values of the base")
    merged = _merge(base, change)
    for key in _RESOLVED:
        if key in merged:
            raise WherefromError(f"{file}: {key!r} is not for the study file to say: remove it")
    try:
        study = Study.model_validate({**merged, "scale": scale})
    except ValidationError as err:
        raise WherefromError(f"{file} (scale {scale}): {_first(err)}") from None
    for task in study.tasks.values():
        _ = task.places  # a table of the user's is read, and refused, before anything is planned
    return adapted(study.model_copy(update={"table": table_of(study.pool)}))


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _first(err: ValidationError) -> str:
    """Say the first of a validation's errors in one line, with the nearest valid key."""
    # A misspelt key is the cause, the key that is then missing only its consequence.
    first = min(err.errors(), key=lambda e: e["type"] != "extra_forbidden")
    if first["type"] == "extra_forbidden":
        *above, key = first["loc"]
        place, part = _walk(tuple(above))
        return _unknown_key(str(key), part) + (f" (in {'.'.join(place)})" if place else "")
    place, part = _walk(first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "union_tag_invalid":
        reason = str(unknown("kind", first["ctx"]["tag"], _kinds(part)))
    elif first["type"] == "union_tag_not_found":
        reason = f"needs a key 'kind': {' or '.join(_kinds(part))}"
    return f"{'.'.join(place)}: {reason}" if place else reason


def _walk(loc: tuple[str | int, ...]) -> tuple[list[str], Any]:
    """Follow an error's location: the keys as the file has them, and the part that they lead to.

    Pydantic puts the kind of a model or task into the location, where the file has no such key.
    """
    place: list[str] = []
    found: Any = Study
    for key in loc:
        found = _bare(found)
        if key in _kinds(found):
            found = _kinds(found)[str(key)]
            continue
        place.append(str(key))
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(key))
            found = field.annotation if field else None
        else:
            # A name within a mapping, chosen by the user, or a position in a list.
            inner = [part for part in typing.get_args(found) if part is not Ellipsis]
            found = inner[-1] if inner else None
    return place, _bare(found)


def _bare(found: Any) -> Any:
    """Look through annotations and optionals."""
    if typing.get_origin(found) is Annotated:
        return _bare(typing.get_args(found)[0])
    if typing.get_origin(found) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(found) if part is not type(None)]
        return _bare(inner[0]) if len(inner) == 1 else found
    return found


def _kinds(found: Any) -> dict[str, Any]:
    """Return the parts of a union by the value of `kind` that chooses each; of others, nothing."""
    if typing.get_origin(found) not in (typing.Union, types.UnionType):
        return {}
    fields = [(part, getattr(part, "model_fields", {}).get("kind")) for part in found.__args__]
    return {typing.get_args(field.annotation)[0]: part for part, field in fields if field}


def _unknown_key(key: str, part: Any) -> str:
    """Say that a key is unknown, and where it belongs or which one is nearest."""
    fields = [name for name in getattr(part, "model_fields", ()) if name not in _RESOLVED]
    elsewhere = [path for path in _every_field(Study, "") if path.split()[0].endswith(f".{key}")]
    if not elsewhere or difflib.get_close_matches(key, fields, n=1, cutoff=0.8):
        return str(unknown("key", key, fields))
    return f"unknown key {key!r} here: it belongs to {' or '.join(dict.fromkeys(elsewhere))}"


def _every_field(part: Any, prefix: str) -> Iterator[str]:
    """Yield the path of every field of a study file, with the kind where not every kind has it."""
    part = _bare(part)
    if isinstance(part, type) and issubclass(part, BaseModel):
        for name, field in part.model_fields.items():
            if name not in _RESOLVED:
                yield f"{prefix}{name}"
                yield from _every_field(field.annotation, f"{prefix}{name}.")
    elif kinds := _kinds(part):
        found = {kind: list(_every_field(inner, prefix)) for kind, inner in kinds.items()}
        for kind, paths in found.items():
            shared = [all(path in others for others in found.values()) for path in paths]
            yield from (
                path if everywhere else f"{path} (kind {kind})"
                for path, everywhere in zip(paths, shared, strict=True)
            )
    else:
        named = "NAME." if typing.get_origin(part) is dict else ""
        for inner in typing.get_args(part):
            yield from _every_field(inner, prefix + named)
