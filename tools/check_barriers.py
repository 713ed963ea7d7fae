#!/usr/bin/env python3
"""Does some test fail when a barrier of a CUDA kernel is missing? Asked for every barrier, one after the other.

A barrier that no test misses is either superfluous, or what it protects is not tested: nobody would notice if it were
lost. For each __syncthreads() in the .cu and .cuh files of the tree, this program runs the tests of the kernels
(//tests/cuda, executed on the CPU by //simt) with that one barrier left out, until one of them fails: first in order,
then with the random schedules SIMT_SEED=1, 2, ...

No source is changed, nor is anything compiled for each barrier: simt knows the file and line of every barrier that a
kernel comes to, and leaves out the one that SIMT_SKIP_BARRIER=FILE:LINE names. The tests are built once and copied to a
temporary folder, so that you may go on working. The exact command that found a barrier missing is printed with
--verbose, ready to be pasted.

What to do about one that SURVIVES:
  - it protects nothing: remove it from the source;
  - its test is too small for it (one iteration, one warp, one value for all threads): add a case to the test;
  - only rare schedules show it: try --seeds=100; and run --config=simt_tsan, which does not depend on luck;
  - it is needed for a reason that no test can show: say so on the line above it, and it is accepted:
        // barrier kept: REASON
        __syncthreads();
NOT REACHED means that none of the tests asked comes to it at all. Asked are those that are named like the kernel
(X_test for X_cuda.cu, and for a header those of all that include it), or all if there is none of that name.

examples:
  tools/check_barriers.py                                   all barriers, in order and with 8 seeds
  tools/check_barriers.py --only embedding_cuda.cu          those of one file
  tools/check_barriers.py --only device_math.cuh:128        one barrier
  tools/check_barriers.py --warps                           each __syncwarp(), too
  tools/check_barriers.py --all                             with the tests of training and communication, too: slow
  tools/check_barriers.py --config=simt_tsan --seeds=0      found by ThreadSanitizer instead of by chance

exit status: 0 when every barrier is found or accepted, 1 when one survives or is not reached, 2 when the question
cannot be asked: a build that fails, or a test that fails without any barrier missing.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from barrier_sources import ROOT, NoSuchBarrier, families, find_barriers, tests_for

# The engine's own words, once for each process: see simt/src/block_sync.cc.
REACHED = "leaves out the barrier at"

Test = collections.namedtuple("Test", "name path seconds")
Verdict = collections.namedtuple("Verdict", "barrier word detail command")


def fail(text):
    print("check_barriers: " + text, file=sys.stderr)
    sys.exit(2)


# --- The tests ---------------------------------------------------------------------------------------------------------


def bazel(*arguments, show=False):
    result = subprocess.run(
        [str(ROOT / "bazelw"), *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        print(result.stdout + (result.stderr or ""), file=sys.stderr)
        fail(f"./bazelw {' '.join(arguments)} ended with status {result.returncode}")
    return result.stdout


def build_tests(options, folder):
    """Builds the tests and copies them into `folder`. Returns their paths there, by name."""
    configs = [f"--config={name}" for name in options.config]
    bazel("build", *configs, options.tests, show=True)
    labels = bazel("query", "--noshow_progress", f"kind(cc_test, {options.tests})").split()
    binaries = pathlib.Path(bazel("info", *configs, "bazel-bin").strip())
    paths = {}
    for label in labels:
        name = label.removeprefix("//").replace(":", "/")
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(binaries / name, copy)
        paths[name] = copy
    return paths


def environment(seed, skipped):
    own = {key: value for key, value in os.environ.items() if not key.startswith(("SIMT_", "GTEST_"))}
    # One host thread for each test, so that a seed gives one schedule; the tests themselves run side by side.
    own.update(SIMT_SEED=str(seed), SIMT_THREADS="1", OMP_NUM_THREADS="1", GTEST_FAIL_FAST="1")
    if skipped is not None:
        own["SIMT_SKIP_BARRIER"] = f"{skipped.file}:{skipped.line}"
    return own


def command_of(test, seed, barrier, configs):
    configs = "".join(f" --config={name}" for name in configs)
    label = "//" + ":".join(test.name.rsplit("/", 1))
    return (
        f"./bazelw test{configs} --test_env=SIMT_SKIP_BARRIER={barrier.file}:{barrier.line} --test_env=SIMT_SEED={seed} "
        f"--test_env=SIMT_THREADS=1 {label}"
    )


def run(path, seed, skipped, timeout):
    """Returns "passed", "failed" or "hangs", and what was printed."""
    try:
        result = subprocess.run(
            [str(path)],
            cwd=path.parent,
            env=environment(seed, skipped),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return "hangs", (expired.output or b"").decode(errors="replace")
    return "passed" if result.returncode == 0 else "failed", result.stdout.decode(errors="replace")


def schedule_name(seed):
    return "in order" if seed == 0 else f"SIMT_SEED={seed}"


# --- Progress ----------------------------------------------------------------------------------------------------------


def duration(seconds):
    seconds = int(seconds + 0.5)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60}:{seconds % 60:02} min"


class Progress:
    """One line that is written over on a terminal, else a line for each piece of work."""

    def __init__(self, title, total):
        self.title, self.total, self.done = title, total, 0
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def advance(self, text):
        with self.lock:
            self.done += 1
            passed = time.monotonic() - self.started
            left = passed / self.done * (self.total - self.done)
            line = f"{self.title} {self.done}/{self.total}, {duration(passed)}, ETA {duration(left)}: {text}"
            if sys.stderr.isatty():
                width = shutil.get_terminal_size().columns - 1
                end = "\n" if self.done == self.total else ""
                print("\r\033[K" + line[:width], end=end, file=sys.stderr, flush=True)
            else:
                print(line, file=sys.stderr, flush=True)


# --- The question ------------------------------------------------------------------------------------------------------


def measure(paths, options):
    """Every test passes with every schedule while no barrier is missing; returns them with their times."""
    works = [(name, seed) for name in paths for seed in range(options.seeds + 1)]
    progress = Progress("nothing missing", len(works))

    def one(work):
        name, seed = work
        started = time.monotonic()
        outcome, text = run(paths[name], seed, None, options.timeout)
        progress.advance(f"{name}, {schedule_name(seed)}: {outcome}")
        return name, seed, outcome, text, time.monotonic() - started

    seconds = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, seed, outcome, text, taken in pool.map(one, works):
            if outcome != "passed":
                print("\n".join(text.splitlines()[-25:]), file=sys.stderr)
                fail(f"{name} {outcome} with no barrier missing, {schedule_name(seed)}: see to that first")
            seconds[name] = max(taken, seconds.get(name, 0))
    return [Test(name, paths[name], seconds[name]) for name in paths]


def question(barrier, tests, options):
    """`tests` are those to ask."""
    if barrier.kept:
        return Verdict(barrier, "accepted", barrier.kept, None)
    reached = sorted(tests, key=lambda test: test.seconds)
    for seed in range(options.seeds + 1):
        passing = []
        for test in reached:
            outcome, text = run(test.path, seed, barrier, 10 * test.seconds + 30)
            if REACHED not in text:
                continue
            if outcome != "passed":
                name = pathlib.Path(test.name).stem
                detail = f"{name}, {schedule_name(seed)}" + (" (hangs)" if outcome == "hangs" else "")
                return Verdict(barrier, "found", detail, command_of(test, seed, barrier, options.config))
            passing.append(test)
        reached = passing
        if not reached:
            asked = ", ".join(sorted(pathlib.Path(test.name).stem for test in tests))
            return Verdict(barrier, "NOT REACHED", f"not even in {asked}", None)
    names = ", ".join(sorted(pathlib.Path(test.name).stem for test in reached))
    return Verdict(barrier, "SURVIVES", f"{names}; in order and {options.seeds} seeds", None)


def print_table(verdicts, options):
    rows = [("barrier", "in", "", "by")]
    rows += [(f"{v.barrier.file}:{v.barrier.line}", v.barrier.kernel, v.word, v.detail) for v in verdicts]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for number, row in enumerate(rows):
        print("  ".join([row[i].ljust(widths[i]) for i in range(3)] + [row[3]]).rstrip())
        if options.verbose and number > 0 and verdicts[number - 1].command:
            print("    " + verdicts[number - 1].command)


def main():
    what, _, text = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=what, epilog=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--only", action="append", metavar="FILE[:LINE]", help="only these barriers; the end of the path will do"
    )
    parser.add_argument(
        "--seeds", type=int, default=8, metavar="N", help="random schedules to try after the one in order (default: 8)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="tests at a time (default: one per processor)"
    )
    parser.add_argument(
        "--all", action="store_true", help="ask all tests, not only those named like the kernels (X_cuda.cu, X_test)"
    )
    parser.add_argument("--warps", action="store_true", help="leave out each __syncwarp(), too")
    parser.add_argument("--tests", default="//tests/cuda/...", metavar="PATTERN", help="default: %(default)s")
    parser.add_argument("--config", action="append", default=[], help="of Bazel, for building the tests")
    parser.add_argument(
        "--timeout", type=float, default=600, metavar="S", help="for a test with nothing missing (default: 600)"
    )
    parser.add_argument("--list", action="store_true", help="only print the barriers")
    parser.add_argument("--verbose", action="store_true", help="print the command that found each barrier missing")
    options = parser.parse_args()
    if options.jobs < 1 or options.seeds < 0:
        parser.error("--jobs must be at least 1 and --seeds at least 0")

    try:
        barriers = find_barriers(options.only, options.warps)
    except NoSuchBarrier as error:
        fail(str(error))
    if options.list:
        for barrier in barriers:
            print(f"{barrier.file}:{barrier.line}  {barrier.kernel}")
        return 0
    with tempfile.TemporaryDirectory(prefix="check_barriers.") as folder:
        paths = build_tests(options, pathlib.Path(folder))
        named = families(barriers)
        chosen = {file: list(paths) if options.all else tests_for(named[file], paths) for file in named}
        wanted = {name for barrier in barriers if not barrier.kept for name in chosen[barrier.file]}
        tests = measure({name: path for name, path in paths.items() if name in wanted}, options)
        progress = Progress("barrier", len(barriers))

        def one(barrier):
            names = chosen[barrier.file]
            verdict = question(barrier, [test for test in tests if test.name in names], options)
            progress.advance(f"{barrier.file}:{barrier.line} {verdict.word}, {verdict.detail}")
            return verdict

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            verdicts = list(pool.map(one, barriers))
    print_table(verdicts, options)
    counts = collections.Counter(verdict.word for verdict in verdicts)
    print(f"{len(barriers)} barriers: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["SURVIVES"] or counts["NOT REACHED"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
