#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""A Grafana dashboard for a program: one row per scope, one panel per metric, from what its probes say of themselves.

    scripts/grafana/dashboard.py build/services/scriptd >scripts/grafana/dashboard.json

Consumes `probemeter probes --json FILE`; needs neither the program to run nor an agent. Counters are shown as rates by their
labels, levels as they are, histograms as their quantiles. The queries are for series as Prometheus scrapes them from the
agent or gets them over OTLP with service_name as a label.
"""
import json
import pathlib
import subprocess
import sys

PROBEMETER = pathlib.Path(__file__).resolve().parents[2] / "build/probemeter"
QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
# Annotations and units, as Grafana calls them; the rest are plain numbers.
UNITS = {"s": "s", "ms": "ms", "us": "µs", "ns": "ns", "By": "bytes", "KiB": "kbytes", "MiB": "mbytes", "%": "percent"}
# What an OTLP receiver appends for a unit that is not in braces; the agent's own page does the same.
SUFFIXES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "%": "percent"}
# The documented ones in the order of their reference; others follow by name.
SCOPES = [f"{name}Metrics" for name in ("Execution", "Coordinator", "RateLimit", "Event", "Database", "Connection", "Health",
                                        "Notification", "DLQ")]
WIDTH, HEIGHT, COLUMNS = 8, 8, 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def base_name(metric):
    words = [word for word in metric["name"].replace(".", "_").split("_") if word]
    if metric["kind"] == "counter":
        words = [word for word in words if word != "total"]
    suffix = SUFFIXES.get(metric["unit"])
    if suffix and suffix not in words:
        words.append(suffix)
    return "_".join(words + (["total"] if metric["kind"] == "counter" else []))


def targets(metric):
    name, labels = base_name(metric), [label.replace(".", "_") for label in metric["labels"]]
    chosen = '{service_name=~"$service"}'
    legend = " ".join(f"{{{{{label}}}}}" for label in labels) or "{{service_name}}"
    by = ", ".join(labels or ["service_name"])
    if metric["kind"] == "histogram":
        return [{"expr": f"histogram_quantile({q}, sum by (le) (rate({name}_bucket{chosen}[$__rate_interval])))",
                 "legendFormat": word} for word, q in QUANTILES]
    inner = f"rate({name}{chosen}[$__rate_interval])" if metric["kind"] == "counter" else f"{name}{chosen}"
    return [{"expr": f"sum by ({by}) ({inner})", "legendFormat": legend}]


def panel(metric, number, x, y):
    unit = metric["unit"].strip("{}")
    return {
        "id": number, "type": "timeseries", "title": metric["name"], "description": metric["description"],
        "datasource": DATASOURCE, "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": "ops" if metric["kind"] == "counter" else UNITS.get(unit, "short"), "min": 0,
                                     "custom": {"fillOpacity": 10, "showPoints": "never"}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [{"refId": chr(ord("A") + place), "datasource": DATASOURCE, **target}
                    for place, target in enumerate(targets(metric))],
    }


def dashboard(title, metrics):
    scopes = {}
    for metric in metrics:
        scopes.setdefault(metric["scope"], {})[metric["name"]] = metric
    panels, y = [], 0
    for scope, found in scopes.items():
        panels.append({"id": len(panels) + 1, "type": "row", "title": scope, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y += 1
        for place, metric in enumerate(found.values()):
            x = place * WIDTH % COLUMNS
            panels.append(panel(metric, len(panels) + 1, x, y + place * WIDTH // COLUMNS * HEIGHT))
        y += -(-len(found) * WIDTH // COLUMNS) * HEIGHT
    return {
        "title": title, "uid": "probemeter", "tags": ["probemeter"], "schemaVersion": 38, "editable": True, "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
            {"name": "service", "type": "query", "label": "Service", "datasource": DATASOURCE, "multi": True, "includeAll": True,
             "allValue": ".+", "current": {"text": "All", "value": "$__all"}, "refresh": 2,
             "query": {"query": "label_values(service_name)", "refId": "services"}},
        ]},
        "panels": panels,
    }


def main():
    if len(sys.argv) != 2:
        print("dashboard.py: expected the file of a program with probes", file=sys.stderr)
        return 2
    said = subprocess.run([PROBEMETER, "probes", "--json", sys.argv[1]], stdout=subprocess.PIPE, check=True).stdout
    # In the order of their names, so that a rebuilt program has the same dashboard.
    metrics = sorted(json.loads(said), key=lambda metric: (
        SCOPES.index(metric["scope"]) if metric["scope"] in SCOPES else len(SCOPES), metric["scope"], metric["name"]))
    print(json.dumps(dashboard("Services by probemeter", metrics), indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
