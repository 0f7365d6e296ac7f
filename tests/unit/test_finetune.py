"""Full fine-tuning: all seeds of any model give what a loop of modules and optimizers gives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models.axes import Axes
from wherefrom.models.masked import PrestoConfig
from wherefrom.models.presto import Presto
from wherefrom.models.satclip import SatCLIPConfig
from wherefrom.models.tokens import BANDS, CLASSES, GROUPS
from wherefrom.train import finetune
from wherefrom.train.embed import embed
from wherefrom.train.finetune import Start
from wherefrom.train.heads.finetune import FineTune
from wherefrom.train.heads.logistic import Logistic

ROWS, N, TEST = 160, 12, 60


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Case(NamedTuple):
    model: Any
    module: nn.Module
    records: dict[str, Any]
    label: Any
    train: Any
    test: Any

    def start(self) -> Start:
        return Start.of(*self)

    def predicted(self, **options: Any) -> Any:
        return FineTune(**options).fit_predict(*self)


class Columns:
    """A model of the test's own: a network on two columns, and whatever its module does."""

    name = "columns"

    def prepare(self, records: Any, device: torch.device) -> dict[str, Tensor]:
        return {name: torch.from_numpy(values).to(device) for name, values in records.items()}

    def collate(self, prepared: Any, rows: Tensor) -> dict[str, Tensor]:
        return {name: values[rows] for name, values in prepared.items()}

    def encode(self, module: nn.Module, batch: Any) -> Tensor:
        found: Tensor = module(torch.stack([batch["a"], batch["b"]], dim=1).float())
        return found


class Plain(nn.Module):
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.first, self.second = nn.Linear(2, 16), nn.Linear(16, 8)
        self.frozen, self.unused = nn.Linear(8, 8), nn.Linear(8, 8)
        self.register_buffer("scale", torch.tensor(3.0))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)
        self.frozen.requires_grad_(False)

    def between(self, h: Tensor) -> Tensor:
        return h

    def forward(self, x: Tensor) -> Tensor:
        h = self.between(torch.tanh(self.first(x) * self.scale))
        found: Tensor = self.frozen(self.second(h))
        return found


class Branching(Plain):
    def between(self, h: Tensor) -> Tensor:
        return h if h.abs().sum().item() > 0 else -h


class Writing(Plain):
    def between(self, h: Tensor) -> Tensor:
        room = torch.empty(h.shape)
        room[:] = h
        return room


class Counting(Plain):
    """Keeps a count of its calls, in a buffer that must not be the given module's."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def between(self, h: Tensor) -> Tensor:
        self.calls += h.abs().sum() > 0
        return h


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return 2 * h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * grads[0]


class Own(Plain):
    def between(self, h: Tensor) -> Tensor:
        found: Tensor = _Twice.apply(h)  # type: ignore[no-untyped-call]
        return found


class Attending(Plain):
    """`vmap` knows torch's attention only by repeating it, and warns."""

    def between(self, h: Tensor) -> Tensor:
        q = h.view(-1, 2, 4, 2)
        return nn.functional.scaled_dot_product_attention(q, q, q).flatten(1)


def places(seed: int = 5) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"lon": rng.uniform(-180, 180, ROWS), "lat": rng.uniform(-90, 90, ROWS)}


def episodes(label: Any) -> tuple[Any, Any, Any]:
    """Three seeds, of which the last has not seen a class."""
    rng = np.random.default_rng(6)
    train = np.stack([rng.permutation(ROWS - TEST)[:N] for _ in range(3)])
    train[2] = np.flatnonzero(label[: ROWS - TEST] != 9)[:N]
    return label, train, np.arange(ROWS - TEST, ROWS)


def columns(kind: Callable[[], nn.Module]) -> Case:
    a, b = places().values()
    label = np.array([3, 5, 9])[(b > 5).astype(int) + (a + b > 40)]
    return Case(Columns(), kind(), {"a": a / 90, "b": b / 45}, *episodes(label))


def satclip(degrees: int) -> Case:
    model = SatCLIPConfig(degrees=degrees, inputs=3, width=48, out=24)
    records = places()
    lon, lat = records.values()
    label = np.array([3, 5, 9])[(lat > 5).astype(int) + (lon + lat > 40)]
    return Case(model, model.build(torch.Generator().manual_seed(1)), records, *episodes(label))


def presto(shown: tuple[str, ...], ragged: bool = False) -> Case:
    """Random weights, gains, offsets and biases: none may be at a value that hides its absence."""
    generator = torch.Generator().manual_seed(3)
    module = Presto(generator)
    with torch.no_grad():
        for parameter in module.encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    rng = np.random.default_rng(5)
    hidden = np.ones((ROWS, 4, BANDS), bool)
    for name in shown:
        hidden[..., list(GROUPS[name])] = False
    world = np.full((ROWS, 4), CLASSES, np.uint8)
    if "dynamic_world" in shown:
        world = rng.integers(0, CLASSES, (ROWS, 4)).astype(np.uint8)
    if ragged:
        hidden |= rng.random(hidden.shape) < 0.2
        world[rng.random(world.shape) < 0.3] = CLASSES
    x = rng.normal(0.4, 0.3, hidden.shape).astype(np.float32)
    month = (rng.integers(0, 12, (ROWS, 1)) + np.arange(4)) % 12
    records = {"x": np.where(hidden, np.float32(0), x), "hidden": hidden, "dynamic_world": world,
               "month": month.astype(np.int8)} | places()  # fmt: skip
    label = np.array([3, 5, 9])[(x[:, 0, 12] > 0.3).astype(int) + (records["lat"] > 30)]
    return Case(PrestoConfig(), module, records, *episodes(label))


RAGGED = ("S2_RGB", "S2_NIR_10m", "ERA5", "SRTM", "NDVI", "dynamic_world")
STACKED = {
    "two columns": lambda: columns(Plain),
    "satclip, n < inputs": lambda: satclip(10),
    "satclip, n > inputs": lambda: satclip(3),
}
LOOPED = {
    "branching": lambda: columns(Branching),
    "writing": lambda: columns(Writing),
    "counting": lambda: columns(Counting),
    "own function": lambda: columns(Own),
    "attending": lambda: columns(Attending),
    "presto": lambda: presto(("ERA5", "SRTM")),
    "presto, ragged": lambda: presto(RAGGED, ragged=True),
}


@pytest.fixture(params=STACKED | LOOPED)
def case(request: pytest.FixtureRequest) -> Case:
    return (STACKED | LOOPED)[request.param]()


@pytest.mark.slow
@pytest.mark.parametrize("name", STACKED | LOOPED)
def test_a_module_that_vmap_cannot_follow_is_stacked_or_another_looped(name: str) -> None:
    begun = (STACKED | LOOPED)[name]().start()
    assert begun.stacks == (name in STACKED)
    assert len(begun.chunks(np.zeros((3, N)))) == (1 if name in STACKED else 3)


def alone(
    case: Case, begun: Start, tuned: Any, s: int, train: Any
) -> tuple[nn.Module, nn.Linear, Callable[[Any], Tensor], Tensor]:
    """Make one seed's module, its head of the classes that it has seen, logits and targets."""
    made = begun.narrowed(torch.from_numpy(train))
    seen = tuned.few.present[s]
    head = nn.Linear(tuned.head_weight.shape[2], int(seen.sum()))
    with torch.no_grad():
        head.weight.copy_(tuned.head_weight[s][seen])
        head.bias.copy_(tuned.head_bias[s][seen])
    y = torch.from_numpy(np.unique(case.label[train], return_inverse=True)[1])

    def logits(rows: Any) -> Tensor:
        found = case.model.encode(made.module, made.read(torch.from_numpy(rows)))
        logit: Tensor = head((found - tuned.mean[s]) / tuned.scale[s])
        return logit

    return made.module, head, logits, y


def test_gradients_differ_from_those_of_the_module_alone(case: Case) -> None:
    begun = case.start()
    tuned = begun.tuning(case.train, 1.0) if begun.stacks else begun.tuning(case.train[:1], 1.0)
    tuned.size = 5 * len(tuned.read)  # several passes, whose gradients must add up to the whole
    assert [rows.stop for rows in tuned.passes()] == [4, 8, 12]
    for weight in (*tuned.weights.values(), tuned.head_weight):
        weight.requires_grad_()
    for rows in tuned.passes():
        tuned.loss(rows).sum().backward()  # type: ignore[no-untyped-call]
    for s in range(len(tuned.read)):
        module, head, logits, y = alone(case, begun, tuned, s, case.train[s])
        nn.functional.cross_entropy(logits(case.train[s]), y).backward()  # type: ignore[no-untyped-call]
        given = {name: p for name, p in module.named_parameters() if p.grad is not None}
        assert set(tuned.weights) == {f"module.{name}" for name in given}
        norm = float(torch.cat([p.grad.flatten() for p in given.values()]).norm())  # type: ignore[union-attr]
        for name, p in given.items():
            ours = tuned.weights[f"module.{name}"].grad
            assert ours is not None
            assert (ours[s] - p.grad).abs().max() < 1e-5 * max(1.0, norm)  # type: ignore[operator]
        ours, seen = tuned.head_weight.grad, tuned.few.present[s]
        assert ours is not None
        assert (ours[s][seen] - head.weight.grad).abs().max() < 1e-5  # type: ignore[operator]
        assert not ours[s][~seen].any()


@pytest.mark.slow
def test_trained_copies_differ_from_a_loop_of_optimizers(case: Case) -> None:
    kind = FineTune(steps=10, lr=3e-4)
    begun, guess = case.start(), case.predicted(steps=10, lr=3e-4)
    for s, rows in enumerate(case.train):
        tuned = begun.tuning(rows[None], kind.C)
        module, head, logits, y = alone(case, begun, tuned, 0, rows)
        body = [p for p in module.parameters() if p.requires_grad]
        adam = torch.optim.AdamW(
            [
                {"params": body, "lr": kind.lr},
                {"params": list(head.parameters()), "lr": kind.head_lr},
            ],
            weight_decay=kind.weight_decay,
        )
        for _ in range(kind.steps):
            adam.zero_grad()
            nn.functional.cross_entropy(logits(rows), y).backward()  # type: ignore[no-untyped-call]
            adam.step()
        with torch.no_grad():
            chance = logits(case.test).softmax(dim=1)
        sure = (chance.topk(2).values.diff().abs()[:, 0] > 1e-3).numpy()
        winner = tuned.few.classes[chance.argmax(dim=1).numpy()]
        assert (winner == guess[s])[sure].all()
        assert sure.mean() > 0.9
        tuned.tune(kind.steps, kind.lr, kind.head_lr, kind.weight_decay)
        # AdamW takes a step as long where a gradient is but rounding.
        assert (tuned.head_weight[0] - head.weight).abs().max() < kind.head_lr / 2


@pytest.mark.slow
def test_start_is_not_the_linear_probe(case: Case) -> None:
    features = embed(case.model, case.module, case.records)
    probe = Logistic().fit_predict(
        features, case.label, case.train, case.test, np.random.SeedSequence(0)
    )
    still = case.predicted(steps=1, lr=1e-12, head_lr=1e-12)
    assert (still == probe).mean() > 0.99


@pytest.mark.slow
def test_fine_tuning_changes_the_given_module_or_leaves_the_loss(case: Case) -> None:
    before = copy.deepcopy(case.module.state_dict())
    mode = case.module.training
    tuned = case.start().tuning(case.train[2:], 0.1)
    first = tuned.loss()
    tuned.tune(20, 1e-3, FineTune.head_lr, 0.0)
    assert (tuned.loss() < first).all()
    guess = case.predicted(steps=3)
    assert guess.dtype == np.int16
    assert (guess == case.predicted(steps=3)).all()
    assert all(torch.equal(before[k], v) for k, v in case.module.state_dict().items())
    assert all(p.grad is None for p in case.module.parameters())
    assert case.module.training == mode
    assert not (guess[2] == 9).any()


@pytest.mark.slow
def test_cut_of_seeds_and_passes_changes_the_result(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = case.predicted(steps=5, lr=3e-4)
    monkeypatch.setattr(finetune, "PASS_BYTES", 6 * case.start().row_bytes)
    assert (case.predicted(steps=5, lr=3e-4) == whole).mean() > 0.95
    monkeypatch.undo()
    for s, rows in enumerate(case.train):
        one = case._replace(train=rows[None]).predicted(steps=5, lr=3e-4)
        assert (one[0] == whole[s]).mean() > 0.95


@pytest.mark.slow
def test_threads_change_the_result_or_stay_set(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "PASS_BYTES", 6 * case.start().row_bytes)
    assert len(case.start().chunks(case.train)) == 3  # a seed at a time
    due = case.predicted(steps=3)
    torch.set_num_threads(3)
    found = case.predicted(steps=3)
    assert torch.get_num_threads() == 3
    np.testing.assert_array_equal(found, due)


def test_a_parameter_is_tuned_that_no_embedding_reaches_or_that_is_frozen() -> None:
    begun = columns(Plain).start()
    assert begun.names == ("first.weight", "first.bias", "second.weight", "second.bias")
    assert all(name.startswith("encoder.") for name in presto(("ERA5",)).start().names)
    assert all(name.startswith("layers.") for name in satclip(4).start().names)
    still = columns(Plain)
    still.module.requires_grad_(False)
    with pytest.raises(WherefromError, match="columns embeds by no parameter that requires"):
        still.predicted()


@pytest.mark.parametrize("degrees", [3, 10])
def test_the_narrowed_satclip_is_another_model(degrees: int) -> None:
    case = satclip(degrees)
    module = copy.deepcopy(case.module).eval()
    prepared = case.model.prepare(case.records, torch.device("cpu"))
    rows, every = torch.from_numpy(case.train[0]), torch.arange(ROWS)
    narrowed = case.model.narrow(module, prepared)(rows)
    weight = narrowed.module.layers[0].weight
    assert weight.shape == (48, min(N, degrees**2))
    whole = case.model.encode(module, case.model.collate(prepared, every))
    found = case.model.encode(narrowed.module, narrowed.read(every))
    assert (whole - found).abs().max() < 1e-4 * whole.abs().max()
    # Nothing of the whole gradient lies outside the axes.
    pull = torch.randn(N, 24, generator=torch.Generator().manual_seed(0))
    (whole[rows] * pull).sum().backward()
    (case.model.encode(narrowed.module, narrowed.read(rows)) * pull).sum().backward()
    axes = Axes.of(prepared["harmonics"][rows][None].double()).back[0].float()
    first = module.location.layers[0].weight.grad
    assert (first - weight.grad @ axes).abs().max() < 1e-4 * first.abs().max()


@pytest.mark.slow
def test_seed_with_one_class_fails_or_guesses_another(case: Case) -> None:
    case.train[1] = np.resize(np.flatnonzero(case.label[: ROWS - TEST] == 3), N)
    guess = case.predicted(steps=5)
    assert (guess[1] == 3).all()
    assert len(np.unique(guess[0])) > 1


@pytest.mark.slow
def test_what_is_hidden_has_an_influence() -> None:
    case = presto(RAGGED, ragged=True)
    noise = np.where(case.records["hidden"], np.float32(np.nan), case.records["x"])
    again = case._replace(records=case.records | {"x": noise})
    assert (case.predicted(steps=2) == again.predicted(steps=2)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"month": None}, "records lack month"),
        ({"x": np.zeros((ROWS, 4, 18), np.float32)}, "normalise"),
        ({"hidden": np.zeros((ROWS, 3, 17), bool)}, "mask has shape"),
        ({"lat": np.zeros(3)}, "lon and lat have shapes"),
        ({"lon": np.full(ROWS, 181.0)}, "longitude"),
        ({"month": np.full((ROWS, 4), 12)}, "start_month of row 0 must be 0 to 11"),
        ({"label": np.zeros(7, int)}, "labels have shape"),
        ({"train": np.arange(5)}, "train of shape"),
        ({"train": np.full((2, 5), ROWS)}, "train of shape"),
        ({"test": np.array([-1])}, "test of shape"),
        ({"test": np.array([], int)}, "test of shape"),
    ],
)
def test_wrong_input_is_taken(change: dict[str, Any], message: str) -> None:
    case = presto(("ERA5", "SRTM"))
    case = case._replace(**{k: v for k, v in change.items() if k in case._fields})
    changed = case.records | {k: v for k, v in change.items() if k not in case._fields}
    case = case._replace(records={k: v for k, v in changed.items() if v is not None})
    with pytest.raises(WherefromError, match=message):
        case.predicted(steps=1)


def test_value_that_is_not_finite_is_taken() -> None:
    case = presto(("ERA5", "SRTM"))
    case.records["x"][7, 2, 12] = np.nan
    with pytest.raises(WherefromError, match="x of row 7, step 2, column 12 is not finite"):
        case.predicted(steps=1)
    for case, name in ((columns(Plain), "a"), (satclip(4), "lon")):
        for row in (case.test[3], case.train[1, 3], case.train[0, 0]):
            case.records[name][row] = np.nan
            with pytest.raises(WherefromError, match=rf"row {row}(: lon nan| is not finite)"):
                case._replace(train=case.train[:, :4]).predicted(steps=1)
            case.records[name][row] = 0.0


def test_impossible_rates_are_taken() -> None:
    with pytest.raises(WherefromError, match="steps must be at least 1"):
        FineTune(steps=0)
    with pytest.raises(WherefromError, match="rates and C positive"):
        FineTune(lr=-1.0)


class Hemispheres(Plain):
    """Has a weight for the north and one for the south, which only their rows reach."""

    def __init__(self) -> None:
        super().__init__()
        self.north, self.south = (nn.Parameter(torch.full((2,), 1.5)) for _ in "ns")

    def forward(self, x: Tensor) -> Tensor:
        north = x[:, 1:] > 0
        if north.any():
            x = torch.where(north, x * self.north, x)
        if not north.all():
            x = torch.where(north, x, x * self.south)
        return super().forward(x)


@pytest.mark.parametrize("alone", [False, True])
def test_a_weight_that_the_first_rows_do_not_reach_is_left_or_crashes(alone: bool) -> None:
    case = columns(Hemispheres)
    north = case.records["b"] > 0
    for first in (north, ~north):
        train = np.stack([row[np.argsort(~first[row], kind="stable")] for row in case.train])
        turned = case._replace(train=train[:1] if alone else train)
        assert {"north", "south"} <= set(turned.start().names)
        guess = turned.predicted(steps=3)
        assert guess.shape == (len(turned.train), TEST)


class Only(nn.Module):
    """Has no weight but for the north."""

    def __init__(self) -> None:
        super().__init__()
        self.north = nn.Parameter(torch.full((2,), 1.5))

    def forward(self, x: Tensor) -> Tensor:
        north = x[:, 1:] > 0
        return torch.where(north, x * self.north, x) if north.any() else x


def test_rows_that_reach_no_weight_crash() -> None:
    case = columns(Only)
    north = case.records["b"] > 0
    case.train[0] = case.train[0][np.argsort(north[case.train[0]], kind="stable")]
    case.train[1] = np.flatnonzero(~north)[:N]
    assert case.start().names == ("north",)
    assert case.predicted(steps=2).shape == (3, TEST)


SHAPES: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "one row for all": (lambda x: x[:1], r"shape \(1, 8\) for a batch of"),
    "a row too few": (lambda x: x[1:], r"shape \(\d+, 8\) for a batch of"),
    "one axis": (lambda x: x[:, 0], r"shape \(\d+,\) for a batch of"),
    "three axes": (lambda x: x[:, None], r"shape \(\d+, 1, 8\) for a batch of"),
    "no number": (lambda x: x[:, :0], r"shape \(\d+, 0\) for a batch of"),
    "a tuple": (lambda x: (x, x), "a tuple for a batch of"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_embeddings_of_another_shape_are_broadcast(name: str) -> None:
    change, message = SHAPES[name]

    class Shaped(Columns):
        def encode(self, module: nn.Module, batch: Any) -> Tensor:
            changed: Tensor = change(super().encode(module, batch))
            return changed

    case = columns(Plain)._replace(model=Shaped())
    with pytest.raises(WherefromError, match=rf"encode\(\) of columns gives {message}"):
        case.predicted(steps=1)
    with pytest.raises(WherefromError, match=rf"encode\(\) of columns gives {message}"):
        embed(case.model, case.module, case.records)


def test_embeddings_of_double_precision_crash() -> None:
    class Double(Columns):
        def encode(self, module: nn.Module, batch: Any) -> Tensor:
            return super().encode(module, batch).double()

    case = columns(Plain)
    double = case._replace(model=Double())
    assert double.start().stacks
    assert (double.predicted(steps=2) == case.predicted(steps=2)).all()
    assert embed(double.model, double.module, double.records).dtype == np.float32


@pytest.mark.parametrize("label", [np.full(ROWS, 40_000), np.full(ROWS, -1), np.full(ROWS, 0.5)])
def test_labels_that_no_code_holds_wrap_around(label: Any) -> None:
    with pytest.raises(WherefromError, match="whole numbers from 0 to 32767"):
        columns(Plain)._replace(label=label).predicted(steps=1)
