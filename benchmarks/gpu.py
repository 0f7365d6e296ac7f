"""Training, embedding, heads and fine-tuning on a GPU, beside a plain loop, in one run.

    python benchmarks/gpu.py [--device cuda] [--minutes 5.5] [--json gpu.json] [--tiny]

Synthetic records, since time does not depend on values. Of each model: samples a second of the
study's own loop at the published batch, and their share of the peak of matrix products of the same
precision, measured here (operations by torch's FlopCounterMode: products, convolutions,
attention). Rivals, in the same run: a loop as it is usually written (batches copied as they come,
full float32, AdamW as it comes), torchgeo's Presto where torchgeo is installed, heads and encoders
one seed after the other. Options that are off, such as torch.compile, have rows of their own; so
have what TF32 and an interruption change. After --minutes what is left is skipped, and said.
--tiny is for tests: any device, sizes that measure nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import finetune as finetuning
import numpy as np
import presto as rival
import torch
from torch.utils.flop_counter import FlopCounterMode

from wherefrom.models.grouped import SatMAEConfig
from wherefrom.models.masked import PrestoConfig
from wherefrom.models.satclip import SatCLIPConfig
from wherefrom.models.sizes import SIZES
from wherefrom.models.towers import tower
from wherefrom.train import device as devices
from wherefrom.train import pretrain as training
from wherefrom.train.embed import embed
from wherefrom.train.heads import head
from wherefrom.train.heads.finetune import FineTune
from wherefrom.train.pretrain import PretrainSettings, pretrain

TF32 = "float32 (TF32)"


@dataclass
class Row:
    """One measurement: things a second, share of the peak, times the rival, and what to know."""

    what: str
    rate: float | None = None
    share: float | None = None
    times: float | None = None
    gib: float | None = None
    note: str = ""


@dataclass
class Case:
    """A model, its records, the batch of its pre-training, and what of its module is compiled."""

    model: Any
    records: dict[str, Any]
    batch: int
    precision: str = TF32
    compiled: str = ""


def places(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return {"lon": rng.uniform(-180, 180, count), "lat": lat}


def satclip(tiny: bool, folder: Path) -> Iterator[tuple[str, Case]]:
    rng, batch = np.random.default_rng(0), 16 if tiny else 8192
    cached = places(2 * batch)
    cached["image"] = rng.normal(size=(2 * batch, 512)).astype(np.float32)
    yield "cached features", Case(SatCLIPConfig(4 if tiny else 40, 512, hidden=0), cached, batch)


def satclip_images(tiny: bool, folder: Path) -> Iterator[tuple[str, Case]]:
    rng = np.random.default_rng(0)
    batch, side = (2, 32) if tiny else (256, 256)
    tiles = places(2 * batch)
    tiles["image"] = rng.integers(10_000, size=(2 * batch, 12, side, side)).astype(np.uint16)
    file = folder / "tower.pt"
    torch.save(tower("resnet18", generator=torch.Generator().manual_seed(0)).state_dict(), file)
    model = SatCLIPConfig(4 if tiny else 40, 13, "resnet18", weights=file)
    yield "resnet18", Case(model, tiles, batch, compiled="image")


def presto(tiny: bool, folder: Path) -> Iterator[tuple[str, Case]]:
    rng, batch = np.random.default_rng(0), 2 if tiny else 4096
    series = places(2 * batch) | {
        "x": rng.random((2 * batch, 12, 17), dtype=np.float32),
        "hidden": np.zeros((2 * batch, 12, 17), dtype=bool),
        "dynamic_world": rng.integers(9, size=(2 * batch, 12)),
        "month": np.tile(np.arange(12), (2 * batch, 1)),
    }
    yield "float32", Case(PrestoConfig(), series, batch, compiled="predict")
    yield "bfloat16", Case(PrestoConfig(precision="bfloat16"), series, batch, "bfloat16")


def satmae(tiny: bool, folder: Path) -> Iterator[tuple[str, Case]]:
    rng, batch, size = (
        np.random.default_rng(0),
        2 if tiny else 512,
        SIZES["tiny" if tiny else "base"],
    )
    groups = ((0, 1, 2, 6), (3, 4, 5, 7), (8, 9))
    tiles = rng.random((2 * batch, 10, size.image, size.image), dtype=np.float32)
    for precision, peak in (("float32", TF32), ("bfloat16", "bfloat16")):
        model = SatMAEConfig(groups, size, precision=precision)
        yield precision, Case(model, {"image": tiles}, batch, peak)


#: A GFM that is added gets its line here: a test looks.
CASES: dict[str, Callable[[bool, Path], Iterator[tuple[str, Case]]]] = {
    "satclip": satclip,
    "satclip-images": satclip_images,
    "satmae": satmae,
    "presto": presto,
}


class Compiled:
    """A model of whose module one part is compiled."""

    def __init__(self, model: Any, part: str) -> None:
        self._model, self._part = model, part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def build(self, generator: torch.Generator) -> Any:
        module = self._model.build(generator)
        setattr(module, self._part, torch.compile(getattr(module, self._part)))
        return module


class StopError(Exception):
    """Ends a training half-way."""


@torch.no_grad()
def apart(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def off_by(losses: list[float], due: list[float]) -> float:
    return float(np.mean(losses[-5:]) / np.mean(due[-5:]) - 1)


class Bench:
    """Measures on one device, and writes down."""

    def __init__(self, device: torch.device, tiny: bool, minutes: float) -> None:
        self.device, self.tiny = device, tiny
        self.warm, self.steps = (1, 2) if tiny else (3, 20)
        self.rows: list[Row] = []
        self.later: list[tuple[str, Callable[[], None]]] = []
        self.began, self.end = time.perf_counter(), time.perf_counter() + 60 * minutes
        self.peaks = {
            "float32": self._peak(torch.float32, False),
            TF32: self._peak(torch.float32, True),
            "bfloat16": self._peak(torch.bfloat16, False),
        }
        for name, peak in self.peaks.items():
            self.add(Row(f"peak of matrix products, {name}", note=f"{peak / 1e12:.3g} TFLOP/s"))

    def add(self, row: Row) -> Row:
        self.rows.append(row)
        numbers = (row.rate, row.share, row.times, row.gib)
        forms = ("{:,.0f}/s", "{:.0%} of the peak", "{:.2f} times", "{:.1f} GiB")
        said = [form.format(n) for form, n in zip(forms, numbers, strict=True) if n is not None]
        print(f"{row.what:44} {', '.join([*said, *filter(None, [row.note])])}", flush=True)
        return row

    def try_(self, what: str, measure: Callable[[], Any]) -> None:
        """Measure; what fails or comes too late is a line, and sinks no other."""
        if time.perf_counter() > self.end:
            self.add(Row(what, note="skipped: out of time"))
            return
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            measure()
        except Exception as err:
            self.add(Row(what, note=f"failed: {type(err).__name__}: {' '.join(str(err).split())}"))
        devices.release(self.device)

    def clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def gib(self) -> float | None:
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device) / 2**30

    def _peak(self, dtype: torch.dtype, tf32: bool) -> float:
        size, best = (256 if self.tiny else 8192), np.inf
        a, b = (torch.randn(size, size, device=self.device, dtype=dtype) for _ in range(2))
        with devices.precise(self.device, tf32=tf32):
            for _ in range(10):
                began = self.clock()
                a @ b
                best = min(best, self.clock() - began)
        return float(2 * size**3 / best)

    def trained(
        self, case: Case, model: Any = None, stop: int = 0, **options: Any
    ) -> tuple[Any, float, list[float]]:
        """Pre-train as a study does: the module, samples a second after warming up, losses."""
        at, losses = [], []

        def on_step(step: int, loss: float) -> None:
            at.append(time.perf_counter())
            losses.append(loss)
            if step == stop:
                raise StopError

        steps = self.warm + self.steps
        settings = PretrainSettings(samples_seen=steps * case.batch, batch=case.batch, lr=1e-4)
        module = pretrain(
            model or case.model, case.records, np.arange(2 * case.batch), settings, seed=0,
            device=self.device, on_step=on_step, **options,
        )  # fmt: skip
        warm = min(self.warm, len(at)) - 1
        return module, case.batch * (len(at) - 1 - warm) / (at[-1] - at[warm] or 1), losses

    def plain(self, case: Case) -> float:
        """Samples a second of a loop as it is usually written."""
        model = case.model
        module = model.build(torch.Generator().manual_seed(0))
        model.calibrate(module, case.records)
        module.to(self.device).train()
        adam = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-4)
        prepared = model.prepare(case.records, devices.CPU)
        noise = torch.Generator(self.device).manual_seed(0)
        began = 0.0
        with devices.precise(self.device, tf32=False):
            for step in range(self.warm + self.steps):
                if step == self.warm:
                    began = self.clock()
                rows = torch.randperm(2 * case.batch)[: case.batch]
                batch = model.collate(prepared, rows)
                batch = {name: values.to(self.device) for name, values in batch.items()}
                adam.zero_grad()
                loss = model.loss(module, batch, noise)
                loss.backward()
                adam.step()
                loss.item()
        return case.batch * self.steps / (self.clock() - began)

    def operations(self, case: Case) -> float:
        """Operations of a training step, a sample."""
        module = case.model.build(torch.Generator().manual_seed(0)).to(self.device).train()
        few = min(case.batch, 256)
        records = {name: values[:few] for name, values in case.records.items()}
        prepared = case.model.prepare(records, self.device)
        batch = case.model.collate(prepared, torch.arange(few, device=self.device))
        with FlopCounterMode(display=False) as counted:
            case.model.backward(module, batch, torch.Generator(self.device))
        return counted.get_total_flops() / few

    def model(self, name: str, case: Case) -> None:
        module, rate, losses = self.trained(case)
        share = rate * self.operations(case) / self.peaks[case.precision]
        row = self.add(Row(f"{name}: pre-training", rate, share, gib=self.gib()))
        again, _, other = self.trained(case)
        off = off_by(other, losses)
        note = f"weights {apart(again, module):.1e} apart, loss {off:+.1e}"
        self.add(Row(f"{name}: the same again", note=note))
        self.try_(f"{name}: plain loop", lambda: self._plain(name, case, row))
        self.try_(f"{name}: embedding", lambda: self._embedding(name, case, module))
        if case.precision == TF32:
            self.try_(f"{name}: without TF32", lambda: self._exact(name, case, row, losses))
        self.try_(f"{name}: copied ahead", lambda: self._ahead(name, case, row))
        self.try_(f"{name}: resumed", lambda: self._resumed(name, case, module))
        if case.compiled and not self.tiny:
            what = f"{name}: torch.compile"
            self.later.append((what, lambda: self._compiled(what, case, row)))

    def _plain(self, name: str, case: Case, row: Row) -> None:
        rate = self.plain(case)
        row.times = (row.rate or 0) / rate
        note = f"ours is {row.times:.2f} times as fast"
        self.add(Row(f"{name}: plain loop", rate, note=note))

    def _embedding(self, name: str, case: Case, module: Any) -> None:
        records = {
            n: v for n, v in case.records.items() if n != "image" or "lon" not in case.records
        }
        batch = devices.at_once(128, self.device)
        embed(case.model, module, records, batch)
        began = self.clock()
        embed(case.model, module, records, batch)
        rate = 2 * case.batch / (self.clock() - began)
        self.add(Row(f"{name}: embedding", rate, gib=self.gib()))

    def _exact(self, name: str, case: Case, row: Row, losses: list[float]) -> None:
        exactly = devices.precise(self.device, tf32=False)
        with mock.patch.object(training, "precise", return_value=exactly):
            _, rate, exact = self.trained(case)
        times = rate / (row.rate or 1)
        note = f"the loss with TF32 is {off_by(losses, exact):+.1e} off; stated: within 1e-2"
        self.add(Row(f"{name}: without TF32", rate, times=times, note=note))

    def _ahead(self, name: str, case: Case, row: Row) -> None:
        with mock.patch.object(training, "fits", return_value=False):
            _, rate, _ = self.trained(case)
        self.add(Row(f"{name}: copied ahead", rate, times=rate / (row.rate or 1)))

    def _resumed(self, name: str, case: Case, whole: Any) -> None:
        half = self.warm + self.steps // 2
        with tempfile.TemporaryDirectory() as folder:
            kept = {"checkpoint": Path(folder) / "state.pt", "every": half}
            with contextlib.suppress(StopError):
                self.trained(case, stop=half, **kept)
            module, _, _ = self.trained(case, **kept)
        note = f"weights {apart(module, whole):.1e} from the uninterrupted ones"
        self.add(Row(f"{name}: resumed", note=note))

    def _compiled(self, what: str, case: Case, row: Row) -> None:
        _, rate, _ = self.trained(case, Compiled(case.model, case.compiled))
        self.add(Row(what, rate, times=rate / (row.rate or 1)))

    def torchgeo(self) -> None:
        ours = next((r for r in self.rows if r.what == "presto float32: pre-training"), None)
        if importlib.util.find_spec("torchgeo") is None:
            self.add(Row("torchgeo's Presto", note="torchgeo is not installed: not measured"))
            return
        with tempfile.TemporaryDirectory() as name:
            rival.BATCH = 2 if self.tiny else 4096
            rival.write_batch(Path(name))
            train = rival.torchgeo(Path(name), self.device)["train float32"]
            for _ in range(self.warm):
                train()
            began = self.clock()
            for _ in range(self.steps):
                train()
            rate = rival.BATCH * self.steps / (self.clock() - began)
        note = f"ours is {(ours.rate or 0) / rate:.2f} times as fast" if ours else ""
        self.add(Row("torchgeo's Presto: training float32", rate, note=note))

    def head(self, name: str) -> None:
        """Seeds a second of all seeds at once, here and on the CPU, and of one after the other."""
        rng = np.random.default_rng(0)
        seeds, n, tests, dim = (3, 12, 20, 8) if self.tiny else (50, 100, 2000, 256)
        label = rng.integers(12 if not self.tiny else 2, size=4000)
        given = rng.normal(size=(4000, dim)) + rng.normal(size=(12, dim))[label]
        features = given.astype(np.float32)
        train = np.stack([rng.permutation(2000)[:n] for _ in range(seeds)])
        test, source = np.arange(2000, 2000 + tests), np.random.SeedSequence(0)

        def timed(call: Callable[[], Any]) -> float:
            call()
            began = self.clock()
            call()
            return seeds / (self.clock() - began)

        made = head(name)
        both = timed(lambda: made.fit_predict(features, label, train, test, source))
        alone = timed(
            lambda: [made.fit_predict(features, label, one[None], test, source) for one in train]
        )
        with mock.patch.dict(os.environ, {devices.NAME: "cpu"}):
            cpu = timed(lambda: made.fit_predict(features, label, train, test, source))
        note = f"than seed by seed; {both / cpu:.2f} times the CPU's rate"
        self.add(Row(f"head {name}: seeds", both, times=both / alone, note=note))

    def finetune(self) -> None:
        """Seeds a second of full fine-tuning, and of a loop over encoders; goal: 10 times."""
        degrees, seeds = (3, 2) if self.tiny else (40, 50)
        kind = FineTune(steps=1) if self.tiny else FineTune()
        model, encoder, *others = finetuning.setting(degrees, seeds)
        encoder.to(self.device)
        rates = []
        for call in (
            lambda: kind.fit_predict(model, encoder, *others),
            lambda: finetuning.loop((model, encoder, *others), kind),
        ):
            call()
            began = self.clock()
            call()
            rates.append(seeds / (self.clock() - began))
        times = rates[0] / rates[1]
        note = "than a loop over encoders; goal 10"
        self.add(Row("fine-tuning SatCLIP: seeds", rates[0], times=times, note=note))


def main(args: argparse.Namespace) -> None:
    if args.tiny:
        torch.set_num_threads(1)
    if args.device:
        os.environ[devices.NAME] = args.device
    chosen = devices.device()
    print(devices.said(), f"torch {torch.__version__}", sep=", ", flush=True)
    bench = Bench(chosen, args.tiny, args.minutes)
    with tempfile.TemporaryDirectory() as folder:
        for kind, cases in CASES.items():
            for name, case in cases(args.tiny, Path(folder)):
                what = f"{kind} {name}"
                bench.try_(what, lambda what=what, case=case: bench.model(what, case))
    bench.try_("torchgeo's Presto", bench.torchgeo)
    for name in ("logistic", "mlp", "knn"):
        bench.try_(f"head {name}", lambda name=name: bench.head(name))
    bench.try_("fine-tuning SatCLIP", bench.finetune)
    for what, measure in bench.later:  # compiling takes a minute
        bench.try_(what, measure)
    if args.json:
        about = {"device": devices.said(), "torch": torch.__version__, "tiny": args.tiny}
        about["seconds"] = time.perf_counter() - bench.began
        about["rows"] = [asdict(row) for row in bench.rows]
        args.json.write_text(json.dumps(about, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 [default: as a study chooses]")
    parser.add_argument("--minutes", type=float, default=5.5)
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    parser.add_argument("--tiny", action="store_true", help="sizes that measure nothing")
    main(parser.parse_args())
