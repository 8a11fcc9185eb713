#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The live page in Debian's Chromium: the sample service under load, and a service whose names and labels are an attack.

What is asserted is what a person would look for: services and their state, every metric with its words, numbers that are the
service's own, lines and heatmaps that are drawn, search, keyboard, a phone's width, light and dark, the panel that says why
there is nothing. And what nobody must see: an error in the console, a request to anybody else, a stranger's text run as
markup. With a directory as argument the screenshots are put there.
"""
import os
import pathlib
import struct
import subprocess
import sys
import time
import zlib

from agent import Agent, clean_environment, own_name
from ask import Snapshot, page_address
from catalogue import METRICS
from checks import Checks
from chromium import Chromium
from process import ROOT, TOOLS, Child, in_own_pid_namespace, scratch
from service import LOAD, SCRIPTD, Scriptd

LOOK_S = 2  # as often as the page asks
EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script>${alert(1)}'
EVIL_C = r"""
#include <stdio.h>
#include <unistd.h>
#define PROBEMETER_SCOPE "<b>Evil</b>"
#include <probemeter/probemeter.h>
PROBEMETER_COUNTER(evil_total, "evil<i>.total", "{<u>}", "<img src=x onerror=\"document.title=3\">", "label<b>")
PROBEMETER_COUNTER(evil_silent, "evil.silent.total", "{event}", "Never fired", "x")
int main(int argc, char **argv)
{
	(void)argv;
	for (;;) {
		PROBEMETER_ADD(evil_total, 1, "<img src=x onerror=\"document.title=4\">");
		if (argc > 1)
			PROBEMETER_ADD(evil_silent, 1, "x");
		usleep(20000);
	}
}
"""
# Levels that may well be the same for long: its dependencies work, and connections last.
STILL = {"health.dependencies.status", "database.connections.active", "connections.active", "execution.queue.depth"}
TEXT = "(document.body?.innerText ?? '')"


def build(directory, name, source):
    path = pathlib.Path(directory) / name
    path.with_suffix(".c").write_text(source)
    subprocess.run(["cc", "-std=gnu11", "-O2", f"-I{ROOT}/include", str(path.with_suffix(".c")), "-o", str(path)], check=True)
    return path


def pixels(png):
    """Width, height and the bytes of a PNG of 8 bits RGB or RGBA, filters undone."""
    at, data, width, height, colours = 8, b"", 0, 0, 0
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        if kind == b"IHDR":
            width, height, _, colours = struct.unpack(">IIBB", png[at + 8:at + 18])
        elif kind == b"IDAT":
            data += png[at + 8:at + 8 + length]
        at += 12 + length
    return width, height, {2: 3, 6: 4}[colours], zlib.decompress(data)


def first_pixel(png):
    """The colour of the top left corner: unfiltered, whatever the filter of the first line."""
    _, _, size, data = pixels(png)
    return tuple(data[1:1 + min(size, 3)])


CARD = "[...document.querySelectorAll('.metric')].find(card => card.querySelector('.name').textContent === {!r})"


def drawn(tab, name):
    """How many colours the chart of a metric has: a blank one has one. Only what is in sight is drawn, and a card that has just come
    into sight is known to be there a frame later."""
    card = CARD.format(name)
    tab.evaluate(f"{card}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    tab.wait(f"{name} in sight", f"visible.has({card})")
    return tab.evaluate(f"""(() => {{
        const card = {card};
        drawCard(card);
        const canvas = card.querySelector('canvas'), data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const colours = new Set();
        for (let i = 0; i < data.length; i += 4) colours.add(data[i] << 24 | data[i + 1] << 16 | data[i + 2] << 8 | data[i + 3]);
        return colours.size;
    }})()""")


def card_text(tab, name):
    return tab.evaluate(f"{CARD.format(name)}?.innerText || ''")


def content(checks, tab, agent, service, evil):
    tab.wait("the service on the page", f"document.querySelector('#services').innerText.includes({service.name!r})")
    tab.wait("rates", f"times.length >= {4}", 30.0)
    text = tab.evaluate(TEXT)
    checks.ok("services and their state", service.name in text and "counting" in text and evil.name in text, text[:800])
    names = set(tab.evaluate("[...document.querySelectorAll('.metric .name')].map(name => name.textContent)"))
    held = {row["name"] for row in Snapshot(agent.socket).metrics}
    fired = {metric.name for metric in METRICS} & held
    checks.ok("the catalogue's metrics that have data", len(fired & names) >= 35, sorted(fired - names))
    tab.evaluate("document.querySelector('#quiet').click()")
    names = set(tab.evaluate("[...document.querySelectorAll('.metric .name')].map(name => name.textContent)"))
    checks.equal("on demand also those without", sorted({metric.name for metric in METRICS} - names), [])
    tab.evaluate("document.querySelector('#quiet').click()")
    drawn(tab, "script.execution.duration")
    words = card_text(tab, "script.execution.duration")
    checks.ok("a metric's words", "Execution time (seconds)" in words and "histogram" in words and "{s}" in words, words)
    checks.ok("quantiles of a histogram", all(q in words for q in ("p50", "p90", "p99")) and "ms" in words, words)
    for name in ("script.execution.duration", "script.executions.total", "execution.queue.depth"):
        checks.ok(f"the chart of {name} is drawn", drawn(tab, name) > 6, drawn(tab, name))
    total = tab.evaluate("snapshot.series.filter(row => snapshot.metrics[row.metric].name === 'script.executions.total'"
                         f" && snapshot.services[row.service].name === {service.name!r})"
                         ".reduce((sum, row) => sum + row.value, 0)")
    account = service.stats().value("script.executions.total")
    checks.ok("its numbers are the service's", 0 < total <= account and account - total < 200, (total, account))
    shown = card_text(tab, "script.executions.total")
    checks.ok("a counter shows its rate and its total", "/s" in shown and "in all" in shown and "status=" in shown, shown)
    label = tab.evaluate(f"{CARD.format('script.execution.duration')}.querySelector('canvas').getAttribute('aria-label')")
    checks.ok("a chart says in words what it shows", "Heatmap of script.execution.duration" in label and "p99" in label, label)


def strangers_text(checks, tab):
    tab.wait("the hostile metric", "[...document.querySelectorAll('.metric .name')].some(name => name.textContent === 'evil<i>.total')")
    checks.ok("a stranger's text is text", "label<b>=<img src=x onerror=" in card_text(tab, "evil<i>.total"),
              card_text(tab, "evil<i>.total"))
    checks.equal("and never markup", tab.evaluate("document.querySelectorAll('main img, main script, main i img, main b img').length"), 0)
    checks.ok("nor run", tab.evaluate("document.title").endswith("probemeter"), tab.evaluate("document.title"))
    inline = tab.evaluate("""new Promise(done => {
        const script = document.createElement('script');
        script.textContent = 'window.injected = 1';
        document.addEventListener('securitypolicyviolation', event => done(event.violatedDirective), {once: true});
        document.body.append(script);
        setTimeout(() => done('nothing'), 2000);
    })""")
    checks.ok("a script that got in all the same is refused", inline.startswith("script-src") and
              not tab.evaluate("window.injected"), inline)
    # That one complaint was asked for, and reading charts back was the test's own doing.
    tab.errors[:] = [error for error in tab.errors if "Content Security Policy" not in error and "getImageData" not in error]


def search(tab, words):
    tab.evaluate(f"(() => {{ const search = document.querySelector('#search'); search.value = {words!r};"
                 " search.dispatchEvent(new Event('input')); })()")


def using(checks, tab):
    everything = tab.evaluate("document.querySelectorAll('.metric').length")
    tab.evaluate("document.activeElement.blur()")
    tab.key("/", "Slash", "/")
    checks.equal("a slash goes to the search", tab.evaluate("document.activeElement.id"), "search")
    for letter in "queue":
        tab.key(letter, text=letter)
    found = tab.evaluate("[...document.querySelectorAll('.metric .name')].map(name => name.textContent)")
    checks.ok("search finds", 0 < len(found) < everything and "execution.queue.depth" in found, found)
    search(tab, "nothing like that")
    checks.equal("or nothing", tab.evaluate("document.querySelectorAll('.metric').length"), 0)
    checks.ok("and says so", "0 of " in tab.evaluate("document.querySelector('#found').textContent"))
    search(tab, "")
    seen = []
    tab.evaluate("document.querySelector('.skip').focus()")
    for _ in range(14):
        tab.key("Tab")
        seen.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
    checks.ok("the Tab key reaches the controls", {"pause", "search", "service", "quiet", "SUMMARY"} <= set(seen), seen)
    unnamed = tab.evaluate("[...document.querySelectorAll('input, select, button, canvas:not([hidden])')].filter(element =>"
                           " !(element.labels?.length || element.textContent || element.ariaLabel || element.getAttribute('aria-label')"
                           " || !element.closest('.metric')?.getBoundingClientRect().width"
                           " || !visible.has(element.closest('.metric')))).map(element => element.outerHTML)")
    checks.equal("every control and chart has a name", unnamed[:3], [])
    tab.evaluate("document.querySelector('#pause').click()")
    before = tab.evaluate("times.length")
    tab.browser.listen(2.5 * LOOK_S)
    checks.equal("paused, it asks nothing", tab.evaluate("times.length"), before)
    tab.evaluate("document.querySelector('#pause').click()")
    tab.wait("it goes on", f"times.length > {before}")


def looks(checks, tab, pictures):
    corner = {}
    for name, width, height, dark, mobile in (("light", 1280, 900, False, False), ("dark", 1280, 900, True, False),
                                              ("phone", 390, 844, False, True), ("phone-dark", 390, 844, True, True)):
        tab.look(width, height, dark, mobile)
        tab.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")
        tab.browser.listen(1.5 * LOOK_S)
        png = tab.screenshot(pictures / f"{name}.png")
        corner[name] = sum(first_pixel(png))
        tab.evaluate("document.querySelector('#metrics').scrollIntoView({behavior: 'instant'})")
        tab.browser.listen(0.5)
        tab.screenshot(pictures / f"{name}-metrics.png")
        wide = tab.evaluate("document.documentElement.scrollWidth")
        checks.ok(f"{name}: nothing is wider than the screen", wide <= width, wide)
        small = tab.evaluate("Math.min(...[...document.querySelectorAll('main *')].filter(element => element.childNodes.length &&"
                             " element.offsetParent).map(element => parseFloat(getComputedStyle(element).fontSize)))")
        checks.ok(f"{name}: no letters are too small to read", small >= 11, small)
    checks.ok("dark is dark and light is light", corner["dark"] < 120 < 600 < corner["light"] and
              corner["phone-dark"] < 120 < 600 < corner["phone"], corner)


def accessible(checks, tab):
    """What axe-core, which knows the rules of WCAG, has to say, in both colour schemes and with everything opened; of the
    metrics' cards, which are alike, only some."""
    tab.evaluate((TOOLS / "npm/node_modules/axe-core/axe.min.js").read_text())
    search(tab, "script.ex")
    tab.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    for name, dark in (("light", False), ("dark", True)):
        tab.look(1280, 900, dark)
        tab.browser.listen(1.0)
        found = tab.evaluate("axe.run().then(found => ({rules: found.passes.length, bad: found.violations.map(rule =>"
                             " [rule.id, rule.help, rule.nodes.slice(0, 2).map(node => node.html)])}))")
        checks.ok(f"{name}: axe-core has nothing to say, of {found['rules']} rules that hold", found["rules"] > 20 and not found["bad"],
                  found["bad"])
    tab.evaluate("document.querySelectorAll('details').forEach(details => { details.open = false; })")
    search(tab, "")


def charts_by_key(checks, tab):
    """A chart is read without a pointer: arrow keys go from moment to moment, and what is there is said."""
    tab.look(1280, 900, False)
    drawn(tab, "script.executions.total")
    tab.evaluate(f"{CARD.format('script.executions.total')}.querySelector('canvas').focus()")
    said = []
    for _ in range(3):
        tab.key("ArrowLeft")
        said.append(tab.evaluate("document.querySelector('#tip').innerText"))
    checks.ok("arrow keys walk through a chart", len(set(said)) == 3 and all("status=" in words and "/s" in words for words in said), said)
    checks.equal("in a place that is read out", tab.evaluate("document.querySelector('#tip').getAttribute('role')"), "status")
    tab.key("Escape")
    checks.ok("Escape ends that", tab.evaluate("document.querySelector('#tip').hidden"))


def late(checks, browser, url):
    """A page that is opened now shows what was before."""
    tab = browser.open(url)
    tab.wait("its first look", "looks > 0")
    missing_s = 46 - tab.evaluate("snapshot.agent.uptime_ms") / 1000  # a moment is remembered every ten seconds
    if missing_s > 0:
        tab.close()
        time.sleep(missing_s)
        tab = browser.open(url)
        tab.wait("its first look", "looks > 0")
    moments, minutes = tab.evaluate("[times.filter(ms => ms < snapshot.time_unix_ms).length, (span().now - span().from) / 60000]")
    checks.ok("opened late, it has moments from before", moments >= 4 and minutes > 0.6, (moments, minutes))
    past = "[...known.values()].filter(one => one.row && snapshot.metrics[one.row.metric].name === {!r})"
    rates = tab.evaluate(past.format("script.executions.total") + ".map(one => one.rates.slice(0, times.length - looks))")
    checks.ok("rates of a counter", any(sum(rate is not None and rate > 0 for rate in line) >= 3 for line in rates), rates)
    depths = tab.evaluate(past.format("execution.queue.depth") + ".map(one => one.values.slice(0, times.length - looks)"
                          ".filter(value => value !== null).length)")
    checks.ok("values of a level", max(depths) >= 4, depths)
    cells = tab.evaluate(f"binsOf({past.format('script.execution.duration')}, 0).map(bin => sum(bin.counts))")
    checks.ok("and what was recorded in a histogram", sum(count > 0 for count in cells) >= 3, cells)
    moves = tab.evaluate("[...known.values()].filter(one => one.rates.some(rate => rate > 0) || new Set(one.values.filter(Boolean)"
                         ".map(value => value.value)).size > 1).map(one => snapshot.metrics[one.row.metric].name)")
    checks.equal("everything that the sample service counts moves", sorted({metric.name for metric in METRICS} - set(moves) - STILL), [])
    checks.equal("no errors there", tab.errors, [])
    tab.close()


DROPPER_C = """
#include <stdio.h>
#include <probemeter/probemeter.h>
PROBEMETER_COUNTER(lost_total, "e2e.lost.total", "{event}", "Fired with a negative number", "x")
int main(void)
{
	for (int c; (c = getchar()) != EOF;)
		PROBEMETER_ADD(lost_total, c == '-' ? -1 : 1, "y");
	return 0;
}
"""


def reasons(tab):
    """{the reason: (of whom, all that is said, how bad it is)} from the panel that says why there is nothing."""
    rows = tab.evaluate("[...document.querySelectorAll('#why-list li')].map(row => [row.querySelector('.tag').textContent,"
                        " row.querySelector('b').textContent, row.innerText, row.className])")
    return {word: (subject, text, kind) for word, subject, text, kind in rows}


TILE = "[...document.querySelectorAll('#tiles dt')].find(name => name.firstChild.textContent === {!r}).nextElementSibling.textContent"


def nothing(checks, directory, browser):
    """On a host without a probe, then with a service that has not fired, then with one whose events are dropped: the panel says
    which of these it is, of whom, and what to do; and once all is well that nothing is missing."""
    binary = build(directory, "dropper", DROPPER_C)
    service = own_name("dropper")
    with Agent(directory, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent:
        host, port = page_address(agent)
        tab = browser.open(f"http://{host}:{port}/")
        tab.wait("the first reason", f"{TEXT}.includes('No probes found')")
        found = reasons(tab)
        checks.ok("no probes found: said, with the remedy, and nothing else is", list(found) == ["No probes found"] and
                  "no process of this host has probes" in found["No probes found"][1]
                  and "Remedy: start a service built with <probemeter/probemeter.h>" in found["No probes found"][1], found)
        with subprocess.Popen([binary], stdin=subprocess.PIPE, env=clean_environment(OTEL_SERVICE_NAME=service)) as child:
            try:
                agent.wait_attached(child.pid, binary)
                tab.wait("the second reason", f"{TEXT}.includes('Attached, no hits')")
                found = reasons(tab)
                checks.ok("attached, no hits: of whom, with the remedy", list(found) == ["Attached, no hits"] and
                          found["Attached, no hits"][0] == service and "Remedy: let the service do some work" in
                          found["Attached, no hits"][1], found)
                child.stdin.write(b"+")
                child.stdin.flush()
                tab.wait("that all is well", f"{TEXT}.includes('Nothing is missing')")
                checks.equal("and 0 events dropped", tab.evaluate(TILE.format("events dropped")), "0")
                child.stdin.write(b"---")
                child.stdin.flush()
                tab.wait("how many were dropped", TILE.format("events dropped") + " === '3'")
                found = reasons(tab)
                subject, text, kind = found.get("Dropped", ("", "", ""))
                checks.ok("dropped: of which metric, why, with the remedy, as a warning", list(found) == ["Dropped"] and
                          subject == "e2e.lost.total" and "negative" in text and "Remedy: " in text and kind == "warning", found)
            finally:
                child.kill()
        checks.equal("no errors there either", tab.errors, [])
        tab.close()
        checks.equal("the agent ends with status 0", agent.stop(), 0)


def why(checks, directory, browser):
    """Agents with nothing to show say why, and one that has gone is noticed."""
    with Agent(directory, ENABLE_TRACING="false", OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent:
        host, port = page_address(agent)
        tab = browser.open(f"http://{host}:{port}/")
        tab.wait("the reason", f"{TEXT}.includes('ENABLE_TRACING is false')")
        checks.ok("an agent that does nothing says why", "Does nothing" in tab.evaluate(TEXT))
        checks.equal("no errors there either", tab.errors, [])
        agent.stop()
        tab.wait("that the agent has gone", f"{TEXT}.includes('the agent does not answer')")
        checks.ok("an agent that has gone is noticed", True)
        tab.close()
    with Agent(directory, "--include", "path:/nothing/here", OTEL_METRICS_EXPORTER="prometheus",
               OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent:
        host, port = page_address(agent)
        tab = browser.open(f"http://{host}:{port}/")
        tab.wait("what is left alone", f"{TEXT}.includes('Left alone')")
        checks.ok("a binary that is left alone is named, with the remedy", "evil" in tab.evaluate(TEXT)
                  and "--include" in tab.evaluate(TEXT), tab.evaluate(TEXT)[:600])
        tab.close()


def idle_cpu(agent):
    """Ticks of CPU time of the thread that serves."""
    ticks = 0
    for task in pathlib.Path(f"/proc/{agent.pid}/task").iterdir():
        if int(task.name) != agent.pid:
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks


def main():
    checks = Checks("live page")
    if os.geteuid() != 0:
        checks.skip("everything", "attaching needs root")
        return checks.finish()
    in_own_pid_namespace()
    with scratch("page") as directory:
        pictures = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else directory
        # While there is no other process here.
        with checks.run("nothing"), Chromium(directory) as browser:
            nothing(checks, directory, browser)
        binary = build(directory, "evil", EVIL_C)
        evil = Child([binary], directory / "evil.log", env=clean_environment(OTEL_SERVICE_NAME=f"{EVIL}-{os.getpid()}"))
        evil.name = EVIL
        with Agent(directory, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=0) as agent, evil, \
                Scriptd(directory, own_name("script-runner")) as service, Chromium(directory) as browser:
            host, port = page_address(agent)
            agent.wait_attached(service.pid, SCRIPTD)
            with Child(["/usr/bin/python3", LOAD, "--url", service.url, "--seconds", "300", "--rate", "6", "--quiet"],
                       directory / "load.log", env=clean_environment()):
                tab = browser.open(f"http://{host}:{port}/")
                for part, arguments in ((content, (tab, agent, service, evil)), (strangers_text, (tab,)), (using, (tab,)),
                                        (charts_by_key, (tab,)), (accessible, (tab,)), (looks, (tab, pictures)), (late, (browser, f"http://{host}:{port}/"))):
                    with checks.run(part.__name__):
                        part(checks, *arguments)
                checks.equal("no errors in the console", tab.errors, [])
                others = {url for url in tab.requests if not url.startswith((f"http://{host}:{port}/", "data:"))}
                checks.ok("nobody else was asked", len(tab.requests) > 5 and not others, others)
            tab.close()
            with checks.run("why"):
                why(checks, directory, browser)
            # Connections that nobody uses are closed after ten seconds; what is left then sleeps.
            time.sleep(11)
            before = idle_cpu(agent)
            time.sleep(3)
            checks.equal("nobody looks: no CPU time is spent on serving", idle_cpu(agent) - before, 0)
            checks.equal("the agent ends with status 0", agent.stop(), 0)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
