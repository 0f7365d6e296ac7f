"""Full fine-tuning of Presto by the one way for all models, against loops over the seeds.

    python benchmarks/finetune_presto.py [--shape climate] [--n 100] [--seeds 8] [--threads 2]
        [--weights default_model.pt] [--torchgeo PYTHON]

Shape "climate": ERA5, elevation and slope, 14 tokens; "all": every channel group, 110 tokens. 2,000
test places (300 of shape "all"), 20 steps. The loop trains one model after the other with
torch.optim.AdamW, from the same heads; with PYTHON, the interpreter of an environment with
``pip install "torchgeo==0.10.*"``, also over torchgeo's Presto with the same weights. It predicts
in batches of 128, which suit it best. Gradients are compared first, predictions at the end. Values
are random, and so are weights without a file of the published ones: time does not depend on them.
The runs take turns. With --threads 1 processor seconds, else wall-clock ones.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

STEPS, LR, HEAD_LR, DECAY = 20, 1e-4, 1e-3, 0.01
Embed = Callable[[nn.Module, Tensor], Tensor]


def make(shape: str, n: int, seeds: int) -> dict[str, Tensor]:
    """Make records, labels and episodes as tensors."""
    rng = np.random.default_rng(0)
    tested = 2000 if shape == "climate" else 300
    rows = tested + 1000
    hidden = np.zeros((rows, 12, 17), bool)
    if shape == "climate":
        hidden[..., np.setdiff1d(np.arange(17), [12, 13, 14, 15])] = True
        world = np.full((rows, 12), 9, np.uint8)
    else:
        world = rng.integers(0, 9, (rows, 12)).astype(np.uint8)
    x = np.where(hidden, 0, rng.normal(0.4, 0.3, hidden.shape)).astype(np.float32)
    data = {
        "x": x, "hidden": hidden, "dynamic_world": world,
        "lonlat": np.stack([rng.uniform(-20, 50, rows), rng.uniform(-35, 37, rows)], axis=1),
        "month": np.tile(np.arange(12), (rows, 1)),
        "y": (x[:, :, 12].mean(1) + rng.normal(0, 0.05, rows) > 0.4).astype(np.int64),
        "train": np.stack([rng.permutation(1000)[:n] for _ in range(seeds)]),
        "test": np.arange(1000, rows),
    }  # fmt: skip
    return {name: torch.from_numpy(np.asarray(v)) for name, v in data.items()}


def now() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def logits(data: dict[str, Tensor], s: int, weight: Tensor, bias: Tensor, features: Tensor) -> Any:
    return (features - data["mean"][s]) / data["scale"][s] @ weight.T + bias


def loop(data: dict[str, Tensor], model: nn.Module, embed: Embed) -> tuple[float, Tensor]:
    """Fine-tune and predict one seed after the other; seconds, and the predictions."""
    began, found = now(), []
    for s, rows in enumerate(data["train"]):
        alone = copy.deepcopy(model)
        head = [data[k][s].clone().requires_grad_() for k in ("head_weight", "head_bias")]
        encoder = getattr(alone, "encoder", alone)
        body = [p for p in encoder.parameters() if p.requires_grad]
        adam = torch.optim.AdamW(
            [{"params": body, "lr": LR}, {"params": head, "lr": HEAD_LR}], weight_decay=DECAY
        )
        for _ in range(STEPS):
            adam.zero_grad()
            found_logits = logits(data, s, head[0], head[1], embed(alone, rows))
            nn.functional.cross_entropy(found_logits, data["y"][rows]).backward()  # type: ignore[no-untyped-call]
            adam.step()
        with torch.no_grad():
            parts = [
                logits(data, s, head[0], head[1], embed(alone, part)).argmax(1)
                for part in data["test"].split(128)
            ]
        found.append(torch.cat(parts))
    return now() - began, torch.stack(found)


def theirs(folder: Path) -> None:
    """Run the loop over torchgeo's Presto once, and say how long it took."""
    from torchgeo.models.presto import presto

    data = {k: torch.from_numpy(v) for k, v in np.load(folder / "data.npz").items()}
    model = presto()
    model.load_state_dict(torch.load(folder / "weights.pt"))
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_("pos_embed" not in name and "month_embed" not in name)
    world, month = data["dynamic_world"].long(), data["month"].long()
    latlon, mask = data["lonlat"].flip(1).float(), data["hidden"].float()

    def embed(encoder: nn.Module, rows: Tensor) -> Tensor:
        norm, encoder.norm = encoder.norm, nn.Identity()  # Presto averages before the norm
        given = (data["x"][rows], world[rows], latlon[rows], mask[rows], month[rows])
        tokens = encoder(*given)[0]
        encoder.norm = norm
        return norm(tokens.mean(1))

    taken, found = loop(data, model.encoder, embed)
    np.save(folder / "found.npy", found.numpy())
    print(json.dumps(taken))


def gradients(
    presto: Any, tuned: Any, data: dict[str, Tensor], embed: Embed, trained: bool
) -> None:
    """Compare one step's gradients of the first seed with those of a copy of the model."""
    for weight in (*tuned.weights.values(), tuned.head_weight, tuned.head_bias):
        weight.requires_grad_()
    for rows in tuned.passes():
        tuned.loss(rows).sum().backward()
    alone = copy.deepcopy(presto)
    rows = data["train"][0]
    found = logits(data, 0, data["head_weight"][0], data["head_bias"][0], embed(alone, rows))
    nn.functional.cross_entropy(found, data["y"][rows]).backward()  # type: ignore[no-untyped-call]
    given = dict(alone.named_parameters())
    pairs = [
        (w.grad[0], given[name.removeprefix("module.")].grad) for name, w in tuned.weights.items()
    ]
    norm = torch.cat([b.flatten() for _, b in pairs]).norm()
    most = max(float((a - b).abs().max()) for a, b in pairs)
    print(f"gradients: norm {norm:.3f}, largest difference {most:.1e}")
    # Of trained weights the loop's own gradients are 2 to 6e-7 from those in float64. Random ones
    # spread places little, and the head divides by the spread: there both are up to 1e-5 off.
    assert most < (2e-6 if trained else 2e-5) * max(1.0, float(norm))


def main(chosen: argparse.Namespace) -> None:
    from wherefrom.models.masked import PrestoConfig
    from wherefrom.models.presto import Presto
    from wherefrom.train.finetune import Start
    from wherefrom.train.heads.finetune import FineTune

    data = make(chosen.shape, chosen.n, chosen.seeds)
    records = {k: data[k].numpy() for k in ("x", "hidden", "dynamic_world", "month")}
    records |= {"lon": data["lonlat"][:, 0].numpy(), "lat": data["lonlat"][:, 1].numpy()}
    labels, train, test = (data[k].numpy() for k in ("y", "train", "test"))
    if chosen.weights is None:
        presto = Presto(torch.Generator().manual_seed(1)).eval()
    else:
        presto = Presto.load_official(chosen.weights)
    kind = FineTune(steps=STEPS, lr=LR, head_lr=HEAD_LR, weight_decay=DECAY)
    given = (PrestoConfig(), presto, records, labels, train, test)
    begun = Start.of(*given)
    heads = begun.tuning(train, kind.C)
    for name in ("head_weight", "head_bias", "mean", "scale"):
        data[name] = getattr(heads, name)

    def embed(model: nn.Module, rows: Tensor) -> Tensor:
        read = (data[k][rows] for k in ("x", "dynamic_world", "lonlat", "month", "hidden"))
        found: Tensor = model.embed(*read)  # type: ignore[operator]
        return found

    one = begun.tuning(train[:1], kind.C)
    gradients(presto, one, data, embed, trained=chosen.weights is not None)

    def ours() -> tuple[float, Tensor]:
        began = now()
        found = kind.fit_predict(*given)
        return now() - began, torch.from_numpy(found)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", **{k: v.numpy() for k, v in data.items()})
        torch.save(presto.state_dict(), folder / "weights.pt")

        def torchgeo() -> tuple[float, Tensor]:
            threads = str(torch.get_num_threads())
            call = [chosen.torchgeo, __file__, "--theirs", name, "--threads", threads]
            line = subprocess.run(call, check=True, capture_output=True, text=True).stdout
            return json.loads(line.splitlines()[-1]), torch.from_numpy(
                np.load(folder / "found.npy")
            )

        runs = {"ours": ours, "loop": lambda: loop(data, presto, embed)}
        if chosen.torchgeo:
            runs["loop, torchgeo"] = torchgeo
        taken: dict[str, list[float]] = {name: [] for name in runs}
        answers = {}
        for _ in range(chosen.rounds):
            for what, run in runs.items():
                took, answers[what] = run()
                taken[what].append(took / chosen.seeds)
    for what, times in taken.items():
        median = statistics.median(times)
        ratio = median / statistics.median(taken["ours"])
        same = float((answers[what] == answers["ours"]).float().mean())
        print(f"{what:15} {median:6.3f} s a seed: ratio {ratio:.2f}; same answers {same:.2%}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=("climate", "all"), default="climate")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights")
    parser.add_argument("--torchgeo")
    parser.add_argument("--theirs", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.theirs:
        theirs(Path(chosen.theirs))
    else:
        main(chosen)
