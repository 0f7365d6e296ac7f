"""Which places are sought by an id: numbers and text alike, many places perhaps by one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.payload.base import Lost, Piece, Records

__all__ = ["Rows", "no_text", "plain"]


def plain(band: str) -> str:
    """Write the name of a band in one way, whatever its case and zeros before its number.

    >>> plain("B04"), plain("b8a"), plain("B11"), plain("Blue")
    ('b4', 'b8a', 'b11', 'blue')
    """
    return re.sub(r"^b0+(?=[0-9])", "b", band.strip().lower())


def no_text(name: str) -> bool:
    r"""Tell whether bytes of a name of a file or a member are none of UTF-8.

    >>> no_text("tile"), no_text(b"\xe9".decode(errors="surrogateescape"))
    (False, True)
    """
    return any("\ud800" <= letter <= "\udfff" for letter in name)


class Rows:
    """Places by their ids.

    Parameters
    ----------
    ids : (N,) array of int64 or str
    lost : Lost
        Is told how many ids the data have, and one that is not sought.

    Examples
    --------
    >>> rows = Rows(np.array(["b", "a", "b"]), Lost())
    >>> at, found = rows.find(np.array(["x", "b"]), "tiles.csv")
    >>> [piece[0].tolist() for piece in rows.spread(found, {"features": np.ones((1, 2))})]
    [[0, 2]]
    """

    def __init__(self, ids: NDArray[np.generic], lost: Lost) -> None:
        self.lost = lost
        texts = ids.astype(str)
        self.order = np.argsort(texts, kind="stable")
        self.known, self.starts, self.counts = np.unique(
            texts[self.order], return_index=True, return_counts=True
        )
        self.seen = np.zeros(len(self.known), dtype=bool)

    def find(
        self, ids: NDArray[np.str_], source: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find which of some ids (M,) are sought: their positions, and their numbers here.

        Raises
        ------
        WherefromError
            If one that is sought was found before.
        """
        self.lost.known += len(ids)
        if not len(self.known):
            none = np.zeros(0, np.int64)
            return none, none
        near = np.minimum(np.searchsorted(self.known, ids), len(self.known) - 1)
        same = self.known[near] == ids
        at = np.flatnonzero(same)
        if not self.lost.such and len(at) < len(ids):
            self.lost.such = str(ids[same.argmin()])
        found = near[at]
        again = self.seen[found]
        if not again.any() and len(np.unique(found)) < len(found):
            again = np.bincount(found, minlength=len(self.known))[found] > 1
        if again.any():
            raise WherefromError(
                f"{source} has id {str(ids[at[again.argmax()]])!r} more than once: one record a "
                "place is due"
            )
        self.seen[found] = True
        return at, found

    def spread(self, found: NDArray[np.int64], records: Records) -> Iterator[Piece]:
        """Give the records of found ids to all places that share them."""
        counts = self.counts[found]
        if not len(found):
            return
        which = np.repeat(np.arange(len(found)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self.order[self.starts[found][which] + within]
        if (counts == 1).all():
            yield rows, records
        else:
            yield rows, {name: values[which] for name, values in records.items()}
