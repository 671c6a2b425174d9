#!/bin/sh
# Fills fuzz/corpus/TARGET with real bodies, cut to pieces small enough to mutate well: the project's
# generated ones, and recordings of Kong where there are any (KONG_METRICS_DIR). fuzz/seeds, which
# is under version control, is used besides.
set -eu
cd "$(dirname "$0")"
corpus=corpus/${1:?usage: $0 exposition|rewrite}
shared=${KONG_EXPORTER_SHARED:-../../shared}
recordings=${KONG_METRICS_DIR:-$shared/testdata/kong-metrics}
mkdir -p "$corpus"
for file in ../tests/data/generated-*.txt "$recordings"/*.txt "$recordings"/variants/*.txt; do
    [ -s "$file" ] || continue
    name=$(basename "$file" .txt)
    [ -e "$corpus/$name-aa" ] || split -C 4096 -- "$file" "$corpus/$name-"
done
