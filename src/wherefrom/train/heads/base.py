"""What a head is; nothing here needs torch, so that a study can be planned without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike, NDArray

from wherefrom.errors import WherefromError
from wherefrom.tasks.task import Predicts

__all__ = [
    "Codes",
    "Features",
    "Head",
    "HeadOptions",
    "Labels",
    "Numbers",
    "Rows",
    "checked",
    "checked_numbers",
    "child",
    "chunks",
    "refuse_numbers",
]

Features = NDArray[np.float32]
#: Class codes, integers; or numbers, float64: whichever the head predicts.
Labels = NDArray[Any]
#: Of the task: what to train or to test on.
Rows = NDArray[np.int64]
#: Predicted class codes.
Codes = NDArray[np.int16]
#: Predicted numbers.
Numbers = NDArray[np.float64]

#: Memory that one chunk of seeds may take for its training rows, bytes.
CHUNK_BYTES = 64 * 2**20


class HeadOptions:
    """What all heads declare: how they are named, what they need and what they cost.

    Fields of the frozen dataclass that derives from it are the options of a study file.
    """

    #: In every table.
    name: ClassVar[str]
    #: What it predicts: it goes with tasks, metrics and baselines of the same.
    predicts: ClassVar[Predicts] = "classes"
    #: Whether it looks at features; one that does not goes with the baseline that has none.
    needs_features: ClassVar[bool] = True
    #: Whether the encoder is trained with it; it is then no classifier on frozen features.
    tunes_encoder: ClassVar[bool] = False
    #: Whether it has `probabilities`.
    tells_probabilities: ClassVar[bool] = False
    #: Of one core for a region, 50 seeds, n = 100 and 256 features, about.
    seconds: ClassVar[float] = 0.6
    #: Raised by hand when the code, or a default, changes what it predicts.
    version: ClassVar[int] = 1

    @property
    def fewest(self) -> int:
        """Labelled places that it needs at least, with such options; by default one."""
        return 1

    def spec(self) -> dict[str, Any]:
        """Return the name and all hyper-parameters, as plain values for a key."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


class Head(HeadOptions, ABC):
    """A classifier or regression on frozen features, fitted few-shot for all seeds at once.

    A new head is a frozen dataclass derived from this, with a `name` and `fit_predict`; a
    regression says ``predicts = "numbers"``.
    """

    @abstractmethod
    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Codes | Numbers:
        """Fit on each seed's training rows and predict the test rows.

        Parameters
        ----------
        features : (N, D) float32 array
            Features of the task's rows.
        labels : (N,) integer array, or float64
            Class codes, or numbers, of the task's rows.
        train : (S, n) int64 array
            Training rows of each seed.
        test : (T,) int64 array
            Test rows, the same for all seeds.
        seed : numpy.random.SeedSequence
            Source of all randomness; heads without any ignore it.

        Returns
        -------
        (S, T) int16 array, or float64
            Predicted class codes, or numbers.
        """

    def probabilities(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> NDArray[np.float64]:
        """Tell the probability of each class of the training rows, where `tells_probabilities`.

        Parameters
        ----------
        features, labels, train, test, seed
            As of `fit_predict`, which predicts the most probable class.

        Returns
        -------
        (S, T, C) float64 array
            Of the C class codes that any seed's training rows have, ascending.
        """
        raise WherefromError(f"head {self.name!r} tells no probabilities")


def checked(name: str, predicted: ArrayLike, seeds: int, tests: int, classes: ArrayLike) -> Codes:
    """Return a head's predictions as class codes, once they are what they must be.

    Parameters
    ----------
    name : str
        Of the head.
    predicted : (S, T) array
        What it predicts.
    seeds, tests : int
        Fine-tune seeds S and test rows T.
    classes : array of int
        Labels of the training rows, of all seeds, in any shape and order.

    Returns
    -------
    (S, T) int16 array

    Raises
    ------
    WherefromError
        For another shape (which would broadcast), no whole numbers, or codes that no training row
        has, or none of 16 bits.

    Examples
    --------
    >>> checked("mine", [[2, 5, 2]], 1, 3, [2, 5]).tolist()
    [[2, 5, 2]]
    >>> checked("mine", [[0, 1, 0]], 1, 3, [2, 5])
    Traceback (most recent call last):
    ...
    wherefrom.errors.WherefromError: head 'mine' predicts 0, no class of its training rows: 2, 5
    """
    codes = _shaped(name, predicted, seeds, tests)
    whole = codes.dtype.kind in "iu" or (
        codes.dtype.kind == "f" and bool((np.isfinite(codes) & (codes == np.rint(codes))).all())
    )
    if not whole:
        raise WherefromError(
            f"head {name!r} predicts {codes.dtype} values that are not all whole numbers, as class "
            "codes are"
        )
    known = np.unique(classes)
    if known[-1] > np.iinfo(np.int16).max:
        raise WherefromError(f"class code {known[-1]} is above 32767: head {name!r} cannot say it")
    strange = np.setdiff1d(codes, known)
    if strange.size:
        some = ", ".join(str(code) for code in known[:8]) + (", ..." if len(known) > 8 else "")
        raise WherefromError(
            f"head {name!r} predicts {strange[0]:.0f}, no class of its training rows: {some}"
        )
    return codes.astype(np.int16)


def checked_numbers(name: str, predicted: ArrayLike, seeds: int, tests: int) -> Numbers:
    """Return a head's predictions as float64, (S, T), once they are finite; else as `checked`.

    Examples
    --------
    >>> checked_numbers("mine", [[2.5, float("nan")]], 1, 2)
    Traceback (most recent call last):
    ...
    wherefrom.errors.WherefromError: head 'mine' predicts nan at test place 1 of seed 0: not finite
    """
    found = _shaped(name, predicted, seeds, tests)
    if found.dtype.kind not in "iuf":
        raise WherefromError(f"head {name!r} predicts {found.dtype} values, not numbers")
    numbers = found.astype(np.float64)
    for seed, place in np.argwhere(~np.isfinite(numbers))[:1]:
        raise WherefromError(
            f"head {name!r} predicts {numbers[seed, place]} at test place {place} of seed {seed}: "
            "not finite"
        )
    return numbers


def refuse_numbers(labels: NDArray[Any]) -> None:
    """Refuse real numbers where a head tells classes, whose codes they would be cut to."""
    if labels.dtype.kind == "f":
        raise WherefromError(
            "labels are real numbers, and this head tells classes: ridge and knn-regression tell "
            "numbers"
        )


def _shaped(name: str, predicted: ArrayLike, seeds: int, tests: int) -> NDArray[Any]:
    found = np.asarray(predicted)
    if found.shape != (seeds, tests):
        raise WherefromError(
            f"head {name!r} predicts shape {found.shape}, not ({seeds}, {tests}): (seeds, test "
            "places)"
        )
    return found


def child(seed: SeedSequence, s: int) -> SeedSequence:
    """Return child s of a seed, without counting it as `SeedSequence.spawn` would."""
    return SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, s))


def chunks(seeds: int, bytes_per_seed: int) -> list[slice]:
    """Cut S seeds into slices whose working memory stays near `CHUNK_BYTES`."""
    step = max(1, CHUNK_BYTES // max(1, bytes_per_seed))
    return [slice(start, start + step) for start in range(0, seeds, step)]
