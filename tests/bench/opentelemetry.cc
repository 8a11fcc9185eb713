/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opentelemetry.cc - opentelemetry-cpp as a contestant: the SDK with a periodic reader, every ten seconds as our agent,
 * and an exporter that takes everything and sends nothing.
 */
#include <chrono>
#include <memory>
#include <utility>

#include <opentelemetry/context/context.h>
#include <opentelemetry/metrics/meter.h>
#include <opentelemetry/metrics/sync_instruments.h>
#include <opentelemetry/sdk/metrics/aggregation/aggregation_config.h>
#include <opentelemetry/sdk/metrics/export/periodic_exporting_metric_reader_factory.h>
#include <opentelemetry/sdk/metrics/export/periodic_exporting_metric_reader_options.h>
#include <opentelemetry/sdk/metrics/meter_provider.h>
#include <opentelemetry/sdk/metrics/push_metric_exporter.h>
#include <opentelemetry/sdk/metrics/view/instrument_selector_factory.h>
#include <opentelemetry/sdk/metrics/view/meter_selector_factory.h>
#include <opentelemetry/sdk/metrics/view/view_factory.h>

#include "loop.h"

namespace metrics = opentelemetry::sdk::metrics;

class Sink final : public metrics::PushMetricExporter
{
	opentelemetry::sdk::common::ExportResult Export(const metrics::ResourceMetrics &) noexcept override
	{
		return opentelemetry::sdk::common::ExportResult::kSuccess;
	}
	metrics::AggregationTemporality GetAggregationTemporality(metrics::InstrumentType) const noexcept override
	{
		return metrics::AggregationTemporality::kCumulative;
	}
	bool ForceFlush(std::chrono::microseconds) noexcept override
	{
		return true;
	}
	bool Shutdown(std::chrono::microseconds) noexcept override
	{
		return true;
	}
};

static metrics::MeterProvider provider;
static opentelemetry::nostd::unique_ptr<opentelemetry::metrics::Counter<uint64_t>> orders;
static opentelemetry::nostd::unique_ptr<opentelemetry::metrics::Histogram<double>> latency;
static const opentelemetry::context::Context context;

static void start()
{
	metrics::PeriodicExportingMetricReaderOptions options;
	auto bounds = std::make_shared<metrics::HistogramAggregationConfig>();

	options.export_interval_millis = std::chrono::milliseconds(10000);
	options.export_timeout_millis = std::chrono::milliseconds(5000);
	provider.AddMetricReader(
		metrics::PeriodicExportingMetricReaderFactory::Create(std::unique_ptr<metrics::PushMetricExporter>(new Sink), options));
	bounds->boundaries_ = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
	provider.AddView(metrics::InstrumentSelectorFactory::Create(metrics::InstrumentType::kHistogram, "bench.latency", "s"),
			 metrics::MeterSelectorFactory::Create("bench", "", ""),
			 metrics::ViewFactory::Create("bench.latency", "", "s", metrics::AggregationType::kHistogram, bounds));
	auto meter = provider.GetMeter("bench");
	orders = meter->CreateUInt64Counter("bench.orders", "", "{order}");
	latency = meter->CreateDoubleHistogram("bench.latency", "", "s");
}

LOOP(counter, orders->Add(1, {{"region", region}, {"tier", tier}}, context))
LOOP(histogram, latency->Record(value, {{"region", region}, {"tier", tier}}, context))

int main()
{
	static const struct operation operation[] = {
		{"counter", counter}, {"histogram", histogram}, {nullptr, nullptr},
	};

	start();
	return loop_main(operation);
}
