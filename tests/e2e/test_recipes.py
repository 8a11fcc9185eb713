#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""README's recipes do what they say: each text is taken as it stands, with this test's addresses, directories and names in
place of those that a reader would change. The one for Kubernetes is test_image.py's."""
import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import brief
import documented
from agent import Agent, Fired, build_fired, clean_environment, own_name, run_to_end, wait_totals
from ask import page_address
from capture import Server, tls
from certs import Authority
from checks import Checks
from driven import snapshot_after
from process import ROOT, Failed, free_port, scratch, wait_until
from receivers import Prometheus
from test_containers import cgroup, cgroups, swept
from test_readme import compile_with, example

INTERVAL_MS = 500
WORKERS = 3


def changed(text, *replacements):
    """@text with each (old, new) replaced; what is not there cannot be what a reader would change."""
    for old, new in replacements:
        assert old in text, f"{old!r} is not in {text!r}"
        text = text.replace(old, str(new))
    return text


def collector(checks, directory):
    """The configuration and the file of headers, at a collector whose certificate an authority of ours has signed."""
    authority = Authority(directory, "ca")
    secret = documented.recipe("headers")
    (directory / "headers").write_text(secret)
    (directory / "headers").chmod(0o600)
    binary = build_fired(directory)
    with Server(tls=tls(authority.issue("server"))) as server:
        config = directory / "probemeter.conf"
        config.write_text(changed(documented.recipe("collector"), ("https://collector.example:4318", server.otlp),
                                  ("/etc/probemeter/", f"{directory}/")))
        _, lines, _ = run_to_end("check", "--config", config)
        for name in ("configuration", "collector"):
            checks.ok(f"check: {name}", any(re.match(rf"pass +{name} ", line) for line in lines), lines)
        with Fired(binary, "recipe") as fired, Agent(directory, "--config", config, "--interval", INTERVAL_MS, "--include", f"path:{binary}") as agent:
            agent.wait_attached(fired.pid, binary)
            fired.fire(5)
            checks.equal("collector: it arrives", wait_totals(server, fired, 5), (5, 5, 5))
            headers = server.requests[-1].headers
            checks.equal("collector: with the secret, compressed",
                         (f"Authorization: {headers['Authorization']}\n", headers["Content-Encoding"]), (secret, "gzip"))
            checks.equal("collector: nothing to complain of", agent.warnings(directory), [])


class Pulling(Prometheus):
    """Prometheus with the recipe's configuration."""

    def __init__(self, directory, address):
        super().__init__(directory)
        (directory / "prometheus.yml").write_text(changed(documented.recipe("prometheus"), ("127.0.0.1:9464", address),
                                                          ("10s", "500ms")))


def prometheus(checks, directory):
    """README's example, watched by an agent that Prometheus pulls from; its queries, and those of its dashboard."""
    source, binary, config = directory / "orders.c", directory / "orders", directory / "pulled.conf"
    source.write_text(example())
    compile_with("gcc", source, binary)
    config.write_text(documented.recipe("prometheus-agent"))
    name = own_name("shop")
    with Agent(directory, "--config", config, "--prometheus-port", free_port()) as agent:
        host, port = page_address(agent)
        with Pulling(directory, f"{host}:{port}") as server:
            with subprocess.Popen([binary], env=clean_environment(OTEL_SERVICE_NAME=own_name("first"))) as first:
                agent.wait_attached(first.pid, binary)
                done = subprocess.run([binary], env=clean_environment(OTEL_SERVICE_NAME=name), check=False)
            checks.equal("prometheus: the example ends", done.returncode, 0)
            mine = f'{{service_name="{name}"}}'
            with contextlib.suppress(Failed):
                wait_until("all of it is scraped", lambda: server.scalar(f"sum(orders_placed_total{mine})") == 300, 20)
            checks.equal("prometheus: all of it is scraped", server.scalar(f"sum(orders_placed_total{mine})"), 300.0)
            rate, p99, level = documented.recipe("queries").splitlines()
            tiers = {row["tier"] for row, value in server.query(rate) if row["service_name"] == name and value > 0}
            checks.equal("prometheus: rates by tier", tiers, {"gold", "standard"})
            quantile = server.scalar(p99)
            checks.ok("prometheus: a quantile between the shortest and the longest order", 0.01 < quantile < 0.1, quantile)
            checks.equal("prometheus: no order is open", server.query(level), [({"region": "eu"}, 0.0)])
            words, _, to = documented.recipe("grafana").strip().partition(" >")
            made = subprocess.run(shlex.split(changed(words, ("./orders", binary))), cwd=ROOT, capture_output=True, text=True, check=True)
            checks.equal("grafana: the file it names", to, "orders.json")
            queries = [target["expr"].replace("$service", name).replace("$__rate_interval", "1m")
                       for panel in json.loads(made.stdout)["panels"] for target in panel.get("targets", [])]
            checks.equal("grafana: queries of the dashboard that come back empty", [q for q in queries if not server.query(q)], [])
            checks.ok("grafana: one for each metric", len(queries) >= 3, queries)


def prefork(checks, directory):
    """A master named as the unit does it, whose workers have dropped their privileges; one of them is killed."""
    name = own_name("shop")
    binary = brief.build(directory)
    variable, value = re.search(r"^Environment=(\w+)=(.*)$", changed(documented.recipe("prefork"), ("shop", name)), re.M).groups()
    with Server() as server, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS) as agent, \
            brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("first")) as first:
        agent.wait_attached(first.pid, binary)
        with brief.staying(binary, 10, "--fork", str(WORKERS), "--drop", "61999", settled=WORKERS + 1, **{variable: value}) as master:
            checks.equal("prefork: master and workers add up", brief.wait_total(server, name, 40), 40)
            checks.equal("prefork: they are one resource", len(brief.Resources(snapshot_after(server)).named(name)), 1)
            checks.equal("prefork: levels add up", brief.wait_total(server, name, 40, metric="brief.level"), 40)
            worker = pathlib.Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()[0]
            os.kill(int(worker), signal.SIGKILL)
            checks.equal("prefork: a dead worker's share is gone", brief.wait_total(server, name, 30, metric="brief.level"), 30)
            checks.equal("prefork: what it counted is not", brief.wait_total(server, name, 40), 40)


def policy(checks, directory):
    """Who is left alone, who may use a name, who gets one: by the rules as they stand."""
    shop, legacy = own_name("shop"), own_name("legacy")
    binary = brief.build(directory)
    rules = directory / "policy"
    rules.write_text(changed(documented.recipe("policy"), (" legacy\n", f" {legacy}\n"), ("shop unit:shop", f"{shop} unit:{shop}"),
                             ("/opt/vendor/", f"{directory}/vendor/"), ("/srv/legacy/", f"{directory}/legacy/")))
    copies = {}
    for place in ("vendor", "legacy"):
        (directory / place).mkdir()
        copies[place] = pathlib.Path(directory, place, "program")
        copies[place].write_bytes(binary.read_bytes())
        copies[place].chmod(0o755)
    root = cgroups().get("v2")
    if not root:
        checks.skip("policy", "no cgroup v2 here that may be written to")
        return
    config = directory / "policy.conf"
    config.write_text(f"policy = {rules}\n")
    with cgroup(root, f"probemeter-{os.getpid()}/{shop}.service") as unit, Server() as server, \
            Agent(directory, "--config", config, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp,
                  OTEL_METRIC_EXPORT_INTERVAL=INTERVAL_MS) as agent, \
            brief.staying(binary, 0, OTEL_SERVICE_NAME=own_name("first")) as first, brief.staying(copies["legacy"], 0) as old, \
            brief.staying(copies["vendor"], 0, OTEL_SERVICE_NAME=own_name("vendor")) as vendor:
        agent.wait_attached(first.pid, binary)
        agent.wait_attached(old.pid, copies["legacy"])
        swept(server)
        brief.fire(vendor, 1)
        brief.run(binary, 2, "--user", "1000", OTEL_SERVICE_NAME=own_name("person"))
        brief.run(binary, 4, OTEL_SERVICE_NAME=shop)
        brief.run(binary, 8, prefix=unit, OTEL_SERVICE_NAME=shop)
        brief.run(copies["legacy"], 16)
        for name, want in ((shop, 8), (f"unknown_service:{binary.name}", 4), (legacy, 16)):
            checks.equal(f"policy: {name.replace(str(os.getpid()), 'N')}", brief.wait_total(server, name, want), want)
        swept(server)
        last = brief.Resources(snapshot_after(server))
        checks.equal("policy: those who are left alone", last.named(own_name("vendor")) + last.named(own_name("person")), [])
        checks.ok("policy: the log says who may not use a name", any(f"'{shop}'" in line and "may not use" in line
                                                                     for line in agent.lines()), agent.lines())


PARTS = {"collector": collector, "prometheus": prometheus, "prefork": prefork, "policy": policy}
TAKEN = {"collector", "headers", "prometheus-agent", "prometheus", "queries", "grafana", "prefork", "policy"}


def main():
    checks = Checks("recipes")
    checks.equal("each recipe is taken here", set(documented.recipes()), TAKEN)
    if os.geteuid() != 0:
        checks.skip("everything else", "needs root")
        checks.exit()
    for name, part in PARTS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        with checks.run(name), scratch("recipe") as directory:
            directory.chmod(0o755)
            part(checks, directory)
    checks.exit()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    main()
