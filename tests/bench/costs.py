#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""README's tables of costs and of missed goals, read from the picture beside them, so that they cannot differ.

    tests/bench/costs.py scripts/bench.svg costs|goals

Consumes what picture.py drew; prints Markdown. costs: a row per contestant, a column per number of threads. goals: a row for each
that was missed.
"""
import json
import re
import sys
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture):
    """(class, anchor, words) of each text, in the order of drawing."""
    for element in picture.iter(f"{SVG}text"):
        yield element.get("class"), element.get("text-anchor"), element.text


def cells(picture):
    """({contestant: {threads: cost}}, [threads in their order], footer)."""
    rows, columns, name, footer = {}, [], None, ""
    for kind, anchor, words in texts(picture):
        if kind == "small" and re.match(r"\d+ threads?\b", words):
            columns.append(words)
        elif kind == "small":
            footer = words
        elif anchor == "end":
            name = words
        elif kind != "title":
            rows.setdefault(name, {})[columns[-1]] = words
    return rows, columns, footer


def costs(picture):
    rows, columns, footer = cells(picture)
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, found in rows.items():
        print(f"| {name} | " + " | ".join(found.get(column, "–") for column in columns) + " |")
    print(f"\n–: not measured with so many threads. {footer}")


def goals(picture):
    found = json.loads(picture.find(f"{SVG}metadata").text)
    print(f"{found['met']} of {found['measured']} goals are met.", "These are not:\n" if found["missed"] else "")
    if found["missed"]:
        print("| goal | wanted | measured | the trap alone |\n|---|---:|---:|---:|")
    for row in found["missed"]:
        print("| " + " | ".join("–" if cell == "-" else cell for cell in row) + " |")


if __name__ == "__main__":
    {"costs": costs, "goals": goals}[sys.argv[2]](ElementTree.parse(sys.argv[1]))
