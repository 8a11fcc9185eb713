# SPDX-License-Identifier: BSD-2-Clause
"""The calls as a picture: bars of ns per call, readable on a light and on a dark page. What README says beside it of the
same run, the goals that were missed, goes along as its metadata; costs.py reads both. Pure."""
import json
from xml.sax.saxutils import escape

import table

OURS = "probemeter histogram"
ROWS = [
    ("probemeter, no agent", "probemeter histogram, no agent"),
    ("probemeter", OURS),
    ("empty BPF program, our probe", "probemeter's site, histogram, empty program"),
    ("empty BPF program, classic probe", "sys/sdt.h probe, empty program"),
    ("bpftrace, classic probe", "bpftrace"),
    ("prometheus-cpp", "prometheus-cpp labelled histogram"),
    ("opentelemetry-cpp", "opentelemetry-cpp histogram"),
    ("OpenTelemetry JS", "OpenTelemetry JS histogram"),
]
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.small { font-size: 11px; fill: #57606a; }
.bar { fill: #8c959f; }
.ours { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9198a1; }
  .bar { fill: #6e7681; }
  .ours { fill: #3fb950; }
}
"""
LEFT, WIDTH, BAR, STEP = 250, 720, 16, 24


def group(results, threads, top):
    """Bars for so many threads: (svg lines, height)."""
    found = [(label, name, results.cell_median(name, threads)) for label, name in ROWS]
    found = [row for row in found if row[2] is not None]
    if not found:
        return [], 0
    title = "1 thread" if threads == 1 else f"{threads} threads on {results.facts['cpus']} CPUs"
    out = [f'<text class="small" x="{LEFT}" y="{top + 12}">{title}</text>']
    scale = (WIDTH - LEFT - 90) / max(ns for _, _, ns in found)
    for index, (label, name, ns) in enumerate(found):
        y = top + 20 + index * STEP
        kind = "ours" if name.startswith("probemeter ") else "bar"
        length = max(ns * scale, 1)
        shown = f"{ns:,.0f} ns" if ns >= 10 else f"{ns:.1f} ns"
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>')
        out.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        out.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{shown}</text>')
    return out, 20 + len(found) * STEP + 16


def goals(results):
    """How many there are, how many of them are met, and a row for each that is not: text, what is wanted, what was measured, and
    what a program that does nothing takes at the same place, if that is known."""
    measured = [target for target in results.targets if target.measured is not None]
    rows = [[target.text, ("at least " if target.at_least else "at most ") + table.number(target.target),
             *(f"{table.number(value)} {target.unit}".rstrip() for value in (target.measured, target.floor))]
            for target in sorted(measured, key=table.order) if not target.met]
    return {"measured": len(measured), "met": len(measured) - len(rows), "missed": rows}


def svg(results):
    facts = results.facts
    body, top = ['<text class="title" x="16" y="26">One labelled histogram observation: nanoseconds per call</text>'], 40
    for threads in sorted({threads for _, threads in results.cells}):
        lines, height = group(results, threads, top)
        body += lines
        top += height
    footer = (f"Linux {facts['kernel']}, {facts['cpus']} x {facts['cpu']}, {facts['date'][:10]}. Median of {facts['rounds']} rounds; "
              "two labels; the loop itself is included.")
    body.append(f'<text class="small" x="16" y="{top + 8}">{escape(footer)}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 24}" viewBox="0 0 {WIDTH} {top + 24}" '
            f'role="img" aria-label="Nanoseconds per call, bars">\n<style>{STYLE}</style>\n'
            f'<metadata>{escape(json.dumps(goals(results)))}</metadata>\n' + "\n".join(body) + "\n</svg>\n")
