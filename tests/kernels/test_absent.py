#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""Kernels that cannot be had: where CI is set that is an error which names them, elsewhere their tests say "skipped", and why.

scripts/tools.sh runs in a tree of its own, with an apt-get that serves what a case says: suites that a mirror lacks, packages
that arrive cut short. Nothing is downloaded; what is not Debian's is looked for behind a proxy that is not there.
"""
import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from checks import Checks  # noqa: E402
from process import ROOT, scratch  # noqa: E402
from run import is_there  # noqa: E402

# Serves the suites of $SERVED, and packages but those of the suite $CUT: a kernel that depends on none.
APT = r"""#!/bin/bash
sources=$(sed -n 's/.*Dir::Etc::SourceParts=\([^ ]*\).*/\1/p' <<<"$*")
case "$*" in
*indextargets*) echo 'bookworm main http://mirror.example/debian' ;;
*update*)
	for suite in $(sed -n 's/^Suites: //p' "$sources/mirror.sources"); do
		[[ " $SERVED " == *" $suite "* ]] || { echo "E: The repository '$suite Release' does not have a Release file."; exit 100; }
	done ;;
*download*)
	what=${!#}
	[[ ${what#*/} != "$CUT" ]] || {
		echo "E: Failed to fetch $what  File has unexpected size (4096 != 71303168). Mirror sync in progress?"
		echo "    - Filesize:71303168 [weak]"
		exit 100
	}
	tree=$(mktemp -d)
	mkdir -p "$tree/DEBIAN" "$tree/boot"
	printf 'Package: kernel\nVersion: 9\nArchitecture: all\nMaintainer: nobody\nDescription: none\n' >"$tree/DEBIAN/control"
	echo "${what#*/}" >"$tree/boot/vmlinuz-9"
	dpkg-deb --build "$tree" kernel.deb
	rm -rf "$tree" ;;
esac
"""
ALL = "bookworm-backports bullseye"
OUTSIDE, CI = "", "true"

# what happens: in CI?, suites served, suite whose packages are cut short, status, what is said, {suite: why it is not there, None if it is}
CASES = {
    "all is there but what is not Debian's": (OUTSIDE, ALL, "", 0, r"5\.15 cannot be had .*: E: Failed to fetch", {"bullseye": None, "bookworm-backports": None, "jammy": r"5\.15 cannot be had"}),
    "the same in CI": (CI, ALL, "", 1, r"5\.15 cannot be had .*Remedy", {"bullseye": None, "bookworm-backports": None}),
    "a suite is not served": (OUTSIDE, "bookworm-backports", "", 0, "serves 'bullseye'", {"bullseye": "serves 'bullseye'", "bookworm-backports": None}),
    "a suite is not served, in CI": (CI, "bookworm-backports", "", 1, "serves 'bullseye'.*Remedy", {}),
    "no suite is served": (OUTSIDE, "", "", 0, "serves 'bullseye'", {"bullseye": "serves 'bullseye'", "bookworm-backports": "serves 'bookworm-backports'"}),
    "then they are": (OUTSIDE, ALL, "", 0, "kernel|linux-image", {"bullseye": None, "bookworm-backports": None}),
    "a download is cut short": (OUTSIDE, ALL, "bullseye", 0, "unexpected size", {"bullseye": "unexpected size", "bookworm-backports": None}),
    "a download is cut short, in CI": (CI, ALL, "bullseye", 1, "unexpected size.*Remedy", {}),
}


def judged(kernel, ci):
    """What a test that wants @kernel says, and how it ends."""
    quiet = Checks("quiet")
    with contextlib.redirect_stdout(io.StringIO()):
        os.environ["CI"] = ci
        is_there(quiet, "guest", kernel)
    return quiet.passed, quiet.failed, quiet.skipped


def main():
    checks = Checks("absent")
    with scratch("absent") as directory:
        shutil.copytree(ROOT / "scripts", directory / "scripts")
        (directory / "bin").mkdir()
        for program, text in (("apt-get", APT), ("sleep", "#!/bin/sh\n")):
            (directory / "bin" / program).write_text(text)
            (directory / "bin" / program).chmod(0o755)
        (directory / "apt.conf").write_text('Acquire::Retries "0";\nAcquire::http::Proxy "http://127.0.0.1:9";\n')
        tools = directory / "build/tools"
        for name, (ci, served, cut, status, said, kernels) in CASES.items():
            with checks.run(name):
                if not name.startswith("then"):
                    shutil.rmtree(tools, ignore_errors=True)
                ran = subprocess.run([directory / "scripts/tools.sh", "kernels"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, check=False,
                                     env={**os.environ, "CI": ci, "SERVED": served, "CUT": cut, "APT_CONFIG": str(directory / "apt.conf"),
                                          "PATH": f"{directory}/bin:{os.environ['PATH']}"})
                checks.equal(f"{name}: status", ran.returncode, status)
                checks.ok(f"{name}: is said", re.search(said, ran.stdout), ran.stdout[-600:])
                for suite, why in kernels.items():
                    kernel = tools / f"linux-{suite}/vmlinuz"
                    note = kernel.with_name("why-not")
                    checks.equal(f"{name}: is {suite} there", (kernel.exists(), note.exists()), (not why, bool(why)))
                    checks.ok(f"{name}: {suite}: the reason", re.search(why or "^$", note.read_text() if note.exists() else ""))
                    checks.equal(f"{name}: the test of {suite} is passed, failed, skipped", judged(kernel, OUTSIDE), (0, 0, 1) if why else (1, 0, 0))
                    checks.equal(f"{name}: in CI", judged(kernel, CI), (0, 1, 0) if why else (1, 0, 0))
        with checks.run("never brought"):
            checks.equal("never brought: is no skip", judged(tools / "linux-none/vmlinuz", OUTSIDE), (0, 1, 0))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
