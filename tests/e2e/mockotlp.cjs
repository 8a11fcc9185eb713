// SPDX-License-Identifier: BSD-2-Clause
// mockotlp.cjs - runs the mock OTLP server that scripts/tools.sh brought, gRPC only, on a free port of loopback.
//
// Prints one line of JSON when it listens, {"port": N}, and one for each request: {"encoding": ..., "metrics": ...}, the
// request as that server decoded it.
"use strict";
const path = require("path");
const { MockOtlpServer, normalizeMetrics } = require(
	path.resolve(__dirname, "../../build/tools/npm/node_modules/@elastic/mockotlpserver"));

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
let metadata = {};
const server = new MockOtlpServer({
	services: ["grpc"], grpcHostname: "127.0.0.1", grpcPort: 0, logLevel: "fatal",
	onRequest: (request) => { metadata = request.metadata.getMap(); },
	onMetrics: (metrics) => say({ metadata, metrics: normalizeMetrics(metrics) }),
});
process.on("SIGTERM", () => process.exit(0));
server.start().then(() => say({ port: Number(new URL(server.grpcUrl).port) }));
