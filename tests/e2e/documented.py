# SPDX-License-Identifier: BSD-2-Clause
"""What README and the pages under scripts/docs say: their tables by name, their recipes as text, their links."""
import re

from process import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "scripts/docs").glob("*.md"))]


def _between(begin, end):
    """What stands between these marks, on the one page that has them."""
    found = [text for text in (page.read_text() for page in PAGES) if begin in text]
    assert len(found) == 1, f"{begin}: on {len(found)} pages"
    _, _, rest = found[0].partition(begin)
    assert end in rest, f"{begin}: without {end}"
    return rest.partition(end)[0]


def table(name):
    """The rows of a table that `make readme` writes, as text."""
    return _between(f"<!-- {name}: made by", f"<!-- end of {name} -->")


def recipe(name):
    """What a reader of README would copy: the block below the mark of this @name."""
    return re.match(r"\n```\w*\n(.*?)\n```\n", _between(f"<!-- recipe: {name} -->", "\n\n") + "\n", re.S).group(1) + "\n"


def recipes():
    return re.findall(r"<!-- recipe: ([a-z-]+) -->", PAGES[0].read_text())


def anchors(page):
    """The names that headings of a page have for links."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links():
    """Links of all pages that lead to no file, or to no heading of it; addresses of the web are not looked up."""
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            if target.startswith("http"):
                continue
            to = (page.parent / path).resolve() if path else page
            if not to.is_file() or (anchor and anchor not in anchors(to)):
                broken.append((page.name, target))
    return broken
