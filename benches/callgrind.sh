#!/bin/sh
# Instructions per input byte of the rewriter, counted by callgrind: steady on a noisy machine, so
# two versions can be compared by them. benches/callgrind.sh [1m|30m] [oss|grouped]
# Needs valgrind. The difference of two runs is taken, one with 40 passes more than the other, so
# that reading the files and the mapping does not count.
set -eu
size=${1:-1m} order=${2:-oss}
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "not run: valgrind is not installed" >&2; exit 0; }

program=$(cargo bench --bench rewrite --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p' | tail -n 1)
[ -n "$program" ] || { echo "cargo bench --no-run failed" >&2; exit 1; }
# `rep movsb` would count once for every byte it copies.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000
eval "$("$program" --size "$size" --order "$order" --files)" # sets body

instructions() {
    valgrind --tool=callgrind --callgrind-out-file="target/tmp/callgrind-$1.out" \
        "$program" --size "$size" --order "$order" --once 0 --passes "$1" 2>&1 >/dev/null |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
few=$(instructions 2)
many=$(instructions 42)
bytes=$(wc -c <"$body")
awk -v a="$few" -v b="$many" -v bytes="$bytes" -v what="$size, $order order" 'BEGIN {
    printf "%s: %.3f instructions per input byte (%d for %d bytes)\n", what, (b - a) / 40 / bytes, (b - a) / 40, bytes
}'
echo "by function: callgrind_annotate target/tmp/callgrind-42.out"
