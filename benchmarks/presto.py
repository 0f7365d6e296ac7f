"""Presto here against torchgeo 0.10's, trained and embedding in the same run.

    python benchmarks/presto.py --torchgeo PYTHON [--threads 2] [--rounds 5] [--device cpu]

PYTHON is the interpreter of an environment with ``pip install "torchgeo==0.10.*"`` (Python 3.12).
Each side is a process of its own; they take turns. Batch 512, 12 steps, all ten groups, the same
weights, inputs and masks; values are random, since time does not depend on them. Without
--torchgeo ours alone is measured. Memory: growth of the peak over what imports and inputs take.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

BATCH, STEPS = 512, 12
#: Operations of a training step per sample as the official code computes it (benchmarks/README.md).
FLOPS = 0.371e9
RATIOS = (
    ("train float32", "train float32", 1.3), ("train bfloat16", "train float32", 2.0),
    ("embed float32", "embed float32", 1.5), ("embed bfloat16", "embed float32", 2.5),
)  # fmt: skip


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ours(folder: Path, device: torch.device) -> dict[str, Callable[[], Any]]:
    from wherefrom.models.masked import masked_loss
    from wherefrom.models.presto import Presto
    from wherefrom.models.tokens import Inputs, slots
    from wherefrom.train.memory import keep_freed_memory

    keep_freed_memory(device)  # as pretrain and embed_series do
    data = {k: torch.from_numpy(v).to(device) for k, v in np.load(folder / "batch.npz").items()}
    model = Presto()
    model.load_state_dict(torch.load(folder / "weights.pt"))
    model.to(device)
    inputs = Inputs(data["x"], data["world"], data["lonlat"], data["months"])
    nothing = torch.where(data["kind"] == 1, 0, data["kind"])
    step = optimiser(model)

    def train(dtype: torch.dtype) -> float:
        total = 0.0
        step.zero_grad()
        for loss in masked_loss(model, inputs, data["kind"], dtype):
            loss.backward()
            total += loss.detach()
        step.step()
        return float(total)

    @torch.inference_mode()
    def embed(dtype: torch.dtype) -> float:
        total = 0.0
        size = 32 * torch.get_num_threads() if device.type == "cpu" else BATCH
        for start in range(0, BATCH, size):
            rows = slice(start, start + size)
            part = inputs.part(rows)
            total += model.embed_inputs(part, slots(nothing[rows])[0], dtype).sum()
        return float(total)

    return {
        f"{name} {precision}": lambda call=call, precision=precision: call(
            getattr(torch, precision)
        )
        for name, call in (("train", train), ("embed", embed))
        for precision in ("float32", "bfloat16")
    }


def torchgeo(folder: Path, device: torch.device) -> dict[str, Callable[[], Any]]:
    from torchgeo.models.presto import presto

    data = {k: torch.from_numpy(v).to(device) for k, v in np.load(folder / "batch.npz").items()}
    model = presto()
    model.load_state_dict(torch.load(folder / "weights.pt"))
    for name, parameter in model.named_parameters():
        if "pos_embed" in name or "month_embed" in name:
            parameter.requires_grad_(False)
    model.to(device)
    latlons = data["lonlat"].flip(1)
    mask, world_mask = data["mask"], data["kind"][..., 9] == 1
    shown = torch.where(mask, 0, data["x"])
    world = torch.where(world_mask, 9, data["world"])
    counted = mask.clone()
    counted[:, 1:, 14:16] = False
    step = optimiser(model)

    def train() -> float:
        step.zero_grad()
        found, classes = model(shown, world, latlons, mask, data["months"])
        values = torch.nn.functional.mse_loss(found[counted], data["x"][counted])
        wrong = torch.nn.functional.cross_entropy(classes[world_mask], data["world"][world_mask])
        loss = values + min(1, 2 * int(world_mask.sum()) / int(counted.sum())) * wrong
        loss.backward()
        step.step()
        return float(loss.detach())

    @torch.inference_mode()
    def embed() -> float:
        encoded = model.encoder(data["x"], data["world"], latlons, None, data["months"])[0]
        return float(encoded.mean(1).sum())

    return {"train float32": train, "embed float32": embed}


def optimiser(model: torch.nn.Module) -> torch.optim.AdamW:
    free = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(free, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05)


def serve(side: str, folder: Path, threads: int, device: str) -> None:
    """Answer the names of calls, line by line, with what they returned, seconds and memory."""
    torch.set_num_threads(threads)
    calls = (ours if side == "ours" else torchgeo)(folder, torch.device(device))
    before = peak()
    print(json.dumps({"versions": torch.__version__}), flush=True)
    for line in sys.stdin:
        # Of one thread the processor's seconds: other work on the machine then counts for little.
        clock = time.process_time if threads == 1 and device == "cpu" else time.perf_counter
        began = clock()
        value = calls[line.strip()]()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds = clock() - began
        memory = torch.cuda.max_memory_allocated() if device != "cpu" else peak() - before
        print(json.dumps({"value": value, "seconds": seconds, "bytes": memory}), flush=True)


class Side:
    """A process that measures."""

    def __init__(self, python: str, side: str, args: argparse.Namespace, folder: Path) -> None:
        command = [python, __file__, "--serve", side, "--folder", str(folder)]
        command += ["--threads", str(args.threads), "--device", args.device]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self.read()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def ask(self, call: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(call, file=self.process.stdin, flush=True)
        return self.read()


def write_batch(folder: Path) -> None:
    from wherefrom.models.masking import Masking
    from wherefrom.models.presto import Presto
    from wherefrom.models.tokens import GROUPS

    rng = np.random.default_rng(0)
    kind = Masking(tuple(GROUPS)).draw(BATCH, torch.Generator().manual_seed(0)).numpy()
    mask = np.zeros((BATCH, STEPS, 17), dtype=bool)
    for row, columns in enumerate(GROUPS.values()):
        mask[..., list(columns)] = (kind[..., row] == 1)[..., None]
    mask[:, :, 14:16] = mask[:, :1, 14:16]
    months = (rng.integers(12, size=(BATCH, 1)) + np.arange(STEPS)) % 12
    lonlat = np.stack([rng.uniform(-180, 180, BATCH), rng.uniform(-60, 75, BATCH)], axis=1)
    x = rng.random((BATCH, STEPS, 17), dtype=np.float32)
    world = rng.integers(9, size=(BATCH, STEPS))
    np.savez(
        folder / "batch.npz", x=x, world=world, lonlat=lonlat.astype(np.float32), months=months,
        kind=kind, mask=mask,
    )  # fmt: skip
    torch.save(Presto(torch.Generator().manual_seed(0)).state_dict(), folder / "weights.pt")


def matmul_peak(dtype: torch.dtype, device: str) -> float:
    """Operations a second of a large matrix product."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = np.inf
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return float(2 * size**3 / best)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_batch(folder)
        calls = [("ours", call) for call, _, _ in RATIOS]
        if args.torchgeo:
            calls += [("torchgeo", call) for call in ("train float32", "embed float32")]
        # One process per call, so that each has its own peak of memory.
        python = {"ours": sys.executable, "torchgeo": args.torchgeo}
        sides = {key: Side(python[key[0]], key[0], args, folder) for key in calls}
        print("torch", {side: s.about["versions"] for (side, _), s in sides.items()})
        found: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in calls}
        for _ in range(args.rounds + 1):
            for key, side in sides.items():
                found[key].append(side.ask(key[1]))
    top = {p: matmul_peak(getattr(torch, p), args.device) for p in ("float32", "bfloat16")}
    rates, memory = {}, {}
    for key, runs in found.items():
        rates[key] = BATCH / statistics.median(run["seconds"] for run in runs[1:])
        memory[key] = runs[-1]["bytes"]
        share = ""
        if key[1].startswith("train"):
            reached = rates[key] * FLOPS / top[key[1].split()[1]]
            share = f", {reached:.0%} of the peak of matrix products (official operation count)"
        print(
            f"{key[0]} {key[1]}: {rates[key]:.0f} samples/s, {memory[key] / 2**20:.0f} MiB{share}"
        )
    if args.torchgeo:
        losses = [[run["value"] for run in found[side, "train float32"]] for side in python]
        print("losses step by step differ by at most", max(map(lambda a, b: abs(a - b), *losses)))
        for call, rival, target in RATIOS:
            times = rates["ours", call] / rates["torchgeo", rival]
            room = memory["ours", call] / memory["torchgeo", rival]
            print(f"{call}: {times:.2f} times torchgeo (target {target}), {room:.2f} of its memory")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torchgeo", help="Python of an environment with torchgeo 0.10")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--serve", choices=["ours", "torchgeo"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.folder, given.threads, given.device)
    else:
        main(given)
