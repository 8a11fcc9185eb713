#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What is installed works for those who use it: projects that find the headers by pkg-config and by CMake compile; the Debian
packages please lintian, and apt installs, upgrades, removes and purges them, in an overlay over this system that only the test
sees; the archive for any distribution counts where there is nothing but what is in it."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import elf
from agent import Fired, build_fired, clean_environment, totals
from capture import Server
from checks import Checks
from process import BUILD, ROOT, scratch, wait_until

SOURCE = """#include <probemeter/probemeter.h>
PROBEMETER_COUNTER(found, "packages.found", "{x}", "Found by a build system", "by")
int main(void) { PROBEMETER_ADD(found, 1, "test"); return 0; }
"""
CMAKE = """cmake_minimum_required(VERSION 3.13)
project(found C)
find_package(probemeter %s REQUIRED)
add_executable(found found.c)
target_link_libraries(found probemeter::probemeter)
"""


def run(*words, **more):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **more)


def has_probe(binary):
    done = run(BUILD / "probemeter", "probes", binary, "--json")
    return done.returncode == 0 and [row["name"] for row in json.loads(done.stdout)] == ["packages.found"]


def headers(checks, directory):
    """make install under another root, and two projects that know nothing but where that is."""
    root = directory / "root"
    done = run("make", "install", f"DESTDIR={root}", "PREFIX=/opt/pm", cwd=ROOT)
    if not checks.ok("make install", done.returncode == 0, done.stderr[-500:]):
        return
    prefix = root / "opt/pm"
    version = run(prefix / "bin/probemeter", "--version").stdout.split()[-1]
    unit = (prefix / "lib/systemd/system/probemeter.service").read_text()
    checks.ok("the unit starts what was installed", "ExecStart=/opt/pm/bin/probemeter run" in unit, unit)
    checks.ok("each page and completion is there", all((prefix / "share" / path).is_file() for path in (
        "man/man1/probemeter-run.1", "man/man5/probemeter.conf.5", "bash-completion/completions/probemeter",
        "zsh/vendor-completions/_probemeter", "fish/vendor_completions.d/probemeter.fish")), sorted(prefix.rglob("*")))
    config = root / "etc/probemeter/probemeter.conf"
    done = run(prefix / "bin/probemeter", "check", "--config", config)
    checks.ok("the configuration is right as it comes", re.search(rf"^pass +configuration +{config}; no endpoint$", done.stdout, re.M), done.stdout + done.stderr)
    # Each line that is commented out is right, too.
    spoken = directory / "spoken.conf"
    spoken.write_text(re.sub(r"^#(?=[a-z])", "", config.read_text(), flags=re.M).replace("/etc/probemeter/headers", "/dev/null"))
    done = run(prefix / "bin/probemeter", "check", "--config", spoken)
    checks.ok("and what it proposes is", "did you mean" not in done.stderr and "expected" not in done.stderr, done.stderr)

    project = directory / "project"
    project.mkdir()
    (project / "found.c").write_text(SOURCE)
    environment = {**os.environ, "PKG_CONFIG_PATH": f"{prefix}/share/pkgconfig"}
    flags = run("pkg-config", "--cflags", "probemeter", env=environment)
    checks.equal("pkg-config: the version", run("pkg-config", "--modversion", "probemeter", env=environment).stdout.strip(), version)
    done = run("cc", "-O2", "-Werror", *flags.stdout.split(), project / "found.c", "-o", project / "by-pkg-config")
    checks.ok("pkg-config: it compiles, and has the probe", done.returncode == 0 and has_probe(project / "by-pkg-config"),
              flags.stderr + done.stderr)
    for wanted, fits in ((version, True), ("99", False)):
        (project / "CMakeLists.txt").write_text(CMAKE % wanted)
        shutil.rmtree(project / "build", ignore_errors=True)
        done = run("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
        if fits and done.returncode == 0:
            done = run("cmake", "--build", project / "build")
        checks.ok(f"cmake: find_package(probemeter {wanted}) {'is met' if fits else 'is refused'}",
                  (done.returncode == 0 and has_probe(project / "build/found")) == fits, done.stdout[-500:] + done.stderr[-500:])


def next_version(directory, package):
    """The same package as it would come with the next version."""
    tree = directory / "next"
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: (.*)$", r"Version: \1+next", control.read_text(), flags=re.M))
    path = directory / "next.deb"
    done = run("dpkg-deb", "-b", "-Znone", "--root-owner-group", tree, path)
    assert done.returncode == 0, done.stderr
    return path


STEPS = r"""
set -u
rm -f /var/lib/man-db/auto-update
apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io "$@" >>/log 2>&1; }
say() { echo "$1=$(eval "$2" 2>&1 | tr '\n' ' ')"; }
apt install --no-install-recommends /packages/probemeter.deb /packages/dev.deb; say installed 'echo $?'
say state 'dpkg-query -W -f="\${db:Status-Abbrev}" probemeter libprobemeter-dev'
say runs 'probemeter --version'
say user 'getent passwd probemeter | cut -d: -f1'
say enabled 'readlink /etc/systemd/system/multi-user.target.wants/probemeter.service'
say verify 'systemd-analyze verify /lib/systemd/system/probemeter.service'
say man 'man -w probemeter-run probemeter.conf'
echo 'interval = 5000' >>/etc/probemeter/probemeter.conf
mkdir -p /var/lib/probemeter && echo 1 >/var/lib/probemeter/host-id
apt install -o Dpkg::Options::=--force-confold /packages/next.deb; say upgraded 'echo $?'
say version 'dpkg-query -W -f="\${Version}" probemeter'
say kept 'tail -n 1 /etc/probemeter/probemeter.conf'
apt remove probemeter libprobemeter-dev; say removed 'echo $?'
say left 'ls /usr/bin/probemeter /usr/include/probemeter /lib/systemd/system/probemeter.service /etc/probemeter/probemeter.conf 2>/dev/null'
apt purge probemeter; say purged 'echo $?'
say remains 'ls -d /etc/probemeter /var/lib/probemeter /usr/share/man/man1/probemeter* /etc/systemd/system/*/probemeter.service 2>/dev/null'
"""


def inside(directory):
    """In a mount namespace: this system, and over it a layer that goes with the namespace."""
    directory = pathlib.Path(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", directory / "layer"], check=True)
    root = directory / "layer/root"
    for name in ("upper", "work", "root"):
        (directory / "layer" / name).mkdir()
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={directory}/layer/upper,"
                    f"workdir={directory}/layer/work", root], check=True)
    # No daemon of the system can be reached from there, and no process but those of the test is seen.
    for kind, where in (("tmpfs", "run"), ("tmpfs", "tmp"), ("proc", "proc"), ("tmpfs", "sys")):
        subprocess.run(["mount", "-t", kind, kind, root / where], check=True)
    subprocess.run(["mount", "--rbind", "/dev", root / "dev"], check=True)
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    shutil.copytree(directory / "packages", root / "packages")
    done = subprocess.run(["chroot", root, "/bin/bash", "-c", STEPS], check=False)
    sys.stderr.write((root / "log").read_text()[-3000:])
    sys.exit(done.returncode)


def packages(checks, directory):
    done = run("scripts/packaging/deb.sh", cwd=ROOT)
    if not checks.ok("the packages build", done.returncode == 0, done.stderr[-1500:]):
        return
    built = {path.name.split("_")[0]: path for path in (BUILD / "deb").glob("*.deb")}
    checks.ok("they are two, and one of debug symbols", {"probemeter", "libprobemeter-dev"} <= set(built) and
              len(built) <= 3, sorted(built))
    done = run("lintian", "--allow-root", "--fail-on", "error,warning", *[built[name] for name in ("probemeter", "libprobemeter-dev")])
    checks.ok("lintian has no remark", done.returncode == 0 and not re.search("^[EW]:", done.stdout, re.M), done.stdout + done.stderr)
    done = run("lintian", "--allow-root", BUILD / "deb/unknown.deb")
    checks.ok("and would have had one", done.returncode != 0, done.stdout)
    (directory / "layer").mkdir()
    (directory / "packages").mkdir()
    shutil.copy(built["probemeter"], directory / "packages/probemeter.deb")
    shutil.copy(built["libprobemeter-dev"], directory / "packages/dev.deb")
    shutil.copy(next_version(directory, built["probemeter"]), directory / "packages/next.deb")
    done = run("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "/usr/bin/python3", __file__, "--inside", directory, timeout=240)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    for name, want in (("installed", "0 "), ("state", "ii ii "), ("user", "probemeter "), ("upgraded", "0 "), ("kept", "interval = 5000 "),
                       ("enabled", "/lib/systemd/system/probemeter.service "), ("verify", ""), ("removed", "0 "), ("purged", "0 "),
                       ("left", "/etc/probemeter/probemeter.conf "), ("remains", "")):
        if not checks.equal(f"apt: {name}", said.get(name), want):
            print(done.stderr[-1500:])
    version = re.search(r"_([^_]+)_", built["probemeter"].name).group(1)
    checks.equal("apt: the program runs", said.get("runs"), f"probemeter {version} ")
    checks.equal("apt: the next version", said.get("version"), f"{version}+next")
    checks.ok("apt: pages are found", said.get("man", "").count("/usr/share/man/") == 2, said.get("man"))
    checks.ok("nothing of it is in this system", not os.path.exists("/etc/probemeter/probemeter.conf") or
              run("dpkg", "-s", "probemeter").returncode == 0, "/etc/probemeter/probemeter.conf")


def tarball(checks, directory):
    """Unpacked where nothing else is, not even a loader: it runs, finds the host fit, counts and exports."""
    done = run("make", "-s", "tarball", cwd=ROOT)
    if not checks.ok("the archive is made", done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]):
        return
    root = directory / "empty"
    for name in ("proc", "sys", "run", "tmp"):
        (root / name).mkdir(parents=True)
    archive = ROOT / done.stdout.split()[-1]
    checks.equal("it unpacks", run("tar", "-C", root, "-xzf", archive).returncode, 0)
    checks.equal("all of it below /opt/probemeter", sorted(path.name for path in root.iterdir()), ["opt", "proc", "run", "sys", "tmp"])
    prefix = root / "opt/probemeter"
    libraries = {path.name for path in (prefix / "lib").glob("*.so*")}
    checks.ok("its libraries and their loader are there", {"ld-linux-x86-64.so.2", "libc.so.6", "libbpf.so.1"} <= libraries, libraries)
    checks.ok("with the licence of each", len(list((prefix / "share/licences").iterdir())) > 20, sorted((prefix / "share").iterdir()))
    checks.ok("README names the place and the version", "/opt/probemeter/bin/probemeter run" in (prefix / "README").read_text(), "")
    checks.ok("the unit starts it there", "ExecStart=/opt/probemeter/bin/probemeter run" in
              (prefix / "lib/systemd/system/probemeter.service").read_text(), "")
    named = re.findall(r"^    (?:cp|install -D|mkdir [^&]*&& cp) (\S+)", (prefix / "README").read_text(), re.M)
    checks.ok("what README has one install is there", len(named) == 4 and all((root / path.lstrip("/")).is_file() for path in named), named)
    program = "/opt/probemeter/bin/probemeter"
    checks.equal("--version", run("chroot", root, program, "--version").stdout, run(BUILD / "probemeter", "--version").stdout)
    mounted = ["unshare", "--mount", "sh", "-c", f'mount -t proc proc {root}/proc && mount --rbind /sys {root}/sys && exec chroot {root} "$@"',
               "sh", program]
    done = run(*mounted, "check", "--json", timeout=60)
    rows = json.loads(done.stdout) if done.stdout.startswith("[") else []
    checks.ok("check", done.returncode == 0 and any(row["requirement"] == "probes" and row["met"] for row in rows), done.stdout + done.stderr)
    binary = build_fired(directory)
    log = directory / "archive.log"
    with Server() as server, Fired(binary, "archive") as fired:
        with open(log, "w", encoding="utf-8") as stderr, \
                subprocess.Popen([*map(str, mounted), "run", "--once", "--interval", "8000", "--endpoint", server.otlp, "--bpffs", "/none",
                                  "--include", f"path:{binary}"], env=clean_environment(), stderr=stderr) as agent:
            wait_until("attached", lambda: agent.poll() is not None or f"attached: '{binary}'" in log.read_text(), 20)
            wait_until("heard", lambda: agent.poll() is not None or elf.attached(fired.pid, elf.Elf(binary)), 20)
            fired.fire(7)
            agent.wait(60)
        checks.equal("run --once: status", agent.returncode, 0)
        if not checks.equal("run --once: what it exports", totals(server.requests, fired.service), (7, 7, 7)):
            print(log.read_text())


def main():
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
    checks = Checks("packages")
    with scratch("packages") as directory:
        for part in (headers, packages, tarball):
            if sys.argv[1:] and part.__name__ not in sys.argv[1:]:
                continue
            with checks.run(part.__name__):
                part(checks, directory)
    checks.exit()


if __name__ == "__main__":
    main()
