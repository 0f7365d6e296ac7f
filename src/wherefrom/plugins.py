"""Layers and samplers of other packages: by entry point, or by ``module:name``.

An installed package offers them in its ``pyproject.toml``, under the name that users write::

    [project.entry-points."wherefrom.samplers"]
    latitude-bands = "mypackage.bands:LatitudeBands"

What is not installed as a package is named by where it is: ``mypackage.bands:LatitudeBands``.
Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import re
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeAlias

from wherefrom.errors import WherefromError

__all__ = ["Group", "named", "offered"]

Group: TypeAlias = Literal["layers", "samplers"]

#: ``module:name``; the module may have dots, the name may not.
ADDRESS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def offered(group: Group) -> tuple[str, ...]:
    """Return the names that installed packages offer, sorted.

    Parameters
    ----------
    group : {"layers", "samplers"}

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> isinstance(offered("layers"), tuple)
    True
    """
    return tuple(sorted({point.name for point in entry_points(group=f"wherefrom.{group}")}))


def named(group: Group, name: str) -> object | None:
    """Return what a package offers under a name, or what lies at ``module:name``.

    Parameters
    ----------
    group : {"layers", "samplers"}
    name : str

    Returns
    -------
    object or None
        None if the name is no address and no package offers it.

    Raises
    ------
    WherefromError
        If it cannot be imported, or two packages offer the same name; names the packages.

    Examples
    --------
    >>> named("samplers", "wherefrom.compose.plain:Uniform").__name__
    'Uniform'
    >>> named("samplers", "no-such-name") is None
    True
    """
    if ADDRESS.fullmatch(name):
        return _at(name)
    found = entry_points(group=f"wherefrom.{group}", name=name)
    # A package found twice on the path, as in an editable installation, is one.
    different = {(point.value, _package(point)): point for point in found}
    if len(different) > 1:
        packages = ", ".join(sorted(package for _, package in different))
        raise WherefromError(
            f"{len(different)} packages offer {name!r} among their {group}: {packages}; remove one"
        )
    for point in different.values():
        try:
            loaded: object = point.load()
            return loaded
        except Exception as err:
            raise WherefromError(
                f"{name!r} of package {_package(point)} cannot be loaded from {point.value} "
                f"({type(err).__name__}: {err}): mend or remove the package"
            ) from err
    return None


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"


def _at(address: str) -> object:
    module, _, attribute = address.partition(":")
    try:
        imported = importlib.import_module(module)
    except Exception as err:
        raise WherefromError(
            f"{address}: module {module!r} cannot be imported ({type(err).__name__}: {err}); "
            "is its folder on PYTHONPATH?"
        ) from err
    try:
        found: object = getattr(imported, attribute)
    except AttributeError:
        raise WherefromError(f"{address}: module {module!r} has no {attribute!r}") from None
    return found
