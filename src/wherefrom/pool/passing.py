"""A pass over a pool's parts, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from wherefrom import parallel
from wherefrom.pool.batches import Part
from wherefrom.progress import progress

__all__ = ["over"]

P = TypeVar("P", bound=Part)
R = TypeVar("R")


def over(parts: Sequence[P], function: Callable[[P], R], what: str) -> Iterator[R]:
    """Call a function on every part, several at a time, and give the results in their order.

    Parameters
    ----------
    parts : sequence of Part
    function : callable
        Of one part; can be pickled where there is a cluster.
    what : str
        For the progress bar, which counts places.

    Yields
    ------
    object
        What the function gives.
    """
    with progress() as bar:
        task = bar.add_task(what, total=sum(len(part) for part in parts))
        results = parallel.in_order(function, parts)
        for part, result in zip(parts, results, strict=True):
            bar.update(task, advance=len(part))
            yield result
