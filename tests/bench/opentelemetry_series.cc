/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opentelemetry_series.cc - the series of series.c, by opentelemetry-cpp and its own OTLP exporter.
 *
 *   opentelemetry-series URL SERVICE BOUND...
 *
 * Fires each series once for every line on stdin, and answers with a line; at the end of its input it exports once to URL.
 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include <opentelemetry/context/context.h>
#include <opentelemetry/exporters/otlp/otlp_http_metric_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_http_metric_exporter_options.h>
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
#include <opentelemetry/sdk/metrics/view/view_registry.h>
#include <opentelemetry/sdk/resource/resource.h>

namespace metrics = opentelemetry::sdk::metrics;
namespace otlp = opentelemetry::exporter::otlp;

static const opentelemetry::context::Context context;

/* As in series.c. */
static const int counters = 1000, histograms = 500, buckets = 12;
static const char *const endpoint[] = {"/api/v1/orders", "/api/v1/orders/{id}", "/healthz", "/api/v1/customers"};

struct instruments {
	opentelemetry::nostd::unique_ptr<opentelemetry::metrics::Counter<uint64_t>> requests, bytes;
	opentelemetry::nostd::unique_ptr<opentelemetry::metrics::Histogram<double>> duration;
};

static void fire(const instruments &made)
{
	for (int i = 0; i < counters; i++) {
		const std::string customer = "customer-" + std::to_string(i / 4);

		made.requests->Add(1, {{"customer", customer}, {"endpoint", endpoint[i % 4]}}, context);
		made.bytes->Add(1000 + i, {{"customer", customer}, {"endpoint", endpoint[i % 4]}}, context);
	}
	for (int i = 0; i < histograms; i++) {
		const std::string customer = "customer-" + std::to_string(i / 4);
		double value = 0.0011;

		for (int bucket = 0; bucket < buckets; bucket++, value *= 1.0905077326652577)
			made.duration->Record(value, {{"customer", customer}, {"endpoint", endpoint[i % 4]}}, context);
	}
}

static std::unique_ptr<metrics::MetricReader> reader(const char *url)
{
	otlp::OtlpHttpMetricExporterOptions to;
	metrics::PeriodicExportingMetricReaderOptions when;

	to.url = url;
	to.content_type = otlp::HttpRequestContentType::kBinary;
	when.export_interval_millis = std::chrono::hours(1);
	when.export_timeout_millis = std::chrono::seconds(20);
	return metrics::PeriodicExportingMetricReaderFactory::Create(otlp::OtlpHttpMetricExporterFactory::Create(to), when);
}

int main(int argc, char **argv)
{
	auto config = std::make_shared<metrics::HistogramAggregationConfig>();
	instruments made;
	int c;

	if (argc < 4)
		return 2;
	config->boundaries_.clear();
	for (int i = 3; i < argc; i++)
		config->boundaries_.push_back(strtod(argv[i], nullptr));
	metrics::MeterProvider provider(std::unique_ptr<metrics::ViewRegistry>(new metrics::ViewRegistry),
					opentelemetry::sdk::resource::Resource::Create({{"service.name", argv[2]}}));
	provider.AddMetricReader(reader(argv[1]));
	provider.AddView(metrics::InstrumentSelectorFactory::Create(metrics::InstrumentType::kHistogram, "bench.duration", "s"),
			 metrics::MeterSelectorFactory::Create("probemeter", "", ""),
			 metrics::ViewFactory::Create("bench.duration", "Duration of requests", "s",
						      metrics::AggregationType::kHistogram, config));
	auto meter = provider.GetMeter("probemeter");
	made.requests = meter->CreateUInt64Counter("bench.requests", "Requests", "{request}");
	made.bytes = meter->CreateUInt64Counter("bench.bytes", "Bytes sent", "By");
	made.duration = meter->CreateDoubleHistogram("bench.duration", "Duration of requests", "s");
	printf("ready\n");
	(void)fflush(stdout);
	while ((c = getchar()) != EOF)
		if (c == '\n') {
			fire(made);
			printf("1\n");
			(void)fflush(stdout);
		}
	return provider.ForceFlush(std::chrono::seconds(20)) ? 0 : 1;
}
