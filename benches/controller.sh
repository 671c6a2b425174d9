#!/bin/bash
# What the controller costs in a large cluster: a real API server with Services and routes, of which
# extensions select some. How long until all is as it is to be, by how many writes; how long from a
# change to what comes of it; memory and CPU. Prints lines that begin with `controller:`; those of a
# date and a machine go to results/.
#
#   SERVICES    Services in the cluster (10,000)
#   SELECTED    of these, by extensions (1,000)
#   EXTENSIONS  that select them (50)
#   ROUTES      HTTPRoutes (5,000)
#   PROFILE     of the program that is measured (release)
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${PROFILE:-release}
cargo build --profile "$profile"
export KONG_EXPORTER_BINARY=$PWD/target/$profile/kong-metrics-exporter
export KONG_EXPORTER_SCALE_SERVICES=${SERVICES:-10000} KONG_EXPORTER_SCALE_SELECTED=${SELECTED:-1000}
export KONG_EXPORTER_SCALE_EXTENSIONS=${EXTENSIONS:-50} KONG_EXPORTER_SCALE_ROUTES=${ROUTES:-5000}
export KONG_EXPORTER_CLUSTER_LIMIT=${LIMIT:-1800}
tests/cluster/run --nocapture controller::scale:: | grep -e '^controller: ' -e '^test '
