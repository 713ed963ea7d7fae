#!/usr/bin/env python3
"""Times full training steps of a GPT-2 in PyTorch: the peer that tools/bench_vs_torch.sh compares with.

The same model as //tools:bench --dropout=0: pre-LN blocks, tanh GELU, tied head, AdamW over all parameters, random
tokens. Prints one JSON object for each way of running it that was asked for (--ways), on stdout, one a line:
{"way": "sdpa", "step_seconds": 1.2, "steps": [...], ...}. A way that this PyTorch lacks, or that fails, has "error".
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

WAYS = ("eager", "sdpa", "compile")


class Block(nn.Module):
    def __init__(self, d_model, n_heads, attention):
        super().__init__()
        self.n_heads, self.attention = n_heads, attention
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.up, self.down = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)

    def forward(self, x):
        batch, tokens, d_model = x.shape
        q, k, v = (part.view(batch, tokens, self.n_heads, -1).transpose(1, 2)
                   for part in self.qkv(self.norm1(x)).split(d_model, dim=2))
        if self.attention == "eager":
            scores = (q @ k.transpose(2, 3)) * (d_model // self.n_heads) ** -0.5
            hidden = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
            mixed = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, tokens, d_model))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, options, attention):
        super().__init__()
        self.tokens = nn.Embedding(options.vocab_size, options.d_model)
        self.positions = nn.Embedding(1024, options.d_model)
        self.blocks = nn.ModuleList(Block(options.d_model, options.n_heads, attention)
                                    for _ in range(options.n_layers))
        self.norm = nn.LayerNorm(options.d_model)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, 0.0, 0.02)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def make_optimizer(model):
    """The fused AdamW where there is one for this device: the fastest that PyTorch has."""
    try:
        return torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    except (TypeError, RuntimeError):
        return torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1)


def measure(options, way):
    torch.manual_seed(1)
    model = GPT(options, "eager" if way == "eager" else "sdpa")
    optimizer = make_optimizer(model)
    loss_of = torch.compile(model) if way == "compile" else model
    shape = (options.batch_size, options.seq_len)
    ids, targets = (torch.randint(0, options.vocab_size, shape) for _ in range(2))
    seconds = []
    for step in range(options.warmup + options.steps):
        if options.paced and not sys.stdin.readline():
            raise EOFError("the standard input ended before the last step; --paced wants a line for each")
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.dtype == "bf16"):
            loss = loss_of(ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if options.clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
        print(f"torch {way} {options.dtype}: step {step + 1}: {seconds[-1] * 1e3:.1f} ms", file=sys.stderr)
    measured = seconds[options.warmup:]
    return {"step_seconds": statistics.median(measured), "steps": measured}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("n-layers", 12), ("n-heads", 12), ("d-model", 768), ("vocab-size", 50257),
                          ("batch-size", 4), ("seq-len", 64), ("threads", 2), ("steps", 5), ("warmup", 2)):
        parser.add_argument("--" + name, type=int, default=default, help=f"default: {default}")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="bf16: autocast")
    parser.add_argument("--clip", type=int, default=1, help="1: clip the gradient's norm, as bench does; 0: do not")
    parser.add_argument("--ways", default=",".join(WAYS), help="which of eager (attention spelled out), sdpa, compile")
    parser.add_argument("--paced", action="store_true", help="each step waits for a line on the standard input")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for way in options.ways.split(","):
        try:
            result = measure(options, way)
        except Exception as error:  # pylint: disable=broad-except
            result = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps({"torch": torch.__version__, "way": way, "dtype": options.dtype, **result}), flush=True)


if __name__ == "__main__":
    main()
