#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Completion and manual pages say what the program says: keys typed into real shells become the words that the program
would get, and each page is rendered without a complaint and names every flag and variable of its command's --help."""
import os
import pathlib
import pty
import re
import select
import subprocess
import time

from agent import PROBEMETER, clean_environment
from checks import Checks
from process import BUILD, Failed, scratch

SHARE = BUILD / "share"
BASH = SHARE / "bash-completion/completions/probemeter"
ZSH = SHARE / "zsh/vendor-completions/_probemeter"
FISH = SHARE / "fish/vendor_completions.d/probemeter.fish"

# Keys, and the words that a program gets from them. {d} is a directory with a file "policy.rules".
TYPED = [
    ("pro\t", ["probes"]),
    ("run --endp\thttp://h:1", ["run", "--endpoint", "http://h:1"]),
    ("run --exporter cons\t", ["run", "--exporter", "console"]),
    ("run --exporter otlp,cons\t", ["run", "--exporter", "otlp,console"]),
    ("run --protocol=http/j\t", ["run", "--protocol=http/json"]),
    ("run --protocol http/j\t--once", ["run", "--protocol", "http/json", "--once"]),
    ("run --policy {d}/pol\t", ["run", "--policy", "{d}/policy.rules"]),
    ("--log-level debug che\t--js\t", ["--log-level", "debug", "check", "--json"]),
    ("run --service-name check --endp\t", ["run", "--service-name", "check", "--endpoint"]),
    ("probes {d}/pol\t", ["probes", "{d}/policy.rules"]),
    ("check --endp\tx", ["check", "--endpoint", "x"]),
    ("stop --endp\t", ["stop", "--endp"]),  # not a flag of that command: nothing is added
]


def commands():
    """Names of all commands, from --help."""
    text = subprocess.run([PROBEMETER, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z]+)  ", text, re.M)


def help_of(command):
    """(flags, variables) that --help of @command names; of the program itself for ""."""
    text = subprocess.run([PROBEMETER, *filter(None, [command]), "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  (--[a-z-]+)", text, re.M), re.findall(r"^ +((?:[A-Z]+_)+[A-Z]+)\b", text, re.M)


class Shell:
    """An interactive shell on a terminal of its own, in which `probemeter` is a function that shows its words."""

    def __init__(self, command, setup, directory):
        environment = clean_environment(HOME=directory, TERM="dumb", PS1="")
        pid, self.fd = pty.fork()
        if not pid:
            os.chdir(directory)
            os.execvpe(command[0], command, environment)
        self.pid = pid
        self.said = b""
        self.send(setup + "\nprobemeter() { printf '<%s>' \"$@\"; echo '<e''nd>'; }\necho rea''dy\n")
        self.read_until(b"ready")

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def read_until(self, mark, timeout_s=20):
        end = time.monotonic() + timeout_s
        while mark not in self.said:
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise Failed(f"the shell does not say {mark}: {self.said[-300:]}")
            self.said += os.read(self.fd, 4096)
        said, _, self.said = self.said.partition(mark)
        return said

    def words(self, keys):
        """What the function gets after @keys and Enter. The shell has time to complete at each Tab."""
        self.said = b""
        for part in re.split(r"(?<=\t)", "probemeter " + keys):
            self.send(part)
            time.sleep(0.3)
        self.send("\n")
        said = self.read_until(b"<end>").decode()
        return re.findall(r"<([^<>]*)>", said.rpartition("\n")[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def typed(checks, name, shell, directory):
    for keys, want in TYPED:
        want = [word.format(d=directory) for word in want]
        got = shell.words(keys.format(d=directory))
        # --flag=value is what zsh likes better.
        checks.equal(f"{name}: {keys!r}", " ".join(got).replace("=", " "), " ".join(want).replace("=", " "))


def bash_offers(*words):
    """What the function for bash offers for the last of @words."""
    script = f'source {BASH}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _probemeter; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", "probemeter", *words], capture_output=True, text=True,
                          check=True)
    return done.stdout.split()


def fish_offers(line):
    done = subprocess.run(["fish", "--no-config", "-c", f"source {FISH}; complete -C {line!r}"], capture_output=True, text=True,
                          env=clean_environment(HOME="/nonexistent"), check=True)
    return [offer.split("\t")[0] for offer in done.stdout.splitlines()]


def completion(checks, directory):
    (directory / "policy.rules").touch()
    for command in commands():
        flags = sorted(help_of(command)[0])
        checks.equal(f"bash: all flags of {command}", sorted(bash_offers(command, "--")), flags)
        checks.equal(f"fish: all flags of {command}", sorted(fish_offers(f"probemeter {command} --")), flags)
    checks.equal("bash: all commands", sorted(bash_offers("")), sorted(commands()))
    checks.equal("fish: all commands", sorted(fish_offers("probemeter ")), sorted(commands()))
    checks.equal("fish: a value", fish_offers("probemeter run --protocol http/j"), ["http/json"])
    checks.equal("fish: a list", fish_offers("probemeter run --exporter otlp,cons"), ["otlp,console"])
    with checks.run("keys into bash"), Shell(["bash", "--norc", "--noprofile", "-i"], f"source {BASH}", directory) as shell:
        typed(checks, "bash", shell, directory)
    setup = f"unsetopt zle_bracketed_paste; PS1=''; fpath=({ZSH.parent} $fpath); autoload -U compinit; compinit -u -D"
    with checks.run("keys into zsh"), Shell(["zsh", "-f", "-i"], setup, directory) as shell:
        typed(checks, "zsh", shell, directory)


def page(checks, path, command):
    """One page, rendered by both formatters without a complaint; @command: None for the page of the configuration file."""
    name = path.name
    done = subprocess.run(["man", "--warnings", "-P", "cat", "-l", path], capture_output=True, text=True,
                          env=clean_environment(MANWIDTH=100), check=False)
    checks.equal(f"{name}: man has no warning", (done.returncode, done.stderr), (0, ""))
    done = subprocess.run(["mandoc", "-Tlint", "-Wall", path], capture_output=True, text=True, check=False)
    # Those that are not installed here are looked for in the build.
    remarks = [line for line in (done.stdout + done.stderr).splitlines()
               if not re.search(r"manual not found: Xr probemeter(-[a-z]+ 1| 1|\.conf 5)", line)]
    checks.equal(f"{name}: mandoc has no remark", remarks, [])
    others = {f"man{section}/{other}.{section}" for other, section in re.findall(r"\bXr (\S+) (\d)", path.read_text())}
    checks.ok(f"{name}: the pages it refers to exist", others and all((SHARE / "man" / other).exists() for other in others), others)
    if command is None:
        return
    text = subprocess.run(["mandoc", "-Tascii", path], capture_output=True, text=True, check=True).stdout
    text = re.sub(r".\x08", "", text)
    flags, variables = help_of(command)
    if not command:
        checks.ok(f"{name}: names all commands", all(f"probemeter-{c}(1)" in text for c in commands()), text)
        return
    missing = [word for word in flags + variables if not re.search(re.escape(word) + r"(?![\w-])", text)]
    checks.equal(f"{name}: names every flag and variable", missing, [])


def main():
    checks = Checks("documents")
    with scratch("documents") as directory, checks.run("completion"):
        completion(checks, pathlib.Path(os.path.realpath(directory)))
    with checks.run("manual pages"):
        pages = {f"probemeter-{command}.1": command for command in commands()} | {"probemeter.1": ""}
        checks.equal("a page for each command", sorted(path.name for path in (SHARE / "man/man1").iterdir()), sorted(pages))
        for name, command in pages.items():
            page(checks, SHARE / "man/man1" / name, command)
        page(checks, SHARE / "man/man5/probemeter.conf.5", None)
    checks.exit()


if __name__ == "__main__":
    main()
