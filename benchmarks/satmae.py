"""SatMAE's pre-training and embedding: images a second, against a plain implementation.

    python benchmarks/satmae.py [--size laptop] [--patch 8] [--batch 128] [--rounds 5] [--threads 1]

Same numbers of layers and widths, same weights, masks, data and optimiser. "Plain" is the model as
it is usually written: one convolution a group, attention layer by layer (softmax of a product), all
tokens through all decoder blocks, the whole batch at once, float32, AdamW as it comes. "Plain, all
tokens" shows the encoder hidden tokens, too, which a mask of attention keeps from all others: the
same loss. All losses are compared at the first step. Contenders take turns in one run, processor
seconds where there is one thread; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wherefrom.models.grouped import SatMAEConfig, ScaledSatMAE
from wherefrom.models.satmae import SIZES
from wherefrom.train.embed import embed
from wherefrom.train.memory import keep_freed_memory

GROUPS = ((0, 1, 2), (3, 4), (5, 6))


def attend(block: nn.Module, h: Tensor, unread: Tensor | None) -> Tensor:
    """Self-attention step by step; keys that are `unread` (B, N) are read by none."""
    samples, tokens, width = h.shape
    heads = block.attn.heads
    qkv = block.attn.qkv(h).reshape(samples, tokens, 3, heads, width // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    score = q @ k.transpose(-2, -1) * (width // heads) ** -0.5
    if unread is not None:
        score = score.masked_fill(unread[:, None, None], -torch.inf)
    weight = score.softmax(dim=-1)
    return block.attn.proj((weight @ v).transpose(1, 2).reshape(samples, tokens, width))


def through(blocks: nn.ModuleList, h: Tensor, unread: Tensor | None = None) -> Tensor:
    for block in blocks:
        h = h + attend(block, block.norm1(h), unread)
        h = h + block.mlp.fc2(nn.functional.gelu(block.mlp.fc1(block.norm2(h))))
    return h


class Plain:
    """The model as it is usually written, on weights of ours."""

    def __init__(self, module: ScaledSatMAE) -> None:
        self.scale, self.mae = module, module.mae

    def tokens(self, images: Tensor) -> Tensor:
        mae, made = self.mae, []
        for group, channels in enumerate(mae.groups):
            one = mae.patch_embed[group].proj(images[:, list(channels)]).flatten(2).transpose(1, 2)
            code = mae.channel_embed[:, group : group + 1].expand(1, one.shape[1], -1)
            made.append(one + torch.cat([mae.pos_embed[:, 1:], code], dim=-1))
        return torch.cat(made, dim=1)

    def encode(self, images: Tensor) -> Tensor:
        tokens = self.tokens(self.scale(images))
        h = torch.cat([self.mae.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        pooled = through(self.mae.blocks, h)[:, 1:].mean(1)
        return nn.functional.layer_norm(pooled, pooled.shape[1:], eps=1e-6)

    def loss(self, images: Tensor, noise: Tensor, ratio: float, every: bool) -> Tensor:
        mae, images = self.mae, self.scale(images)
        samples, count = noise.shape
        shuffled = noise.argsort(dim=1)
        back = shuffled.argsort(dim=1)
        kept = shuffled[:, : int(count * (1 - ratio))]
        tokens = self.tokens(images)
        hidden = torch.ones_like(noise)
        hidden[:, : kept.shape[1]] = 0
        hidden = hidden.gather(1, back)
        front = mae.cls_token.expand(samples, -1, -1)
        if every:
            unread = nn.functional.pad(hidden, (1, 0)).bool()
            h = mae.norm(through(mae.blocks, torch.cat([front, tokens], dim=1), unread))
            at = kept[..., None].expand(-1, -1, tokens.shape[2])
            h = torch.cat([h[:, :1], h[:, 1:].gather(1, at)], dim=1)
        else:
            h = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))
            h = mae.norm(through(mae.blocks, torch.cat([front, h], dim=1)))
        h = mae.decoder_embed(h)
        blank = mae.mask_token.expand(samples, count - kept.shape[1], -1)
        rest = torch.cat([h[:, 1:], blank], dim=1)
        rest = rest.gather(1, back[..., None].expand(-1, -1, rest.shape[2]))
        groups, places = len(mae.groups), mae.decoder_pos_embed
        codes = mae.decoder_channel_embed
        table = torch.cat(
            [
                places[:, 1:].repeat(1, groups, 1),
                codes[:, :groups].repeat_interleave(places.shape[1] - 1, dim=1),
            ],
            dim=-1,
        )
        front = torch.cat([places[:, :1], codes[:, groups:]], dim=-1)
        h = torch.cat([h[:, :1], rest], dim=1) + torch.cat([front, table], dim=1)
        h = mae.decoder_norm(through(mae.decoder_blocks, h))[:, 1:]
        hidden = hidden.view(samples, groups, -1)
        cut = images.unfold(2, mae.patch, mae.patch).unfold(3, mae.patch, mae.patch)
        cut = cut.flatten(2, 3).flatten(3)  # (B, C, L, p * p)
        total = images.new_zeros(())
        for group, channels in enumerate(mae.groups):
            own = h.view(samples, groups, -1, h.shape[2])[:, group]
            found = mae.decoder_pred[group](own)
            found = found.view(samples, -1, len(channels), mae.patch**2).transpose(1, 2)
            wrong = ((found - cut[:, list(channels)]) ** 2).mean(-1).mean(1)
            total = total + (wrong * hidden[:, group]).sum()
        return total / hidden.sum()


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    keep_freed_memory(torch.device("cpu"))
    clock = time.process_time if args.threads == 1 else time.perf_counter
    size = SIZES[args.size]
    size = size._replace(patch=args.patch or size.patch)
    rng = np.random.default_rng(0)
    images = rng.random((args.batch, 7, size.image, size.image), dtype=np.float32)
    runs: dict[str, Callable[[], float]] = {}
    embeds: dict[str, Callable[[], Any]] = {}
    for precision in ("float32", "bfloat16"):
        model = SatMAEConfig(GROUPS, size, precision=precision)
        module = model.build(torch.Generator().manual_seed(0)).train()
        module.calibrate(images)
        adam = torch.optim.AdamW(module.parameters(), lr=5e-4, weight_decay=0.05, fused=True)
        noise = torch.Generator().manual_seed(0)
        batch = {"image": torch.from_numpy(images)}

        def step(model=model, module=module, adam=adam, noise=noise, batch=batch) -> float:
            adam.zero_grad()
            loss = model.backward(module, batch, noise)
            adam.step()
            return float(loss)

        runs[f"ours {precision}"] = step
        embeds[f"ours {precision}"] = lambda model=model, module=module: embed(
            model, module, {"image": images}, batch=args.embed_batch
        )
    for name, every in (("plain float32", False), ("plain float32, all tokens", True)):
        module = model.build(torch.Generator().manual_seed(0)).train()
        module.calibrate(images)
        plain, noise = Plain(module), torch.Generator().manual_seed(0)
        adam = torch.optim.AdamW(module.parameters(), lr=5e-4, weight_decay=0.05)

        def plain_step(plain=plain, noise=noise, adam=adam, every=every) -> float:
            turned = torch.rand(args.batch, 1, 1, 1, generator=noise) < 0.5
            given = torch.from_numpy(images)
            given = torch.where(turned, given.flip(3), given)
            drawn = torch.rand(args.batch, plain.mae.tokens, generator=noise)
            loss = plain.loss(given, drawn, 0.75, every)
            adam.zero_grad()
            loss.backward()
            adam.step()
            return float(loss.detach())

        runs[name] = plain_step

    @torch.no_grad()
    def plain_embed() -> Any:
        return torch.cat([plain.encode(some) for some in torch.from_numpy(images).split(128)])

    embeds["plain float32"] = plain_embed
    for what, made in (("training", runs), ("embedding", embeds)):
        first = {name: run() for name, run in made.items()}
        seconds: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(args.rounds):
            for name, run in made.items():
                began = clock()
                run()
                seconds[name].append(clock() - began)
        due = statistics.median(seconds["plain float32"])
        for name, times in seconds.items():
            own = statistics.median(times)
            line = f"{what} {name}: {args.batch / own:,.0f} images/s, {due / own:.2f} times"
            if what == "training":
                line += f", first loss {first[name]:.6f}"
            print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="laptop", choices=SIZES)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--embed-batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    main(parser.parse_args())
