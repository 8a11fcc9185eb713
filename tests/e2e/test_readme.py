#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""README and the pages behind it say what is so: their tables are the program's own, their links lead somewhere, and the example, as
it stands, is compiled by both compilers without a warning, run, and counted by an agent."""
import contextlib
import difflib
import re
import shlex
import subprocess

from agent import Agent, clean_environment, exported
from capture import Server
from checks import Checks
from documented import PAGES, broken_links, table
from process import BUILD, ROOT, Failed, scratch, wait_until

EVENTS = 300  # the example's own loop


def example():
    return re.search(r"```c\n(#include.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)


def compile_with(compiler, source, binary):
    return subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", str(source), "-o", str(binary)],
                          capture_output=True, text=True, check=False)


def tables(checks):
    """The tables on these pages are those that the program, and the picture of costs, make."""
    for page in PAGES:
        text = page.read_text()
        fresh = subprocess.run([ROOT / "scripts/readme.sh", BUILD / "document"], input=text, capture_output=True, text=True,
                               check=True).stdout
        stale = list(difflib.unified_diff(text.splitlines(), fresh.splitlines(), page.name, "made anew", lineterm="", n=0))
        checks.ok(f"the tables of {page.name} are up to date", not stale, f"run 'make readme': {stale[:6]}")
    row = "| `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT` | `--endpoint` |"
    checks.ok(f"the options have {row}", row in table("options"), "they have not")
    checks.ok("the costs have a probe with and without an agent", all(f"\n| {name} |" in table("costs") for name in
                                                                      ("probemeter, no agent", "probemeter")), table("costs"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table("kernels for x86-64").splitlines() if line.startswith("| ")]
    exact = [row[0] for row in rows if row[-1] == "exact"]
    checks.ok("the kernels have rows, the oldest among them", len(exact) >= 4 and any(name.startswith("5.15.") for name in exact), rows)
    checks.equal("links that lead nowhere", broken_links(), [])


def other_tools(checks, binary):
    """What README says of bpftrace: it lists our probes as any others."""
    said = re.search(r"`(bpftrace -l '[^`]*)`", (ROOT / "README.md").read_text()).group(1)
    done = subprocess.run(shlex.split(said.replace("./orders", str(binary))), capture_output=True, text=True, check=False)
    checks.equal("bpftrace lists the example's probes", sorted(line.rpartition(":")[2] for line in done.stdout.splitlines()),
                 ["order_latency", "orders_open", "orders_placed"])


def main():
    checks = Checks("readme")
    with checks.run("tables"):
        tables(checks)
    with scratch("readme") as directory:
        source = directory / "orders.c"
        source.write_text(example())
        for compiler in ("clang", "gcc"):
            done = compile_with(compiler, source, directory / "orders")
            checks.ok(f"{compiler} compiles README's example without a warning", done.returncode == 0, done.stderr)
        with checks.run("other tools"):
            other_tools(checks, directory / "orders")
        with checks.run("the example is counted"), Server() as server, \
                Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500) as agent:
            # First seen and attached by the agent, then run from its first event.
            with subprocess.Popen([directory / "orders"], env=clean_environment(OTEL_SERVICE_NAME="first")) as first:
                agent.wait_attached(first.pid, directory / "orders")
                done = subprocess.run([directory / "orders"], env=clean_environment(OTEL_SERVICE_NAME="shop"), check=False)
                first.kill()
            checks.equal("it ends well", done.returncode, 0)
            want = {
                ("orders.placed.total", (("region", "eu"), ("tier", "gold"))): EVENTS // 10,
                ("orders.placed.total", (("region", "eu"), ("tier", "standard"))): EVENTS - EVENTS // 10,
                ("orders.latency", (("region", "eu"),)): EVENTS,
                ("orders.open", (("region", "eu"),)): 0,
            }
            with contextlib.suppress(Failed):
                wait_until("the last events are exported", lambda: exported(server.requests, "shop") == want, 10)
            checks.equal("what is exported", exported(server.requests, "shop"), want)
    checks.exit()


if __name__ == "__main__":
    main()
