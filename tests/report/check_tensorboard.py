#!/usr/bin/env python3
"""Compares what TensorBoard reads of training runs with their metrics.jsonl and samples.jsonl.

    pip install tensorboard
    python3 tests/report/check_tensorboard.py runs/eigen [more folders of runs]     # no test needs this

Of a run that was resumed in its folder, TensorBoard must show what metrics.jsonl has: the steps after the checkpoint, as
they were made the second time. Exits with status 1 where anything differs.
"""
import json
import math
import os
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {"loss": "loss/train", "val_loss": "loss/validation", "lr": "learning_rate", "grad_norm": "gradient_norm",
        "tokens_per_second": "tokens_per_second", "mfu": "model_flops_utilization", "skipped_steps": "skipped_steps",
        "spiked_steps": "spiked_steps"}


def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def differences(run):
    """Yields a sentence for each tag that differs."""
    metrics = lines_of(os.path.join(run, "metrics.jsonl"))
    events = EventAccumulator(os.path.join(run, "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    unknown = set(events.Tags()["scalars"]) - set(TAGS.values())
    if unknown:
        yield f"TensorBoard has {sorted(unknown)}, which metrics.jsonl has not"
    for key, tag in TAGS.items():
        expected = {line["step"]: np.float32(line[key]) for line in metrics if key in line}
        read = events.Scalars(tag) if tag in events.Tags()["scalars"] else []
        # metrics.jsonl leaves out what is no number.
        found = {event.step: np.float32(event.value) for event in read if math.isfinite(event.value)}
        if len(read) != len({event.step for event in read}):
            yield f"{tag} has a step twice"
        if found != expected:
            yield f"{tag} has {len(found)} values, and {key} {len(expected)}; the first that differs is of step " + str(
                min(step for step in found.keys() | expected.keys() if found.get(step) != expected.get(step)))
        times = [event.wall_time for event in read]
        if times != sorted(times):
            yield f"the times of {tag} do not rise"
    texts = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    if "settings" not in texts:
        yield "there are no settings"
    # The last text of a step counts. Of a run that was resumed, TensorBoard forgets the numbers of the steps that are
    # made anew, but no texts: there may be more of them.
    shown = {event.step: event.tensor_proto.string_val[0].decode() for event in texts.get("sample", [])}
    written = {line["step"]: "\n".join("    " + part for part in line["text"].split("\n"))
               for line in lines_of(os.path.join(run, "samples.jsonl"))}
    resumed = len(os.listdir(os.path.join(run, "tensorboard"))) > 1
    if any(shown.get(step) != text for step, text in written.items()) or (not resumed and len(shown) > len(written)):
        yield f"the samples are of steps {sorted(shown)}, and those of samples.jsonl of {sorted(written)}, or differ"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    failed = False
    for run in sys.argv[1:]:
        found = list(differences(run))
        failed = failed or bool(found)
        print(f"{run}: {'; '.join(found) if found else 'TensorBoard reads what was written'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
