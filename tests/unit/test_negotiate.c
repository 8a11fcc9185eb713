/* SPDX-License-Identifier: BSD-2-Clause */
/* test_negotiate.c - which form of an answer a client gets. */
#include "unit.h"

#include "negotiate.h"

/* OpenMetrics for who asks for it, the text format for everybody else, whatever they sent. */
static void negotiate_gives_openmetrics_to_who_wants_it(void **state)
{
	static const struct {
		const char *accept;
		bool open;
	} rows[] = {
		{ NULL, false },
		{ "", false },
		{ "*/*", false },
		{ "text/plain", false },
		{ "application/openmetrics-text", true },
		{ "application/openmetrics-text; version=1.0.0; charset=utf-8", true },
		{ "APPLICATION/OpenMetrics-Text", true },
		{ "application/openmetrics-text;version=2.0.0", false },
		{ "application/openmetrics-text;q=0", false },
		/* Prometheus 2.42 */
		{ "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
		  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true },
		/* Prometheus 3 */
		{ "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		  "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
		  "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", true },
		{ "text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5", false },
		{ "application/openmetrics-text;q=0.9 ,\ttext/plain;version=0.0.4 ; q=0.5", true },
		{ ",,;;,=,;q=,application/openmetrics-text;q=x", false },
		{ "application/openmetrics-textual", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		if (negotiate_openmetrics(rows[i].accept) != rows[i].open)
			fail_msg("'%s'", rows[i].accept ? rows[i].accept : "(none)");
}

static void negotiate_packs_for_who_can_unpack(void **state)
{
	static const struct {
		const char *accept;
		bool gzip;
	} rows[] = {
		{ NULL, false },	     { "", false },	   { "gzip", true },
		{ "deflate, GZIP;q=0.5", true }, { "gzip;q=0, *", false }, { "*", true },
		{ "*;q=0", false },	     { "identity", false }, { "gzipped", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		if (negotiate_gzip(rows[i].accept) != rows[i].gzip)
			fail_msg("'%s'", rows[i].accept ? rows[i].accept : "(none)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(negotiate_gives_openmetrics_to_who_wants_it),
		cmocka_unit_test(negotiate_packs_for_who_can_unpack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
