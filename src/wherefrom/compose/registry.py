"""From a spec to its sampler, and to what it draws from a pool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args, overload

from wherefrom import keys
from wherefrom.compose.base import Sampler, SamplerModel, address, in_memory
from wherefrom.compose.composition import Composition
from wherefrom.compose.spec import read_spec, spec_text
from wherefrom.errors import WherefromError, unknown
from wherefrom.plugins import kind, kinds
from wherefrom.pool.batches import AnyPool

__all__ = ["called", "drawn", "sampler", "text_of"]


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
        one of ours or of another package's sampler (``wherefrom list samplers``), or where a class
        of your own lies, ``module:Class`` (docs/extending.md).

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
        said, flags = read_spec(spec.strip(), "samplers")
        given: dict[str, Any] = {"name": said, **flags}
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
        raise WherefromError(f"a sampler needs a name: {', '.join(kinds('samplers'))}")
    return _class(name, given).from_flags(given)


def called(chosen: SamplerModel) -> str:
    """Return what leads to a sampler's class again in a spec: its name, else ``module:Class``.

    Raises
    ------
    WherefromError
        If neither does.
    """
    own = type(chosen)
    for name in (own.name, address(own)):
        try:
            loaded = kind("samplers", name).load()
        except WherefromError:
            continue
        if own in (loaded if isinstance(loaded, tuple) else (loaded,)):
            return name
    raise WherefromError(
        f"sampler {own.name!r} cannot be named in a text: neither its name nor {address(own)} "
        "leads to its class; move the class to the top of a module"
    )


def text_of(chosen: SamplerModel) -> str:
    """Write the text that makes the same sampler again, as one writes it: without defaults.

    Raises
    ------
    WherefromError
        If there is none: nothing leads to its class, or a value cannot be written.

    Examples
    --------
    >>> text_of(sampler("stratified:layer=biome,short=error"))
    'stratified:layer=biome'
    """
    fields = chosen.model_dump(mode="json", exclude_defaults=True)
    text = spec_text({"name": called(chosen), **fields})
    try:
        same = sampler(text) == chosen
    except WherefromError:
        same = False
    if not same:
        raise WherefromError(f"sampler {text!r} is not read back as it was: give it as a dict")
    return text


def drawn(
    pool: AnyPool, spec: str | dict[str, Any] | Sampler, n: int | None = None, seed: int = 0
) -> Composition:
    """Draw a composition from a pool: `wherefrom.draw` for those that have one.

    Parameters
    ----------
    pool : Pool or PoolScan
    spec, n, seed
        As of `wherefrom.draw`.

    Returns
    -------
    Composition

    Raises
    ------
    WherefromError
        If the spec is not valid, or the pool cannot give such a draw.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> pool = Pool.from_table(pa.table({"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4}))
    >>> drawn(pool, "uniform", n=2).inclusion_probability.tolist()
    [0.5, 0.5]
    """
    chosen = sampler(spec)
    rng = keys.generator("draw", seed, keys.canonical(chosen.spec()))
    if isinstance(chosen, SamplerModel) and chosen.in_passes:
        composition = chosen.draw(pool, n, rng)
    else:
        composition = chosen.draw(in_memory(pool, chosen.name), n, rng)
    return replace(composition, provenance={**composition.provenance, "seed": seed})


def _class(name: str, given: dict[str, Any]) -> type[SamplerModel]:
    """Return the class of a name; of several, the one that its first field's value tells."""
    loaded: Any = kind("samplers", name).load()
    classes: tuple[type[SamplerModel], ...] = loaded if isinstance(loaded, tuple) else (loaded,)
    if not all(isinstance(one, type) and issubclass(one, SamplerModel) for one in classes):
        raise WherefromError(
            f"sampler {name!r} is no class derived from wherefrom.compose.DesignSampler or "
            "SamplerModel: see docs/extending.md"
        )
    if len(classes) == 1:
        return classes[0]
    field = next(iter(classes[0].model_fields))
    by_value = {str(get_args(one.model_fields[field].annotation)[0]): one for one in classes}
    if field not in given:
        raise WherefromError(f"sampler {name!r} needs {field}=: one of {', '.join(by_value)}")
    if str(given[field]) not in by_value:
        raise unknown(f"value of {field!r} in sampler {name!r}:", given[field], by_value)
    return by_value[str(given[field])]
