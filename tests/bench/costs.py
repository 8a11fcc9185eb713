#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""README's table of costs, read from the picture beside it, so that the two cannot differ.

    tests/bench/costs.py scripts/bench.svg

Consumes what picture.py drew; prints Markdown: a row per contestant, a column per number of threads.
"""
import re
import sys
from xml.etree import ElementTree


def texts(path):
    """(class, anchor, words) of each text, in the order of drawing."""
    for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"):
        yield element.get("class"), element.get("text-anchor"), element.text


def cells(path):
    """({contestant: {threads: cost}}, [threads in their order], footer)."""
    rows, columns, name, footer = {}, [], None, ""
    for kind, anchor, words in texts(path):
        if kind == "small" and re.match(r"\d+ threads?\b", words):
            columns.append(words)
        elif kind == "small":
            footer = words
        elif anchor == "end":
            name = words
        elif kind != "title":
            rows.setdefault(name, {})[columns[-1]] = words
    return rows, columns, footer


def main():
    rows, columns, footer = cells(sys.argv[1])
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, found in rows.items():
        print(f"| {name} | " + " | ".join(found.get(column, "") for column in columns) + " |")
    print(f"\n{footer}")


if __name__ == "__main__":
    main()
