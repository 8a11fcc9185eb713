# SPDX-License-Identifier: BSD-2-Clause
"""Runs build/probemeter, and the small service `fired` that it watches in tests."""
import os
import pathlib
import re
import subprocess
import time

import elf
from process import BUILD, OTHER_AGENT, PATIENCE, ROOT, SANITIZED, STRANGERS, Child, Failed, wait_until

PROBEMETER = pathlib.Path(os.environ.get(OTHER_AGENT, BUILD / "probemeter"))
HERE = pathlib.Path(__file__).resolve().parent
# What no agent may say, whatever is tested: that it made a system call which its own filter does not know, and what
# sanitizers find.
DEFECT = re.compile(r"sandbox: system call|(?:Address|Leak|UndefinedBehavior)Sanitizer|: runtime error: ")


def defects(output):
    """The lines of @output that are a defect of the agent's, and what follows the first one."""
    lines = output.splitlines()
    found = next((number for number, line in enumerate(lines) if DEFECT.search(line)), None)
    return [] if found is None else lines[found:found + 12]


def clean_environment(**variables):
    """What a service manager would give: nothing of the caller's but PATH, and @variables."""
    environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C.UTF-8"}
    environment.update({name: str(value) for name, value in variables.items() if value is not None})
    return environment


def preload(library):
    """$LD_PRELOAD that puts @library in front of an agent's own. A sanitizer wants to be the first, and passes calls on."""
    first = []
    if SANITIZED:
        first = [subprocess.run([os.environ.get("CC", "cc"), "-print-file-name=libasan.so"], stdout=subprocess.PIPE, text=True,
                                check=True).stdout.strip()]
    return " ".join([*first, str(library)])


def build_library(directory, name):
    """A library for preload() from the C file of that name beside this one: its path."""
    path = pathlib.Path(directory) / f"{name}.so"
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", str(HERE / f"{name}.c"),
                    "-o", str(path)], check=True)
    return path


def own_name(name):
    """@name as a service name of this test run: the same test, run twice at a time, must not be summed into one."""
    return f"{name}-{os.getpid()}"


class Agent(Child):
    """`probemeter run` with exactly the environment variables given.

        with Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp, OTEL_METRIC_EXPORT_INTERVAL=500) as agent:

    Unless a @host says where, it has a lock of its own and no bpffs: it is alone, and nothing of it outlives it.
    Its socket is self.socket.
    """

    def __init__(self, directory, *arguments, prefix=(), binary=PROBEMETER, host=None, **variables):
        name = f"agent-{time.monotonic_ns()}"
        places = host.flags if host else ["--bpffs", f"{directory}/none", "--run-dir", f"{directory}/{name}.run"]
        if STRANGERS in os.environ:  # in a pid namespace of its own, which an agent that forgets warns of
            places = [*places, "--forget", "0"]
        self.socket = pathlib.Path(places[places.index("--run-dir") + 1]) / "agent.sock"
        super().__init__([*prefix, binary, "run", *places, *arguments], pathlib.Path(directory) / f"{name}.log",
                         env=clean_environment(**variables), cwd="/")

    def __exit__(self, kind, *exc):
        super().__exit__(kind, *exc)
        found = defects(self.output())
        if found and kind is None:  # else something has failed already
            raise Failed("the agent said what none may say: " + " | ".join(found))

    def wait_attached(self, pid, binary, timeout_s=20.0, times=1):
        """Until this agent says that it attached to what @pid runs (for the @times-th time, where a file of the same
        name was replaced), and the kernel has raised every semaphore there. @binary has the same descriptors.

        The semaphores alone do not do: an agent that somebody else runs on this host raises them too.
        """
        path = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        image = elf.Elf(binary)

        def attached():
            said = [line for line in self.lines() if "attached:" in line and
                    (f"'{path}'" in line or f"'{path} (deleted)'" in line)]
            return len(said) >= times and elf.attached(pid, image)

        self.wait_ready(f"attached to '{path}', pid {pid}", attached, timeout_s)

    def loaded_bpf(self):
        """How many BPF programs, maps and links the agent holds open."""
        count = 0
        for descriptor in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                count += "bpf" in os.readlink(descriptor)
            except OSError:
                continue
        return count

    def warnings(self, directory=None, mark=0):
        """Warnings and errors after the first @mark lines.

        With a @directory those about what others run on this host are left out: services that are not named by
        own_name(), files outside of the build and @directory.
        """
        return [line for line in self.lines()[mark:] if re.search(r"warning|error", line, re.IGNORECASE)
                and not (directory and _about_others(line, directory))]


def _about_others(line, directory):
    services = re.findall(r"service '([^']*)'", line)
    files = re.findall(r"'(/[^']*)'", line)
    return any(str(os.getpid()) not in service for service in services) or \
        any(not file.startswith((str(directory), str(BUILD))) for file in files)


def held_programs(pid):
    """Ids of the BPF programs that process @pid holds open, directly or by a link."""
    held = set()
    try:
        for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            held |= {int(found) for found in re.findall(r"^prog_id:\s*(\d+)$", info.read_text(), re.MULTILINE)}
    except OSError:  # the process, or the descriptor, has gone
        pass
    return held


def run_to_end(*arguments, prefix=(), binary=PROBEMETER, timeout_s=20.0, **variables):
    """A command that ends by itself: (exit status, stdout lines, stderr lines)."""
    try:
        done = subprocess.run([*map(str, prefix), str(binary), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout_s * PATIENCE, env=clean_environment(**variables), cwd="/",
                              check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"probemeter {' '.join(map(str, arguments))} still runs after {timeout_s:g} s") from None
    found = defects((done.stdout + done.stderr).decode(errors="replace"))
    if found:
        raise Failed("probemeter said what none may say: " + " | ".join(found))

    def lines(output):
        return [line for line in output.decode(errors="replace").splitlines() if line]

    return done.returncode, lines(done.stdout), lines(done.stderr)


def build_fired(directory, name="fired"):
    """Compile fired.c as a service's author would, and return the path."""
    path = pathlib.Path(directory) / name
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror",
                    f"-I{ROOT}/include", str(HERE / "fired.c"), "-o", str(path)], check=True)
    return path


class Fired:
    """A running `fired`: fire(n) makes n events, self.total is what it has fired so far."""

    def __init__(self, binary, service, **variables):
        self.binary = binary
        self.service = own_name(service)
        self.total = 0
        self.environment = clean_environment(OTEL_SERVICE_NAME=self.service, **variables)
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen([str(self.binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=self.environment, cwd="/")
        if self.process.stdout.readline() != "ready\n":
            raise Failed(f"{self.binary} did not start")
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    @property
    def pid(self):
        return self.process.pid

    def fire(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise Failed(f"{self.binary} died: {self.process.wait()}")
        self.total = int(answer)
        return self.total


def exported(requests, service):
    """{(metric name, labels as a sorted tuple): value} of @service, the latest over @requests."""
    latest = {}
    for request in requests:
        for point in request.points():
            if point.service == service:
                latest[point.name, tuple(sorted(point.labels.items()))] = point.value
    return latest


def totals(requests, service):
    """Events of a Fired as exported: (counter over its labels, bare counter, histogram count)."""
    latest = exported(requests, service)

    def over(name):
        values = [value for (metric, _), value in latest.items() if metric == name]
        return sum(values) if values else None

    return over("e2e.fired.total"), over("e2e.bare.total"), over("e2e.size")


def wait_totals(server, fired, want, timeout_s=20.0):
    """Wait until the latest exports show @want events of all three metrics; return what was seen last."""
    seen = [None]

    def there():
        # Unchanged series are sent every time, so that the newest requests tell all.
        seen[0] = totals(server.requests[-3:], fired.service)
        return seen[0] == (want, want, want)

    try:
        wait_until(f"{fired.service}: {want} events exported", there, timeout_s, every_s=0.1)
    except Failed:
        pass
    return seen[0]
