#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""run.py [--keep] TARGET SECONDS: run a fuzz target over its corpus, then for so long over what libFuzzer makes of it.

Checked: the inputs in tests/fuzz/corpus/TARGET, which were bugs or show the way, break no promise; nothing that is made of
them does; and the run entered every function that the target says it reaches. With --keep what was found to be new is kept
in build/fuzz/found/TARGET, and the next run goes on from there.
"""
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "e2e"))
from checks import Checks  # noqa: E402

MOST_S = 10  # for one input
MOST_MIB = 1024
FEWEST_RUNS = 100


def libfuzzer(target, *arguments):
    """Its exit status and what it says."""
    done = subprocess.run([ROOT / "build/fuzz" / target, f"-timeout={MOST_S}", f"-rss_limit_mb={MOST_MIB}",
                           *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, cwd="/", check=False,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "UBSAN_OPTIONS": "print_stacktrace=1"})
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def why(output, directory):
    """The lines that say what went wrong, and the input that did it."""
    signs = re.compile(r"broken:|ERROR:|runtime error|SUMMARY|ALARM|    #[0-4] ")
    inputs = [str(path) for path in pathlib.Path(directory).glob("*-*")]
    return "\n       ".join([line for line in output.splitlines() if signs.search(line)][:12] + inputs)


def reached(output):
    """The functions that were entered."""
    return {found.group(1) for found in re.finditer(r"^COVERED_FUNC: .* (\w+) \S+$", output, re.MULTILINE)}


def last(output, pattern):
    found = re.findall(pattern, output)
    return int(found[-1]) if found else 0


def fuzz(checks, target, seconds, found):
    corpus = HERE / "corpus" / target
    inputs = sorted(corpus.iterdir())
    bad = ROOT / "build/fuzz" / f"broken-{target}"
    bad.mkdir(exist_ok=True)
    for path in bad.iterdir():
        path.unlink()
    status, output = libfuzzer(target, f"-artifact_prefix={bad}/", *inputs)
    checks.ok(f"{target}: {len(inputs)} inputs of the corpus", len(inputs) >= 3 and status == 0, why(output, bad))
    status, output = libfuzzer(target, f"-max_total_time={seconds}", "-print_final_stats=1", "-print_coverage=1",
                               f"-artifact_prefix={bad}/", "-max_len=8192", found, corpus)
    runs = last(output, r"stat::number_of_executed_units: (\d+)")
    new = last(output, r"stat::new_units_added: +(\d+)")
    edges, before = last(output, r" cov: (\d+)"), re.search(r"INITED cov: (\d+)", output)
    checks.ok(f"{target}: {runs} runs in {seconds} s", status == 0 and runs >= FEWEST_RUNS, why(output, bad))
    print(f"     edges {before.group(1) if before else 0} by the corpus, {edges} in the end; {new} new inputs; "
          f"{last(output, r'stat::peak_rss_mb: +([0-9]+)')} MiB", flush=True)
    wanted = set(" ".join(re.findall(r"^ \* reaches: (.*)$", (HERE / f"{target}.c").read_text(), re.MULTILINE)).split())
    checks.ok(f"{target}: {len(wanted)} functions are entered", wanted and wanted <= reached(output),
              f"not {sorted(wanted - reached(output))}")


def main():
    arguments = sys.argv[1:]
    keep = "--keep" in arguments
    target, seconds = [word for word in arguments if word != "--keep"]
    checks = Checks(f"fuzz {target}")
    with checks.run(target), tempfile.TemporaryDirectory(prefix="probemeter-fuzz-") as found:
        if keep:
            found = ROOT / "build/fuzz/found" / target
            found.mkdir(parents=True, exist_ok=True)
        fuzz(checks, target, int(seconds), found)
    return checks.finish()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers run
    sys.exit(main())
