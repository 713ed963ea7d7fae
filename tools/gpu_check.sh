#!/bin/bash
# shardgrad on a real GPU: kernel tests, training compared with the CPU, benchmarks; one table at the end.
#
#   tools/gpu_check.sh --bundle=FILE.tar.xz    where Bazel and nvcc are, GPU or not: builds the programs and packs them,
#                                              with this script and the libraries they need
#   tar -xf FILE.tar.xz && shardgrad-gpu-check/gpu_check.sh
#                                              where the GPU is, without Bazel: runs all of it
#   tools/gpu_check.sh                         where both are: builds and runs
#
# Options of a run:
#   --quick           no compute-sanitizer and no benchmarks
#   --out=FOLDER      for the programs' full output and table.txt (default: gpu_check_output)
#   --tests=PATTERN   of the tests, those that GoogleTest's filter PATTERN names
#
# The bundle runs on any x86-64 Linux with glibc 2.36 or later (Debian 12, Ubuntu 24.04), an NVIDIA driver for CUDA 13
# and CUDA 13's libcublasLt, which is looked for in LD_LIBRARY_PATH, CUDA_PATH, /usr/local/cuda* and the folders of
# Python's nvidia packages. compute-sanitizer (memcheck and racecheck, over the kernels' tests) is used if it is there.
# Exit status: 0 when everything passed, 1 when something failed, 2 when nothing could be run.
set -uo pipefail

here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd) || exit 2
most_bytes=$((60 * 1024 * 1024))

die() {
  printf 'gpu_check: %s\n' "$*" >&2
  exit 2
}

# The comment at the top of this file.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "${BASH_SOURCE[0]}"; }

bundle='' out=gpu_check_output quick=no tests='*'
for argument; do
  case $argument in
    --bundle=?*) bundle=${argument#*=} ;;
    --out=?*) out=${argument#*=} ;;
    --tests=?*) tests=${argument#*=} ;;
    --quick) quick=yes ;;
    -h | --help) usage && exit 0 ;;
    *) die "'$argument' is not an option; see --help" ;;
  esac
done

# --- Building ---------------------------------------------------------------------------------------------------------

programs=(tests/cuda/gpu_tests tools/bench tools/parity tools/train)

# stage FOLDER: builds the programs and puts them into FOLDER, with the libraries that a machine may lack.
stage() {
  local folder=$1 root=${here%/tools} program path targets=(//third_party/cuda:status //tools:corpus)
  for program in "${programs[@]}"; do targets+=("//${program%/*}:${program##*/}"); done
  cd -- "$root" || die "$root is gone"
  ./bazelw build --config=portable --strip=always "${targets[@]}" || die "the build failed"
  grep -q '^CUDA toolkit' bazel-bin/third_party/cuda/status.txt ||
    die "without a CUDA toolkit there is nothing to check: $(cat bazel-bin/third_party/cuda/status.txt)"
  mkdir -p -- "$folder/bin" "$folder/lib" || die "cannot write $folder"
  cp -L -- "${programs[@]/#/bazel-bin/}" bazel-bin/tools/eigen_corpus.txt "$folder/bin/" || die "cannot write $folder"
  cp -- "${BASH_SOURCE[0]}" "$folder/" || die "cannot write $folder"
  chmod u+w "$folder"/bin/*
  # What is neither CUDA's nor the system's: oneDNN, fmt, OpenMP.
  for program in "${programs[@]##*/}"; do ldd "$folder/bin/$program"; done |
    awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -Ev '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|libcublas|libcublasLt|libcudart|libnccl)\.so' |
    while read -r path; do cp -L -- "$path" "$folder/lib/" || exit 1; done || die "cannot write $folder/lib"
}

if [[ -n $bundle ]]; then
  [[ $bundle == /* ]] || bundle=$PWD/$bundle
  scratch=$(mktemp -d) || die "cannot make a temporary folder"
  trap 'rm -rf -- "$scratch"' EXIT
  (stage "$scratch/shardgrad-gpu-check") || exit 2
  echo "packing $bundle (half a minute)"
  if ! tar -C "$scratch" --owner=0 --group=0 -cf - shardgrad-gpu-check | xz -T0 >"$bundle.partial" ||
    ! mv -- "$bundle.partial" "$bundle"; then
    die "cannot write $bundle"
  fi
  bytes=$(stat -c %s -- "$bundle")
  ((bytes <= most_bytes)) || die "$bundle has $bytes bytes, more than $most_bytes"
  printf '%s: %d MiB. On the machine with the GPU:\n  tar -xf %s && shardgrad-gpu-check/gpu_check.sh\n' \
    "$bundle" $(((bytes + 1048575) / 1048576)) "${bundle##*/}"
  exit 0
fi

if [[ -x $here/bin/gpu_tests ]]; then
  folder=$here
else
  folder=$PWD/$out/programs
  (stage "$folder") || exit 2
fi

# --- What is here -----------------------------------------------------------------------------------------------------

mkdir -p -- "$out" || die "cannot make the folder $out; choose another --out"
out=$(cd -- "$out" && pwd)
command -v nvidia-smi >/dev/null || die "there is no nvidia-smi: no NVIDIA driver is installed"
gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1) || die "nvidia-smi fails"
[[ -n $gpu ]] || die "nvidia-smi finds no GPU"

# The first folder that holds a library by one of the usual ways.
find_library() {
  local candidate
  for candidate in ${LD_LIBRARY_PATH:+${LD_LIBRARY_PATH//:/ }} "${CUDA_PATH:-/usr/local/cuda}/lib64" \
    /usr/local/cuda*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib /usr/lib/x86_64-linux-gnu \
    /{usr/lib,usr/local/lib,opt}/python3*/*-packages/nvidia/*/lib \
    /opt/*/lib/python3*/site-packages/nvidia/*/lib /opt/*/.venv/lib/python3*/site-packages/nvidia/*/lib; do
    [[ -e $candidate/$1 ]] && printf '%s\n' "$candidate" && return 0
  done
  return 1
}

libraries=$folder/lib
for program in "$folder"/bin/{gpu_tests,bench,parity,train}; do
  while read -r name; do
    found=$(find_library "$name") ||
      die "$name is missing, which ${program##*/} needs; install CUDA 13 or name its folder in LD_LIBRARY_PATH"
    [[ :$libraries: == *:$found:* ]] || libraries+=:$found
  done < <(LD_LIBRARY_PATH=$libraries ldd "$program" | awk '/=> not found/ { print $1 }' | sort -u)
done
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# --- The table --------------------------------------------------------------------------------------------------------

rows=()
failures=0
row() { rows+=("$(printf '%-42s %-9s %8s  %s' "$1" "$2" "$3" "$4")"); }
seconds_since() { awk -v from="$1" -v to="$(date +%s.%N)" 'BEGIN { printf "%.1f s", to - from }'; }

# One row for each suite of a GoogleTest log.
suites_of() {
  awk '
    /^\[----------\] [0-9]+ tests? from .*ms total\)/ {
      suite = $5; time[suite] += substr($6, 2); if (!(suite in tests)) order[++count] = suite; tests[suite] += $2
    }
    /^\[  FAILED  \] [^ ]+ \([0-9]+ ms\)/ || /^\[  FAILED  \] [^ ]+, where .*ms\)/ {
      name = $4; sub(/,$/, "", name); suite = name; sub(/\.[^.]*$/, "", suite); failed[suite]++
    }
    END {
      for (i = 1; i <= count; ++i) {
        suite = order[i]
        printf "%s\t%s\t%.1f s\t%d passed, %d failed\n", suite, failed[suite] ? "FAILED" : "passed", time[suite] / 1000,
          tests[suite] - failed[suite], failed[suite]
      }
    }' "$1"
}

run_tests() {
  local log=$out/tests.log status
  echo "tests: $folder/bin/gpu_tests, output in $log"
  (cd -- "$out" && "$folder/bin/gpu_tests" --gtest_filter="$tests" --gtest_color=no) >"$log" 2>&1
  status=$?
  while IFS=$'\t' read -r suite verdict time detail; do row "$suite" "$verdict" "$time" "$detail"; done < <(suites_of "$log")
  if ((status != 0)); then
    failures=$((failures + 1))
    grep -q '^\[  FAILED  \]' "$log" ||
      row "the tests did not come to their end" FAILED '' "status $status; $(grep '^\[ RUN' "$log" | tail -n 1)"
  elif ! grep -q '^\[  PASSED  \] [1-9]' "$log"; then
    failures=$((failures + 1))
    row "the tests" FAILED '' "none ran: the filter '$tests' names none"
  fi
}

# sanitize TOOL: the kernels' own tests, without those that train or run several ranks, under compute-sanitizer.
sanitize() {
  local log=$out/$1.log started status count verdict=passed
  started=$(date +%s.%N)
  echo "compute-sanitizer --tool $1, output in $log (minutes)"
  timeout 240 "$sanitizer" --tool "$1" --error-exitcode 99 "$folder/bin/gpu_tests" --gtest_color=no \
    --gtest_filter='*Float32*:*float32*:*Copy*:-*Training*:*Communicator*:*Nccl*' >"$log" 2>&1
  status=$?
  count=$(awk '/^\[  PASSED  \]/ { count = $4 } END { print count + 0 }' "$log")
  if ((status == 124)); then
    verdict='too slow'
  elif ((status != 0 || count == 0)); then
    verdict=FAILED
    failures=$((failures + 1))
  fi
  row "compute-sanitizer $1" "$verdict" "$(seconds_since "$started")" \
    "$count tests passed; $(grep 'ERROR SUMMARY\|RACECHECK SUMMARY' "$log" | tail -n 1)"
}

# train_both: twenty steps here and on the CPU; the largest relative difference of the losses.
train_both() {
  local started device difference verdict=passed
  started=$(date +%s.%N)
  echo "train: 20 steps on the GPU and on the CPU"
  for device in cuda cpu; do
    "$folder/bin/train" --device=$device --steps=20 --batch-size=4 --dropout=0.1 --sample-tokens=0 \
      "--out=$out/train_$device" >"$out/train_$device.log" 2>&1 || verdict=FAILED
  done
  difference=$(paste "$out"/train_{cuda,cpu}/metrics.jsonl | awk '
    { match($0, /"loss":[-0-9.e+]+/); a = substr($0, RSTART + 7, RLENGTH - 7)
      rest = substr($0, RSTART + RLENGTH); match(rest, /"loss":[-0-9.e+]+/); b = substr(rest, RSTART + 7, RLENGTH - 7)
      d = (a - b) / b; if (d < 0) d = -d; if (d > worst) worst = d; ++lines }
    END { printf "%.1e %d", worst, lines }')
  awk -v worst="${difference% *}" -v lines="${difference#* }" 'BEGIN { exit !(lines == 20 && worst < 1e-4) }' ||
    verdict=FAILED
  [[ $verdict == passed ]] || failures=$((failures + 1))
  row "train: 20 steps, GPU and CPU" "$verdict" "$(seconds_since "$started")" \
    "losses differ by ${difference% *} at most, ${difference#* } steps; expected below 1e-4"
}

# parity DTYPE: layouts of up to four ranks on the GPU, against one rank there.
parity() {
  local log=$out/parity_$1.log started verdict=passed
  started=$(date +%s.%N)
  echo "parity --dtype=$1"
  "$folder/bin/parity" --device=cuda "--dtype=$1" >"$log" 2>&1 || { verdict=FAILED && failures=$((failures + 1)); }
  row "parity of layouts, $1" "$verdict" "$(seconds_since "$started")" \
    "$(grep -c '  equal  ' "$log") layouts equal, $(grep -c '  DIFFERS  ' "$log") differ"
}

# bench NAME OPTION...
bench() {
  local name=$1 started verdict=passed log
  shift
  log=$out/bench_${name//[^a-zA-Z0-9]/_}.log
  started=$(date +%s.%N)
  echo "bench $*"
  "$folder/bin/bench" --device=cuda "$@" >"$log" 2>&1 || { verdict=FAILED && failures=$((failures + 1)); }
  row "bench $name" "$verdict" "$(seconds_since "$started")" "$(awk '
    /^step  / { line = $0; sub(/^step +/, "", line); text = line }
    /^rate / { match($0, /[0-9]+ % of/); text = text "; " substr($0, RSTART, RLENGTH) " the GEMM rate" }
    /^memory / { text = text "; " $2 " GB" }
    END { print text }' "$log")"
}

started_all=$SECONDS
run_tests
train_both
for dtype in fp64 fp32 bf16; do parity "$dtype"; done
if [[ $quick == no ]]; then
  bench 'gpt2 8x1024 bf16' --preset=gpt2 --batch-size=8 --seq-len=1024 --dtype=bf16
  bench 'gpt2 8x1024 tf32' --preset=gpt2 --batch-size=8 --seq-len=1024 --tf32
  bench 'gpt2 8x1024 fp32' --preset=gpt2 --batch-size=8 --seq-len=1024 --steps=3
  bench 'gpt2 8x1024 bf16, recompute' --preset=gpt2 --batch-size=8 --seq-len=1024 --dtype=bf16 --recompute=block
  bench 'gpt2 8x1024 bf16, tp=2' --preset=gpt2 --batch-size=8 --seq-len=1024 --dtype=bf16 --tp=2
  bench 'gpt2 8x1024 bf16, tp=2, no overlap' --preset=gpt2 --batch-size=8 --seq-len=1024 --dtype=bf16 --tp=2 --no-overlap
  bench 'gpt2 8x1024 bf16, tp=2, seq. parallel' --preset=gpt2 --batch-size=8 --seq-len=1024 --dtype=bf16 --tp=2 \
    --sequence-parallel
  bench 'gpt2 8x1024 bf16, dp=2, zero=1' --preset=gpt2 --batch-size=8 --seq-len=1024 --dtype=bf16 --dp=2 --zero=1
  sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer)
  if [[ -n $sanitizer ]]; then
    sanitize memcheck
    sanitize racecheck
  else
    row "compute-sanitizer" absent '' "not found on PATH or in /usr/local/cuda*/bin"
  fi
fi

{
  printf '\n%s; %s\n\n' "$gpu" "$(date -u +%Y-%m-%d)"
  printf '%-42s %-9s %8s  %s\n' what verdict time detail
  printf '%s\n' "${rows[@]}"
  printf '\n%d failed, after %d s; full output in %s\n' "$failures" $((SECONDS - started_all)) "$out"
} | tee "$out/table.txt"
((failures == 0))
