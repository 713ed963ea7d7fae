#!/bin/bash
# Searches for inputs that crash the parsers of files from elsewhere, beginning with those of tests/fuzz/corpus:
#   tools/fuzz.sh [SECONDS] [TARGET...]      60 seconds of every target by default; metrics, model_json, ... for some
#
# Builds tests/fuzz with Clang's libFuzzer (./bazelw installs it), runs a target on each core, and prints a table. An
# input counts as a crash when a sanitizer or a check of the target objects, and when it takes more than 10 seconds, one
# allocation of 512 MB, or 2 GB in all. Those found are kept, and the exit status is 1.
#
# A target that has learnt to read more than its corpus shows is worth a larger one. What was found is below the folder
# that the last line names; the smallest inputs that reach what is new:
#   bazel-bin/tests/fuzz/X_fuzzer -merge=1 tests/fuzz/corpus/X FOLDER/X/corpus
set -uo pipefail
cd "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." || exit 1

# The comment at the top of this file.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' tools/fuzz.sh; }

seconds=60
if [[ ${1-} == --help || ${1-} == -h ]]; then
  usage
  exit 0
elif [[ ${1-} =~ ^[1-9][0-9]{0,5}$ ]]; then
  seconds=$1
  shift
fi
targets=("$@")
if ((${#targets[@]} == 0)); then
  for source in tests/fuzz/*_fuzzer.cc; do
    source=${source##*/}
    targets+=("${source%_fuzzer.cc}")
  done
fi
labels=()
for target in "${targets[@]}"; do
  [[ -f tests/fuzz/${target}_fuzzer.cc ]] || {
    echo "fuzz.sh: there is no target '$target'; expected a number of seconds first, then X of tests/fuzz/X_fuzzer.cc" >&2
    exit 1
  }
  labels+=("//tests/fuzz:${target}_fuzzer")
done

./bazelw build --config=fuzz "${labels[@]}" || exit 1

found=$(mktemp -d "${TMPDIR:-/tmp}/shardgrad-fuzz.XXXXXX") || exit 1

# search TARGET FOLDER: one run of libFuzzer. It stops by itself; timeout ends what its alarm cannot interrupt.
search() {
  timeout --kill-after=10 $((seconds + 60)) "bazel-bin/tests/fuzz/${1}_fuzzer" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -malloc_limit_mb=512 -print_final_stats=1 -artifact_prefix="$2/" \
    "$2/corpus" "tests/fuzz/corpus/$1" >"$2/log" 2>&1 </dev/null
}

# fuzz TARGET: searches until one that was not disturbed. On a machine that others use, or that is halted for seconds,
# any input may seem slow: those that are not slow again are forgotten, and the search is made once more.
fuzz() {
  local folder=$found/$1 input status attempt
  mkdir -p "$folder/corpus"
  for attempt in 1 2 3; do
    status=0
    search "$1" "$folder" || status=$?
    for input in "$folder"/timeout-* "$folder"/slow-unit-*; do
      [[ ! -f $input ]] || ! "bazel-bin/tests/fuzz/${1}_fuzzer" -timeout=10 "$input" >/dev/null 2>&1 || rm -- "$input"
    done
    [[ $status != 0 && -z $(crashes "$folder") && $attempt -lt 3 ]] || break
  done
  echo "$status" >"$folder/status"
}

# crashes FOLDER: the inputs that were found in it.
crashes() { find "$1" -maxdepth 1 -type f ! -name log ! -name status; }

echo "$seconds s of each of ${#targets[@]} targets, $(nproc) at a time"
running=0
for target in "${targets[@]}"; do
  ((running < $(nproc))) || {
    wait -n
    running=$((running - 1))
  }
  fuzz "$target" &
  running=$((running + 1))
done
wait

# last NAME FILE: the number behind the last NAME in a log.
last() { grep -oE "$1 *[0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$' || echo 0; }

bad=0
printf '\n%-20s %12s %10s %10s %8s\n' target executions edges inputs crashes
for target in "${targets[@]}"; do
  folder=$found/$target
  count=$(crashes "$folder" | wc -l)
  # One that ended badly without saying why counts, too.
  ((count > 0)) || [[ $(<"$folder/status") == 0 ]] || count=1
  ((count == 0)) || bad=$((bad + 1))
  printf '%-20s %12d %10d %10d %8d\n' "$target" "$(last 'number_of_executed_units:' "$folder/log")" \
    "$(last 'cov:' "$folder/log")" "$(find "$folder/corpus" -type f | wc -l)" "$count"
done
printf '\nlogs and inputs: %s\n' "$found"
((bad == 0)) || {
  for target in "${targets[@]}"; do
    [[ $(<"$found/$target/status") == 0 ]] || grep -hE 'ERROR:|SUMMARY:|Test unit written' "$found/$target/log"
  done
  exit 1
}
