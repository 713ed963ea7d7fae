#!/usr/bin/env python3
"""Writes gpt_golden.json: a small GPT's loss, logits and every gradient, computed by PyTorch in float64.

    python3 tests/golden/make_gpt_golden.py        # needs torch; the test that reads the file does not

The model is written with torch.nn.functional alone, after the paper's formulas, so that it shares nothing with the
C++ one but the names of the parameters.
"""
import json
import math
import os

import torch
import torch.nn.functional as F

CONFIG = dict(vocab_size=29, max_position_embeddings=17, n_layers=2, n_heads=3, d_model=24, d_ff=42)
BATCH, TOKENS = 3, 13


def shapes():
    d, f = CONFIG["d_model"], CONFIG["d_ff"]
    yield "token_embedding.weight", (CONFIG["vocab_size"], d)
    yield "position_embedding.weight", (CONFIG["max_position_embeddings"], d)
    for layer in range(CONFIG["n_layers"]):
        block = f"blocks.{layer}."
        yield block + "attention_norm.weight", (d,)
        yield block + "attention_norm.bias", (d,)
        yield block + "attention.query_key_value.weight", (3 * d, d)
        yield block + "attention.query_key_value.bias", (3 * d,)
        yield block + "attention.projection.weight", (d, d)
        yield block + "attention.projection.bias", (d,)
        yield block + "feed_forward_norm.weight", (d,)
        yield block + "feed_forward_norm.bias", (d,)
        yield block + "feed_forward.expansion.weight", (f, d)
        yield block + "feed_forward.expansion.bias", (f,)
        yield block + "feed_forward.projection.weight", (d, f)
        yield block + "feed_forward.projection.bias", (d,)
    yield "final_norm.weight", (d,)
    yield "final_norm.bias", (d,)


def make_parameters():
    parameters = {}
    for name, shape in shapes():
        value = 0.2 * torch.randn(shape, dtype=torch.float64)
        if "norm.weight" in name:
            value += 1.0
        # Few digits keep the file small.
        parameters[name] = torch.round(value * 1e4).div(1e4).requires_grad_()
    return parameters


def attention(x, mask, p, prefix):
    heads, d = CONFIG["n_heads"], CONFIG["d_model"]
    qkv = F.linear(x, p[prefix + "query_key_value.weight"], p[prefix + "query_key_value.bias"])
    q, k, v = (part.view(BATCH, TOKENS, heads, d // heads).transpose(1, 2) for part in qkv.split(d, dim=-1))
    scores = q @ k.transpose(-2, -1) / math.sqrt(d // heads)
    visible = torch.tril(torch.ones(TOKENS, TOKENS, dtype=torch.bool)) & mask.bool()[:, None, None, :]
    y = torch.softmax(scores.masked_fill(~visible, -math.inf), dim=-1) @ v
    y = y.transpose(1, 2).reshape(BATCH, TOKENS, d)
    return F.linear(y, p[prefix + "projection.weight"], p[prefix + "projection.bias"])


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def forward(ids, mask, labels, p):
    d = CONFIG["d_model"]

    def norm(x, name):
        return F.layer_norm(x, (d,), p[name + ".weight"], p[name + ".bias"], eps=1e-5)

    x = p["token_embedding.weight"][ids] + p["position_embedding.weight"][:TOKENS]
    for layer in range(CONFIG["n_layers"]):
        block = f"blocks.{layer}."
        x = x + attention(norm(x, block + "attention_norm"), mask, p, block + "attention.")
        h = norm(x, block + "feed_forward_norm")
        h = F.linear(h, p[block + "feed_forward.expansion.weight"], p[block + "feed_forward.expansion.bias"])
        h = gelu_tanh(h)
        x = x + F.linear(h, p[block + "feed_forward.projection.weight"], p[block + "feed_forward.projection.bias"])
    logits = norm(x, "final_norm") @ p["token_embedding.weight"].T
    loss = F.cross_entropy(
        logits[:, :-1].reshape(-1, CONFIG["vocab_size"]), labels[:, 1:].reshape(-1), ignore_index=-100
    )
    return logits, loss


def main():
    torch.manual_seed(20)
    parameters = make_parameters()
    ids = torch.randint(0, CONFIG["vocab_size"], (BATCH, TOKENS))
    labels = ids.clone()
    labels[0, 4] = labels[2, 10:] = -100
    mask = torch.ones(BATCH, TOKENS, dtype=torch.int64)
    mask[1, 9:] = 0  # right padding
    mask[2, 5] = 0  # a hole
    logits, loss = forward(ids, mask, labels, parameters)
    loss.backward()
    golden = dict(
        config=CONFIG,
        batch=BATCH,
        tokens=TOKENS,
        input_ids=ids.flatten().tolist(),
        attention_mask=mask.flatten().tolist(),
        labels=labels.flatten().tolist(),
        loss=loss.item(),
        logits=logits.detach().flatten().tolist(),
        parameters={name: value.detach().flatten().tolist() for name, value in parameters.items()},
        gradients={name: value.grad.flatten().tolist() for name, value in parameters.items()},
    )
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpt_golden.json")
    with open(path, "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")
    print(f"wrote {path}, {os.path.getsize(path)} bytes, loss {loss.item():.6f}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
