"""Few-shot episodes: for one region, n training places per seed and one set of test places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wherefrom.earth.sphere import chord, nearest_km, unit_vectors
from wherefrom.errors import WherefromError, unknown
from wherefrom.keys import generator
from wherefrom.tasks.task import SPLITS, Task

__all__ = [
    "MIN_LABELLED", "EpisodeProblem", "Episodes", "apart_km", "episodes", "most_places",
    "plan_episodes",
]  # fmt: skip

#: A class is promised a training place in every episode when the region has at least so many
#: labelled ones; with fewer, the same one or two places would be in nearly every seed's episode.
MIN_LABELLED = 10

_SPLITS_OF = {"reported": ("train", "test"), "tuning": ("tune-train", "tune-test")}


class EpisodeProblem(WherefromError):  # noqa: N818 - a finding to report, then to raise
    """A region of which no episode can be made, and why.

    Attributes
    ----------
    region : str
        The region.
    reason : str
        What is lacking, with numbers.
    """

    def __init__(self, task: str, region: str, reason: str) -> None:
        super().__init__(f"task {task!r}, {region}: {reason}")
        self.region = region
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Episodes:
    """The episodes of one region and one n, one per seed.

    Attributes
    ----------
    region : str
        The region.
    n : int
        Training places per episode.
    seeds : tuple of int
        The S seeds.
    train : (S, n) int64 array
        Rows of the task.
    test : (T,) int64 array
        Rows of the task; the same for all seeds.
    classes : (C,) int32 array
        Codes that occur among the region's candidates or test places, ascending; none of numbers.
    untaught : tuple of int
        Codes that occur among the test places but among no training candidate. They stay in the
        test: a region's hard classes count as errors, they are not hidden.
    fold : int, optional
        Of a task in folds, the one that is tested.
    """

    region: str
    n: int
    seeds: tuple[int, ...]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    classes: NDArray[np.int32]
    untaught: tuple[int, ...]
    fold: int | None = None


def _order(
    labels: NDArray[np.int32], promised: NDArray[np.int64], rank: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Order the N candidates of S seeds so that each beginning of an order is an episode.

    `rank` (S, N) is each candidate's place in a random permutation. In it, the first place of the
    i-th promised class (largest class first) is moved up to position i unless it comes earlier.
    So the first n places are a simple random sample plus one place of each promised class that it
    missed, for the n / 2 largest classes at least; and a smaller episode begins a larger one.
    """
    by_class = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[by_class], return_index=True)
    first = np.minimum.reduceat(rank[:, by_class], starts, axis=1)
    first = first[:, np.searchsorted(present, promised)]
    seeds = np.arange(len(rank))[:, None]
    place = np.argsort(rank, axis=1)[seeds, first]
    position = rank.astype(np.float64)
    position[seeds, place] = np.minimum(first, np.arange(promised.size) - 0.5)
    return np.argsort(position, axis=1)


def episodes(
    task: Task,
    region: str,
    n: int,
    seeds: Sequence[int],
    split: str = "reported",
    buffer_km: float = 0.0,
    root_seed: int = 0,
    fold: int | None = None,
) -> Episodes:
    """Draw the episodes of one region.

    The draw depends on the task, the region, the split, the seed and the root seed, and on
    nothing else: every composition, head and model is fine-tuned on the same places (paired). The
    episode of n places is the beginning of that of any larger n (nested).

    Class rule: each class with at least `MIN_LABELLED` candidates in the region gets at least one
    place in every episode (the n / 2 largest ones, if there are more); all other places are a
    simple random sample, so that classes keep their natural proportions. Of a task of numbers,
    which has no classes, all places are a simple random sample of the region's candidates.

    Parameters
    ----------
    task : Task
        Labelled places.
    region : str
        One of ``task.regions``.
    n : int
        Training places per seed.
    seeds : sequence of int
        Fine-tune seeds.
    split : {"reported", "tuning"}
        ``reported``: train and test; ``tuning``: tune-train and tune-test, for the choice of
        hyper-parameters.
    buffer_km : float
        Drop training candidates closer than this to any test place (great circle).
    root_seed : int
        Seed of the study.
    fold : int, optional
        Of a task in folds, which needs it: the one to test on; the others are trained on.

    Returns
    -------
    Episodes

    Raises
    ------
    EpisodeProblem
        If the region has too few labelled places, no test place, or only one class or number.
    WherefromError
        For an unknown region, split or fold.

    Examples
    --------
    >>> import numpy as np
    >>> N = 400
    >>> rng = np.random.default_rng(0)
    >>> task = Task("demo", rng.uniform(0, 9, N), rng.uniform(0, 9, N), rng.integers(0, 3, N),
    ...             ("a", "b", "c"), np.zeros(N, int), ("Africa",), np.arange(N) % 2, "cover")
    >>> drawn = episodes(task, "Africa", n=20, seeds=range(50))
    >>> drawn.train.shape, drawn.test.shape
    ((50, 20), (200,))
    """
    if region not in task.regions:
        raise unknown("region", region, task.regions)
    if split not in _SPLITS_OF:
        raise unknown("split", split, _SPLITS_OF)
    train_split, test_split = _SPLITS_OF[split]
    if task.folds:
        if split != "reported" or fold is None or fold not in range(task.folds):
            raise WherefromError(
                f"task {task.name!r} is in {task.folds} folds: give a fold to test on, 0 to "
                f"{task.folds - 1}, not {fold} of split {split!r}; none of it is for tuning"
            )
        test_split = task.splits[fold]
        train_split = f"other than {test_split}"
        candidates = np.flatnonzero(
            (task.region == task.regions.index(region)) & (task.split != fold)
        )
    else:
        candidates = task.rows(region, train_split)
    test = task.rows(region, test_split)
    keep = _outside(task, candidates, test, buffer_km)
    labels = task.label[candidates]
    buffered = f" farther than {buffer_km:g} km from the test places" if buffer_km > 0 else ""

    def problem(reason: str) -> EpisodeProblem:
        return EpisodeProblem(task.name, region, reason)

    if test.size == 0:
        raise problem(f"no labelled place in split {test_split!r}")
    if keep.sum() < n:
        raise problem(
            f"{keep.sum()} labelled places in split {train_split!r}{buffered}, fewer than n = {n}"
        )
    looked_at = [(f"training candidates{buffered}", labels[keep])]
    # Folds are scored together, so that one of them may be of one class.
    looked_at += [("test places", task.label[test])] if not task.folds else []
    for what, values in looked_at:
        if (values != values[0]).any():
            continue
        if task.units is not None:
            raise problem(f"all {values.size} {what} have one number, {values[0]:g} {task.units}")
        name = task.classes[values[0]]
        raise problem(f"all {values.size} {what} are of one class, {name!r}")

    # All candidates are ranked before the buffer drops some, so that a buffer does not reshuffle.
    names = ("episode", task.key, region, split, *(() if fold is None else (fold,)))
    draws = [generator(*names, s, root_seed).permutation(candidates.size)[keep] for s in seeds]
    rank = np.argsort(np.argsort(np.stack(draws), axis=1), axis=1)
    drawn = tuple(int(s) for s in seeds)
    if task.units is not None:
        train, none = candidates[keep][np.argsort(rank, axis=1)[:, :n]], np.zeros(0, np.int32)
        return Episodes(region, n, drawn, train, test, none, (), fold)
    counts = np.bincount(labels[keep], minlength=len(task.classes))
    promised = np.argsort(-counts, kind="stable")[: int((counts >= MIN_LABELLED).sum())]
    order = _order(labels[keep], promised, rank)
    taught, tested = np.unique(labels[keep]), np.unique(task.label[test])
    return Episodes(
        region=region,
        n=n,
        seeds=drawn,
        train=candidates[keep][order[:, :n]],
        test=test,
        classes=np.union1d(taught, tested).astype(np.int32),
        untaught=tuple(int(c) for c in np.setdiff1d(tested, taught)),
        fold=fold,
    )


def plan_episodes(
    task: Task,
    regions: Sequence[str],
    n: int,
    seeds: Sequence[int],
    split: str = "reported",
    buffer_km: float = 0.0,
    root_seed: int = 0,
) -> tuple[list[Episodes], list[EpisodeProblem]]:
    """Draw the episodes of several regions; what cannot be drawn is returned as a problem.

    Parameters
    ----------
    task, n, seeds, split, buffer_km, root_seed
        As of `episodes`.
    regions : sequence of str
        Regions, each fine-tuned and tested within itself.

    Returns
    -------
    drawn : list of Episodes
        In the order of `regions`; of a task in folds, fold by fold, but for those in which the
        region has no place. One fold of which none can be drawn is a problem of the region.
    problems : list of EpisodeProblem
        One per region without episodes, to be reported beside the results.
    """
    drawn: list[Episodes] = []
    problems: list[EpisodeProblem] = []
    for region in regions:
        try:
            drawn += [
                episodes(task, region, n, seeds, split, buffer_km, root_seed, fold)
                for fold in _folds(task, region)
            ]
        except EpisodeProblem as err:
            problems.append(err)
    return drawn, problems


def most_places(task: Task) -> dict[str, int]:
    """Return how many training places an episode of each region can have, 0 where there is none.

    Told by counts alone: of a task of numbers, or in folds, some more may be without.

    Examples
    --------
    >>> task = Task("demo", np.zeros(9), np.zeros(9), np.arange(9) % 2, ("a", "b"),
    ...             np.repeat([0, 1], [7, 2]), ("Africa", "Asia"), np.arange(9) // 2 % 2, "cover")
    >>> most_places(task)
    {'Africa': 4, 'Asia': 0}
    """
    counts = task.counts()
    each = counts.sum(axis=1)
    if task.folds:
        most = each.sum(axis=1) - each.max(axis=1)
    else:
        most = np.where(each[:, 1] > 0, each[:, 0], 0)
        if task.units is None:
            most[((counts[:, :, :2] > 0).sum(axis=1) < 2).any(axis=1)] = 0
    return dict(zip(task.regions, most.tolist(), strict=True))


def _folds(task: Task, region: str) -> list[int] | list[None]:
    """Give the folds in which a region has places."""
    if not task.folds or region not in task.regions:
        return [None]
    found: list[int] = np.unique(task.split[task.region == task.regions.index(region)]).tolist()
    return found or [0]


def apart_km(task: Task) -> NDArray[np.float64]:
    """Return the distance of each test place from the nearest training place, km, (T,).

    T is 0 where there is none of either. Great circles, over all regions. In folds, the distance of
    each place from the nearest place of another fold.

    Examples
    --------
    >>> task = Task("demo", np.array([0.0, 1.0, 9.0]), np.zeros(3), np.zeros(3), ("a",),
    ...             np.zeros(3), ("Africa",), np.array([0, 1, 1]), "cover")
    >>> apart_km(task).round(1).tolist()
    [111.2, 1000.8]
    """
    train, test = (task.split == SPLITS.index(name) for name in ("train", "test"))
    pairs = [(task.split != one, task.split == one) for one in range(task.folds)]
    nearest = [
        nearest_km(task.lon[b], task.lat[b], task.lon[a], task.lat[a])
        for a, b in pairs or [(train, test)]
        if a.any() and b.any()
    ]
    return np.concatenate([np.zeros(0), *nearest])


def _outside(
    task: Task, candidates: NDArray[np.int64], test: NDArray[np.int64], buffer_km: float
) -> NDArray[np.bool_]:
    """Mark the candidates that are at least `buffer_km` from every test place."""
    if buffer_km <= 0 or test.size == 0 or candidates.size == 0:
        return np.ones(candidates.size, dtype=bool)
    tree = cKDTree(unit_vectors(task.lon[test], task.lat[test]))
    nearest, _ = tree.query(unit_vectors(task.lon[candidates], task.lat[candidates]))
    outside: NDArray[np.bool_] = nearest >= chord(buffer_km)
    return outside
