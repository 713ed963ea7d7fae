#!/usr/bin/env python3
"""The arithmetic of tools/bench_vs_torch.sh.

torch_ratio.py round TITLE OURS.json THEIRS.jsonl ROUNDS: prints both step times (medians), PyTorch's in each of its
ways, and appends the round's steps to the file ROUNDS.
torch_ratio.py summary TITLE ROUNDS: prints the median of the rounds' ratios (PyTorch's best median over ours), and
the ratio of the fastest steps of all rounds: where neighbours slow the machine down for seconds at a time, the fastest
steps are those that they spared.
"""
import json
import statistics
import sys


def best_ratio(steps_of_way, our_steps, average):
    """PyTorch's best way over ours; above 1 shardgrad is faster."""
    return min(average(steps) for steps in steps_of_way.values()) / average(our_steps)


def print_round(title, ours_path, theirs_path, rounds_path):
    with open(ours_path, encoding="utf-8") as file:
        ours = json.load(file)["results"][0]["steps"]
    with open(theirs_path, encoding="utf-8") as file:
        ways = [json.loads(line) for line in file]
    theirs = {way["way"]: way["steps"] for way in ways if "steps" in way}
    if not theirs:
        sys.exit(f"torch_ratio: PyTorch ran in no way: {ways}")
    times = ", ".join(f"{way} {statistics.median(steps) * 1e3:.0f} ms" for way, steps in theirs.items())
    failed = "".join(f"; {way['way']} failed ({way['error']})" for way in ways if "error" in way)
    print(f"{title}: shardgrad {statistics.median(ours) * 1e3:.0f} ms; PyTorch {times}{failed}; "
          f"ratio {best_ratio(theirs, ours, statistics.median):.2f}", flush=True)
    with open(rounds_path, "a", encoding="utf-8") as file:
        print(json.dumps({"ours": ours, "theirs": theirs}), file=file)


def print_summary(title, rounds_path):
    with open(rounds_path, encoding="utf-8") as file:
        rounds = [json.loads(line) for line in file]
    medians = [best_ratio(entry["theirs"], entry["ours"], statistics.median) for entry in rounds]
    theirs = {}
    for entry in rounds:
        for way, steps in entry["theirs"].items():
            theirs.setdefault(way, []).extend(steps)
    fastest = best_ratio(theirs, [step for entry in rounds for step in entry["ours"]], min)
    print(f"{title}: median ratio {statistics.median(medians):.2f}; of the fastest steps {fastest:.2f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 6 and sys.argv[1] == "round":
        print_round(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "summary":
        print_summary(*sys.argv[2:])
    else:
        sys.exit(__doc__)
