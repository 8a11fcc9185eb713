#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-2-Clause
"""How the agent reaches a collector: TLS, mutual TLS, files that rotate, proxies, IPv6, Unix sockets; HTTP and gRPC."""
import os
import shutil
import sys
import time

import capture
import grpc_receiver
from agent import Agent, Fired, build_fired, wait_totals
from certs import Authority
from checks import Checks
from process import scratch, wait_until
from proxy import Proxy
from receivers import VictoriaMetrics

INTERVAL_MS = 400
CA, CERT, KEY = ("OTEL_EXPORTER_OTLP_" + name for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"))


def agent_for(directory, endpoint, **variables):
    variables.setdefault("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS)
    return Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **variables)


def arrives(checks, name, directory, binary, server, **variables):
    """Three events fired come out at @server, and the agent has nothing to complain of."""
    endpoint = variables.pop("endpoint", server.otlp)
    with Fired(binary, "transport") as fired, agent_for(directory, endpoint, **variables) as agent:
        agent.wait_attached(fired.pid, binary)
        fired.fire(3)
        checks.equal(f"{name}: arrives", wait_totals(server, fired, 3), (3, 3, 3))
        checks.equal(f"{name}: nothing to complain of", agent.warnings(directory), [])


def refused(checks, name, directory, server, words, **variables):
    """Nothing arrives, and one warning says why with all of @words."""
    count = server.count()
    endpoint = variables.pop("endpoint", server.otlp)
    with agent_for(directory, endpoint, **variables) as agent:
        agent.wait_ready("a warning", lambda: agent.warnings(directory))
        time.sleep(2.5 * INTERVAL_MS / 1000)
        found = agent.warnings(directory)
        checks.ok(f"{name}: one warning that says so", len(found) == 1 and all(word in found[0] for word in words),
                  f"expected {words} in {found}")
        agent.stop()
    checks.equal(f"{name}: nothing arrives", server.count() - count, 0)


def victoria(checks, directory, binary):
    """A real receiver behind TLS, plain and gzip: values are read back."""
    authority = Authority(directory, "victoria-ca")
    with VictoriaMetrics(directory, authority.issue("victoria")) as receiver:
        for compression in ("none", "gzip"):
            with Fired(binary, f"victoria-{compression}") as fired, \
                    agent_for(directory, receiver.otlp_tls, **{CA: authority.cert},
                              OTEL_EXPORTER_OTLP_COMPRESSION=compression) as agent:
                agent.wait_attached(fired.pid, binary)
                fired.fire(21)

                def value(fired=fired):
                    receiver.flush()
                    return receiver.scalar(f'sum(e2e_fired_total{{service_name="{fired.service}"}})')

                wait_until(f"{compression}: VictoriaMetrics has the value", lambda value=value: value() == 21)
                checks.equal(f"VictoriaMetrics over TLS, {compression}", value(), 21.0)
                checks.equal(f"VictoriaMetrics over TLS, {compression}: nothing to complain of",
                             agent.warnings(directory), [])


def https(checks, directory, binary):
    """TLS and mutual TLS over HTTP: who is trusted, who shows what, and what is said when it does not fit."""
    ours, other = Authority(directory, "our-ca"), Authority(directory, "other-ca")
    server_pair, client = ours.issue("server"), ours.issue("client")
    with capture.Server(tls=capture.tls(server_pair)) as server:
        arrives(checks, "HTTPS", directory, binary, server, **{CA: ours.cert})
        refused(checks, "HTTPS, another authority", directory, server, ("certificate", CA), **{CA: other.cert})
        refused(checks, "HTTPS, the host's authorities", directory, server,
                ("certificate", "OTEL_EXPORTER_OTLP_CERTIFICATE"), OTEL_EXPORTER_OTLP_INSECURE="true")
        refused(checks, "HTTPS, no certificates in the file", directory, server, (CA, str(ours.key)), **{CA: ours.key})
    with capture.Server(tls=capture.tls(ours.issue("elsewhere", "DNS:elsewhere.test"))) as server:
        refused(checks, "HTTPS, another host's certificate", directory, server, ("127.0.0.1", "certificate"),
                **{CA: ours.cert})
    with capture.Server(tls=capture.tls(server_pair, ours)) as server:
        arrives(checks, "HTTPS, mutual", directory, binary, server,
                **{CA: ours.cert, CERT: client.cert, KEY: client.key})
        checks.equal("HTTPS, mutual: the client's certificate", server.requests[-1].client, ("client", "our-ca"))
        refused(checks, "HTTPS, mutual, no certificate", directory, server, (CERT,), **{CA: ours.cert})
        stranger = other.issue("stranger")
        refused(checks, "HTTPS, mutual, another authority's certificate", directory, server,
                (CERT, str(stranger.cert)), **{CA: ours.cert, CERT: stranger.cert, KEY: stranger.key})
        refused(checks, "HTTPS, mutual, a key of another certificate", directory, server,
                (CERT, KEY, str(stranger.key)), **{CA: ours.cert, CERT: client.cert, KEY: stranger.key})


def grpc_tls(checks, directory, binary):
    """TLS and mutual TLS over gRPC, with a scheme and without."""
    ours, other = Authority(directory, "grpc-ca"), Authority(directory, "grpc-other-ca")
    server_pair, client = ours.issue("server"), ours.issue("grpc-client")
    grpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with grpc_receiver.Server(pair=server_pair) as server:
        arrives(checks, "gRPC over TLS", directory, binary, server, **grpc, **{CA: ours.cert})
        checks.ok("gRPC over TLS: one connection serves all", len({r.peer for r in server.requests}) == 1 and
                  server.count() > 1, [r.peer for r in server.requests])
        arrives(checks, "gRPC over TLS, no scheme, gzip", directory, binary, server, endpoint=server.target, **grpc,
                **{CA: ours.cert}, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        refused(checks, "gRPC over TLS, another authority", directory, server, ("certificate", CA), **grpc,
                **{CA: other.cert})
    with grpc_receiver.Server(pair=server_pair, authority=ours) as server:
        arrives(checks, "gRPC, mutual", directory, binary, server, **grpc,
                **{CA: ours.cert, CERT: client.cert, KEY: client.key})
        checks.equal("gRPC, mutual: the client's certificate", server.requests[-1].client, "grpc-client")
        refused(checks, "gRPC, mutual, no certificate", directory, server, (CERT,), **grpc, **{CA: ours.cert})
    with grpc_receiver.Server(pair=ours.issue("elsewhere", "DNS:elsewhere.test")) as server:
        refused(checks, "gRPC, another host's certificate", directory, server, ("127.0.0.1", "certificate"), **grpc,
                **{CA: ours.cert})


def write_over(pair, source):
    """What an unfriendly rotation does: write into the same files."""
    pair[0].write_bytes(source.cert.read_bytes())
    if len(pair) > 1:
        pair[1].write_bytes(source.key.read_bytes())


def rotation(checks, directory, binary):
    """Authority, certificate and key are replaced on both sides: exports go on by the new ones, without a restart."""
    old, new = Authority(directory, "old-ca"), Authority(directory, "new-ca")
    pairs = {ca: (ca.issue("server"), ca.issue(f"client-of-{ca.name}")) for ca in (old, new)}
    ca_file, cert_file, key_file = (directory / name for name in ("live-ca.pem", "live.pem", "live.key"))
    for protocol in ("http/protobuf", "grpc"):
        write_over((ca_file,), old)
        write_over((cert_file, key_file), pairs[old][1])
        if protocol == "grpc":
            server = grpc_receiver.Server(pair=pairs[old][0], authority=old)
            clients = ["client-of-old-ca", "client-of-new-ca"]
        else:
            server = capture.Server(tls=capture.tls(pairs[old][0], old))
            clients = [("client-of-old-ca", "old-ca"), ("client-of-new-ca", "new-ca")]
        with server, Fired(binary, "rotation") as fired, \
                agent_for(directory, server.otlp, OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
                          **{CA: ca_file, CERT: cert_file, KEY: key_file}) as agent:
            agent.wait_attached(fired.pid, binary)
            fired.fire(5)
            checks.equal(f"{protocol}: before the rotation", wait_totals(server, fired, 5), (5, 5, 5))
            checks.equal(f"{protocol}: by the old certificate", server.requests[-1].client, clients[0])
            # From now on a handshake needs the new ones; the connection that is open stays open on the server's side.
            if protocol == "grpc":
                server.rotate(pairs[new][0], new)
            else:
                server.tls = capture.tls(pairs[new][0], new)
            server.wait_requests(2)
            checks.equal(f"{protocol}: the open connection is used on", server.requests[-1].client, clients[0])
            write_over((ca_file,), new)
            write_over((cert_file, key_file), pairs[new][1])
            fired.fire(6)
            checks.equal(f"{protocol}: after the rotation", wait_totals(server, fired, 11), (11, 11, 11))
            checks.equal(f"{protocol}: by the new certificate", server.requests[-1].client, clients[1])

            # By rename, as most tools do it; and back to the old ones.
            if protocol == "grpc":
                server.rotate(pairs[old][0], old)
            else:
                server.tls = capture.tls(pairs[old][0], old)
            for source, target in ((old.cert, ca_file), (pairs[old][1].cert, cert_file), (pairs[old][1].key, key_file)):
                shutil.copy(source, f"{target}.new")
                os.replace(f"{target}.new", target)
            fired.fire(1)
            checks.equal(f"{protocol}: after a rotation by rename", wait_totals(server, fired, 12), (12, 12, 12))
            checks.equal(f"{protocol}: by the old certificate again", server.requests[-1].client, clients[0])

            key_file.rename(f"{key_file}.away")
            found = wait_until("a warning about the key",
                               lambda: [line for line in agent.warnings(directory) if KEY in line])
            checks.ok(f"{protocol}: a key that is gone is named with its variable", str(key_file) in found[-1], found)
            os.rename(f"{key_file}.away", key_file)
            fired.fire(1)
            checks.equal(f"{protocol}: it goes on when the key is back", wait_totals(server, fired, 13), (13, 13, 13))
            checks.equal(f"{protocol}: ends with status 0", agent.stop(), 0)


def proxies(checks, directory, binary):
    """The proxy of the environment is used, as a tunnel for gRPC and TLS, and no_proxy is obeyed."""
    authority = Authority(directory, "proxied-ca")
    pair = authority.issue("proxied")
    grpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    cases = [
        ("http_proxy", lambda: capture.Server(), "POST", "http_proxy", {}),
        ("https_proxy", lambda: capture.Server(tls=capture.tls(pair)), "CONNECT", "https_proxy", {CA: authority.cert}),
        ("ALL_PROXY", lambda: capture.Server(), "POST", "ALL_PROXY", {}),
        ("http_proxy, gRPC", grpc_receiver.Server, "CONNECT", "http_proxy", grpc),
        ("https_proxy, gRPC", lambda: grpc_receiver.Server(pair=pair), "CONNECT", "https_proxy",
         {CA: authority.cert, **grpc}),
    ]
    for name, make, method, variable, more in cases:
        with make() as server, Proxy() as proxy:
            arrives(checks, name, directory, binary, server, **{variable: proxy.url}, **more)
            where = f"127.0.0.1:{server.port}" if method == "CONNECT" else f"{server.otlp}/v1/metrics"
            checks.equal(f"{name}: through the proxy", set(proxy.lines), {f"{method} {where}"})
    with capture.Server() as server, Proxy() as proxy:
        arrives(checks, "no_proxy", directory, binary, server, http_proxy=proxy.url, no_proxy="127.0.0.1")
        checks.equal("no_proxy: not through the proxy", proxy.lines, [])
    with capture.Server(host=str(directory / "proxied-socket")) as server, Proxy() as proxy:
        arrives(checks, "a Unix socket beside a proxy", directory, binary, server, http_proxy=proxy.url)
        checks.equal("a Unix socket beside a proxy: not through it", proxy.lines, [])


def addresses(checks, directory, binary):
    """IPv6 and Unix sockets over HTTP; a port that is none is refused with the variable's name."""
    with capture.Server(host="::1") as server:
        arrives(checks, "IPv6", directory, binary, server)
        checks.equal("IPv6: path", server.requests[-1].path, "/v1/metrics")
    for form in ("unix:", "unix://"):
        with capture.Server(host=f"{directory}/http-socket") as server:
            arrives(checks, form, directory, binary, server, endpoint=f"{form}{directory}/http-socket")
            checks.equal(f"{form} path", server.requests[-1].path, "/v1/metrics")
    with Agent(directory, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:99999") as agent:
        agent.wait_ready("a warning", lambda: agent.warnings(directory))
        checks.ok("port 99999: named and not used", "OTEL_EXPORTER_OTLP_ENDPOINT" in agent.warnings(directory)[0] and
                  "65535" in agent.warnings(directory)[0], agent.lines())
        checks.equal("port 99999: ends with status 0", agent.stop(), 0)


def main():
    checks = Checks("transport")
    if os.geteuid() != 0:
        checks.skip("everything", "needs root")
        return checks.finish()
    with scratch("transport") as directory:
        binary = build_fired(directory)
        for name, part in (("VictoriaMetrics", victoria), ("HTTPS", https), ("gRPC over TLS", grpc_tls),
                           ("rotation", rotation), ("proxies", proxies), ("addresses", addresses)):
            with checks.run(name):
                part(checks, directory, binary)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
