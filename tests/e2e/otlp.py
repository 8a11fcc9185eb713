# SPDX-License-Identifier: BSD-2-Clause
"""OTLP by the official schema: decode strictly, say what breaks the standard's rules, build requests by hand.

The message classes are python modules that scripts/tools.sh has made from the official files, so nothing here shares
code or a schema with the agent.
"""
import functools
import gzip
import math
import sys
import time

from process import TOOLS, Failed

sys.path.insert(0, str(TOOLS / "python"))
try:
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
    from opentelemetry.proto.common.v1 import common_pb2 as common
    from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics
except ImportError as missing:
    raise SystemExit(f"e2e: {missing}. Remedy: scripts/deps.sh && scripts/tools.sh, and run this with "
                     "/usr/bin/python3") from None

KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
CUMULATIVE = metrics.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = metrics.AGGREGATION_TEMPORALITY_DELTA
NANO = 1_000_000_000


class Malformed(Failed):
    """Bytes that are no ExportMetricsServiceRequest, or that hold fields the official schema does not have."""


def decode(body, encoding="", strict=True):
    """The request in @body; raise Malformed for anything a strict receiver would refuse. Not @strict: what went through
    this before, in a fifth of the time."""
    if encoding == "gzip":
        body = gzip.decompress(body)
    elif encoding not in ("", "identity"):
        raise Malformed(f"Content-Encoding {encoding!r}")
    request = service.ExportMetricsServiceRequest()
    try:
        request.ParseFromString(body)  # also refuses strings that are not UTF-8
    except Exception as error:  # DecodeError, or the C++ runtime's own
        raise Malformed(f"{type(error).__name__}: {error}") from None
    unknown = list(_unknown_fields(request, "request")) if strict else []
    if unknown:
        raise Malformed(f"fields that the official schema does not have: {unknown[:5]}")
    return request


def _unknown_fields(message, path):
    for field in message.UnknownFields():
        yield f"{path} field {field.field_number}"
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        children = value if descriptor.label == descriptor.LABEL_REPEATED else [value]
        for index, child in enumerate(children):
            yield from _unknown_fields(child, f"{path}.{descriptor.name}[{index}]")


def value_of(any_value):
    """A plain python value for an AnyValue; None when it is empty."""
    which = any_value.WhichOneof("value")
    if which is None:
        return None
    value = getattr(any_value, which)
    if which == "array_value":
        return [value_of(v) for v in value.values]
    if which == "kvlist_value":
        return attributes(value.values)
    return value


def attributes(pairs):
    return {pair.key: value_of(pair.value) for pair in pairs}


class Point:
    """One data point with what it belongs to: resource and scope, metric and data."""

    def __init__(self, resource, scope, metric, point):
        self.resource = resource
        self.scope = scope
        self.metric = metric
        self.kind = metric.WhichOneof("data")
        self.data = getattr(metric, self.kind)
        self.point = point

    @functools.cached_property
    def labels(self):
        return attributes(self.point.attributes)

    @property
    def name(self):
        return self.metric.name

    @property
    def service(self):
        return self.resource.get("service.name")

    @property
    def value(self):
        """Number of a sum or gauge, count of a histogram."""
        if self.kind in ("sum", "gauge"):
            which = self.point.WhichOneof("value")
            return None if which is None else getattr(self.point, which)
        return self.point.count

    def key(self):
        return self.service, self.name, tuple(sorted(self.labels.items()))

    def __repr__(self):
        return f"{self.service}/{self.name}{self.labels}"


def points(request):
    """Every data point of @request."""
    for resource_metrics in request.resource_metrics:
        resource = attributes(resource_metrics.resource.attributes)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    yield Point(resource, scope_metrics.scope.name, metric, point)


def complaints(request, now_ns=None):
    """What in @request breaks the rules of the metrics data model; an empty list when nothing does."""
    now_ns = now_ns or time.time_ns()
    found = []

    def complain(text):
        found.append(text)

    if not request.resource_metrics:
        complain("request without resource_metrics")
    for resource_metrics in request.resource_metrics:
        resource = attributes(resource_metrics.resource.attributes)
        if not resource.get("service.name"):
            complain(f"resource {resource} has no service.name")
        if resource.get("telemetry.sdk.name") == "opentelemetry":
            complain("telemetry.sdk.name is 'opentelemetry'")
        _check_attributes(f"resource {resource.get('service.name')}", resource_metrics.resource.attributes, complain)
        seen_metrics = set()
        for scope_metrics in resource_metrics.scope_metrics:
            if not scope_metrics.scope.name:
                complain(f"{resource.get('service.name')}: scope without a name")
            for metric in scope_metrics.metrics:
                where = f"{resource.get('service.name')}/{scope_metrics.scope.name}/{metric.name}"
                identity = (scope_metrics.scope.name, metric.name)
                if identity in seen_metrics:
                    complain(f"{where} appears twice in one resource")
                seen_metrics.add(identity)
                _check_metric(where, metric, now_ns, complain)
    return found


def _check_attributes(where, pairs, complain):
    keys = [pair.key for pair in pairs]
    if any(not key for key in keys):
        complain(f"{where}: an empty attribute key")
    if len(set(keys)) != len(keys):
        complain(f"{where}: attribute keys repeat: {keys}")
    for pair in pairs:
        if pair.value.WhichOneof("value") is None:
            complain(f"{where}: attribute {pair.key} has no value")


def _check_metric(where, metric, now_ns, complain):
    kind = metric.WhichOneof("data")
    if not metric.name:
        complain(f"{where}: no name")
    if kind is None:
        complain(f"{where}: no data")
        return
    data = getattr(metric, kind)
    if kind in ("sum", "histogram", "exponential_histogram") and \
            data.aggregation_temporality not in (CUMULATIVE, DELTA):
        complain(f"{where}: temporality unspecified")
    if not data.data_points:
        complain(f"{where}: no points")
    seen = set()
    for point in data.data_points:
        labels = tuple(sorted((k, str(v)) for k, v in attributes(point.attributes).items()))
        at = f"{where}{dict(labels)}"
        if labels in seen:
            complain(f"{at}: two points with the same attributes")
        seen.add(labels)
        _check_attributes(at, point.attributes, complain)
        if point.time_unix_nano == 0:
            complain(f"{at}: time_unix_nano is 0")
        elif abs(point.time_unix_nano - now_ns) > 3600 * NANO:
            complain(f"{at}: time_unix_nano {point.time_unix_nano} is more than an hour off")
        if kind != "gauge" and point.start_time_unix_nano == 0:
            complain(f"{at}: start_time_unix_nano is 0")
        if point.start_time_unix_nano > point.time_unix_nano:
            complain(f"{at}: starts after its own time")
        if kind in ("sum", "gauge"):
            _check_number(at, kind, data, point, complain)
        elif kind == "histogram":
            _check_histogram(at, point, complain)
        elif kind == "exponential_histogram":
            _check_exponential(at, point, complain)


def _check_number(at, kind, data, point, complain):
    which = point.WhichOneof("value")
    if point.flags & 1:  # no recorded value: the series ends
        if which is not None:
            complain(f"{at}: a value though it says that it has none")
    elif which is None:
        complain(f"{at}: no value")
    elif kind == "sum" and data.is_monotonic and not getattr(point, which) >= 0:
        complain(f"{at}: monotonic sum of {getattr(point, which)}")


def _check_histogram(at, point, complain):
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if (bounds or counts) and len(counts) != len(bounds) + 1:
        complain(f"{at}: {len(counts)} counts for {len(bounds)} bounds")
    if any(not a < b for a, b in zip(bounds, bounds[1:])):
        complain(f"{at}: bounds do not rise: {bounds}")
    if any(not math.isfinite(bound) for bound in bounds):
        complain(f"{at}: a bound is not finite")
    if counts and sum(counts) != point.count:
        complain(f"{at}: buckets hold {sum(counts)}, count is {point.count}")
    if point.HasField("sum") and not math.isfinite(point.sum):
        complain(f"{at}: sum is {point.sum}")
    if point.HasField("min") and point.HasField("max") and point.min > point.max:
        complain(f"{at}: min {point.min} above max {point.max}")


def _check_exponential(at, point, complain):
    total = point.zero_count + sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts)
    if total != point.count:
        complain(f"{at}: buckets hold {total}, count is {point.count}")
    if point.HasField("sum") and not math.isfinite(point.sum):
        complain(f"{at}: sum is {point.sum}")


class Builder:
    """A request made by hand, to try receivers and the checks above with."""

    def __init__(self, service_name, scope="probemeter", **resource):
        self.request = service.ExportMetricsServiceRequest()
        resource_metrics = self.request.resource_metrics.add()
        self._attributes(resource_metrics.resource.attributes, {"service.name": service_name, **resource})
        self.scope = resource_metrics.scope_metrics.add()
        self.scope.scope.name = scope

    @staticmethod
    def _attributes(target, values):
        for key, value in values.items():
            pair = target.add()
            pair.key = key
            if isinstance(value, bool):
                pair.value.bool_value = value
            elif isinstance(value, int):
                pair.value.int_value = value
            else:
                pair.value.string_value = value

    def _metric(self, name, unit):
        for metric in self.scope.metrics:
            if metric.name == name:
                return metric
        metric = self.scope.metrics.add()
        metric.name, metric.unit = name, unit
        return metric

    def _point(self, data, labels, time_ns, start_ns):
        point = data.data_points.add()
        self._attributes(point.attributes, labels)
        point.time_unix_nano, point.start_time_unix_nano = time_ns, start_ns
        return point

    def sum(self, name, value, labels, time_ns, start_ns, monotonic=True, unit=""):
        data = self._metric(name, unit).sum
        data.aggregation_temporality, data.is_monotonic = CUMULATIVE, monotonic
        self._point(data, labels, time_ns, start_ns).as_int = value

    def histogram(self, name, bounds, counts, total, labels, time_ns, start_ns, unit=""):
        data = self._metric(name, unit).histogram
        data.aggregation_temporality = CUMULATIVE
        point = self._point(data, labels, time_ns, start_ns)
        point.explicit_bounds.extend(bounds)
        point.bucket_counts.extend(counts)
        point.count, point.sum = sum(counts), total

    def bytes(self):
        return self.request.SerializeToString()


HEADERS = {"Content-Type": "application/x-protobuf"}
__all__ = ["Builder", "CUMULATIVE", "DELTA", "HEADERS", "KINDS", "Malformed", "NANO", "Point", "attributes", "common",
           "complaints", "decode", "points", "value_of"]
