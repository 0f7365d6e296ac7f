"""From a spec, text or dictionary, to a sampler; for unknown words the nearest valid one."""

from __future__ import annotations

from typing import Any, overload

from wherefrom.compose.balanced import Balanced
from wherefrom.compose.base import Sampler, SamplerModel
from wherefrom.compose.cities import GaussianCities
from wherefrom.compose.clustered import AroundCities, AroundForest
from wherefrom.compose.controls import (
    EntropyMatched,
    GeographyMatchedHalves,
    GeographyMatchedRegions,
)
from wherefrom.compose.grid import Grid
from wherefrom.compose.kmeans import KMeans
from wherefrom.compose.match import Match
from wherefrom.compose.mixture import Mixture
from wherefrom.compose.plain import Ids, NoPretraining, Only, Uniform
from wherefrom.compose.quoting import quoted, split_outside_quotes, unquoted
from wherefrom.compose.spread import Spread
from wherefrom.compose.stratified import Stratified, UniformArea
from wherefrom.compose.weighted import Entropy
from wherefrom.errors import WherefromError, unknown
from wherefrom.plugins import ADDRESS, named, offered

__all__ = ["SAMPLERS", "sampler", "spec_text"]

#: Name -> classes that share it, told apart by the first field.
SAMPLERS: dict[str, tuple[type[SamplerModel], ...]] = {
    "none": (NoPretraining,),
    "uniform": (Uniform,),
    "uniform-area": (UniformArea,),
    "stratified": (Stratified,),
    "clustered": (AroundCities, AroundForest),
    "only": (Only,),
    "grid": (Grid,),
    "spread": (Spread,),
    "kmeans": (KMeans,),
    "gaussian-cities": (GaussianCities,),
    "entropy": (Entropy,),
    "entropy-matched": (EntropyMatched,),
    "geography-matched": (GeographyMatchedRegions, GeographyMatchedHalves),
    "balanced": (Balanced,),
    "match": (Match,),
    "mixture": (Mixture,),
    "ids": (Ids,),
}

# A comma parts two flags only if a flag follows, since labels hold commas too
# ("Temperate Grasslands, Savannas & Shrublands").
_COMMA = r",(?=\s*[A-Za-z_][A-Za-z0-9_-]*=)"


@overload
def sampler(spec: str | dict[str, Any]) -> SamplerModel: ...
@overload
def sampler(spec: Sampler) -> Sampler: ...
def sampler(spec: str | dict[str, Any] | Sampler) -> Sampler:
    """Make a sampler of its spec.

    Parameters
    ----------
    spec : str, dict or Sampler
        ``"name"``, ``"name:flag=value,flag=value"`` (a value may stand between double quotes, as
        JSON writes a text), or ``{"name": name, flag: value}``. A name is
        one of `SAMPLERS`, that of another package's sampler, or where a class of your own lies,
        ``module:Class`` (docs/extending.md).

    Returns
    -------
    Sampler

    Raises
    ------
    WherefromError
        If a name, a flag or a value is not known (with the nearest valid one), or one is missing.

    Examples
    --------
    >>> sampler("stratified:layer=biome,short=cap").spec()
    {'name': 'stratified', 'layer': 'biome', 'allocation': 'equal', 'short': 'cap'}
    >>> sampler("only:layer=biome,label=Mangroves") == sampler(
    ...     {"name": "only", "layer": "biome", "label": "Mangroves"}
    ... )
    True
    """
    if isinstance(spec, str):
        given = _split(spec)
    elif isinstance(spec, dict):
        given = dict(spec)
    elif isinstance(spec, Sampler):
        return spec
    else:
        raise WherefromError(
            "a sampler is a text, a dictionary or an object with name, spec(), inputs() and "
            f"draw(pool, n, rng), not {spec!r}"
        )
    name = given.pop("name", None)
    if name is None:
        raise WherefromError(f"a sampler needs a name: {', '.join(SAMPLERS)}")
    built_in = isinstance(name, str) and name in SAMPLERS
    kind = _variant(name, given) if built_in else _plugged(name)
    return kind.from_flags(given)


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


def _split(text: str) -> dict[str, Any]:
    name, _, flags = text.strip().partition(":")
    # "module:Class:flag=value"; a flag's own name is followed by its "=".
    address = ADDRESS.match(text.strip())
    if name not in SAMPLERS and address and text.strip()[address.end() :][:1] in ("", ":"):
        name, flags = address.group(), text.strip()[address.end() + 1 :]
    given: dict[str, Any] = {"name": name.strip()}
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


def _variant(name: str, given: dict[str, Any]) -> type[SamplerModel]:
    kinds = SAMPLERS[name]
    if len(kinds) == 1:
        return kinds[0]
    field = next(iter(kinds[0].model_fields))
    by_value = {_only_value(kind, field): kind for kind in kinds}
    if field not in given:
        raise WherefromError(f"sampler {name!r} needs {field}=: one of {', '.join(by_value)}")
    if str(given[field]) not in by_value:
        raise unknown(f"value of {field!r} in sampler {name!r}:", given[field], by_value)
    return by_value[given[field]]


def _plugged(name: object) -> type[SamplerModel]:
    """Return another package's class of samplers."""
    found = named("samplers", name) if isinstance(name, str) else None
    if found is None:
        raise unknown("sampler", name, (*SAMPLERS, *offered("samplers")))
    if not (isinstance(found, type) and issubclass(found, SamplerModel)):
        raise WherefromError(
            f"sampler {name!r} is no class derived from wherefrom.compose.DesignSampler or "
            "SamplerModel: see docs/extending.md"
        )
    return found


def _only_value(kind: type[SamplerModel], field: str) -> str:
    annotation: Any = kind.model_fields[field].annotation
    return str(annotation.__args__[0])
