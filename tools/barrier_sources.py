"""The barriers in the sources of the CUDA kernels, and the tests that are named like those. See check_barriers.py."""

import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("tensor", "parallel", "nn", "autograd", "model")
ACCEPTED = re.compile(r"//\s*barrier kept:\s*(\S.*)")

Barrier = collections.namedtuple("Barrier", "file line kernel kept")


class NoSuchBarrier(Exception):
    """What was asked for is not there, or cannot be told apart."""


def kernel_of(lines, index):
    """The name of the function that line `index` is in: of the nearest __global__ or __device__ above it."""
    for start in range(index, -1, -1):
        if re.search(r"__(global|device)__", lines[start]):
            head = re.sub(r"__launch_bounds__\s*\([^)]*\)", "", " ".join(lines[start : index + 1]))
            name = re.search(r"(operator\s*\(\)|[A-Za-z_]\w*)\s*\(", head)
            if name:
                return re.sub(r"\s+", "", name.group(1))
    return "?"


def barriers_of(path, warps):
    call = re.compile(r"\b__sync(threads|warp)\s*\(" if warps else r"\b__syncthreads\s*\(")
    lines = path.read_text().splitlines()
    for index, line in enumerate(lines):
        code = line.split("//")[0]
        found = call.findall(code)
        if not found:
            continue
        name = path.relative_to(ROOT)
        if len(found) > 1:
            raise NoSuchBarrier(f"{name}:{index + 1}: two barriers in one line cannot be told apart; give each a line of its own")
        kept = ACCEPTED.search(lines[index - 1]) if index > 0 else None
        yield Barrier(str(name), index + 1, kernel_of(lines, index), kept.group(1) if kept else None)


def sources():
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".cu", ".cuh"))


def find_barriers(only, warps):
    barriers = [barrier for path in sources() for barrier in barriers_of(path, warps)]
    if not only:
        return barriers
    chosen = []
    for wish in only:
        match = re.fullmatch(r"(.+?)(?::(\d+))?", wish)
        tail = "/" + match.group(1).removeprefix("./")
        these = [
            b for b in barriers if ("/" + b.file).endswith(tail) and match.group(2) in (None, str(b.line))
        ]
        if not these:
            raise NoSuchBarrier(f"--only {wish}: no barrier there; files with barriers: {', '.join(sorted({b.file for b in barriers}))}")
        chosen += [b for b in these if b not in chosen]
    return chosen


def families(barriers):
    """For each file with barriers, what the tests of its kernels are called: X for X_cuda.cu, and for a header those of
    the .cu files that include it, also by way of other headers."""
    includes = {}
    for path in sources():
        text = path.read_text()
        includes[str(path.relative_to(ROOT))] = set(re.findall(r'^#include "([^"]+)"', text, re.MULTILINE))
    named = {}
    for file in {barrier.file for barrier in barriers}:
        users = {file}
        while True:
            more = {user for user, headers in includes.items() if headers & users} - users
            if not more:
                break
            users |= more
        named[file] = {re.sub(r"(_cuda|_forward|_backward)*$", "", pathlib.Path(user).stem) for user in users}
    return named


def tests_for(family, names):
    """Of the tests' names those of the family, else all."""
    stems = {name: pathlib.Path(name).stem.removesuffix("_test") for name in names}
    chosen = [name for name, stem in stems.items() if any(stem in member for member in family)]
    return chosen or list(names)
