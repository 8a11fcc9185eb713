# SPDX-License-Identifier: BSD-2-Clause
"""A collector that takes everything and looks at nothing; with @keep it keeps the bodies."""
import http.server
import threading


class Sink:
    def __init__(self, keep=False):
        sink = self
        self.requests = 0
        self.bodies = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                left = int(self.headers["Content-Length"])
                body = []
                while left > 0:
                    piece = self.rfile.read(min(left, 1 << 20))
                    left -= len(piece) or left
                    if keep:
                        body.append(piece)
                if keep:
                    sink.bodies.append(b"".join(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()
                sink.requests += 1

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
