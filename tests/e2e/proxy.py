# SPDX-License-Identifier: BSD-2-Clause
"""A small HTTP proxy on loopback: forwards requests with a whole URL, opens tunnels, and keeps the first lines."""
import socket
import threading
import urllib.parse


class Proxy:
    """self.url for http_proxy and its like; self.lines: "POST http://..." and "CONNECT host:port" as they came."""

    def __init__(self):
        self.lines = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        for end in [self._listener, *self._open]:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = client.recv(65536)
                if not chunk:
                    return
                head += chunk
            first, _, rest = head.partition(b"\r\n")
            method, target, version = first.decode().split()
            self.lines.append(f"{method} {target}")
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                server = socket.create_connection((host.strip("[]"), int(port)))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                url = urllib.parse.urlsplit(target)
                server = socket.create_connection((url.hostname, url.port or 80))
                # One request a connection: what follows could be for another server.
                head = rest.replace(b"\r\nProxy-Connection: Keep-Alive", b"\r\nConnection: close")
                server.sendall(f"{method} {url.path or '/'} {version}\r\n".encode() + head)
            self._open.append(server)
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()
        except OSError:
            pass

    @staticmethod
    def _pump(source, sink):
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
