#!/bin/bash
# The whole sidecar over loopback, beside what moves the same body without rewriting it and beside
# the sidecars in Go: CPU time and first byte of a GET, memory, time to start, size.
#
#   benches/sidecar.sh [1m|30m|137m ...]
#   PEERS_GO=PATH    the program of the contestants in Go; without it their rows are missing
#   BINARY=PATH      a built kong-metrics-exporter; otherwise one is built with --profile dist
#   FRAMING=length   Kong's part answers with Content-Length; otherwise in chunks, as Kong does
#   ROUNDS=N         turns of each server; by size otherwise
#   RECORD=1         adds the tables to benches/results
#
# Needs nginx and curl. An nginx plays Kong's part; its CPU time is not counted. Each server runs on
# one core, Kong's part and the client on the other; servers take turns, a few GETs each. The best of
# its turns counts: what else runs on the machine only adds to them.
set -euo pipefail
cd "$(dirname "$0")/.."
sizes=("$@")
[ $# -gt 0 ] || sizes=(1m 30m 137m)
framing=${FRAMING:-chunked}
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || { echo "not run: nginx is not installed"; exit 0; }
command -v curl >/dev/null || { echo "not run: curl is not installed"; exit 0; }

work=$(mktemp -d)
declare -A pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

bench=$(cargo bench --bench rewrite --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p' | tail -n 1)
[ -n "$bench" ] || { echo "cargo bench --no-run failed" >&2; exit 1; }
binary=${BINARY:-}
if [ -z "$binary" ]; then
    cargo build --quiet --profile dist
    binary=target/dist/kong-metrics-exporter
fi

# As the image sets it.
tunables=$(sed -n 's/^ENV \(GLIBC_TUNABLES=.*\)/\1/p' docker/Dockerfile)

kong_port=18100 port=19542
cores=$(nproc)
# Not functions: what is started in the background is then the program itself, not a shell.
one=() other=()
if [ "$cores" -gt 1 ]; then one=(taskset -c 0) other=(taskset -c 1); fi

# start NAME COMMAND...: in the background, its process id in pids[NAME]
start() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    pids[$name]=$!
}
stop() {
    kill "${pids[$1]}" 2>/dev/null || true
    wait "${pids[$1]}" 2>/dev/null || true
    unset "pids[$1]"
}
# answers NAME PORT: waits until it listens
answers() {
    until (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; do sleep 0.01; done
    sleep 0.1
    kill -0 "${pids[$1]}" 2>/dev/null || { cat "$work/$1.log" >&2; echo "$1 did not start" >&2; exit 1; }
}

# One process each, so that /proc tells all of it.
nginx_config() {
    cat <<CONF
daemon off;
master_process off;
pid $work/$1.pid;
error_log $work/$1.error;
events {}
http {
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path $work/$1-body;
    proxy_temp_path $work/$1-proxy;
    fastcgi_temp_path $work/$1-fastcgi;
    uwsgi_temp_path $work/$1-uwsgi;
    scgi_temp_path $work/$1-scgi;
    default_type 'text/plain; charset=UTF-8';
    $2
}
CONF
}
# Server-side includes, of which there are none in the body, make nginx forget its length: chunks.
ssi=""
[ "$framing" = length ] || ssi="ssi on; ssi_types *;"
nginx_config kong "server { listen 127.0.0.1:$kong_port; root $work/kong; sendfile on; types {} $ssi }" >"$work/kong.conf"
nginx_config proxy "gzip_types *; gzip_comp_level 1; gzip_proxied any; gzip_http_version 1.0;
    server { listen 127.0.0.1:$((port + 1)); gzip \$gz; location / { proxy_pass http://127.0.0.1:$kong_port; } }" |
    sed 's/gzip \$gz;/gzip on;/' >"$work/proxy.conf"
mkdir "$work/kong"
start kong "${other[@]}" "$nginx" -c "$work/kong.conf" -p "$work"
answers kong "$kong_port"

# cpu PID: sets total, in nanoseconds, and kernel, in ticks of 10 ms, of all its threads
cpu() {
    local stat
    total=$(awk '{ sum += $1 } END { printf "%.0f", sum }' "/proc/$1/task/"*/schedstat)
    stat=$(<"/proc/$1/stat")
    # shellcheck disable=SC2086 # to be split
    set -- ${stat##*) }
    kernel=${13}
}
status_kib() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }

# get NAME GETS ENCODING: adds to the files NAME.first, NAME.total (seconds) and NAME.bytes
get() {
    local name=$1 gets=$2 encoding=$3 url=${urls[$1]}
    for ((i = 0; i < gets; i++)); do
        echo "url = \"$url\""
        echo 'output = /dev/null'
    done >"$work/gets"
    "${other[@]}" curl -s --fail -H "Accept-Encoding: $encoding" -K "$work/gets" \
        -w '%{time_starttransfer} %{time_total} %{size_download}\n' >>"$work/$name-$encoding.times"
}
least() { sort -g | sed -n 1p; }
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

out=$work/table.md
exec 3>&1
{
    eval "$("$bench" --files)"
    echo "## Over loopback, answers of Kong's part: $framing"
    echo
    echo "$machine."
    echo "\`${RECORD:+RECORD=1 }${PEERS_GO:+PEERS_GO=PATH }FRAMING=$framing benches/sidecar.sh ${sizes[*]}\`"
    echo
    echo "Binary: $(stat -c %s "$binary") bytes, with the image's \`${tunables%%=*}\`. nginx: $("$nginx" -v 2>&1 | sed 's/.*: //'), proxy_pass with its defaults."
    [ -n "${PEERS_GO:-}" ] || echo "The contestants in Go were absent (\`PEERS_GO\`)."
} >"$out"

for size in "${sizes[@]}"; do
    eval "$("$bench" --size "$size" --files)" # sets body, mapping, table, machine, results
    ln -sf "$(realpath "$body")" "$work/kong/metrics"
    case $size in 1m) gets=50 rounds=8 ;; 30m) gets=3 rounds=12 ;; *) gets=1 rounds=8 ;; esac
    rounds=${ROUNDS:-$rounds}

    declare -A urls=()
    names=(sidecar proxy_pass)
    start sidecar "${one[@]}" env "$tunables" "$binary" sidecar --kong.url "http://127.0.0.1:$kong_port/metrics" \
        --web.listen-address "127.0.0.1:$port" --mapping "file:$mapping" --log.level warn --shutdown-delay 0s
    start proxy_pass "${one[@]}" "$nginx" -c "$work/proxy.conf" -p "$work"
    urls[sidecar]=http://127.0.0.1:$port/metrics
    urls[proxy_pass]=http://127.0.0.1:$((port + 1))/metrics
    if [ -n "${PEERS_GO:-}" ]; then
        names+=(go-scan go-expfmt)
        start go-scan "${one[@]}" env GOMAXPROCS=1 "$PEERS_GO" proxy scan "127.0.0.1:$((port + 2))" "127.0.0.1:$kong_port" "$table"
        start go-expfmt "${one[@]}" env GOMAXPROCS=1 "$PEERS_GO" proxy expfmt "127.0.0.1:$((port + 3))" "127.0.0.1:$kong_port" "$table"
        urls[go-scan]=http://127.0.0.1:$((port + 2))/metrics
        urls[go-expfmt]=http://127.0.0.1:$((port + 3))/metrics
    fi
    declare -A idle=() peak=() kernels=() count=()
    for name in "${names[@]}"; do
        answers "$name" "$(echo "${urls[$name]}" | sed 's/.*:\([0-9]*\).*/\1/')"
        idle[$name]=$(status_kib "${pids[$name]}" VmRSS)
    done
    for encoding in identity gzip; do
        for ((round = 0; round < rounds; round++)); do
            for name in "${names[@]}"; do
                n=$gets
                # Seconds a GET: a few tell enough.
                if [ "$name" = go-expfmt ]; then
                    [ "$round" -lt 2 ] || continue
                    n=$(((gets + 3) / 4))
                fi
                key=$name-$encoding
                cpu "${pids[$name]}"
                before=$total
                kernels[$key]=$((${kernels[$key]:-0} - kernel))
                get "$name" "$n" "$encoding"
                cpu "${pids[$name]}"
                kernels[$key]=$((${kernels[$key]} + kernel))
                echo "$before $total $n" | awk '{ printf "%.4f\n", ($2 - $1) / 1e6 / $3 }' >>"$work/$key.cpu"
                count[$key]=$((${count[$key]:-0} + n))
            done
        done
        for name in "${names[@]}"; do
            peak[$name-$encoding]=$(status_kib "${pids[$name]}" VmHWM)
        done
    done
    {
        echo
        echo "### $size: $(stat -c %s "$body") bytes from Kong's part"
        echo
        echo "| | CPU ms a GET, best | median | x proxy_pass | in the kernel | ns a byte in and out | first byte ms, median | best | whole ms, median | bytes out | RSS idle MiB | peak MiB |"
        echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        for encoding in identity gzip; do
            for name in "${names[@]}"; do
                key=$name-$encoding
                awk -v name="$name, $encoding" \
                    -v best="$(least <"$work/$key.cpu")" -v median="$(median <"$work/$key.cpu")" \
                    -v base="$(least <"$work/proxy_pass-$encoding.cpu")" \
                    -v kernel="${kernels[$key]}" -v n="${count[$key]}" \
                    -v all="$(awk -v n="${count[$key]}" '{ sum += $1 } END { print sum / NR * n }' "$work/$key.cpu")" \
                    -v first="$(cut -d' ' -f1 "$work/$key.times" | median)" \
                    -v first_best="$(cut -d' ' -f1 "$work/$key.times" | least)" \
                    -v whole="$(cut -d' ' -f2 "$work/$key.times" | median)" \
                    -v in_="$(stat -c %s "$body")" \
                    -v out="$(cut -d' ' -f3 "$work/$key.times" | tail -n 1)" \
                    -v idle="${idle[$name]}" -v peak="${peak[$name-$encoding]}" 'BEGIN {
                        printf "| %s | %.2f | %.2f | %.2f | %.0f %% | %.2f | %.2f | %.2f | %.2f | %d | %.1f | %.1f |\n",
                            name, best, median, best / base, kernel * 1000 / all, best * 1e6 / (in_ + out),
                            first * 1000, first_best * 1000, whole * 1000, out, idle / 1024, peak / 1024
                    }'
            done
        done
    } >>"$out"
    for name in "${names[@]}"; do stop "$name"; done
    rm -f "$work"/*.times "$work"/*.cpu
done

# From the start of the process to the first byte of its first answer, ten times.
eval "$("$bench" --size 1m --files)"
ln -sf "$(realpath "$body")" "$work/kong/metrics"
for ((i = 0; i < 10; i++)); do
    began=$EPOCHREALTIME
    start first "${one[@]}" env "$tunables" "$binary" sidecar --kong.url "http://127.0.0.1:$kong_port/metrics" \
        --web.listen-address "127.0.0.1:$port" --mapping "file:$mapping" --log.level warn --shutdown-delay 0s
    until { exec 4<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; do :; done
    printf 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n' >&4
    IFS= read -r -n 1 <&4
    ended=$EPOCHREALTIME
    exec 4>&-
    echo "$began $ended" | awk '{ printf "%.1f\n", ($2 - $1) * 1000 }' >>"$work/starts"
    stop first
done
echo >>"$out"
echo "Start of the process to the first byte of its first answer (1 MB, mapping of 5,000 services): $(median <"$work/starts") ms, median of 10 ($(sort -g "$work/starts" | sed -n '1p;$p' | paste -sd- -))." >>"$out"
cat "$out" >&3
if [ -n "${RECORD:-}" ]; then
    mkdir -p benches/results
    { cat "$out"; echo; } >>"$results"
fi
