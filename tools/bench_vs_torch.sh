#!/bin/bash
# Compares full training steps with PyTorch's on the CPU of this machine: tools/bench_vs_torch.sh [--python=PYTHON]
set -euo pipefail
cd "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

usage() {
  cat <<'TEXT'
Compares full training steps (forward, backward, gradient norm, AdamW) with PyTorch's on this machine's CPU.

  tools/bench_vs_torch.sh [--python=python3] [--rounds=3] [--steps=3] [--dtypes=fp32,bf16] [--shapes=gpt2-64,...]

--python   a Python that has PyTorch; it decides which PyTorch
--rounds   how often the two take turns: the machine's speed drifts, so each round is a comparison of its own
--steps    measured steps in each turn, after one of warm-up
--dtypes   fp32: float32 on both sides. bf16: bfloat16 weights with float32 masters here, autocast there
--shapes   of gpt2-64 (GPT-2, 4 x 64 tokens), gpt2-256 (4 x 256), small (6 layers of 384, V = 96, 12 x 256)

PyTorch runs in three ways, and its best of a round counts: attention spelled out (eager), its fused attention (sdpa),
and torch.compile. Prints a line for each round, then the median of the rounds' ratios and the ratio of the fastest
steps of all rounds: above 1, shardgrad is faster.
TEXT
}

fail() {
  echo "bench_vs_torch: $1" >&2
  exit 1
}

python=python3 rounds=3 steps=3 dtypes=fp32,bf16 shapes=gpt2-64,gpt2-256,small
for argument in "$@"; do
  case $argument in
    --python=*) python=${argument#*=} ;;
    --rounds=*) rounds=${argument#*=} ;;
    --steps=*) steps=${argument#*=} ;;
    --dtypes=*) dtypes=${argument#*=} ;;
    --shapes=*) shapes=${argument#*=} ;;
    --help) usage && exit ;;
    *) fail "unknown argument $argument; see --help" ;;
  esac
done
for shape in ${shapes//,/ }; do
  [[ $shape =~ ^(gpt2-64|gpt2-256|small)$ ]] || fail "there is no shape $shape; choose of gpt2-64, gpt2-256 and small"
done
for dtype in ${dtypes//,/ }; do
  [[ $dtype =~ ^(fp32|bf16)$ ]] || fail "there is no dtype $dtype; choose of fp32 and bf16"
done
for number in "$rounds" "$steps"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || fail "$number is no number of rounds or steps; choose 1 or more"
done
"$python" -c 'import torch' 2>/dev/null ||
  fail "$python has no PyTorch; name one that has with --python, or: $python -m pip install torch"

# shape_options NAME: the options that both programs take.
shape_options() {
  case $1 in
    gpt2-64) echo --batch-size=4 --seq-len=64 ;;
    gpt2-256) echo --batch-size=4 --seq-len=256 ;;
    small) echo --n-layers=6 --n-heads=6 --d-model=384 --vocab-size=96 --batch-size=12 --seq-len=256 ;;
  esac
}

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
./bazelw build //tools:bench >"$scratch/build.log" 2>&1 || {
  tail -n 20 "$scratch/build.log" >&2
  fail "//tools:bench was not built"
}
"$python" -c 'import torch; print("PyTorch", torch.__version__)'

for shape in ${shapes//,/ }; do
  read -ra options <<<"$(shape_options "$shape")"
  for dtype in ${dtypes//,/ }; do
    for ((round = 1; round <= rounds; round++)); do
      bazel-bin/tools/bench "${options[@]}" --device=cpu --dtype="$dtype" --dropout=0 --warmup=1 --steps="$steps" \
        --json="$scratch/ours.json" >/dev/null 2>&1 || fail "bench failed at $shape, $dtype"
      "$python" tools/torch_gpt.py "${options[@]}" --dtype="$dtype" --warmup=1 --steps="$steps" \
        >"$scratch/theirs.jsonl" 2>/dev/null || fail "PyTorch failed at $shape, $dtype"
      "$python" tools/torch_ratio.py round "$shape $dtype" "$scratch/ours.json" "$scratch/theirs.jsonl" "$scratch/rounds"
    done
    "$python" tools/torch_ratio.py summary "$shape $dtype" "$scratch/rounds"
    rm "$scratch/rounds"
  done
done
