# SPDX-License-Identifier: BSD-2-Clause
"""A certificate authority of a test's own, made by openssl, and the certificates that a collector may show.

    authority = Authority(directory)
    authority.file                       # for OTEL_EXPORTER_OTLP_CERTIFICATE
    authority.context("expired")         # for a server; also "good", "wrong-host", "self-signed"
"""
import pathlib
import ssl
import subprocess

OURS = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
# name: (what it is for, days that it is good from now on, signed by the authority)
KINDS = {
    "good": (OURS, 2, True),
    "expired": (OURS, -1, True),
    "wrong-host": ("subjectAltName=DNS:collector.example.net", 2, True),
    "self-signed": (OURS, 2, False),
}


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, capture_output=True)


class Authority:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.file = self._path("authority", "pem")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj",
                 "/CN=test authority", "-keyout", self._path("authority", "key"), "-out", self.file)
        for name, (alternative, days, signed) in KINDS.items():
            self._make(name, alternative, days, signed)

    def _path(self, name, suffix):
        return self.directory / f"{name}.{suffix}"

    def _make(self, name, alternative, days, signed):
        extensions = self._path(name, "ext")
        extensions.write_text(f"{alternative}\nbasicConstraints=CA:FALSE\n")
        request, key = self._path(name, "csr"), self._path(name, "key")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", key, "-out", request)
        signer = ["-CA", self.file, "-CAkey", self._path("authority", "key"), "-CAcreateserial"] if signed else \
            ["-signkey", key]
        _openssl("x509", "-req", "-in", request, "-days", days, "-extfile", extensions, "-out", self._path(name, "pem"),
                 *signer)

    def context(self, name, protocols):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._path(name, "pem"), self._path(name, "key"))
        context.set_alpn_protocols(protocols)
        return context
