#!/bin/bash
# What a sidecar with --mapping=watch or published costs: its memory, and what a real API server sends
# it, counted at a proxy. Leftovers of one test burden the next: for numbers to record, run each by its
# name (TEST=watching_costs, TEST=reading_what_is_published). Prints lines that begin with `fleet:`;
# those of a date and a machine go to results/.
#
#   ROUTES    HTTPRoutes in the cluster (50,000)
#   SIDECARS  sidecars started at once (20)
#   PROFILE   of the program that is measured (release)
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${PROFILE:-release}
cargo build --profile "$profile"
export KONG_EXPORTER_BINARY=$PWD/target/$profile/kong-metrics-exporter
export KONG_EXPORTER_FLEET_ROUTES=${ROUTES:-50000} KONG_EXPORTER_FLEET_SIDECARS=${SIDECARS:-20}
export KONG_EXPORTER_CLUSTER_LIMIT=${LIMIT:-1800}
tests/cluster/run --nocapture "${TEST:-fleet::}" | grep -e '^fleet: ' -e '^test '
