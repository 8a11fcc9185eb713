# SPDX-License-Identifier: BSD-2-Clause
"""Certificates for one test: authorities of one's own, and what they sign. Made by openssl, EC keys, valid for days."""
import pathlib
import subprocess


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")


class Pair:
    """A certificate and its key, as files."""

    def __init__(self, directory, name):
        self.cert = pathlib.Path(directory) / f"{name}.pem"
        self.key = pathlib.Path(directory) / f"{name}.key"

    def _make(self, *how, days=2):
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", days,
                 "-keyout", self.key, "-out", self.cert, *how)
        return self


class Authority(Pair):
    """Signs; its certificate is what the other side is told to trust."""

    def __init__(self, directory, name):
        super().__init__(directory, name)
        self.directory, self.name = directory, name
        self._make("-subj", f"/CN={name}")

    def issue(self, name, names="IP:127.0.0.1,IP:::1,DNS:localhost", days=2):
        """A certificate for a server of these @names, or for a client called @name. @days -1: it is past its end."""
        return Pair(self.directory, f"{self.name}-{name}")._make(
            "-subj", f"/CN={name}", "-CA", self.cert, "-CAkey", self.key, "-addext", f"subjectAltName={names}",
            "-addext", "basicConstraints=critical,CA:FALSE", days=days)
