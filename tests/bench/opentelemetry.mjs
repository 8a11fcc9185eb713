// SPDX-License-Identifier: BSD-2-Clause
// opentelemetry.mjs - OpenTelemetry's JavaScript SDK as a contestant: the slow end. Same commands, loop and stimulus as
// loop.h, one thread. The periodic reader collects every ten seconds and sends nothing.
import { createInterface } from "node:readline";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";

const sink = {
	export: (metrics, done) => done({ code: 0 }),
	forceFlush: async () => {},
	shutdown: async () => {},
};
const reader = new PeriodicExportingMetricReader({ exporter: sink, exportIntervalMillis: 10000 });
const meter = new MeterProvider({ readers: [reader] }).getMeter("bench");
const latency = meter.createHistogram("bench.latency", {
	unit: "s", advice: { explicitBucketBoundaries: [.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10] },
});

const values = Array.from({ length: 1024 }, (_, i) => 2 ** (i * 8 / 1024 - 10));
const regions = ["eu-central-1", "us-east-1", "ap-southeast-2", "sa-east-1"];
const tiers = ["standard", "gold", "trial", "internal"];

function run(ms) {
	const start = process.hrtime.bigint(), end = start + BigInt(ms) * 1000000n;
	let random = 1, calls = 0, now;

	do {
		for (let i = 0; i < 512; i++) {
			random = Math.imul(random, 0x2c9277b5) + 0xac564b05 | 0;
			latency.record(values[random >>> 22], { region: regions[random >>> 20 & 3], tier: tiers[random >>> 18 & 3] });
		}
		calls += 512;
		now = process.hrtime.bigint();
	} while (now < end);
	const took = Number(now - start);
	console.log(`${(took / calls).toFixed(4)} ${Math.round(calls * 1e9 / took)}`);
}

console.log("ready");
createInterface({ input: process.stdin })
	.on("line", (line) => run(Number(line.split(" ")[2])))
	.on("close", () => process.exit(0));
