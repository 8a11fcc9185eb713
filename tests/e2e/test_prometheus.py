#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Exporter prometheus: Debian's Prometheus scrapes the agent, which watches the sample service under load.

    scriptd --probes--> agent <--scrape-- Prometheus

The reference's four queries are asked letter for letter. What Prometheus holds at rest is compared with the service's own
account to the unit. Prometheus begins while the service is at rest after a first load, and the rates are asked for the time five
minutes after its first scrape: then they are exact, too, see test_promql.py. promtool reads the
page, both formats hold the same numbers, and a large page is written in time. Every query of the dashboard and of the rules
under scripts/grafana is asked, and none may come back empty.
"""
import contextlib
import http.client
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import truth
from agent import Agent, clean_environment, own_name
from ask import Snapshot, ask, page_address
from catalogue import (COUNTER, DURATION_P99, HISTOGRAM, METRICS, QUEUE_DEPTH, REJECTION_RATE, SUCCESS_RATE)
from checks import Checks
from driven import Driven, build_series, wait_attached
from process import BUILD, PATIENCE, ROOT, SANITIZED, TOOLS, Child, in_own_pid_namespace, scratch, wait_until
from receivers import Prometheus
from service import SCRIPTD, Scriptd, load

WINDOW_S = 300
EXACT = 1e-9  # floating point, and nothing else
SERVICES = 4
SERIES = 10000  # of all of them
SCRAPE_MS = 50  # the goal
WRITE_MS = 25
SCRAPES = 11
MOMENT_US = 50
GRAFANA = ROOT / "scripts/grafana"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
PACKED = {"Accept-Encoding": "gzip"}
# A counter of microseconds cannot be one of whole seconds.
LINT_ALLOWED = 'probemeter_agent_probe_cpu_time_microseconds_total use base unit "seconds" instead of "microseconds"'


class Scraping(Prometheus):
    """Prometheus that scrapes @port each half second, which is also the time that a scrape may take."""

    def __init__(self, directory, port):
        super().__init__(directory)
        (directory / "prometheus.yml").write_text(
            "global: {{scrape_interval: {0}ms, scrape_timeout: {0}ms, evaluation_interval: {0}ms}}\n".format(500 * PATIENCE) +
            f"rule_files: ['{GRAFANA}/rules.yml']\n"
            "scrape_configs:\n- job_name: probemeter\n  static_configs:\n"
            f"  - targets: ['{port[0]}:{port[1]}']\n")


def name_of(metric):
    """The name as Prometheus has it, without a histogram's suffix."""
    plain = metric.name.replace(".", "_")
    return plain if metric.kind != COUNTER or plain.endswith("_total") else plain + "_total"


def samples(page):
    """{series as written: value as written}, comments left out; every line must be one."""
    found = {}
    for line in page.decode().splitlines():
        if line.startswith("#"):
            continue
        series, value = re.fullmatch(r'([a-zA-Z_:][\w:]*\{.*\}) (\S+)', line).groups()
        if series in found:
            raise ValueError(f"twice on the page: {series}")
        found[series] = value
    return found


def page_is_sound(checks, port):
    plain_status, plain_headers, plain = ask(port, "/metrics")
    packed_status, packed_headers, packed = ask(port, "/metrics", headers=PACKED)
    open_status, open_headers, opened = ask(port, "/metrics", headers=OPENMETRICS)
    both_status, both_headers, both = ask(port, "/metrics", headers={**OPENMETRICS, **PACKED})
    checks.equal("answers", (plain_status, packed_status, open_status, both_status), (200, 200, 200, 200))
    text, openmetrics = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"
    checks.equal("types", [headers["Content-Type"] for headers in (plain_headers, packed_headers, open_headers, both_headers)],
                 [text, text, openmetrics, openmetrics])
    checks.equal("packed for who asks", [headers["Content-Encoding"] for headers in
                                         (plain_headers, packed_headers, open_headers, both_headers)], [None, "gzip", None, "gzip"])
    done = subprocess.run([TOOLS / "bin/promtool", "check", "metrics"], input=plain, capture_output=True, check=False)
    said = [line for line in (done.stdout + done.stderr).decode().splitlines() if line]
    checks.equal("promtool check metrics", [line for line in said if line != LINT_ALLOWED], [])
    checks.ok("and it ran", done.returncode in (0, 3), done.returncode)
    first, second, third, fourth = samples(plain), samples(packed), samples(opened), samples(both)

    def of_services(found):
        return {re.sub(r'le="(\d+)\.0"', r'le="\1"', series): value for series, value in found.items()
                if "_created{" not in series and "probemeter_agent" not in series and "process_" not in series}

    checks.ok("the page has series", len(of_services(first)) > 500, len(first))
    checks.ok("all forms hold the same samples", of_services(first) == of_services(second) == of_services(third) == of_services(fourth),
              sorted(set(of_services(first).items()) ^ set(of_services(third).items()))[:4])
    checks.ok("OpenMetrics ends with its mark", opened.endswith(b"\n# EOF\n") and both.endswith(b"\n# EOF\n"))
    created = [series for series in third if "_created{" in series]
    checks.ok("and says when totals began", len(created) > 50 and not [s for s in first if "_created{" in s], len(created))
    counters = re.findall(r"# TYPE (\S+) counter", opened.decode())
    checks.equal("families of OpenMetrics are not called _total",
                 (len(counters) > 20, [name for name in counters if name.endswith("_total")]), (True, []))


def holds_the_account(checks, prometheus, before, service):
    """What Prometheus holds is what the service says it fired, for every one of the 43: where the account did not move
    over the scrape, which is nearly everywhere, to the unit."""
    names = {metric.name: name_of(metric) + ("_count" if metric.kind == HISTOGRAM else "") for metric in METRICS}
    held = {name: prometheus.query(f'{name}{{service_name="{service.name}"}}') for name in names.values()}
    after = service.stats()
    exact = 0
    differences, missing = [], []
    for metric in METRICS:
        name = names[metric.name]
        got = {tuple(sorted((label, row.get("exported_" + label, row.get(label))) for label in metric.labels)): value
               for row, value in held[name]}
        early, late = ({labels: series.value for labels, series in account.metrics[metric.name].items()}
                       for account in (before, after))
        if not got:
            missing.append(name)
        # A level that was never set need not be there.
        for labels in set(got) | set(late):
            low, high = sorted((early.get(labels, 0), late.get(labels, 0)))
            exact += low == high
            if not low <= got.get(labels, 0) <= high:
                differences.append((name, labels, got.get(labels), (low, high)))
    checks.equal("documented names that Prometheus lacks", missing, [])
    checks.equal("series that differ from the service's account", differences[:5], [])
    checks.ok("and most of those did not move", exact > 80, exact)
    kinds = json.loads(ask(("127.0.0.1", prometheus.port), "/api/v1/metadata")[2])["data"]
    wrong = []
    for metric in METRICS:
        # Prometheus keeps what OpenMetrics calls a counter's family, without _total.
        want = {COUNTER: "counter", HISTOGRAM: "histogram"}.get(metric.kind, "gauge")
        got = kinds.get(name_of(metric).removesuffix("_total") if metric.kind == COUNTER else name_of(metric),
                        kinds.get(name_of(metric), []))
        if [(row["type"], row["help"]) for row in got] != [(want, metric.description)]:
            wrong.append((metric.name, got, want))
    checks.equal("types and help", wrong[:5], [])


def scraped_since(prometheus, moment):
    """Has Prometheus scraped, and finished, after @moment?"""
    return lambda: (prometheus.scalar("min(timestamp(script_executions_total))") or 0) > moment + 0.1


def queries(checks, prometheus, first, last, service):
    begun = min(values[0][0] for _, values in prometheus.samples(f'script_executions_total{{service_name="{service}"}}'))
    at_s = begun + WINDOW_S
    success = truth.ratio(first, last, ("script.executions.total", {"status": "completed"}), ("script.executions.total", {}))
    rejection = truth.ratio(first, last, ("rate_limit.rejected.total", {}), ("rate_limit.requests.total", {}))
    checks.near("success rate", prometheus.scalar(SUCCESS_RATE, at_s), success, EXACT)
    checks.near("rejection rate", prometheus.scalar(REJECTION_RATE, at_s), rejection, EXACT)
    rows = {row["lang_and_version"]: value for row, value in prometheus.query(DURATION_P99, at_s)}
    wanted = {dict(labels)["lang_and_version"]: labels for labels in last.label_sets("script.execution.duration")}
    checks.equal("languages with a P99", sorted(rows), sorted(wanted))
    for language, labels in wanted.items():
        values = truth.new_values(first, last, "script.execution.duration", labels)
        buckets = prometheus.series(f'script_execution_duration_bucket{{service_name="{service}",lang_and_version="{language}"}}')
        bounds = sorted({float(row["le"]) for row in buckets} - {math.inf})
        want = truth.quantile(0.99, bounds, truth.buckets(values, bounds))
        checks.near(f"P99 of {len(values)} runs of {language}", rows.get(language), want, EXACT)
    depths = prometheus.samples(f'execution_queue_depth{{service_name="{service}"}}')[0][1]
    average = [value for row, value in prometheus.query(QUEUE_DEPTH) if row["service_name"] == service]
    checks.ok("queue depth is the average of its samples", len(average) == 1 and
              abs(average[0] - sum(value for _, value in depths) / len(depths)) < 0.2, (average, depths[-5:]))
    info = prometheus.query('script_executions_active * on (service_name, service_instance_id) group_left(host_name) target_info')
    checks.ok("attributes of the resource join by target_info", info and all("host_name" in row for row, _ in info), info)


def dashboard(checks, prometheus):
    text = (GRAFANA / "dashboard.json").read_text()
    made = subprocess.run([GRAFANA / "dashboard.py", SCRIPTD], capture_output=True, text=True, check=True).stdout
    checks.ok("dashboard.json is what dashboard.py makes", text == made,
              "run scripts/grafana/dashboard.py build/services/scriptd >scripts/grafana/dashboard.json")
    groups, row = {}, None
    empty, asked = [], 0
    for panel in json.loads(text)["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        groups.setdefault(row, set()).add(panel["title"])
        for target in panel["targets"]:
            asked += 1
            promql = target["expr"].replace("$service", ".+").replace("$__rate_interval", "5m")
            if not prometheus.query(promql):
                empty.append(promql)
    wanted = {}
    for metric in METRICS:
        wanted.setdefault(metric.scope, set()).add(metric.name)
    checks.equal("a panel for each metric, grouped as documented", groups, wanted)
    checks.equal(f"queries of the dashboard that come back empty, of {asked}", empty, [])


def rules(checks, prometheus):
    done = subprocess.run([TOOLS / "bin/promtool", "check", "rules", GRAFANA / "rules.yml"], capture_output=True, text=True, check=False)
    checks.ok("promtool check rules", done.returncode == 0 and "rules found" in done.stdout, done.stdout + done.stderr)
    groups = json.loads(ask(("127.0.0.1", prometheus.port), "/api/v1/rules")[2])["data"]["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    checks.equal("rules that Prometheus cannot evaluate", [(rule["name"], rule.get("lastError")) for rule in found
                                                           if rule["health"] != "ok"], [])
    # An alert is quiet while all is well; what it compares with its threshold must be there.
    sides = {rule["name"]: rule["name"] if rule["type"] == "recording" else re.sub(r" [<>] [\d.]+$", "", rule["query"])
             for rule in found}
    checks.ok("recordings and alerts", len(found) >= 15 and {rule["type"] for rule in found} == {"recording", "alerting"}, sides)
    checks.equal("rules without data", [name for name, side in sides.items() if not prometheus.query(side)], [])


# For the alert on drops.
DROPPER_C = """
#include <unistd.h>
#include <probemeter/probemeter.h>
PROBEMETER_COUNTER(dropped, "e2e.dropped.total", "{event}", "Fired with a negative number")
int main(void)
{
	for (;;) {
		PROBEMETER_ADD(dropped, -1);
		usleep(100000);
	}
}
"""


def build_dropper(directory):
    path = directory / "dropper"
    path.with_suffix(".c").write_text(DROPPER_C)
    subprocess.run(["cc", "-std=gnu11", "-O2", f"-I{ROOT}/include", path.with_suffix(".c"), "-o", path], check=True)
    return path


def scraping(checks, directory):
    name = own_name("scraped")
    dropper = Child([build_dropper(directory)], directory / "dropper.log", env=clean_environment(OTEL_SERVICE_NAME=own_name("drops")))
    with Agent(directory, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent:
        port = page_address(agent)
        with Scriptd(directory, own_name("warm-up")) as warm:
            agent.wait_attached(warm.pid, SCRIPTD)
        with dropper, Scriptd(directory, name) as service, contextlib.ExitStack() as stack:
            agent.wait_attached(service.pid, SCRIPTD)
            load(service, directory, seed=1, jobs=60)
            first = service.wait_at_rest()
            prometheus = stack.enter_context(Scraping(directory, port))
            wait_until("a scrape at rest", scraped_since(prometheus, time.time()), 20.0)
            load(service, directory, seed=1, jobs=60)
            last = service.wait_at_rest()
            wait_until("a scrape at rest", scraped_since(prometheus, time.time()), 20.0)
            with checks.run("account"):
                holds_the_account(checks, prometheus, last, service)
            with checks.run("queries"):
                queries(checks, prometheus, first, last, name)
            with checks.run("dashboard"):
                dashboard(checks, prometheus)
            with checks.run("rules"):
                rules(checks, prometheus)
            failed = prometheus.query("count_over_time((up == 0)[5m:500ms])")
            checks.equal("no scrape failed", failed, [])
        # Its totals go on, and nothing moves any more.
        wait_until("the service to be gone", lambda: not Snapshot(agent.socket).service(name)["processes"])
        with checks.run("page"):
            page_is_sound(checks, port)
        checks.equal("the agent warns of what was dropped, and of nothing else",
                     {"'e2e.dropped.total'" in warning for warning in agent.warnings(directory)}, {True})
        checks.equal("the agent ends with status 0", agent.stop(), 0)


def speed(checks):
    """CPU time of the fastest of some rounds, so that a loaded machine does not count."""
    said = json.loads(subprocess.run([BUILD / "e2e/page_speed"], capture_output=True, check=True).stdout)
    moment = said.pop("history")
    checks.ok(f"a moment of 100 metrics is remembered in at most {MOMENT_US} us", moment["ms"] * 1000 <= MOMENT_US and
              moment["bytes"] <= 1 << 20, moment)
    print(f"     {moment['ms'] * 1000:.0f} us, {moment['bytes'] / 1024:.0f} KiB")
    for form, found in said.items():
        checks.ok(f"10,000 series are written as {form} in at most {WRITE_MS} ms", found["ms"] <= WRITE_MS and not found["left_out"]
                  and found["bytes"] > 5_000_000, found)
        print(f"     {found['ms']} ms, {found['bytes'] / 1e6:.1f} MB")


def cpu_ms(pid):
    """CPU time of all threads of a process so far."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e6


def scrape(agent, port, headers):
    """(milliseconds of the agent's CPU, milliseconds from the request to the last byte, bytes that came)"""
    connection = http.client.HTTPConnection(*port, timeout=20)
    connection.connect()
    spent, begun = cpu_ms(agent.pid), time.perf_counter()
    connection.request("GET", "/metrics", headers=headers)
    size = len(connection.getresponse().read())
    took = (time.perf_counter() - begun) * 1000
    connection.close()
    time.sleep(0.1)  # what a thread spends is there when it sleeps
    return cpu_ms(agent.pid) - spent, took, size


def held(port):
    """Series of tests/bench/series.c that the agent has."""
    snapshot = Snapshot(port)
    return sum(snapshot.metrics[row["metric"]]["name"].startswith("bench.") for row in snapshot.series)


def large(checks, directory):
    """All of a scrape of 10,000 series: the maps are read, merged, written, packed for who wants it, as Prometheus does, and
    sent. CPU time, the median of some rounds: who else uses the machine counts little; what the clock says is printed."""
    program = build_series(directory)
    with Agent(directory, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent, \
            contextlib.ExitStack() as stack:
        port = page_address(agent)
        services = [stack.enter_context(Driven(str(program), f"series-{number}")) for number in range(SERVICES)]
        wait_attached(agent, *services)
        for service in services:
            service.tell("")
        wait_until(f"{SERIES} series", lambda: held(port) == SERIES)
        for name, headers in (("text", {}), ("OpenMetrics", OPENMETRICS), ("text, packed", PACKED),
                              ("OpenMetrics, packed", {**OPENMETRICS, **PACKED})):
            found = []
            for _ in range(SCRAPES):
                time.sleep(0.4)  # who asks too often waits
                found.append(scrape(agent, port, headers))
            cpu, clock, sizes = zip(*found)
            median = statistics.median(cpu)
            print(f"     {name}: {median:.0f} ms of CPU ({min(cpu):.0f} to {max(cpu):.0f}), {statistics.median(clock):.0f} ms "
                  f"({min(clock):.0f} to {max(clock):.0f}), {sizes[0] / 1e6:.1f} MB")
            what = f"a scrape of {SERIES} series as {name} in at most {SCRAPE_MS} ms"
            if SANITIZED:
                checks.skip(what, "sanitizers slow it down")
            else:
                checks.ok(what, median <= SCRAPE_MS, found)
        checks.equal("the agent ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("Prometheus")
    if os.geteuid() != 0:
        checks.skip("everything", "attaching needs root")
        return checks.finish()
    in_own_pid_namespace()
    with checks.run("speed"):
        speed(checks)
    with scratch("prometheus") as directory:
        with checks.run("large"):
            large(checks, directory)
        with checks.run("scraping"):
            scraping(checks, directory)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
