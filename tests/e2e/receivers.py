# SPDX-License-Identifier: BSD-2-Clause
"""The receivers that scripts/tools.sh unpacked: VictoriaMetrics, and vmagent in front of Debian's Prometheus.

    otlp ---> VictoriaMetrics                      (OTLP and PromQL in one)
    otlp ---> vmagent --remote write--> Prometheus (Debian's Prometheus has no OTLP of its own)

Both answer the same query API, so that a test asks either the same way.
"""
import json
import time
import urllib.parse

from process import Child, Failed, TOOLS, answers, free_port, http


class QueryApi:
    """The part of Prometheus' HTTP API that the tests use. Subclasses set self.url."""

    def _get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters, doseq=True)
        status, body = http(f"{self.url}/api/v1/{path}?{query}")
        if status != 200:
            raise Failed(f"{self.name}: {path} answered {status}: {body[:300]!r}")
        reply = json.loads(body)
        if reply["status"] != "success":
            raise Failed(f"{self.name}: {path}: {reply}")
        return reply["data"]

    def query(self, promql, at_s=None):
        """Instant vector as a list of (labels, value)."""
        parameters = {"query": promql}
        if at_s is not None:
            parameters["time"] = f"{at_s:.3f}"
        data = self._get("query", **parameters)
        if data["resultType"] != "vector":
            raise Failed(f"{self.name}: {promql!r} gave a {data['resultType']}")
        return [(row["metric"], float(row["value"][1])) for row in data["result"]]

    def scalar(self, promql, at_s=None):
        """The value of a query that gives exactly one element; None when it gives none."""
        rows = self.query(promql, at_s)
        if len(rows) > 1:
            raise Failed(f"{self.name}: {promql!r} gave {len(rows)} elements: {rows[:4]}")
        return rows[0][1] if rows else None

    def series(self, selector, window_s=3600):
        """Label sets of all series that match and had a sample in the last @window_s."""
        now = time.time()
        return self._get("series", **{"match[]": selector, "start": f"{now - window_s:.0f}", "end": f"{now + 60:.0f}"})

    def samples(self, selector, window_s=3600, at_s=None):
        """Raw samples: list of (labels, [(time, value), ...])."""
        self.flush()
        data = self._get("query", query=f"{selector}[{window_s}s]", time=f"{at_s or time.time() + 1:.3f}")
        return [(row["metric"], [(float(t), float(v)) for t, v in row["values"]]) for row in data["result"]]

    def flush(self):
        """Make what has been received visible to queries."""


class VictoriaMetrics(Child, QueryApi):
    """OTLP at self.otlp (a base: v1/metrics is appended), PromQL at self.url; with a certs.Pair OTLP also at
    self.otlp_tls."""

    name = "VictoriaMetrics"

    def __init__(self, directory, pair=None):
        tls = []
        if pair:
            port = free_port()
            self.otlp_tls = f"https://127.0.0.1:{port}/opentelemetry"
            # One value for each listener, in their order.
            tls = [f"-httpListenAddr=127.0.0.1:{port}", "-tls=false,true", f"-tlsCertFile=,{pair.cert}",
                   f"-tlsKeyFile=,{pair.key}"]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.otlp = f"{self.url}/opentelemetry"
        super().__init__([
            TOOLS / "bin/victoria-metrics",
            f"-storageDataPath={directory}/victoria-metrics",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            *tls,
            "-opentelemetry.usePrometheusNaming",
            "-search.latencyOffset=0s",
            "-search.disableCache",
            "-retentionPeriod=1d",
            "-memory.allowedBytes=256MB",
            "-loggerLevel=WARN",
        ], f"{directory}/victoria-metrics.log")

    def start(self):
        super().start()
        self.wait_ready("VictoriaMetrics ready", lambda: answers(f"{self.url}/health"))

    def flush(self):
        http(f"{self.url}/internal/force_flush")


class Prometheus(Child, QueryApi):
    """Debian's Prometheus as a remote write receiver; scrapes nothing."""

    name = "Prometheus"

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.write = f"{self.url}/api/v1/write"
        config = directory / "prometheus.yml"
        config.write_text("scrape_configs: []\n")
        super().__init__([
            TOOLS / "bin/prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={directory}/prometheus",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--log.level=warn",
        ], f"{directory}/prometheus.log", cwd=directory)

    def start(self):
        super().start()
        self.wait_ready("Prometheus ready", lambda: answers(f"{self.url}/-/ready"))


class Vmagent(Child):
    """OTLP at self.otlp, handed on by remote write to @write. One queue, or samples would come out of order."""

    name = "vmagent"

    def __init__(self, directory, write):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.otlp = f"{self.url}/opentelemetry"
        super().__init__([
            TOOLS / "bin/vmagent",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-remoteWrite.url={write}",
            f"-remoteWrite.tmpDataPath={directory}/vmagent",
            "-remoteWrite.flushInterval=200ms",
            "-remoteWrite.queues=1",
            "-remoteWrite.forcePromProto",
            "-opentelemetry.usePrometheusNaming",
            "-memory.allowedBytes=128MB",
            "-loggerLevel=WARN",
        ], f"{directory}/vmagent.log")

    def start(self):
        super().start()
        self.wait_ready("vmagent ready", lambda: answers(f"{self.url}/health"))


class PrometheusBehindVmagent:
    """Prometheus and the vmagent that feeds it, as one receiver."""

    name = "vmagent and Prometheus"

    def __init__(self, directory):
        self.prometheus = Prometheus(directory)
        self.vmagent = Vmagent(directory, self.prometheus.write)
        self.otlp = self.vmagent.otlp

    def __enter__(self):
        self.prometheus.start()
        try:
            self.vmagent.start()
        except BaseException:
            self.prometheus.end()
            raise
        return self

    def __exit__(self, *exc):
        self.vmagent.end()
        self.prometheus.end()

    def __getattr__(self, attribute):
        if attribute in ("query", "scalar", "series", "samples", "flush", "url"):
            return getattr(self.prometheus, attribute)
        raise AttributeError(attribute)
