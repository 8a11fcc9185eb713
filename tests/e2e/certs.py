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

    def _make(self, *how):
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-keyout", self.key, "-out", self.cert, *how)
        return self


class Authority(Pair):
    """Signs; its certificate is what the other side is told to trust."""

    def __init__(self, directory, name):
        super().__init__(directory, name)
        self.directory, self.name = directory, name
        self._make("-subj", f"/CN={name}")

    def issue(self, name, names="IP:127.0.0.1,IP:::1,DNS:localhost"):
        """A certificate for a server of these @names, or for a client called @name."""
        return Pair(self.directory, f"{self.name}-{name}")._make(
            "-subj", f"/CN={name}", "-CA", self.cert, "-CAkey", self.key, "-addext", f"subjectAltName={names}",
            "-addext", "basicConstraints=critical,CA:FALSE")

    def expire(self, pair):
        """Sign @pair again, by its name alone, and so that it ended yesterday."""
        request = pair.cert.with_suffix(".csr")
        _openssl("x509", "-x509toreq", "-in", pair.cert, "-signkey", pair.key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-days", "-1", "-out", pair.cert)
        return pair
