# SPDX-License-Identifier: BSD-2-Clause
"""Results as text for people and as a document for programs. Pure."""
import re
import statistics

from result import quartiles


def number(value):
    if value is None:
        return "-"
    if value and abs(value) < 0.1:
        return f"{value:.4f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def order(target):
    found = re.match(r"(\d+)(.*)", target.id)
    return (int(found[1]), found[2]) if found else (99, target.id)


def lines_of(rows):
    """Columns as wide as they need to be; the first is text, the others are numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]).rstrip()
            for row in rows]


def verdict(target):
    """Nothing of ours can meet a target that a program which does nothing misses."""
    if target.met:
        return "met"
    return "MISSED, as by the trap alone" if target.floor and target.floor > target.target else "MISSED"


def machine(facts):
    return (f"Linux {facts['kernel']}, {facts['cpus']} x {facts['cpu']}, {facts['date']}; probes on the {facts.get('nop', '?')}, "
            f"{facts.get('links', '?')} links; {facts['rounds']} rounds; load average before it {number(facts.get('load_average'))}")


def text(results):
    facts = results.facts
    out = [machine(facts), ""]
    if results.cells:
        rows = [("ns per call and thread", "threads", "median", "quartiles")]
        for (who, threads), values in sorted(results.cells.items(), key=lambda item: (item[0][1], statistics.median(item[1]))):
            low, middle, high = quartiles(values)
            rows.append((who, str(threads), number(middle), f"{number(low)} .. {number(high)}"))
        out += lines_of(rows) + [""]
    if "bpf_run_time" in facts:
        rows = [("inside BPF, by the kernel's clock", "ns", "call, ns")]
        rows += [(row["what"], number(row["bpf_ns"]), number(row["call_ns"])) for row in facts["bpf_run_time"]]
        out += lines_of(rows) + [""]
    if "memory_by_cpus" in facts:
        rows = [("possible CPUs: default limits, calculated", "cells", "series", "MiB at most")]
        rows += [(str(row["cpus"]), str(row["cells"]), str(row["series"]), f"{row['bytes'] / (1 << 20):.1f}")
                 if "bytes" in row else (str(row["cpus"]), "not measured", "-", "-") for row in facts["memory_by_cpus"]]
        out += lines_of(rows) + [""]
    if "bodies" in facts:
        rows = [("one export of the same 10,000 series", "bytes", "gzip'd")]
        rows += [(row["what"], str(row["bytes"]), str(row["gzip_bytes"])) if "bytes" in row else
                 (f"{row['what']}: {row['not_measured']}", "not measured", "-") for row in facts["bodies"]]
        out += lines_of(rows) + [""]
    rows = [("target", "measured", "quartiles", "trap alone", "wanted", "unit", "result")]
    details = []
    for target in sorted(results.targets, key=order):
        wanted = ("at least " if target.at_least else "at most ") + number(target.target)
        if target.measured is None:
            rows.append((f"{target.id:3} {target.text}", "-", "-", "-", wanted, target.unit or "ratio", "not measured"))
            details.append(f"{target.id}: not measured: {target.not_measured}")
            continue
        low, high = target.quartiles
        rows.append((f"{target.id:3} {target.text}", number(target.measured), f"{number(low)} .. {number(high)}",
                     number(target.floor), wanted,
                     target.unit or "ratio", verdict(target)))
        if target.detail:
            details.append(f"{target.id}: {target.detail}")
    met = sum(target.met is True for target in results.targets)
    missed = sum(target.met is False for target in results.targets)
    out += lines_of(rows) + [""] + details + ["", f"{met} met, {missed} missed, {len(results.targets) - met - missed} not measured"]
    return "\n".join(out)


def document(results):
    cells = []
    for (who, threads), values in results.cells.items():
        low, middle, high = quartiles(values)
        cells.append({"what": who, "threads": threads, "ns_per_call": middle, "quartiles": [low, high], "rounds": values})
    return {**results.facts, "targets": [target.json() for target in sorted(results.targets, key=order)], "cells": cells}
