"""What arrives at Datadog. In: the exporter, and the annotation out of
deploy/autoscaling/datadog/annotations.yaml. Out: nothing, or the first thing that is not as promised.

A make-believe Kong prints 150 pairs of Service and route, the sidecar stands in front of it, and the
Agent's OpenMetrics check is run on the sidecar as the annotation says, twice, since of a counter only
what it grew by is sent.
"""

import http.server
import json
import pathlib
import re
import subprocess
import sys
import threading

import yaml
from datadog_checks.base import OpenMetricsBaseCheckV2
from datadog_checks.base.stubs import aggregator

ROOT = pathlib.Path(__file__).parents[2]
PAIRS = 150
BOUNDS = [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000]


class Kong(http.server.BaseHTTPRequestHandler):
    """Prints `pairs` of Service and route with `count` requests each, of 200 ms."""

    pairs = PAIRS
    count = 100

    def do_GET(self):
        lines = ["# HELP kong_http_requests_total requests", "# TYPE kong_http_requests_total counter"]
        labels = [
            f'service="shop.svc-{i}.80",route="shop.svc-{i}.80.0"' for i in range(Kong.pairs)
        ]
        for pair in labels:
            for code, share in (("200", 1.0), ("404", 0.5), ("503", 0.25)):
                more = f'code="{code}",source="service",workspace="default",consumer=""'
                lines.append(f"kong_http_requests_total{{{pair},{more}}} {int(Kong.count * share)}")
        name = "kong_upstream_latency_ms"
        lines += [f"# HELP {name} latency", f"# TYPE {name} histogram"]
        for pair in labels:
            for bound in [b for b in BOUNDS if b >= 200] + ["+Inf"]:
                lines.append(f'{name}_bucket{{{pair},workspace="default",le="{bound}"}} {Kong.count}')
        for end, value in (("count", Kong.count), ("sum", 200 * Kong.count)):
            for pair in labels:
                lines.append(f'{name}_{end}{{{pair},workspace="default"}} {value}')
        # One that the annotation does not ask for.
        lines += ["# HELP kong_datastore_reachable it", "# TYPE kong_datastore_reachable gauge"]
        lines.append("kong_datastore_reachable 1")
        body = "\n".join(lines + [""]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def annotation():
    """The instance that the annotation describes."""
    file = ROOT / "deploy/autoscaling/datadog/annotations.yaml"
    patch = yaml.safe_load(file.read_text())
    template = patch["spec"]["dataPlaneOptions"]["deployment"]["podTemplateSpec"]
    checks = json.loads(template["metadata"]["annotations"]["ad.datadoghq.com/proxy.checks"])
    return checks["openmetrics"]["instances"][0]


def ran(check):
    """What one run sends, and what it warns of."""
    aggregator.reset()
    error = check.run()
    assert error == "", error
    return dict(aggregator._metrics), list(aggregator._histogram_buckets.values()), check.get_warnings()


def tags_of(points):
    return {tuple(sorted(tag.split(":", 1)[0] for tag in point.tags)) for point in points}


def equal(found, expected, what):
    assert found == expected, f"{what}: {found!r}, expected {expected!r}"


def main(binary):
    kong = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kong)
    threading.Thread(target=kong.serve_forever, daemon=True).start()
    flags = ["--mapping=none", "--web.listen-address=127.0.0.1:0"]
    flags += [f"--kong.url=http://127.0.0.1:{kong.server_port}/metrics"]
    with subprocess.Popen([binary, "sidecar", *flags], stderr=subprocess.PIPE, text=True) as sidecar:
        try:
            for line in sidecar.stderr:
                listening = re.search(r"listening.* address=(\S+)", line)
                if listening:
                    break
            look_at(listening[1])
        finally:
            sidecar.kill()


def look_at(address):
    instance = annotation()
    instance["openmetrics_endpoint"] = instance["openmetrics_endpoint"].replace("%%host%%:9542", address)
    check = OpenMetricsBaseCheckV2("openmetrics", {}, [instance])
    ran(check)
    Kong.count = 140
    metrics, buckets, warnings = ran(check)
    equal(warnings, [], "warnings")
    name = "autoscaling.kong_upstream_latency_ms"
    requests = "autoscaling.kong_http_requests.count"
    own = {key for key in metrics if not key.startswith("datadog.")}
    equal(own, {f"{name}.count", f"{name}.sum", requests}, "metrics")
    equal({key: len(metrics[key]) for key in own}, {f"{name}.count": PAIRS, f"{name}.sum": PAIRS, requests: 3 * PAIRS}, "points")
    equal(tags_of(metrics[f"{name}.sum"]), {("kube_namespace", "kube_service", "route")}, "tags")
    equal(tags_of(metrics[requests]), {("code", "consumer", "kube_namespace", "kube_service", "route", "source")}, "tags")
    # A monotonic count: the Agent sends the differences.
    equal({point.value for point in metrics[f"{name}.count"]}, {140}, "count")
    equal({point.value for point in metrics[f"{name}.sum"]}, {28000}, "sum")
    one = [point for point in metrics[f"{name}.sum"] if "kube_service:svc-7" in point.tags]
    equal([sorted(point.tags) for point in one], [["kube_namespace:shop", "kube_service:svc-7", "route:shop.svc-7.80.0"]], "svc-7")
    sent = [bucket for of_name in buckets for bucket in of_name]
    assert sent and {bucket.name for bucket in sent} == {name}, sent[:3]
    equal([status.status for status in aggregator.service_checks("autoscaling.openmetrics.health")], [0], "health")
    # As plain metrics, buckets would reach the Agent's own limit and be cut off there.
    distributions = ["histogram_buckets_as_distributions", "collect_counters_with_distributions"]
    for key in ["max_returned_metrics", *distributions]:
        del instance[key]
    Kong.count = 180
    limited = OpenMetricsBaseCheckV2("openmetrics", {}, [instance])
    warnings = ran(limited)[2] + ran(limited)[2]
    assert any("exceeded limit" in warning for warning in warnings), f"no warning at the limit: {warnings}"
    print(f"datadog: {PAIRS} pairs of Service and route: {len(sent)} buckets, {sum(len(metrics[key]) for key in own)} counts, no warning")


if __name__ == "__main__":
    main(sys.argv[1])
