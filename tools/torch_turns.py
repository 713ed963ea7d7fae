#!/usr/bin/env python3
"""Lets //tools:bench and PyTorch take turns at single training steps: what tools/bench_vs_torch.sh runs.

A machine's speed drifts by seconds and minutes, and neighbours take from it. So all programs are started first, each
makes a step when it is its turn (the options --paced here and in torch_gpt.py), and what is compared are the steps of
one round, which lie seconds apart. Prints a line for each round, then the medians over the rounds of the ratios.

torch_turns.py BENCH TITLE ROUNDS WAYS OPTION...: the program //tools:bench, a name for the shape, how many rounds,
PyTorch's ways ("eager,sdpa,compile"), and the options that both programs take.
"""
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys

STEP = re.compile(r"step \d+\S*(?: \(warm-up\))?: ([0-9.]+) ms")


class Runner:
    """A program that makes a step whenever it is told to."""

    def __init__(self, name, command):
        self.name, self.milliseconds, self.last_line = name, [], ""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)

    def step(self):
        """The milliseconds of the next step; None when the program has ended instead."""
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        for line in self.process.stderr:
            if match := STEP.search(line):
                return float(match.group(1))
            self.last_line = line.strip() or self.last_line
        return None

    def reason(self):
        """Why it has ended, as far as it said."""
        for line in self.process.stdout:
            if line.startswith("{") and "error" in json.loads(line):
                return json.loads(line)["error"]
        return self.last_line or "no message"

    def end(self):
        self.process.kill()
        self.process.wait()


def start(name, command, runners):
    """Starts a program and has it make its step of warm-up, in which it allocates and compiles."""
    print(f"  starting {name}", file=sys.stderr, flush=True)
    runner = Runner(name, command)
    if runner.step() is None:
        print(f"  {name} failed: {runner.reason()}", flush=True)
        runner.end()
    else:
        runners.append(runner)


def compare(title, ours, theirs):
    """The verdict: PyTorch's best way is that with the smallest ratio."""
    first = ours[0].milliseconds

    def median_ratio(runner):
        return statistics.median(other / own for other, own in zip(runner.milliseconds, first))

    text = f"{title}: shardgrad {statistics.median(first):.0f} ms (fastest {min(first):.0f})"
    for runner in ours[1:]:
        text += f", {runner.name} {median_ratio(runner):.2f} of that time"
    if theirs:
        best = min(theirs, key=median_ratio)
        fastest = min(min(runner.milliseconds) for runner in theirs) / min(first)
        text += (f"; PyTorch's best, {best.name}, {statistics.median(best.milliseconds):.0f} ms: "
                 f"ratio {median_ratio(best):.2f}, of the fastest steps {fastest:.2f}")
    print(text, flush=True)


def main():
    bench, title, rounds, ways, *options = sys.argv[1:]
    torch_gpt = str(pathlib.Path(__file__).with_name("torch_gpt.py"))
    ours, theirs = [], []
    try:
        # One step more than there are turns: a program that has made its last one goes on to its report, which would
        # disturb the others.
        count = ["--warmup=1", f"--steps={int(rounds) + 1}", "--paced"]
        for tensor_parallel in (1, 2):
            start(f"tp={tensor_parallel}", [bench, *options, *count, "--device=cpu", "--dropout=0",
                                            f"--tp={tensor_parallel}"], ours)
        for way in ways.split(","):
            start(way, [sys.executable, torch_gpt, *options, *count, f"--ways={way}"], theirs)
        if not ours or ours[0].name != "tp=1":
            sys.exit("torch_turns: shardgrad did not run")
        for turn in range(int(rounds)):
            runners = ours + theirs
            random.shuffle(runners)
            for runner in runners:
                taken = runner.step()
                if taken is None:
                    sys.exit(f"torch_turns: {runner.name} ended in round {turn + 1}: {runner.reason()}")
                runner.milliseconds.append(taken)
            taken = ", ".join(f"{runner.name} {runner.milliseconds[-1]:.0f}" for runner in ours + theirs)
            print(f"  {title}, round {turn + 1}/{rounds}: {taken} ms", flush=True)
        compare(title, ours, theirs)
    finally:
        for runner in ours + theirs:
            runner.end()


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main()
