#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""README's table of kernels has a row for every guest, and the row of one that failed says so: guests made up here, where run.py
boots them.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import otlp  # noqa: E402
from checks import Checks  # noqa: E402
from found import Guest, publish, table  # noqa: E402
from process import ROOT, scratch  # noqa: E402

FIRED = 22112
CHECK = "pass  btf                    /sys/kernel/btf/vmlinux\nwarn  bpffs                  /sys/fs/bpf is no bpffs\npass  seccomp                the kernel\n"
COUNTS = "forks: forker.count: 22112 events"


def body(**services):
    """A request in which each service has so many events of forker."""
    request = otlp.service.ExportMetricsServiceRequest()
    for service, events in services.items():
        resource = request.resource_metrics.add()
        pair = resource.resource.attributes.add(key="service.name")
        pair.value.string_value = {"own": "kernel-forker", "other": "unknown_service:forker"}[service]
        scope = resource.scope_metrics.add()
        for name in ("forker.count", "forker.time"):
            total = scope.metrics.add(name=name).sum
            total.aggregation_temporality, total.is_monotonic = otlp.CUMULATIVE, True
            total.data_points.add(as_int=events)
    return request.SerializeToString()


def guest(suite="bookworm", release="6.1.0-50-cloud-amd64", cpus=2, part="count", failures=(), **said):
    made = Guest(suite, cpus, part)
    told = '{"ready": true}\n' + json.dumps({"processes": 9, "died": 0, "fired": {"a": FIRED - 12, "b": 12}})
    made.said = {"release": release.encode(), "check": CHECK.encode(), "preempt": b"Dynamic Preempt: voluntary", "forker": told.encode(),
                 "body": body(own=FIRED), "agent": b"probemeter: kernel: probes on the 1-byte nop, by perf_event: 9 ns", **said}
    made.failures = list(failures)
    return made


def row(one):
    return table([one])[-1]


def main():
    checks = Checks("the table of kernels")
    checks.equal("exact: the whole row", row(guest()),
                 "| 6.1.0-50-cloud-amd64 | 2 | voluntary | 1-byte | perf_event | BTF, seccomp | exact |")
    checks.equal("refused", row(guest(part="nobtf", agent=b"")),
                 "| 6.1.0-50-cloud-amd64, its BTF hidden | 2 | voluntary | - | - | BTF, seccomp | refused, and says why |")
    checks.ok("a kernel for real time preempts fully", "| full (real time) |" in row(guest(preempt=b"", version=b"#1 SMP PREEMPT_RT Debian 6.1")), "")
    failed = guest(failures=[COUNTS, "no warning", "nothing is dropped", "hammer.count.one: 3 | 4"], body=body(own=FIRED))
    checks.ok("failed: two are named, the others counted", row(failed).endswith(f"| FAILED: {COUNTS}; no warning; 2 more |"), row(failed))
    checks.ok("failed: what would end the cell early does not", "3 / 4" in row(guest(failures=["hammer: 3 | 4"])), "")
    other = guest(failures=[COUNTS], body=body(own=FIRED - 3, other=3))
    checks.ok("all events are there, some under another name: how many", row(other).endswith("| all, 3 of 22,112 under another name |"),
              row(other))
    lost = guest(failures=[COUNTS], body=body(own=FIRED - 4, other=3))
    checks.ok("one is lost: failed", row(lost).endswith(f"| FAILED: {COUNTS} |"), row(lost))
    also = guest(failures=[COUNTS, "no warning"], body=body(own=FIRED - 3, other=3))
    checks.ok("under another name, and something else: failed", row(also).endswith(f"| FAILED: {COUNTS}; no warning |"), row(also))
    silent = Guest("bookworm-backports", 4, "count")
    silent.said, silent.failures = {"console": b"panic"}, ["the guest came to its end"]
    checks.equal("one that said nothing: by its suite", row(silent),
                 "| bookworm-backports | 4 | - | - | - | - | FAILED: the guest came to its end |")
    untried = Guest("jammy", 2, "count")
    checks.equal("one that could not be tried", row(untried), "| jammy | 2 | - | - | - | - | not tried: its kernel could not be had |")
    rows = table([guest(release="6.12.95"), guest(release="6.1.0", cpus=4), guest(release="6.1.0"), silent])
    checks.equal("a row each, by release and CPUs", [line.split(" | ")[0:2] for line in rows[2:]],
                 [["| bookworm-backports", "4"], ["| 6.1.0", "2"], ["| 6.1.0", "4"], ["| 6.12.95", "2"]])
    with scratch("found") as directory:
        page = directory / "README.md"
        page.write_text((ROOT / "README.md").read_text())
        publish(table([other, failed]), page, "x86-64")
        before, after = (ROOT / "README.md").read_text(), page.read_text()
        checks.ok("README gets a table in which something failed", "FAILED: " in after and "3 of 22,112 under another name" in after, "")
        outside = [text.partition("<!-- kernels for x86-64:")[0] + text.partition("<!-- end of kernels for x86-64 -->")[2] for text in (before, after)]
        checks.ok("and stays as it was around it", outside[0] == outside[1] and len(outside[0]) > 1000, len(after))
        publish(table([guest(release="6.1.0-50-rt-arm64")]), page, "arm64")
        checks.ok("as with that of another machine", "| 6.1.0-50-rt-arm64 |" in page.read_text() and "3 of 22,112 under another name" in page.read_text(), "")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
