#!/usr/bin/env python3
"""Trains an entropy model by a configuration: `train.py CONFIG.toml --corpus DIR/corpus --out OUT [key=value ...]`.

One card, a fixed number of steps, one seed, and sums in a fixed order: on one kind of card with one version of torch the
same weights, bit for bit. `key=value` replaces a value of the configuration. Progress goes to OUT/log.txt, with a hash of
the weights in each line: two runs agree as far as their hashes do. OUT/state.pt is written every `save_every` steps; a run
that finds it goes on from there and ends in the same weights. At the end stand in OUT: model.safetensors (float32, the
original's names), figures.json (bits per byte of each test in float32, bf16 and int8).
"""
import argparse
import hashlib
import json
import math
import os
import pathlib
import random
import struct
import time
import tomllib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from model import BOS, EOS, FIRST_BYTE, VOCABULARY, EntropyModel, rotary_table, window_mask

MUON_MOMENTUM = 0.95
EVALUATION_ROW = 8192


def fix_order():
    """Makes every sum run in one order: no operation adds as it comes, no kernel is picked by its time in a trial."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a check that costs time
    # Deterministic mode leaves these; their last bits change with the shape of a block.
    torch._inductor.config.triton.autotune_pointwise = False
    torch._inductor.config.force_shape_pad = True  # products with 260 columns; left to itself, a trial would decide


def documents(path):
    body, at = path.read_bytes(), 0
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        yield body[at + 4 : at + 4 + length]
        at += 4 + length


def tokens_of(found):
    """Documents one after the other, each as BOS, its bytes, EOS."""
    found = list(found)
    tokens, at = np.empty(sum(len(document) + 2 for document in found), np.int16), 0
    for document in found:
        end = at + 1 + len(document)
        tokens[at], tokens[end] = BOS, EOS
        tokens[at + 1 : end] = np.frombuffer(document, np.uint8)
        tokens[at + 1 : end] += FIRST_BYTE
        at = end + 1
    return torch.from_numpy(tokens)


def training_tokens(corpus, weights, seed):
    """All training documents, those of a domain as often as its weight says, shuffled."""
    rng, chosen = random.Random(seed), []
    for domain, weight in weights.items():
        found = list(documents(corpus / f"train.{domain}.bin"))
        chosen += found * int(weight) + rng.sample(found, int(len(found) * (weight % 1)))
    rng.shuffle(chosen)
    return tokens_of(chosen)


@torch.compile(dynamic=False)
def orthogonal(gradient):
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices of a stack. Source: Muon, Jordan et al. 2024."""
    x = gradient.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """Muon on the layers' matrices, AdamW on embedding, output and norms."""

    def __init__(self, net, settings):
        named = list(net.named_parameters())
        self.settings, self.groups = settings, {}
        for name, weight in named:
            if weight.dim() == 2 and name.startswith("layers."):
                self.groups.setdefault(tuple(weight.shape), []).append(weight)
        self.momenta = {
            shape: torch.zeros(len(group), *shape, device=group[0].device) for shape, group in self.groups.items()
        }
        others = [(name, weight) for name, weight in named if not (weight.dim() == 2 and name.startswith("layers."))]
        self.adam = torch.optim.AdamW(
            [
                {"params": [w for _, w in others if w.dim() == 2], "weight_decay": settings["weight_decay"]},
                {"params": [w for _, w in others if w.dim() == 1], "weight_decay": 0.0},
            ],
            lr=settings["adam_lr"],
            betas=(0.9, 0.98),
            fused=others[0][1].is_cuda,
        )

    @torch.no_grad()
    def step(self, factor):
        for shape, group in self.groups.items():
            gradient, momentum = torch.stack([weight.grad for weight in group]), self.momenta[shape]
            momentum.mul_(MUON_MOMENTUM).add_(gradient)
            update = orthogonal(gradient.add(momentum, alpha=MUON_MOMENTUM))
            rate = self.settings["muon_lr"] * factor
            torch._foreach_mul_(group, 1 - rate * self.settings["weight_decay"])
            torch._foreach_add_(group, list(update.unbind(0)), alpha=-rate * max(1.0, shape[0] / shape[1]) ** 0.5)
        for group in self.adam.param_groups:
            group["lr"] = self.settings["adam_lr"] * factor
        self.adam.step()


def schedule(step, settings):
    """Linear warm-up, constant, then linear to zero."""
    done = step / settings["steps"]
    rising = min(1.0, (step + 1) / (settings["warm_up"] * settings["steps"]))
    return rising * min(1.0, (1.0 - done) / settings["decay"])


def int8_rows(weight):
    """`weight` as it is after being stored in 8 bits with one scale a row."""
    scale = (weight.abs().amax(1, keepdim=True) / 127).clamp_min(1e-12)
    return (weight / scale).round().clamp(-127, 127) * scale


class Trainer:
    def __init__(self, settings, corpus, out, device):
        self.settings, self.corpus, self.out, self.device = settings, corpus, out, device
        torch.manual_seed(settings["seed"])
        torch.set_float32_matmul_precision("high")
        with torch.device(device):  # drawn there: processors do not always agree
            self.net = EntropyModel(settings["dim"], settings["n_layers"], settings["n_heads"], settings["ffn_dim"])
        self.optimizer = Optimizer(self.net, settings)
        self.head_dim = settings["dim"] // settings["n_heads"]
        self.table = rotary_table(settings["row"], self.head_dim, device)
        self.loss = torch.compile(self.plain_loss, dynamic=False)
        self.logits = torch.compile(self.net.forward, dynamic=False)
        self.log = open(out / "log.txt", "a")

    def say(self, line):
        print(line, flush=True)
        print(line, file=self.log, flush=True)

    def fingerprint(self):
        """How the sha256 of the weights begins."""
        together = torch.cat([weight.detach().flatten() for weight in self.net.parameters()])
        return hashlib.sha256(together.cpu().numpy()).hexdigest()[:16]

    def plain_loss(self, tokens, following, mask):
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.net(tokens, *self.table, mask)
        return F.cross_entropy(logits.float().view(-1, VOCABULARY), following.view(-1))

    def batches(self, tokens):
        """Endless batches of rows; every pass reads each row once, in a new order and from a new offset."""
        row, size = self.settings["row"], self.settings["rows"]
        span = torch.arange(row + 1, device=self.device)
        for number in range(1_000_000):
            order = torch.Generator().manual_seed(self.settings["seed"] * 1_000_003 + number)
            offset = int(torch.randint(0, row, (1,), generator=order))
            starts = torch.randperm((tokens.numel() - 1 - offset) // row, generator=order) * row + offset
            for at in range(0, len(starts) - size + 1, size):
                yield starts[at : at + size], span

    def train(self):
        settings, begun = self.settings, time.time()
        tokens = training_tokens(self.corpus, settings["weights"], settings["seed"]).to(self.device)
        size = sum(weight.numel() for weight in self.net.parameters())
        self.say(
            f"{json.dumps(settings)}\n{size} parameters, {tokens.numel()} training tokens, read in {time.time() - begun:.0f} s, "
            f"weights {self.fingerprint()}"
        )
        first, spent = self.resume()
        begun, marked, loss_sum, counted, per_step = time.time() - spent, time.time(), torch.zeros((), device=self.device), 0, settings["row"] * settings["rows"]
        for step, (starts, span) in enumerate(self.batches(tokens)):
            if step < first:
                continue
            if step == settings["steps"]:
                break
            rows = tokens[starts.to(self.device)[:, None] + span].long()
            now, following = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
            loss = self.loss(now, following, window_mask(now, settings["window"]))
            loss.backward()
            self.optimizer.step(schedule(step, settings))
            self.net.zero_grad(set_to_none=True)
            loss_sum += loss.detach()
            counted += 1
            if step == first:
                torch.cuda.synchronize() if self.device == "cuda" else None
                self.say(f"first step after {time.time() - marked:.0f} s of compilation")
                begun, marked = time.time() - spent, time.time()
            if (step + 1) % settings["log_every"] == 0:
                bits = float(loss_sum) / counted / math.log(2)
                speed = counted * per_step / (time.time() - marked) / 1e6
                self.say(
                    f"step {step + 1:6} {time.time() - begun:5.0f} s {bits:.4f} bits/token {speed:.2f} Mtoken/s "
                    f"pass {(step + 1) * per_step / tokens.numel():.2f} rate {schedule(step, settings):.3f} "
                    f"weights {self.fingerprint()}"
                )
                if not math.isfinite(bits):
                    raise SystemExit("the loss is not finite")
                loss_sum.zero_()
                counted, marked = 0, time.time()
            if (step + 1) % settings["save_every"] == 0:
                self.save(step + 1, time.time() - begun)
        self.say(f"trained in {time.time() - begun:.0f} s")

    def save(self, step, spent):
        state = {"step": step, "spent": spent, "net": self.net.state_dict(), "adam": self.optimizer.adam.state_dict()}
        state["momenta"] = self.optimizer.momenta
        torch.save(state, self.out / "state.tmp")
        (self.out / "state.tmp").rename(self.out / "state.pt")

    def resume(self):
        if not (self.out / "state.pt").exists():
            return 0, 0.0
        state = torch.load(self.out / "state.pt", map_location=self.device)
        self.net.load_state_dict(state["net"])
        self.optimizer.adam.load_state_dict(state["adam"])
        self.optimizer.momenta = state["momenta"]
        self.say(f"goes on after step {state['step']}")
        return state["step"], state["spent"]

    @torch.no_grad()
    def bits_per_byte(self, limit):
        """Of each test: the loss in bits over its bytes, in rows of 8192 tokens, and the mean entropy the same way."""
        table, figures = rotary_table(EVALUATION_ROW, self.head_dim, self.device), {}
        for path in sorted(self.corpus.glob("test.*.bin")) + sorted(self.corpus.glob("spike.*.bin")):
            tokens = tokens_of(documents(path))[: limit + 1]
            n_rows = 8 * math.ceil((len(tokens) - 1) / (8 * EVALUATION_ROW))
            padded = torch.full((n_rows * EVALUATION_ROW + 1,), EOS, dtype=torch.int16)
            padded[: len(tokens)] = tokens
            known = torch.arange(n_rows * EVALUATION_ROW).view(n_rows, -1) < len(tokens) - 1
            now, following = padded[:-1].view(n_rows, -1), padded[1:].view(n_rows, -1)
            loss, entropy, count = 0.0, 0.0, 0
            for at in range(0, n_rows, 8):
                here, there = (part[at : at + 8].to(self.device).long() for part in (now, following))
                counted = known[at : at + 8].to(self.device) & (there >= FIRST_BYTE)
                with torch.autocast(self.device, torch.bfloat16):
                    logits = self.logits(here, *table, window_mask(here, self.settings["window"]))
                logs = logits.float().log_softmax(-1)
                loss -= float(logs.gather(-1, there[..., None])[..., 0][counted].double().sum())
                entropy -= float((logs.exp() * logs).sum(-1)[counted].double().sum())
                count += int(counted.sum())
            name = path.name.removesuffix(".bin")
            figures[name] = {"bits": round(loss / count / math.log(2), 4), "entropy": round(entropy / count / math.log(2), 4)}
        return figures

    def finish(self):
        trained = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        stored = {
            "float32": trained,
            "bf16": {name: value.to(torch.bfloat16).float() for name, value in trained.items()},
            "int8": {name: int8_rows(value) if value.dim() == 2 else value for name, value in trained.items()},
        }
        figures = {}
        for kind in self.settings["evaluate"]:
            self.net.load_state_dict(stored[kind])
            figures[kind] = self.bits_per_byte(self.settings["evaluation_tokens"])
            self.say(f"{kind}: " + ", ".join(f"{name} {value['bits']}" for name, value in figures[kind].items()))
        (self.out / "figures.json").write_text(json.dumps(figures, indent=1))
        save_file({name: value.contiguous().cpu() for name, value in trained.items()}, self.out / "model.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("changes", nargs="*", metavar="key=value")
    arguments = parser.parse_intermixed_args()
    settings = tomllib.loads(arguments.config.read_text())
    for change in arguments.changes:
        key, value = change.split("=", 1)
        if key not in settings:
            raise SystemExit(f"the configuration has no `{key}`")
        settings[key] = tomllib.loads(f"value = {value}")["value"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    fix_order()
    trainer = Trainer(settings, arguments.corpus, arguments.out, "cuda" if torch.cuda.is_available() else "cpu")
    trainer.train()
    trainer.finish()


if __name__ == "__main__":
    main()
