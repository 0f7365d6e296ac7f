"""Reading a study file: one base, scales that differ in numbers alone, mistakes in one line."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ValidationError

from wherefrom.errors import WherefromError, unknown
from wherefrom.part import OfKind
from wherefrom.plugins import kinds
from wherefrom.study import tuned
from wherefrom.study.built_in import FILE, built_in, located
from wherefrom.study.fitting import fitting
from wherefrom.study.machine import adapted
from wherefrom.study.picked import picked
from wherefrom.study.pools import table_of
from wherefrom.study.spec import Study

__all__ = ["declared", "load"]

#: Fields that a study is given when it is resolved, never by its file.
_RESOLVED = ("scale", "stood_in", "left_out", "picked", "table", "tuned")

#: Keys that `blocks` has taken the place of.
_FORMER = ("draws", "pretrain_seeds")

_WHOLE = "`wherefrom init` writes a whole study file"

#: What pydantic says of Python's types, for a file that has none.
_PLAINLY = {
    "tuple_type": "must be a list, such as [one, other]",
    "model_type": "must hold keys and values",
    "string_type": "must be text",
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without a key that is given twice, of which PyYAML takes the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys and key.value != "<<":
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            keys.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def load(path: Path | str, scale: str, models: Iterable[str] | None = None) -> Study:
    """Read a study file and resolve one of its scales for this machine.

    Parameters
    ----------
    path : Path or str
        A ``study.yaml``, the folder that holds it, or the name of a built-in study. The file has
        two keys: ``base``, and ``scales`` with changes to the base (nested mappings are merged,
        null takes a key away).
    scale : str
        One of the file's scales, e.g. ``"laptop"``.
    models : iterable of str, optional
        Names of the models to keep; by default all but those that run on request.

    Returns
    -------
    Study
        With stand-in layers put in place of those that this machine lacks (`Study.stood_in`),
        without the tasks and baselines that it lacks the data for (`Study.left_out`), and with what
        ``tuned.csv`` beside the file chose (`Study.tuned`).

    Raises
    ------
    WherefromError
        If the file is absent or not YAML, the scale, a model or a key is unknown, a value is wrong,
        the table that is the pool is faulty, or ``tuned.csv`` is torn or of another study.

    Examples
    --------
    >>> load("studies/purohit2025", "debug").scale
    'debug'
    """
    study, file = declared(path, scale, models), _file(path)
    table = tuned.read(file.with_name(tuned.NAME), study.name)
    for task in study.tasks.values():
        _ = task.places  # a table of the user's is refused before anything is planned
    known = {"table": table_of(study.pool), "tuned": fitting(study, table)}
    try:
        return adapted(study.model_copy(update=known))
    except ValidationError as err:
        raise WherefromError(f"{file} (scale {scale}): {_first(err, {})}") from None


def _file(path: Path | str) -> Path:
    """Return the study file of a folder, or of a built-in study."""
    path = located(path)
    return path / FILE if path.is_dir() else path


def declared(path: Path | str, scale: str, models: Iterable[str] | None = None) -> Study:
    """Read a study as its file says, whatever this machine has and lacks; else as `load`."""
    file = Path(path)
    try:
        file = _file(path)
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (FileNotFoundError, NotADirectoryError):
        raise WherefromError(
            f"{file}: no such study; give a study file, the folder of one, e.g. "
            f"studies/purohit2025, or the name of a built-in one: {', '.join(built_in())}"
        ) from None
    except OSError as err:
        raise WherefromError(f"{file}: cannot be read: {err.strerror}") from None
    except RecursionError:
        raise WherefromError(f"{file}: not a study: it is nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise WherefromError(f"{file}: not valid YAML: {' '.join(str(err).split())}") from None
    if not isinstance(content, dict) or set(content) != {"base", "scales"}:
        raise WherefromError(f"{file}: {_not_whole(content)}")
    base, scales = content["base"], content["scales"]
    for key, value in (("base", base), ("scales", scales)):
        if not isinstance(value, dict):
            raise WherefromError(f"{file}: {key!r} must hold keys and values, not {value!r:.60}")
    if scale not in scales:
        raise WherefromError(f"{file}: {unknown('scale', scale, map(str, scales))}")
    change = {} if scales[scale] is None else scales[scale]
    if not isinstance(change, dict):
        raise WherefromError(f"{file}: scale {scale!r} must hold keys and values of the base")
    merged = _merge(base, change)
    if isinstance(payloads := merged.get("payloads"), dict):  # a name is the kind by default
        merged["payloads"] = {
            name: {"kind": name, **one} if isinstance(one, dict) else one
            for name, one in payloads.items()
        }
    for key in _RESOLVED:
        if key in merged:
            raise WherefromError(f"{file}: {key!r} is not for the study file to say: remove it")
    try:
        return picked(Study.model_validate({**merged, "scale": scale}), models)
    except ValidationError as err:
        said = _first(err, merged) + _added(err, base, change)
        raise WherefromError(f"{file} (scale {scale}): {said}") from None


def _not_whole(content: Any) -> str:
    """Say what a file lacks to be a study, and where what it has belongs."""
    said = "needs exactly the keys 'base' and 'scales'"
    given = content if isinstance(content, dict) else {}
    if astray := [key for key in given if key in Study.model_fields]:
        return f"{said}: put {', '.join(map(repr, astray))} under 'base'; {_WHOLE}"
    if "base" in given and "scales" not in given:
        return f"{said}: add the line scales: {{laptop: {{}}}}"
    return f"{said}; {_WHOLE}"


def _added(err: ValidationError, base: dict[str, Any], change: dict[str, Any]) -> str:
    """Say of a part that fails if it stands in the scale alone, where it is thought to change."""
    part, name, *_ = (*map(str, _cause(err)["loc"]), "", "")
    changed, there = change.get(part), base.get(part)
    known = there if isinstance(there, dict) else {}
    if isinstance(changed, dict) and name in changed and name not in known:
        return f" ({part}.{name} stands in the scale alone: base has nothing that it would change)"
    return ""


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Change a base; null takes a key of it away."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if value is None and key in merged:
            del merged[key]
            continue
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _cause(err: ValidationError) -> Any:
    """Return an error: a misspelt key is the cause, one that is then missing its consequence."""
    return min(err.errors(), key=lambda e: e["type"] != "extra_forbidden")


def _first(err: ValidationError, content: Any) -> str:
    """Say the first of a validation's errors in one line, with the nearest valid key."""
    first = _cause(err)
    place = [str(key) for key in first["loc"]]
    if first["type"] == "extra_forbidden":
        *above, key = first["loc"]
        if key in _FORMER and above and above[0] in ("models", "heads", "sweep"):
            return f"{'.'.join(map(str, above))}: {_former(above, content)}"
        said = _unknown_key(str(key), _part_at(above, content))
        return said + (f" (in {'.'.join(place[:-1])})" if above else "")
    reason = _PLAINLY.get(first["type"], first["msg"].removeprefix("Value error, "))
    return f"{'.'.join(place)}: {reason}" if place else reason


def _former(where: Sequence[str | int], content: Any) -> str:
    """Say which number has taken the place of two keys of a part of a study file."""
    part = content
    for key in where:
        part = part[key]
    given = {key: part[key] for key in _FORMER if key in part}
    said = "'draws' and 'pretrain_seeds' are now one number"
    means = "(a block is one draw of every composition with one pre-training seed)"
    if "blocks" in part:
        left = " and ".join(map(repr, given))
        return f"{said}, blocks: {part['blocks']} {means}: remove {left}"
    # A head that names one of the two had the other of each of its models.
    whole = where[0] == "models" or len(given) == len(_FORMER)
    if whole and all(type(one) is int for one in given.values()):
        return f"{said}: blocks: {math.prod(given.values())} {means}"
    return f"{said}: write 'blocks' {means}"


def _part_at(loc: Iterable[str | int], content: Any) -> Any:
    """Follow the keys of a study file to the part that they lead to."""
    part: Any = Study
    for key in loc:
        if isinstance(part, type) and issubclass(part, BaseModel):
            field = part.model_fields.get(str(key))
            part = field.rebuild_annotation() if field else None
        else:
            # A name within a mapping, chosen by the user, or a position in a list.
            inner = [one for one in typing.get_args(_bare(part)) if one is not Ellipsis]
            part = inner[-1] if inner else None
        content = content[key]
        part = part_of.chosen(content) if (part_of := _kinds(part)) else _bare(part)
    return part


def _bare(part: Any) -> Any:
    """Look through annotations and optionals."""
    if typing.get_origin(part) is Annotated:
        return _bare(typing.get_args(part)[0])
    if typing.get_origin(part) in (typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(part) if one is not type(None)]
        return _bare(inner[0]) if len(inner) == 1 else part
    return part


def _kinds(part: Any) -> OfKind | None:
    """Return what chooses the class of a part by its key ``kind``, if anything does."""
    if typing.get_origin(part) is not Annotated:
        return None
    return next((one for one in typing.get_args(part) if isinstance(one, OfKind)), None)


def _unknown_key(key: str, part: Any) -> str:
    """Say that a key is unknown, and where it belongs or which one is nearest."""
    fields = [name for name in getattr(part, "model_fields", ()) if name not in _RESOLVED]
    elsewhere = [path for path in _every_field(Study, "") if path.split()[0].endswith(f".{key}")]
    if not elsewhere or difflib.get_close_matches(key, fields, n=1, cutoff=0.8):
        return str(unknown("key", key, fields))
    return f"unknown key {key!r} here: it belongs to {' or '.join(dict.fromkeys(elsewhere))}"


def _every_field(part: Any, prefix: str, above: tuple[OfKind, ...] = ()) -> Iterator[str]:
    """Yield the path of every field of a study file, with the kind where not every kind has it.

    A kind within one of its own sort (`above`) has the same fields again.
    """
    if (of_kind := _kinds(part)) in above:
        return
    if of_kind:
        above = (*above, of_kind)
        # Kinds of other packages, which may not load, are left to their own pages.
        names = [name for name, one in kinds(of_kind.group).items() if one.package == "wherefrom"]
        fields = {
            name: list(_every_field(of_kind.chosen({"kind": name}), prefix, above))
            for name in names
        }
        for name, paths in fields.items():
            for path in paths:
                everywhere = all(path in others for others in fields.values())
                yield path if everywhere else f"{path} (kind {name})"
        return
    part = _bare(part)
    if isinstance(part, type) and issubclass(part, BaseModel):
        for name, field in part.model_fields.items():
            if name not in _RESOLVED:
                yield f"{prefix}{name}"
                yield from _every_field(field.rebuild_annotation(), f"{prefix}{name}.", above)
        return
    named = "NAME." if typing.get_origin(part) is dict else ""
    for inner in typing.get_args(part):
        yield from _every_field(inner, prefix + named, above)
