#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""The end-to-end tests' own footing: receivers, strict decoding and the capture server, fed with OTLP made by hand.

No agent takes part. If this fails, what the other files say about the agent means nothing.
"""
import contextlib
import os
import sys
import time

import capture
import otlp
from capture import Server, Tee
from checks import Checks
from process import Failed, http, scratch, wait_until
from receivers import PrometheusBehindVmagent, VictoriaMetrics

NANO = otlp.NANO


@contextlib.contextmanager
def silent_stderr():
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def request_at(time_ns, start_ns, factor):
    """Counters and a histogram as the catalogue has them, at @factor times their first values."""
    build = otlp.Builder("a-service", "ExecutionMetrics", **{"service.instance.id": "an-instance", "host.name": "here"})
    for status, value in (("completed", 30), ("failed", 10)):
        build.sum("script.executions.total", value * factor, {"status": status, "lang_and_version": "python-3.11"},
                  time_ns, start_ns, unit="{execution}")
    build.histogram("script.execution.duration", [0.25, 0.5, 1, 2], [0, 60 * factor, 40 * factor, 0, 0], 50.0,
                    {"lang_and_version": "python-3.11"}, time_ns, start_ns, unit="{s}")
    build.sum("execution.queue.depth", 4, {}, time_ns, start_ns, monotonic=False, unit="{execution}")
    build.sum("connections.messages.sent", 5, {"type": "sse"}, time_ns, start_ns)
    return build.bytes()


def receivers_take_otlp(checks, receivers, tee):
    """Both receivers show the same hand-made samples under the translated names, and agree on the reference's math."""
    start = time.time_ns() - 10 * NANO
    for step in range(5):
        code, _ = http(tee.otlp + "/v1/metrics", request_at(start + (step + 1) * NANO, start, step + 1), otlp.HEADERS)
        checks.equal(f"tee answers request {step}", code, 200)
    checks.equal("tee handed all on", (len(tee.passed), tee.errors), (5, []))

    for receiver in receivers:
        labels = {"service_name": "a-service", "service_instance_id": "an-instance", "host_name": "here"}
        receiver.flush()
        wait_until(f"{receiver.name} shows the last sample", lambda: receiver.scalar(
            'script_executions_total{status="completed"}') == 150)
        names = {row["__name__"] for row in receiver.series('{service_name="a-service"}')}
        checks.equal(f"{receiver.name}: names", names, {
            "script_executions_total", "script_execution_duration_bucket", "script_execution_duration_count",
            "script_execution_duration_sum", "execution_queue_depth", "connections_messages_sent_total"})
        row = receiver.query('script_executions_total{status="failed"}')[0][0]
        checks.equal(f"{receiver.name}: labels", {k: row.get(k) for k in labels}, labels)
        checks.near(f"{receiver.name}: success rate", receiver.scalar(
            'sum(rate(script_executions_total{status="completed"}[5m])) /\nsum(rate(script_executions_total[5m]))'),
            0.75, 1e-12)
        # 99 of 100 lie past the 60 below 0.5, 39 into the 40 that end at 1.
        checks.near(f"{receiver.name}: quantile", receiver.scalar(
            "histogram_quantile(0.99, sum(rate(script_execution_duration_bucket[5m])) by (le, lang_and_version))"),
            0.5 + 0.5 * 39 / 40, 1e-12)
        checks.equal(f"{receiver.name}: average of a level",
                     receiver.scalar("avg_over_time(execution_queue_depth[1h])"), 4.0)
        samples = receiver.samples('script_executions_total{status="failed"}')
        checks.equal(f"{receiver.name}: raw samples", [v for _, v in samples[0][1]], [10, 20, 30, 40, 50])


def decoding_is_strict(checks):
    """Torn bytes, bytes that are not UTF-8 and fields nobody knows are refused; a good request is not."""
    good = request_at(2 * NANO, NANO, 1)
    checks.equal("a good request decodes", len(list(otlp.points(otlp.decode(good)))), 5)
    for name, body in (("torn", good[:-3]), ("not UTF-8", good.replace(b"completed", b"complet\xff\xfe", 1)),
                       ("an unknown field", good + b"\x98\x06\x01")):
        try:
            with silent_stderr():  # the protobuf runtime has an opinion of its own
                otlp.decode(body)
            checks.ok(f"{name} is refused", False, "it was accepted")
        except otlp.Malformed:
            checks.ok(f"{name} is refused", True)


def rules_are_checked(checks):
    """Each broken rule of the data model is named; an unbroken request draws no complaint."""
    now = time.time_ns()
    checks.equal("a good request draws no complaint",
                 otlp.complaints(otlp.decode(request_at(now, now - NANO, 1))), [])

    def broken(name, spoil, word):
        request = otlp.decode(request_at(now, now - NANO, 1))
        metrics = {m.name: m for m in request.resource_metrics[0].scope_metrics[0].metrics}
        spoil(request, metrics)
        found = otlp.complaints(request)
        checks.ok(f"complains about {name}", any(word in text for text in found), f"complaints: {found}")

    broken("time 0", lambda r, m: setattr(m["execution.queue.depth"].sum.data_points[0], "time_unix_nano", 0), "is 0")
    broken("no temporality", lambda r, m: setattr(m["execution.queue.depth"].sum, "aggregation_temporality", 0),
           "temporality")
    broken("a lost count", lambda r, m: setattr(m["script.execution.duration"].histogram.data_points[0], "count", 7),
           "buckets hold")
    broken("a missing bucket", lambda r, m: m["script.execution.duration"].histogram.data_points[0].bucket_counts.pop(),
           "counts for")
    broken("a repeated point", lambda r, m: m["execution.queue.depth"].sum.data_points.add().CopyFrom(
        m["execution.queue.depth"].sum.data_points[0]), "same attributes")
    broken("a metric twice", lambda r, m: setattr(m["execution.queue.depth"], "name", "connections.messages.sent"),
           "appears twice")
    broken("no service.name", lambda r, m: r.resource_metrics[0].resource.attributes.pop(0), "service.name")
    broken("a falling start", lambda r, m: setattr(m["execution.queue.depth"].sum.data_points[0],
                                                   "start_time_unix_nano", now + NANO), "starts after")


def capture_misbehaves_on_demand(checks):
    """The server refuses, errs, stalls, tears, answers garbage, and comes back on the same port."""
    body = request_at(2 * NANO, NANO, 1)

    def post(timeout_s=5.0):
        try:
            return http(server.otlp + "/v1/metrics", body, otlp.HEADERS, timeout_s)
        except Exception as error:
            return type(error).__name__, str(error)

    with Server() as server:
        checks.equal("takes", post()[0], 200)
        checks.equal("keeps the bytes", server.requests[0].body, body)
        server.answers = [capture.status(503, Retry_After="1"), capture.HTML_404, capture.GARBAGE]
        checks.equal("answers as told, in turn", [post()[0] for _ in range(4)], [503, 404, 200, 200])
        server.answers = [capture.TORN]
        checks.equal("tears", post()[0], "IncompleteRead")
        server.answers = [capture.DROP]
        checks.equal("hangs up", post()[0], "RemoteDisconnected")
        server.answers = [capture.stall(2.0)]
        checks.equal("stalls", post(0.3)[0], "TimeoutError")
        server.close_door()
        refused = post()
        checks.ok("refuses", "Connection refused" in refused[1], refused)
        server.open_door()
        checks.equal("comes back on the same port", post()[0], 200)
        try:
            server.wait_requests(1, 0.2)
            checks.ok("waiting for what does not come fails", False, "it returned")
        except Failed:
            checks.ok("waiting for what does not come fails", True)


def main():
    checks = Checks("receivers")
    with checks.run("decoding"):
        decoding_is_strict(checks)
    with checks.run("rules"):
        rules_are_checked(checks)
    with checks.run("capture server"):
        capture_misbehaves_on_demand(checks)
    with checks.run("real receivers"):
        with scratch("receivers") as directory, VictoriaMetrics(directory) as victoria, \
                PrometheusBehindVmagent(directory) as prometheus, Tee([victoria.otlp, prometheus.otlp]) as tee:
            receivers_take_otlp(checks, [victoria, prometheus], tee)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
