#!/usr/bin/env python3
"""One round of tools/bench_vs_torch.sh: torch_ratio.py TITLE OURS.json THEIRS.jsonl RATIOS

Prints both step times, PyTorch's in each of its ways, and appends PyTorch's best over ours to the file RATIOS.
"""
import json
import sys


def main():
    title, ours_path, theirs_path, ratios_path = sys.argv[1:]
    with open(ours_path, encoding="utf-8") as file:
        ours = json.load(file)["results"][0]["step_seconds"]
    with open(theirs_path, encoding="utf-8") as file:
        ways = [json.loads(line) for line in file]
    times = {way["way"]: way["step_seconds"] for way in ways if "step_seconds" in way}
    if not times:
        sys.exit(f"torch_ratio: PyTorch ran in no way: {ways}")
    ratio = min(times.values()) / ours
    theirs = ", ".join(f"{way} {seconds * 1e3:.0f} ms" for way, seconds in times.items())
    failed = ", ".join(f"{way['way']} failed ({way['error']})" for way in ways if "error" in way)
    print(f"{title}: shardgrad {ours * 1e3:.0f} ms; PyTorch {theirs}{'; ' + failed if failed else ''}; "
          f"ratio {ratio:.2f}", flush=True)
    with open(ratios_path, "a", encoding="utf-8") as file:
        file.write(f"{ratio}\n")


if __name__ == "__main__":
    main()
