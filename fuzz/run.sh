#!/bin/sh
# Fuzzes TARGET (exposition or rewrite) for SECONDS: fuzz/run.sh TARGET SECONDS [libFuzzer options]
# Needs stable Rust and a C++ compiler, nothing else. The corpus grows under fuzz/corpus/TARGET; what
# fails is kept under fuzz/artifacts/TARGET and can be given back: fuzz/run.sh TARGET 0 FILE
set -eu
[ $# -ge 2 ] || { echo "usage: $0 exposition|rewrite SECONDS [libFuzzer options or files]" >&2; exit 64; }
target=$1 seconds=$2
shift 2
cd "$(dirname "$0")"

# What `cargo fuzz` passes with `--sanitizer none`. No address sanitizer: the crate forbids unsafe.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1"
# Named, so that the flags reach the crates and not the build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --target "$host" --bin "$target"
program=target/$host/release/$target

mkdir -p "artifacts/$target"
if [ "$seconds" = 0 ]; then
    exec "$program" "$@"
fi
./seed.sh "$target"
exec "$program" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1024 \
    -dict=exposition.dict -artifact_prefix="artifacts/$target/" -print_final_stats=1 "$@" \
    "corpus/$target" seeds
