# SPDX-License-Identifier: BSD-2-Clause
"""Asks a running agent: over its Unix socket, or over the port of exporter prometheus."""
import gzip
import http.client
import json
import re
import socket


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout=10.0):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def page_address(agent):
    """(host, port) that the agent says it serves on."""
    found = agent.wait_ready("the page's address", lambda: re.search(r"prometheus: http://([\d.]+):(\d+)/", agent.output()))
    return found.group(1), int(found.group(2))


def ask(where, path, method="GET", headers=None, body=None, timeout_s=10.0):
    """(status, headers, body) of one request to a socket's path, or to (host, port). A packed body is unpacked."""
    if isinstance(where, tuple):
        connection = http.client.HTTPConnection(*where, timeout=timeout_s)
    else:
        connection = UnixConnection(where, timeout_s)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        data = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        return answer.status, answer.headers, data
    finally:
        connection.close()


class Snapshot:
    """What /api/snapshot said."""

    path = "/api/snapshot"

    def __init__(self, where):
        status, _, body = ask(where, self.path)
        assert status == 200, (status, body)
        self.data = json.loads(body)

    def __getattr__(self, name):
        return self.data[name]

    def service(self, name):
        found = [service for service in self.data["services"] if service["name"] == name]
        return found[0] if len(found) == 1 else None

    def series_of(self, service, metric):
        """Series of one metric of the service of this name."""
        return [row for row in self.data["series"]
                if self.data["services"][row["service"]]["name"] == service
                and self.data["metrics"][row["metric"]]["name"] == metric]

    def total(self, service, metric):
        rows = self.series_of(service, metric)
        return sum(row.get("value", row.get("count")) for row in rows) if rows else None

    def whys(self, kind):
        return [(row["subject"], row["text"]) for row in self.data["why"] if row["kind"] == kind]
