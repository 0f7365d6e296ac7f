"""Heads: all seeds at once give what a plain loop over the seeds gives."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from wherefrom.errors import WherefromError
from wherefrom.plugins import kinds
from wherefrom.train.heads import base, checked, head, kind_of_head
from wherefrom.train.heads.estimator import estimator
from wherefrom.train.heads.fewshot import FewShot
from wherefrom.train.heads.finetune import FineTune
from wherefrom.train.heads.forest import Forest
from wherefrom.train.heads.knn import KNN
from wherefrom.train.heads.logistic import BalancedLogistic, Logistic
from wherefrom.train.heads.majority import Majority
from wherefrom.train.heads.mlp import MLP
from wherefrom.train.heads.newton import fit
from wherefrom.train.heads.perceptron import EPSILON, initial, train_all

SEED = np.random.SeedSequence(5)
#: Classifiers on frozen features.
HEADS = [name for name in kinds("heads") if not kind_of_head(name).tunes_encoder]
Data = tuple[Any, Any, Any, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are slower, not faster, when several threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def make(n: int = 60, dim: int = 40, classes: int = 5, seeds: int = 4, seed: int = 0) -> Data:
    """Draw correlated, shifted features, noisy labels with gaps in their codes, and episodes."""
    rng = np.random.default_rng(seed)
    places = n * 2 + 300
    x = rng.normal(size=(places, dim)) @ rng.normal(size=(dim, dim)) * 0.3 + 20
    centres = rng.normal(size=(classes, dim)) + 20
    near = ((x[:, None] - centres) ** 2).sum(-1).argmin(1)
    codes = np.array([2, 3, 7, 11, 12, 30, 31, 40])[:classes]
    label = codes[np.where(rng.random(places) < 0.15, rng.integers(0, classes, places), near)]
    train = np.stack([rng.permutation(2 * n)[:n] for _ in range(seeds)])
    return x.astype(np.float32), label.astype(np.int32), train, np.arange(2 * n, places)


def probabilities(data: Data, C: float, balanced: bool) -> tuple[FewShot, torch.Tensor]:
    few = FewShot.of(*data)
    return few, few.linear(*fit(few, C, balanced)).softmax(dim=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "dim", "C", "classes"),
    [(60, 100, 1.0, 5), (60, 100, 1.0, 2), (120, 20, 0.01, 5), (50, 2, 30.0, 3), (50, 50, 30.0, 2)],
)
@pytest.mark.parametrize("kind", [Logistic, BalancedLogistic])
def test_logistic_head_differs_from_scikit_learn(
    n: int, dim: int, C: float, classes: int, kind: type[Logistic]
) -> None:
    data = make(n, dim, classes)
    x, label, train, test = data
    few, ours = probabilities(data, C, kind.balanced)
    for s, rows in enumerate(train):
        scaler = StandardScaler().fit(x[rows].astype(np.float64))
        weight = "balanced" if kind.balanced else None
        model = LogisticRegression(C=C, tol=1e-10, max_iter=100_000, class_weight=weight)
        model.fit(scaler.transform(x[rows].astype(np.float64)), label[rows])
        theirs = model.predict_proba(scaler.transform(x[test].astype(np.float64)))
        seen = np.isin(few.classes, model.classes_)
        assert not ours[:, s, ~seen].any()
        assert np.abs(ours[:, s, seen].numpy() - theirs).max() < 1e-5
    guess = kind(C).fit_predict(*data, SEED)
    assert (few.classes[ours.argmax(dim=2).T.numpy()] == guess).all()


def smooth(n: int, dim: int, seed: int = 0) -> Data:
    """Draw an encoder's kind of features: waves with fast falling powers, and rare classes."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-1, 1, (n + 200, 2))
    waves = rng.normal(size=(2, 4 * dim)) * 3
    x = np.sin(place @ waves + rng.uniform(0, 6, 4 * dim)) @ rng.normal(size=(4 * dim, dim))
    centres = rng.uniform(-1, 1, (40, 2))
    owner = ((place[:, None] - centres) ** 2).sum(2).argmin(1)
    label = rng.choice(9, 40, p=0.45 ** np.arange(9) / (0.45 ** np.arange(9)).sum())[owner]
    label[:3] = [6, 7, 8]  # a single place each, at least
    return x.astype(np.float32), label, np.arange(n)[None], np.arange(n, n + 200)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "dim", "C"), [(1500, 64, 1.0), (400, 100, 100.0), (1500, 2, 100.0)])
def test_logistic_head_stalls_on_smooth_features_and_rare_classes(
    n: int, dim: int, C: float
) -> None:
    data = smooth(n, dim)
    x, label, train, test = data
    few, ours = probabilities(data, C, False)
    scaler = StandardScaler().fit(x[train[0]].astype(np.float64))
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(scaler.transform(x[train[0]].astype(np.float64)), label[train[0]])
    theirs = model.predict_proba(scaler.transform(x[test].astype(np.float64)))
    assert np.isin(few.classes, model.classes_).all()
    assert np.abs(ours[:, 0].numpy() - theirs).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("C", [0.001, 1.0, 100.0])
@pytest.mark.parametrize(("n", "dim"), [(10, 2), (10, 300), (300, 2), (300, 300), (2000, 40)])
def test_logistic_head_fails_or_is_not_at_the_minimum(n: int, dim: int, C: float) -> None:
    few = FewShot.of(*smooth(n, dim))
    weight, bias = fit(few, C)
    x, truth = few.x[0].double(), torch.nn.functional.one_hot(few.y[0], len(few.classes))
    residual = (x @ weight[0].T + bias[0]).softmax(dim=1) - truth
    gradient = residual.T @ x + weight[0] / C
    # The penalty bounds the curvature from below, and so the loss that is left.
    assert gradient.square().sum() * C / 2 < 1e-5
    assert residual.sum(dim=0).abs().max() < 1e-4


def test_seed_that_misses_a_class_predicts_it_or_fails() -> None:
    x, label, train, test = make(classes=3)
    rare = np.unique(label)[0]
    train[1] = np.flatnonzero(label != rare)[: train.shape[1]]
    train[2] = np.flatnonzero(label == rare)[0]  # one place over and over: one class
    for kind in (Logistic(), MLP(steps=20), KNN(), Forest(trees=10), Majority()):
        guess = kind.fit_predict(x, label, train, test, SEED)
        assert not (guess[1] == rare).any(), kind
        assert (guess[2] == rare).all(), kind


def plain_loop(few: FewShot, start: Any, steps: int, lr: float, decay: float) -> list[Any]:
    """Train one nn.Module per seed with torch.optim, as one would by hand."""
    modules = []
    for s in range(len(few.y)):
        seen = few.present[s]
        w1, b1, w2, b2 = (w[s] for w in start)
        module = torch.nn.Sequential(
            torch.nn.Linear(w1.shape[1], w1.shape[0]),
            torch.nn.Tanh(),
            torch.nn.Linear(w1.shape[0], int(seen.sum())),
        ).to(w1.dtype)
        with torch.no_grad():
            for mine, given in zip(
                module.parameters(), (w1, b1[:, 0], w2[seen], b2[seen, 0]), strict=True
            ):
                mine.copy_(given)
        adam = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=decay, eps=EPSILON)
        target = (seen.cumsum(0) - 1)[few.y[s]]
        for _ in range(steps):
            adam.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(few.axes.z[s].to(w1.dtype)), target)
            loss.backward()
            adam.step()
        modules.append(module)
    return modules


@pytest.mark.slow
@pytest.mark.parametrize(("n", "dim"), [(60, 100), (120, 20)])
def test_mlp_head_differs_from_a_loop_of_modules_and_optimizers(n: int, dim: int) -> None:
    data = make(n, dim)
    few = FewShot.of(*data)
    kind = MLP(hidden=16, steps=80)
    start = initial(SEED, range(4), int(data[1].max()) + 1, few.classes, 16, min(n, dim))
    w1, b1, w2, b2 = train_all(few, start, kind.steps, kind.lr, kind.weight_decay)
    modules = plain_loop(few, start, kind.steps, kind.lr, kind.weight_decay)
    guess = kind.fit_predict(*data, SEED)
    for s, module in enumerate(modules):
        seen = few.present[s]
        tested = few.standardised_test(s) @ few.axes.back[s].float().T
        theirs = module(tested).softmax(dim=1)
        logit = (tested @ w1[s].T + b1[s, :, 0]).tanh() @ w2[s].T + b2[s, :, 0]
        assert (logit[:, seen].softmax(dim=1) - theirs).abs().max() < 1e-5
        sure = theirs.topk(2).values.diff().abs()[:, 0] > 1e-4
        winner = few.classes[seen.numpy()][theirs.argmax(dim=1).numpy()]
        assert (winner == guess[s])[sure.numpy()].all()
        assert sure.float().mean() > 0.95


@pytest.mark.slow
def test_mlp_differs_from_the_loop_by_more_than_rounding() -> None:
    data = make()
    few = FewShot.of(*data)
    start = initial(SEED, range(4), int(data[1].max()) + 1, few.classes, 16, 40)
    double = tuple(w.double() for w in start)
    w1, _, w2, _ = train_all(few, double, 100, 0.01, 0.01)  # type: ignore[arg-type]
    for s, module in enumerate(plain_loop(few, double, 100, 0.01, 0.01)):
        assert (module[0].weight - w1[s]).abs().max() < 1e-9
        assert (module[2].weight - w2[s][few.present[s]]).abs().max() < 1e-9


def test_mlp_weights_depend_on_the_other_seeds_of_the_batch() -> None:
    x, label, train, test = make(seeds=6)
    together = MLP(steps=30).fit_predict(x, label, train, test, SEED)
    alone = MLP(steps=30).fit_predict(x, label, train[:2], test, SEED)
    assert (together[:2] == alone).mean() > 0.999
    other = MLP(steps=30).fit_predict(x, label, train, test, np.random.SeedSequence(6))
    assert (together != other).any()


@pytest.mark.parametrize("k", [1, 5, 12])
@pytest.mark.parametrize(("n", "dim"), [(60, 100), (120, 2)])
def test_knn_head_differs_from_scikit_learn(n: int, dim: int, k: int) -> None:
    data = make(n, dim)
    x, label, train, test = data
    ours = KNN(k).fit_predict(*data, SEED)
    for s, rows in enumerate(train):
        scaler = StandardScaler().fit(x[rows].astype(np.float64))
        model = KNeighborsClassifier(k).fit(scaler.transform(x[rows]), label[rows])
        assert (model.predict(scaler.transform(x[test])) == ours[s]).all()


def test_forest_head_differs_from_scikit_learn() -> None:
    data = make(seeds=2)
    x, label, train, test = data
    ours = Forest(trees=20).fit_predict(*data, SEED)
    for s, rows in enumerate(train):
        state = int(np.random.SeedSequence(5).spawn(2)[s].generate_state(1)[0])
        model = RandomForestClassifier(20, random_state=state).fit(x[rows], label[rows])
        assert (model.predict(x[test]) == ours[s]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_cutting_the_seeds_into_chunks_changes_predictions(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make(seeds=5)
    kind = head(name)
    whole = kind.fit_predict(*data, SEED)
    assert whole.dtype == (np.int16 if kind.predicts == "classes" else np.float64)
    assert whole.shape == (5, len(data[3]))
    monkeypatch.setattr(base, "CHUNK_BYTES", 1)
    cut = kind.fit_predict(*data, SEED)
    # Other shapes of the products round otherwise; only undecided places may change.
    assert np.isclose(whole, cut, rtol=1e-9).mean() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_test_places_leak_into_the_fit(name: str) -> None:
    x, label, train, test = make()
    first = head(name).fit_predict(x, label, train, test[:100], SEED)
    moved = x.copy()
    moved[test[100:]] *= 1000
    label = label.copy()
    label[test] = label[0]
    second = head(name).fit_predict(moved, label, train, test, SEED)
    assert np.isclose(first, second[:, :100], rtol=1e-9).mean() > 0.999


def test_constant_feature_spoils_the_standardisation() -> None:
    x, label, train, test = make(dim=10)
    plain = Logistic().fit_predict(x, label, train, test, SEED)
    wide = np.concatenate([x, np.full((len(x), 1), 1234.567, np.float32)], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (Logistic().fit_predict(wide, label, train, test, SEED) == plain).mean() > 0.999


def test_diverged_encoder_gives_scores() -> None:
    x, label, train, test = make()
    x[test[3], 2] = np.nan
    with pytest.raises(WherefromError, match=f"features of row {test[3]} are not finite"):
        Logistic().fit_predict(x, label, train, test, SEED)


def test_mistyped_head_or_option_is_ignored() -> None:
    with pytest.raises(WherefromError, match="did you mean 'logistic'"):
        head("logistics")
    with pytest.raises(WherefromError, match=r"option of head 'mlp' 'hiden'.*'hidden'"):
        head("mlp", hiden=3)
    for name, options in (("knn", {"k": 0}), ("mlp", {"lr": 0.0}), ("logistic", {"C": -1.0})):
        with pytest.raises(WherefromError, match=f"{name} head"):
            head(name, **options)
    with pytest.raises(WherefromError, match="k = 7 neighbours of n = 3"):
        KNN(7).fit_predict(np.zeros((9, 1), np.float32), np.zeros(9, int),
                           np.arange(3)[None], np.arange(3, 9), SEED)  # fmt: skip


def test_a_spec_does_not_make_the_head_or_a_head_takes_a_model_unsaid() -> None:
    for name in HEADS:
        spec = head(name).spec()
        assert spec.pop("name") == name
        assert head(name, **spec) == head(name)
        assert not head(name).tunes_encoder
    kind = FineTune(steps=3, C=0.5)
    assert kind.spec() == {"name": "finetune", "steps": 3, "lr": 1e-4, "head_lr": 1e-3,
                           "weight_decay": 0.01, "C": 0.5}  # fmt: skip
    assert kind.tunes_encoder


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ([1, 3, 1], r"shape \(3,\), not \(2, 3\)"),
        ([[1, 3, 1]], r"shape \(1, 3\), not \(2, 3\)"),
        ([[1, 3], [1, 3], [1, 3]], r"shape \(3, 2\), not \(2, 3\)"),
        ([[1, 3, 1.5], [1, 1, 1]], "not all whole numbers"),
        ([[1, 3, np.nan], [1, 1, 1]], "not all whole numbers"),
        ([["1", "3", "1"], ["1", "3", "1"]], "not all whole numbers"),
        ([[1, 3, 0], [1, 1, 1]], "0, no class of its training rows: 1, 3"),
    ],
)
def test_predictions_that_are_no_class_codes_are_scored(predicted: Any, message: str) -> None:
    with pytest.raises(WherefromError, match=f"head 'mine' predicts.*{message}"):
        checked("mine", predicted, 2, 3, np.array([[3, 1], [1, 1]]))
    whole = checked("mine", [[1.0, 3.0, 1.0], [1.0, 1.0, 1.0]], 2, 3, [1, 3])
    assert whole.dtype == np.int16
    assert whole.tolist() == [[1, 3, 1], [1, 1, 1]]
    with pytest.raises(WherefromError, match="class code 40000 is above 32767"):
        checked("mine", [[1]], 1, 1, [1, 40_000])


# As estimators of scikit-learn's kind.


@pytest.mark.parametrize("name", HEADS)
def test_an_estimator_tells_another_thing_than_its_head(name: str) -> None:
    x, label, train, test = make(seeds=1)
    numbers = kind_of_head(name).predicts == "numbers"
    words = np.array([f"class {code:02d}" for code in label])
    y = label * 1.5 if numbers else words
    few = {"forest": {"trees": 5}, "mlp": {"steps": 5}}.get(name, {})
    made = clone(estimator(name, random_state=3, **few))
    assert made.get_params() == {"head": name, "random_state": 3} | {
        key: value for key, value in head(name, **few).spec().items() if key != "name"
    }
    fitted = pickle.loads(pickle.dumps(made.fit(x[train[0]], y[train[0]])))
    told = fitted.predict(x[test])
    assert (told == fitted.predict(x[test])).all()
    rows = np.concatenate([train[0], test])
    own = (label * 1.5 if numbers else np.unique(words, return_inverse=True)[1])[rows]
    n, seed = train.shape[1], np.random.SeedSequence(fitted._seed)
    given = x[rows], own, np.arange(n)[None], np.arange(n, len(rows)), seed
    due = head(name, **few).fit_predict(*given)[0]
    assert (told == (due if numbers else np.unique(words)[due])).all()
    assert hasattr(fitted, "predict_proba") == kind_of_head(name).tells_probabilities
    if hasattr(fitted, "predict_proba"):
        chances = fitted.predict_proba(x[test])
        assert np.allclose(chances.sum(axis=1), 1)
        assert (fitted.classes_[chances.argmax(axis=1)] == told).mean() > 0.99


def test_an_estimator_is_refused_by_a_search_or_takes_what_its_head_does_not() -> None:
    x, label, *_ = make()
    search = GridSearchCV(estimator("knn"), {"k": [1, 5]}, cv=2).fit(x[:80], label[:80])
    assert set(search.best_params_) == {"k"}
    assert estimator("knn").set_params(k=3).get_params()["k"] == 3
    assert set(estimator("knn").set_params(head="logistic").get_params()) == {
        "head", "random_state", "C"
    }  # fmt: skip
    with pytest.raises(WherefromError, match="unknown option of head 'knn' 'c'"):
        estimator("knn", c=1)
    with pytest.raises(WherefromError, match="C must be positive"):
        estimator("logistic", C=-1.0).fit(x, label)
    with pytest.raises(WherefromError, match="trains the encoder"):
        estimator("finetune")
    with pytest.raises(ValueError, match=r"X has 3 features, but .* expecting 40"):
        estimator("majority").fit(x, label).predict(x[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        estimator("ridge").fit(np.full_like(x, np.nan), label)
