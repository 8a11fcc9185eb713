# SPDX-License-Identifier: BSD-2-Clause
"""Builds the contestants under build/bench. What cannot be had is left out, and why is kept: absent["prometheus-cpp"]."""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "build" / "bench"
OPENTELEMETRY = ROOT / "build" / "tools" / "opentelemetry-cpp"
OPENTELEMETRY_DEV = ROOT / "build" / "tools" / "opentelemetry-cpp-dev"
NPM_PACKAGES = ["@opentelemetry/api@1", "@opentelemetry/sdk-metrics@2"]

C = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include"]
CXX = ["-std=c++17", "-O2", "-g", "-Wall", "-Wextra"]
FIFTY = 50

absent = {}


class Absent(Exception):
    """A peer that cannot be had here; the text says why."""


def output(*command, **more):
    """Run @command to its end and return what it printed; its last words become the exception."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, **more)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        error = next((line for line in said if "error" in line), said[-1] if said else f"exit code {done.returncode}")
        raise Absent(f"{pathlib.Path(str(command[0])).name}: {error}")
    return done.stdout


def current(name, source):
    """Is it built, later than everything that it may be made from?"""
    made_from = [HERE / source, HERE / "loop.h", HERE / "build.py", *(ROOT / "include").rglob("*.h")]
    made = OUT / name
    return made.exists() and made.stat().st_mtime > max(file.stat().st_mtime for file in made_from)


def compile_c(name, source, *flags):
    if not current(name, source):
        output(os.environ.get("CC", "cc"), *C, *flags, HERE / source, "-o", OUT / name, "-lpthread")


def compile_cxx(name, source, *flags):
    if not current(name, source):
        output(os.environ.get("CXX", "c++"), *CXX, HERE / source, "-o", OUT / name, *flags, "-lpthread")


def ours():
    compile_c("ours", "ours.c")
    compile_c("ours-apart", "ours.c", "-DBENCH_APART")
    output(os.environ.get("CC", "cc"), *C, "-c", HERE / "quiet.c", "-o", OUT / "quiet.o")
    compile_c("series", "series.c")
    compile_c("hash", "hash.c")


def fifty():
    (OUT / "fifty").mkdir(exist_ok=True)
    for number in range(FIFTY):
        compile_c(f"fifty/service-{number:02}", "fifty.c", f"-DNUMBER={number}")


def classic():
    compile_c("classic", "classic.c")
    # Another file, so that what is attached to one is not attached to the other.
    shutil.copy(OUT / "classic", OUT / "classic-bpftrace")


def prometheus():
    compile_cxx("prometheus", "prometheus.cc", "-lprometheus-cpp-core")


def opentelemetry_cpp():
    if not (OPENTELEMETRY_DEV.exists() and OPENTELEMETRY.exists()):
        output(ROOT / "scripts" / "tools.sh", "bench")
    library = next((OPENTELEMETRY / "usr" / "lib").glob("*-linux-gnu"))
    # Its pkg-config files do not find themselves when they are unpacked aside.
    flags = ["-isystem", OPENTELEMETRY_DEV / "usr" / "include", "-DHAVE_ABSEIL", "-DOPENTELEMETRY_ABI_VERSION_NO=1", f"-L{library}",
             "-lopentelemetry_metrics", "-lopentelemetry_common", "-lopentelemetry_resources", "-labsl_bad_variant_access",
             f"-Wl,--disable-new-dtags,-rpath,{library}"]
    compile_cxx("opentelemetry", "opentelemetry.cc", *flags)
    compile_cxx("opentelemetry-series", "opentelemetry_series.cc", "-lopentelemetry_exporter_otlp_http_metric", *flags)


def opentelemetry_js():
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Absent(f"{program} is not installed")
    # node looks for modules beside the file.
    shutil.copy(HERE / "opentelemetry.mjs", OUT / "opentelemetry.mjs")
    if not (OUT / "node_modules" / "@opentelemetry" / "sdk-metrics").exists():
        output("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", OUT, *NPM_PACKAGES, timeout=120)


def bpftrace():
    if not shutil.which("bpftrace"):
        raise Absent("bpftrace is not installed")


def wrk():
    if not shutil.which("wrk"):
        raise Absent("wrk is not installed")


PEERS = {
    "sys/sdt.h": classic,
    "bpftrace": bpftrace,
    "prometheus-cpp": prometheus,
    "opentelemetry-cpp": opentelemetry_cpp,
    "OpenTelemetry JS": opentelemetry_js,
    "wrk": wrk,
}


def build():
    """Everything, in parallel. Our own programs must build; a peer may be absent."""
    OUT.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        needed = [pool.submit(ours), pool.submit(fifty)]
        peers = {name: pool.submit(make) for name, make in PEERS.items()}
        for job in needed:
            job.result()
        for name, job in peers.items():
            try:
                job.result()
            except (Absent, OSError, subprocess.SubprocessError, StopIteration) as error:
                absent[name] = str(error) or type(error).__name__
