#!/bin/bash
# Compares full training steps with PyTorch's on the CPU of this machine: tools/bench_vs_torch.sh [--python=PYTHON]
set -euo pipefail
cd "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

usage() {
  cat <<'TEXT'
Compares full training steps (forward, backward, gradient norm, AdamW) with PyTorch's on this machine's CPU.

  tools/bench_vs_torch.sh [--python=python3] [--rounds=9] [--dtypes=fp32,bf16] [--shapes=gpt2-64,...] [--ways=...]

--python   a Python that has PyTorch; it decides which PyTorch
--rounds   how many steps each makes, after one of warm-up
--dtypes   fp32: float32 on both sides. bf16: bfloat16 weights with float32 masters here, autocast there
--shapes   of gpt2-64 (GPT-2, 4 x 64 tokens), gpt2-256 (4 x 256), small (6 layers of 384, V = 96, 12 x 256)
--ways     of eager (attention spelled out), sdpa (fused attention) and compile (torch.compile)

All programs are loaded at once, which takes up to 20 GiB of memory for gpt2-256 (less with fewer --ways), and make one
step in turn, in an order drawn anew for each round: the machine's speed drifts, and the steps of a round lie seconds
apart. Prints the times of each round; then, for each shape, the medians over the rounds of tp=2's time in tp=1's and of
PyTorch's time in ours, for the way in which PyTorch is fastest, and that ratio for the fastest steps of all. Above 1
shardgrad is faster.
TEXT
}

fail() {
  echo "bench_vs_torch: $1" >&2
  exit 1
}

python=python3 rounds=9 dtypes=fp32,bf16 shapes=gpt2-64,gpt2-256,small ways=eager,sdpa,compile
for argument in "$@"; do
  case $argument in
    --python=*) python=${argument#*=} ;;
    --rounds=*) rounds=${argument#*=} ;;
    --dtypes=*) dtypes=${argument#*=} ;;
    --shapes=*) shapes=${argument#*=} ;;
    --ways=*) ways=${argument#*=} ;;
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
for way in ${ways//,/ }; do
  [[ $way =~ ^(eager|sdpa|compile)$ ]] || fail "there is no way $way; choose of eager, sdpa and compile"
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || fail "$rounds is no number of rounds; choose 1 or more"
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

log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
echo "building //tools:bench (minutes, the first time)"
./bazelw build //tools:bench >"$log" 2>&1 || {
  tail -n 20 "$log" >&2
  fail "//tools:bench was not built"
}
"$python" -c 'import torch; print("PyTorch", torch.__version__)'
for shape in ${shapes//,/ }; do
  read -ra options <<<"$(shape_options "$shape")"
  for dtype in ${dtypes//,/ }; do
    "$python" tools/torch_turns.py bazel-bin/tools/bench "$shape $dtype" "$rounds" "$ways" "${options[@]}" "--dtype=$dtype" ||
      fail "the comparison of $shape in $dtype failed"
  done
done
