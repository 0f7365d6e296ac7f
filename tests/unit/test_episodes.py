"""Episodes: paired, nested, class-aware, disjoint from the test; problems are reported."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherefrom.earth.sphere import distance_km
from wherefrom.errors import WherefromError
from wherefrom.tasks import EpisodeProblem, Task, episodes, plan_episodes


def make(counts: list[int], test: int = 60, seed: int = 0) -> Task:
    """Make one region, "Here", with the given number of training candidates per class."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.repeat(np.arange(len(counts)), counts), rng.integers(0, 2, test)])
    split = np.concatenate([np.zeros(sum(counts), int), np.ones(test, int)])
    order = rng.permutation(label.size)
    return Task(
        name="demo",
        lon=rng.uniform(0, 5, label.size),
        lat=rng.uniform(0, 5, label.size),
        label=label[order],
        classes=tuple("abcdefghijklmnopqrstuvwxyz"[: len(counts)]),
        region=np.zeros(label.size),
        regions=("Here", "Nowhere"),
        split=split[order],
        label_layer="cover",
    )


@given(
    counts=st.lists(st.integers(0, 80), min_size=2, max_size=12),
    n=st.integers(2, 60),
    seed=st.integers(0, 50),
)
def test_a_class_with_enough_places_is_missing_from_an_episode(
    counts: list[int], n: int, seed: int
) -> None:
    task = make(counts, seed=seed)
    if sum(counts) < n or sum(c > 0 for c in counts) < 2:
        with pytest.raises(EpisodeProblem):
            episodes(task, "Here", n, [0])
        return
    drawn = episodes(task, "Here", n, range(6))
    candidates = set(task.rows("Here", "train").tolist())
    sizes = np.bincount(task.label[task.rows("Here", "train")], minlength=len(counts))
    promised = [c for c in np.argsort(-sizes, kind="stable") if sizes[c] >= 10][: (n + 1) // 2]
    for row in drawn.train:
        assert len(set(row.tolist())) == n
        assert set(row.tolist()) <= candidates
        assert set(promised) <= set(task.label[row].tolist())
    assert set(drawn.test.tolist()) == set(task.rows("Here", "test").tolist())


def test_rare_promised_class_takes_more_than_one_place_from_the_natural_proportions() -> None:
    # 20 of 2,000 candidates are of class b: without the promise 100 places miss it in 36 % of
    # the episodes; with it, the minimum is exactly one and the mean hardly more than natural.
    task = make([1980, 20])
    drawn = episodes(task, "Here", 100, range(400))
    rare = (task.label[drawn.train] == 1).sum(axis=1)
    assert rare.min() == 1
    # E = E[max(1, hypergeometric)], about 1.36; the standard error over 400 seeds is 0.034.
    assert 1.2 < rare.mean() < 1.55


def test_candidates_are_not_drawn_with_equal_chance() -> None:
    # Within the abundant class each candidate must come up equally often: chi-square over 300
    # candidates, 2,000 seeds; fails by chance in 1 of 10,000 seeds of this test (seed is fixed).
    task = make([300, 300])
    drawn = episodes(task, "Here", 60, range(2000))
    hits = np.bincount(drawn.train.ravel(), minlength=len(task))
    hits = hits[task.rows("Here", "train")]
    p = 60 / 600
    chi2 = ((hits - 2000 * p) ** 2 / (2000 * p * (1 - p))).sum()
    assert abs(chi2 - 599) < 3.9 * np.sqrt(2 * 599)


@given(seed=st.integers(0, 30), small=st.integers(2, 50), large=st.integers(50, 150))
def test_smaller_episode_is_not_the_beginning_of_the_larger(
    seed: int, small: int, large: int
) -> None:
    task = make([100, 40, 12, 9, 3], seed=seed)
    few = episodes(task, "Here", small, [seed, 3])
    many = episodes(task, "Here", large, [seed, 3])
    assert np.array_equal(few.train, many.train[:, :small])


def test_seed_changes_when_others_are_asked_for_beside_it() -> None:
    task = make([100, 40])
    alone = episodes(task, "Here", 30, [7])
    among = episodes(task, "Here", 30, [1, 7, 2])
    assert np.array_equal(alone.train[0], among.train[1])
    assert not np.array_equal(among.train[0], among.train[1])
    other = episodes(task, "Here", 30, [7], root_seed=1)
    assert not np.array_equal(alone.train, other.train)


def test_training_place_inside_the_buffer() -> None:
    task = make([300, 200], test=15)
    drawn = episodes(task, "Here", 40, range(20), buffer_km=30)
    train, test = np.unique(drawn.train), drawn.test
    gap = distance_km(
        task.lon[train][:, None], task.lat[train][:, None], task.lon[test], task.lat[test]
    )
    assert gap.min() >= 30
    free = episodes(task, "Here", 40, range(20))
    assert np.array_equal(free.test, drawn.test)
    # What the buffer leaves keeps its order: the episodes with and without share most places.
    shared = [len(set(a) & set(b)) for a, b in zip(free.train, drawn.train, strict=True)]
    assert np.mean(shared) > 40 * 0.5


def test_tuning_episode_uses_a_reported_place() -> None:
    task = make([50, 50])
    moved = np.where(np.arange(len(task)) % 2, task.split + 2, task.split)
    task = dataclasses.replace(task, split=moved)
    tuning = episodes(task, "Here", 10, range(5), split="tuning")
    assert (task.split[tuning.train] == 2).all()
    assert (task.split[tuning.test] == 3).all()


def test_thin_regions_are_dropped_silently() -> None:
    task = make([30, 9])
    drawn, problems = plan_episodes(task, ["Here", "Nowhere"], 20, range(3))
    assert [e.region for e in drawn] == ["Here"]
    assert [p.region for p in problems] == ["Nowhere"]
    assert "no labelled place" in str(problems[0])
    with pytest.raises(EpisodeProblem, match=r"39 labelled places .* fewer than n = 40"):
        episodes(task, "Here", 40, [0])
    with pytest.raises(EpisodeProblem, match=r"farther than 500 km .* fewer than n = 20"):
        episodes(task, "Here", 20, [0], buffer_km=500)


def test_region_with_one_class_gives_a_perfect_score() -> None:
    with pytest.raises(EpisodeProblem, match="all 40 training candidates are of one class, 'a'"):
        episodes(make([40, 0]), "Here", 20, [0])


def test_class_without_a_training_place_is_hidden_from_the_test() -> None:
    task = make([30, 0, 30])
    drawn = episodes(task, "Here", 20, [0])
    assert drawn.untaught == (1,)
    assert drawn.classes.tolist() == [0, 1, 2]
    assert (task.label[drawn.test] == 1).any()


def test_mistyped_region_or_split_is_taken_as_empty() -> None:
    with pytest.raises(WherefromError, match="did you mean 'Nowhere'"):
        episodes(make([30, 30]), "Nowhre", 20, [0])
    with pytest.raises(WherefromError, match="did you mean 'tuning'"):
        episodes(make([30, 30]), "Here", 20, [0], split="tunin")
