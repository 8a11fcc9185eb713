# SPDX-License-Identifier: BSD-2-Clause
"""What guests said, as README's table of kernels: one row for each that was to be booted, also where something failed, which its
row then names. Judges nothing; the checks of run.py do.
"""
import json
import re

import otlp

AS_BUILT, REAL_TIME = "as built", "full (real time)"
HEAD = ("| kernel | CPUs | preemption | nop | links | features | counts |", "|---|---|---|---|---|---|---|")
# What `probemeter check` calls them, and README
FEATURES = {"btf": "BTF", "process events": "events of processes", "bpffs": "pins", "seccomp": "seccomp"}
# What a guest's kernel or processor lacks
WITHOUT = {"nobtf": ", its BTF hidden", "scarce": ", its CPU without cmpxchg16b"}
FORKS = "forks: forker."
FAILURES = 2  # that a row names


class Body:
    """An exported request, as compare() wants it."""

    def __init__(self, body):
        self._message = otlp.decode(body)

    def message(self):
        return self._message

    def points(self):
        return list(otlp.points(self._message))


class Guest:
    """One that was to be booted; @said and @failures, the names of failed checks, once it was."""

    def __init__(self, suite, cpus, part):
        self.suite, self.cpus, self.part = suite, cpus, part
        self.said, self.failures = None, []


def answers(said, service):
    """What @service said, line by line; the first line is only that it is ready."""
    return [json.loads(line) for line in said.get(service, b"").decode().splitlines()][1:]


def about(said):
    """What the guest said of its kernel."""
    check = said.get("check", b"").decode(errors="replace")
    preempt = said.get("preempt", b"").decode().partition(": ")[2].strip()
    if b"PREEMPT_RT" in said.get("version", b""):
        preempt = REAL_TIME
    return {"release": said.get("release", b"").decode().strip(), "preempt": preempt or AS_BUILT,
            "features": ", ".join(text for name, text in FEATURES.items() if re.search(rf"^pass +{name}  ", check, re.M)) or "-"}


def misnamed(said):
    """(events of forker that count under another name than its own, all of its events); None if not all are there."""
    fired = sum(count for answer in answers(said, "forker") for count in answer["fired"].values())
    worst = 0
    for metric in ("forker.count", "forker.time"):
        names = {}
        for point in Body(said["body"]).points():
            if point.name == metric:
                names[point.service] = names.get(point.service, 0) + point.value
        if sum(names.values()) != fired:
            return None
        worst = max(worst, fired - names.get("kernel-forker", 0))
    return worst, fired


def result(guest):
    if guest.said is None:
        return "not tried: its kernel could not be had"
    if not guest.failures:
        return "refused, and says why" if guest.part in ("refuse", "nobtf") else "exact"
    names = misnamed(guest.said) if all(name.startswith(FORKS) for name in guest.failures) else None
    if names:
        return f"all, {names[0]:,} of {names[1]:,} under another name"
    more = len(guest.failures) - FAILURES
    return "FAILED: " + "; ".join(name.replace("|", "/") for name in guest.failures[:FAILURES]) + (f"; {more} more" if more > 0 else "")


def table(guests):
    """Lines of Markdown, by release."""
    rows = []
    for guest in guests:
        known = about(guest.said or {})
        how = re.search(r"probes on the (\S+) nop, by (\w+)", (guest.said or {}).get("agent", b"").decode(errors="replace"))
        kernel = (known["release"] or guest.suite) + WITHOUT.get(guest.part, "")
        number = [int(word) for word in re.findall(r"\d+", known["release"])[:3]]
        rows.append((number, guest.cpus, f"| {kernel} | {guest.cpus} | {known['preempt'] if known['release'] else '-'} | "
                     f"{how[1] if how else '-'} | {how[2] if how else '-'} | {known['features']} | {result(guest)} |"))
    return [*HEAD, *(line for _, _, line in sorted(rows, key=lambda row: row[:2]))]


def publish(lines, path, machine):
    """README's table of this machine is that of its last whole run."""
    text = path.read_text()
    with_table = re.sub(rf"(<!-- kernels for {machine}: [^\n]*\n).*?(<!-- end of kernels for {machine} -->)",
                        lambda found: found[1] + "\n".join([*lines, found[2]]), text, flags=re.S)
    if with_table != text:
        path.write_text(with_table)
