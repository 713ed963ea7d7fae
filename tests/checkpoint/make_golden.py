#!/usr/bin/env python3
"""Writes golden/: small GPT-2 models as transformers saves them, and the logits that it computes of them.

    python3 tests/checkpoint/make_golden.py              # needs torch and transformers; the test that reads golden/ does not
    python3 tests/checkpoint/make_golden.py --open DIR   # the logits of a checkpoint that shardgrad wrote, into DIR/logits.json

golden/ours was written by `train --n-layers=2 --d-model=16 --n-heads=2 --untie-embeddings --max-position-embeddings=16
--seq-len=16 --batch-size=4 --steps=200 --tp=2` (without the optimizer's file) and then opened.

Each model is a folder: tied (F32, one file), untied (F32, three files and an index), half (F16), brain (BF16), and bare,
with the names that files of a GPT2Model have and the masks that old versions stored, as those of the hub's "gpt2". The
logits are those of the stored weights in float64.
"""
import argparse
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
BATCH, TOKENS = 2, 11
IDS = [(7 * i * i + 3 * i + 1) % 37 for i in range(BATCH * TOKENS)]


def logits_of(model):
    with torch.no_grad():
        return model.to(torch.float64).eval()(torch.tensor(IDS).view(BATCH, TOKENS)).logits


def write_logits(folder, model):
    with open(os.path.join(folder, "logits.json"), "w") as file:
        values = [float(f"{value:.9g}") for value in logits_of(model).flatten().tolist()]
        json.dump({"input_ids": IDS, "batch": BATCH, "tokens": TOKENS, "logits": values}, file)
        file.write("\n")


def make(name, dtype, tied, **save_options):
    torch.manual_seed(len(name))
    config = GPT2Config(
        vocab_size=37, n_positions=12, n_embd=24, n_layer=2, n_head=4, n_inner=40,
        initializer_range=0.2, tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    for parameter in model.parameters():  # biases and norms, too, that transformers starts at 0 and 1
        parameter.data += 0.1 * torch.randn_like(parameter)
    model = model.to(dtype)
    folder = os.path.join(GOLDEN, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **save_options)
    write_logits(folder, model)
    print(folder, sorted(os.listdir(folder)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--open", metavar="DIR")
    folder = parser.parse_args().open
    if folder:
        model, info = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        write_logits(folder, model)
        return
    make("tied", torch.float32, True)
    make("untied", torch.float32, False, max_shard_size="20KB")
    make("half", torch.float16, True)
    make("brain", torch.bfloat16, True)
    make("bare", torch.float32, True)
    path = os.path.join(GOLDEN, "bare", "model.safetensors")
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    for layer in range(2):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(12, 12)).view(1, 1, 12, 12)
    save_file(tensors, path, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
