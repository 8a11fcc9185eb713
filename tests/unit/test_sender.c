/* SPDX-License-Identifier: BSD-2-Clause */
/* test_sender.c - the requests of one export: in order, each with its own verdict, and one export at a time. */
#include "server.h"

#include <errno.h>

#include "options.h"
#include "sender.h"

static const uint8_t body[3][2] = { "a", "b", "c" };
static struct request three[] = {
	{ .body = body[0], .size = 1, .first = 0, .count = 10 },
	{ .body = body[1], .size = 1, .first = 10, .count = 20 },
	{ .body = body[2], .size = 1, .first = 40, .count = 2 },
};
static const struct requests requests = { .request = three, .count = 3 };

#define ANSWER(status_) { .act = SERVER_ANSWER, .status = status_ }

static struct sender *sender_to(const char *url, unsigned timeout_ms, unsigned export_timeout_ms)
{
	struct options options = { .url = url, .where = url, .timeout_ms = timeout_ms,
				   .export_timeout_ms = export_timeout_ms, .interval_ms = export_timeout_ms };
	struct sender *sender = sender_new(&options);

	assert_non_null(sender);
	return sender;
}

static size_t wait_results(struct sender *sender, const struct sender_result **ret)
{
	struct pollfd fd = { .fd = sender_fd(sender), .events = POLLIN };

	struct ship_result trouble;
	size_t count;

	do {
		assert_int_equal(poll(&fd, 1, 20000), 1);
		(void)sender_trouble(sender, &trouble);
		count = sender_results(sender, ret);
	} while (!count);
	return count;
}

/* What the collector answers to each, and what is made of it; further ones than @requests were not sent. */
static void each_request_has_its_verdict(void **state)
{
	static const struct {
		struct server_step step[3];
		enum delivery delivery[3];
		size_t requests;
	} expected[] = {
		{ { ANSWER(200), ANSWER(200), ANSWER(200) }, { DELIVERY_DONE, DELIVERY_DONE, DELIVERY_DONE }, 3 },
		/* Refused for good: the others have nothing to do with it. */
		{ { ANSWER(200), ANSWER(400), ANSWER(200) }, { DELIVERY_DONE, DELIVERY_REFUSED, DELIVERY_DONE }, 3 },
		{ { ANSWER(400), ANSWER(413), ANSWER(500) }, { DELIVERY_REFUSED, DELIVERY_REFUSED, DELIVERY_REFUSED }, 3 },
		/* Later: the rest would fare no better now. The wait that is asked for is longer than the budget. */
		{ { ANSWER(200), { .act = SERVER_ANSWER, .status = 503, .headers = "Retry-After: 100\r\n" } },
		  { DELIVERY_DONE, DELIVERY_FAILED, DELIVERY_UNTRIED }, 2 },
		/* Taken in whole and not answered. */
		{ { ANSWER(200), { .act = SERVER_STALL } }, { DELIVERY_DONE, DELIVERY_UNCERTAIN, DELIVERY_UNTRIED }, 2 },
		/* Accepted by its status, and torn behind it. */
		{ { { .act = SERVER_TEAR, .status = 200, .body = "x", .body_size = 1 } },
		  { DELIVERY_UNCERTAIN, DELIVERY_UNTRIED, DELIVERY_UNTRIED }, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		struct server *server = server_start(expected[i].step, 3);
		struct sender *sender = sender_to(server_url(server), 1500, 4000);
		const struct sender_result *result = NULL;

		assert_int_equal(sender_submit(sender, &requests), 0);
		assert_int_equal(wait_results(sender, &result), 3);
		for (size_t r = 0; r < 3; r++) {
			assert_int_equal(result[r].delivery, expected[i].delivery[r]);
			assert_int_equal(result[r].first, three[r].first);
			assert_int_equal(result[r].count, three[r].count);
		}
		assert_int_equal(sender_results(sender, &result), 0);
		server_stop(server);
		assert_int_equal(server_requests(server), expected[i].requests);
		for (size_t r = 0; r < expected[i].requests; r++)
			assert_int_equal(server_request(server, r)->body[0], "abc"[r]);
		sender_free(sender);
		server_free(server);
	}
}

/* Nobody listens: not delivered, and that is certain. */
static void refused_connection_is_a_certain_failure(void **state)
{
	struct server *server = server_start(NULL, 0);
	const struct sender_result *result = NULL;
	struct sender *sender;
	char url[64];

	(void)state;
	(void)snprintf(url, sizeof(url), "%s", server_url(server));
	server_stop(server);
	server_free(server);
	sender = sender_to(url, 500, 500);
	assert_int_equal(sender_submit(sender, &requests), 0);
	assert_int_equal(wait_results(sender, &result), 3);
	assert_int_equal(result[0].delivery, DELIVERY_FAILED);
	assert_int_equal(result[1].delivery, DELIVERY_UNTRIED);
	sender_free(sender);
}

/* Until its results are taken an export is not over; then the next one may come. */
static void one_export_at_a_time(void **state)
{
	struct server *server = server_start(NULL, 0);
	struct sender *sender = sender_to(server_url(server), 1500, 4000);
	const struct sender_result *result = NULL;

	(void)state;
	assert_false(sender_busy(sender));
	for (int i = 0; i < 3; i++) {
		struct pollfd fd = { .fd = sender_fd(sender), .events = POLLIN };

		assert_int_equal(sender_submit(sender, &requests), 0);
		assert_int_equal(sender_submit(sender, &requests), -EBUSY);
		assert_int_equal(poll(&fd, 1, 20000), 1);
		assert_true(sender_busy(sender));
		assert_int_equal(sender_submit(sender, &requests), -EBUSY);
		assert_int_equal(sender_results(sender, &result), 3);
		assert_false(sender_busy(sender));
	}
	sender_free(sender);
	server_stop(server);
	assert_int_equal(server_requests(server), 9);
	assert_int_equal(server_connections(server), 1);
	server_free(server);
}

/* The end of the agent: what hangs is cut short and its verdict can still be had; the last export has what is left of the
 * time, and one budget for all its requests. */
static void end_cuts_short_and_flush_keeps_to_its_time(void **state)
{
	static const struct server_step step[] = { ANSWER(200), { .act = SERVER_STALL }, { .act = SERVER_STALL } };
	struct server *server = server_start(step, 3);
	struct sender *sender = sender_to(server_url(server), 60000, 3000);
	const struct sender_result *result = NULL;
	uint64_t start;

	(void)state;
	assert_int_equal(sender_submit(sender, &requests), 0);
	start = server_now_ms();
	while (server_requests(server) < 2 && server_now_ms() < start + 2000)
		(void)poll(NULL, 0, 10);
	start = server_now_ms();
	sender_end(sender);
	assert_int_equal(sender_results(sender, &result), 3);
	assert_int_equal(result[0].delivery, DELIVERY_DONE);
	assert_int_equal(result[1].delivery, DELIVERY_UNCERTAIN);
	assert_int_equal(result[2].delivery, DELIVERY_UNTRIED);
	assert_int_equal(sender_flush(sender, &requests, 0), 0);
	/* 3 s from sender_end() on; a loaded machine may add to it, another 3 s would be a second budget. */
	assert_true(server_now_ms() - start < 5000);
	assert_int_equal(sender_results(sender, &result), 3);
	assert_int_equal(result[0].delivery, DELIVERY_UNCERTAIN);
	sender_free(sender);
	server_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_has_its_verdict),
		cmocka_unit_test(refused_connection_is_a_certain_failure),
		cmocka_unit_test(one_export_at_a_time),
		cmocka_unit_test(end_cuts_short_and_flush_keeps_to_its_time),
	};

	return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
