#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Labels written at their call, which a compiler hashes at build time, are counted under their names."""
import contextlib
import os
import subprocess

from agent import Agent, clean_environment, exported
from capture import Server
from checks import Checks
from process import ROOT, Failed, scratch, wait_until

SOURCE = ROOT / "tests/e2e/literals.c"
EVENTS = 500
WANT = {
    ("literals.total", (("only", "a literal of one call"),)): EVENTS,
    ("literals.size", (("first", "a literal"), ("second", "another literal, which is somewhat longer"))): EVENTS,
}


def main():
    checks = Checks("literals")
    with scratch("literals") as directory, Server() as server, \
            Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500):
        for driver in ("gcc -O1", "gcc -O2", "gcc -O2 -static", "clang -O2", "g++ -x c++ -O2", "clang++ -x c++ -O2"):
            with checks.run(driver):
                binary, service = directory / "literals", f"literals-{os.getpid()}-{driver}"
                subprocess.run([*driver.split(), f"-I{ROOT}/include", str(SOURCE), "-o", str(binary)], check=True)
                subprocess.run([str(binary)], env=clean_environment(OTEL_SERVICE_NAME=service), check=True, timeout=60)
                with contextlib.suppress(Failed):
                    wait_until("exported", lambda name=service: exported(server.requests, name) == WANT, 5)
                checks.equal(f"{driver}: all under their names", exported(server.requests, service), WANT)
    checks.exit()


if __name__ == "__main__":
    main()
