/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_remember.c - the next agent knows what the last one knew, and refuses what contradicts itself.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/maps.h"
#include "remember.h"

#define SIZE 65536

static const double bounds[] = { 1, 2.5 };
static const struct metric counter = {
	.kind = PROBEMETER_KIND_COUNTER, .scope = "s", .name = "a.total", .unit = "1", .description = "", .label_count = 2,
	.label = { "x", "y" },
};
static const struct metric histogram = {
	.kind = PROBEMETER_KIND_HISTOGRAM, .scope = "s", .name = "b", .unit = "s", .description = "time", .bound_count = 2,
	.bound = bounds,
};

struct agent {
	struct metrics *metrics;
	struct services *services;
	struct remember *remember;
	/* What was restored. */
	uint64_t start[4];
	const struct resource *service[8];
	struct point seen;
	char seen_value[2][32];
	size_t seen_count;
	uint32_t spilled;
	size_t anew;
};

static int begin(struct journal *journal, struct agent *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->metrics = metrics_new();
	ret->services = services_new("default");
	return remember_new(journal, ret->metrics, ret->services, &ret->remember);
}

static void end(struct agent *agent)
{
	remember_free(agent->remember);
	services_free(agent->services);
	metrics_free(agent->metrics);
}

static void on_metric(void *context, const struct metric *metric, uint64_t start_unix_ns)
{
	((struct agent *)context)->start[metric->id] = start_unix_ns;
}

static void on_service(void *context, uint32_t service, const struct resource *resource)
{
	((struct agent *)context)->service[service] = resource;
}

static void on_anew(void *context)
{
	struct agent *agent = context;

	memset(agent->service, 0, sizeof(agent->service));
	agent->anew++;
}

static int on_seen(void *context, const struct point *point)
{
	struct agent *agent = context;

	agent->seen = *point;
	(void)snprintf(agent->seen_value[0], 32, "%s", point->value[0]);
	(void)snprintf(agent->seen_value[1], 32, "%s", point->value[1]);
	agent->seen_count++;
	return 0;
}

static int on_spilled(void *context, uint32_t series)
{
	((struct agent *)context)->spilled = series;
	return 0;
}

static int restore_as(struct agent *agent, uint64_t naming)
{
	const struct remember_events events = { on_metric, on_anew, on_service, on_seen, on_spilled, agent };

	return remember_restore(agent->remember, naming, &events);
}

static int restore(struct agent *agent)
{
	return restore_as(agent, 0);
}

static const struct metric *intern(struct agent *agent, const struct metric *metric)
{
	const struct metric *made;

	assert_int_equal(metrics_intern(agent->metrics, metric, &made), 0);
	return made;
}

static struct object object_of(uint64_t inode)
{
	return (struct object){ .id = { .device = 7, .inode = inode, .changed = { 5, 6 }, .size = 9 }, .path = (char *)"/bin/x",
				.catalogue = true };
}

static int setup(void **state)
{
	struct journal *journal = calloc(1, sizeof(*journal));

	journal->size = SIZE;
	journal->memory = calloc(1, SIZE);
	journal_init(journal, 1, 2);
	*state = journal;
	return 0;
}

static int teardown(void **state)
{
	struct journal *journal = *state;

	free(journal->memory);
	free(journal);
	return 0;
}

/* Everything that was told to one agent is what the next one begins with, and the one after it. */
static void remember_tells_the_next_agent(void **state)
{
	struct service_facts facts = { .otel_service_name = "shop", .otel_resource_attributes = "a=b" };
	struct object one = object_of(11), other = object_of(12);
	const struct resource *resource, *again;
	struct remembered *object;
	struct sample zero = { 0 };
	struct agent agent;
	int round;

	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(remember_metric(agent.remember, intern(&agent, &counter), 100), 0);
	assert_int_equal(remember_metric(agent.remember, intern(&agent, &histogram), 200), 0);
	assert_int_equal(services_resource(agent.services, &facts, &resource), 0);
	assert_int_equal(remember_service(agent.remember, 3, resource), 0);
	zero = (struct sample){ .resource = resource, .metric = intern(&agent, &counter), .start_unix_ns = 100,
				.value = { "left", "" } };
	assert_int_equal(remember_seen(agent.remember, &zero), 0);
	assert_int_equal(remember_spilled(agent.remember, 77), 0);
	assert_int_equal(remember_object(agent.remember, &one, 1, 0xabc, &object), 0);
	assert_int_equal(object->number, 0);
	assert_int_equal(remember_object(agent.remember, &other, 2, 0xdef, &object), 0);
	assert_int_equal(object->number, 1);
	remember_object_gone(agent.remember, remember_find(agent.remember, &one.id));
	end(&agent);

	for (round = 0; round < 2; round++) {
		assert_int_equal(begin(*state, &agent), 0);
		assert_int_equal(restore(&agent), 0);
		/* Ids stay, whatever order this agent meets them in. */
		assert_int_equal(intern(&agent, &histogram)->id, 1);
		assert_int_equal(intern(&agent, &counter)->id, 0);
		assert_memory_equal(intern(&agent, &histogram)->bound, bounds, sizeof(bounds));
		assert_int_equal(agent.start[0], 100);
		assert_int_equal(agent.start[1], 200);
		/* A living process of the service gives the same resource. */
		assert_int_equal(services_resource(agent.services, &facts, &again), 0);
		assert_ptr_equal(agent.service[3], again);
		assert_int_equal(agent.seen_count, 1);
		assert_ptr_equal(agent.seen.resource, again);
		assert_ptr_equal(agent.seen.metric, intern(&agent, &counter));
		assert_string_equal(agent.seen_value[0], "left");
		assert_string_equal(agent.seen_value[1], "");
		assert_int_equal(agent.seen.start_unix_ns, 100);
		assert_int_equal(agent.spilled, 77);
		assert_null(remember_find(agent.remember, &one.id));
		object = remember_find(agent.remember, &other.id);
		assert_non_null(object);
		assert_int_equal(object->number, 1);
		assert_int_equal(object->way, 2);
		assert_int_equal(object->sites, 0xdef);
		assert_string_equal(object->path, "/bin/x");
		assert_true(object->catalogue);
		/* Told again, nothing is written again. */
		zero.metric = intern(&agent, &counter);
		assert_int_equal(remember_metric(agent.remember, zero.metric, 999), 0);
		end(&agent);
	}
}

/* What was settled by other rules is settled anew, also if an agent was killed in between; and back. */
static void remember_settles_anew_by_other_rules(void **state)
{
	struct service_facts facts = { .otel_service_name = "shop" };
	const struct resource *resource;
	struct agent agent;

	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(restore_as(&agent, 5), 0);
	assert_false(remember_renamed(agent.remember));
	assert_int_equal(services_resource(agent.services, &facts, &resource), 0);
	assert_int_equal(remember_service(agent.remember, 1, resource), 0);
	assert_int_equal(remember_service(agent.remember, 2, resource), 0);
	end(&agent);
	/* Under other rules nothing is settled; this one is killed having settled one. */
	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(restore_as(&agent, 6), 0);
	assert_true(remember_renamed(agent.remember));
	assert_null(agent.service[1]);
	assert_int_equal(services_resource(agent.services, &facts, &resource), 0);
	assert_int_equal(remember_service(agent.remember, 2, resource), 0);
	end(&agent);
	/* Under the same ones that one is. */
	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(restore_as(&agent, 6), 0);
	assert_false(remember_renamed(agent.remember));
	assert_null(agent.service[1]);
	assert_non_null(agent.service[2]);
	end(&agent);
	/* Back to the first: what they settled was before. */
	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(restore_as(&agent, 5), 0);
	assert_true(remember_renamed(agent.remember));
	assert_null(agent.service[1]);
	assert_null(agent.service[2]);
	end(&agent);
}

/* A service that was forgotten leaves its id to another one. */
static void remember_forgets_services(void **state)
{
	struct service_facts facts = { .otel_service_name = "shop" };
	const struct resource *resource;
	struct agent agent;

	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(services_resource(agent.services, &facts, &resource), 0);
	assert_int_equal(remember_service(agent.remember, 1, resource), 0);
	assert_int_equal(remember_service(agent.remember, 2, resource), 0);
	assert_int_equal(remember_forgotten(agent.remember, 1), 0);
	assert_int_equal(remember_forgotten(agent.remember, 2), 0);
	assert_int_equal(remember_service(agent.remember, 2, resource), 0);
	end(&agent);
	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(restore(&agent), 0);
	assert_null(agent.service[1]);
	assert_non_null(agent.service[2]);
	end(&agent);
}

/* A file of another version is another object, under another number. */
static void remember_tells_versions_apart(void **state)
{
	struct object one = object_of(11);
	struct remembered *object;
	struct agent agent;

	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(remember_object(agent.remember, &one, 0, 1, &object), 0);
	one.id.changed.tv_nsec++;
	assert_null(remember_find(agent.remember, &one.id));
	assert_int_equal(remember_object(agent.remember, &one, 0, 1, &object), 0);
	assert_int_equal(object->number, 1);
	end(&agent);
}

static void put(struct journal *journal, uint32_t tag, const uint64_t *number, size_t count)
{
	struct journal_pack pack = { 0 };
	size_t i;

	for (i = 0; i < count; i++)
		pack_number(&pack, number[i]);
	assert_int_equal(journal_append(journal, tag, &pack, 100), 0);
	pack_free(&pack);
}

/* Records that are whole and make no sense are refused when the agent begins, while they can be set aside. */
static void remember_refuses_contradictions(void **state)
{
	static const struct {
		uint32_t tag;
		uint64_t number[6];
		size_t count;
	} bad[] = {
		{ 1, { 5, 0, 1, 0, 0 }, 5 }, /* a metric that is not the next one, and has no name */
		{ 1, { 0, 0, 1, 99, 0 }, 5 }, /* with 99 labels */
		{ 2, { 0, 1ull << 60 }, 2 }, /* a resource with as many attributes */
		{ 3, { 1, 4 }, 2 }, /* a service of a resource that is not there */
		{ 4, { 0, 0, 0, 0 }, 4 }, /* a series of nothing */
		{ 5, { 0 }, 0 }, /* cut off */
		{ 6, { 3, 1, 1, 1, 1, 1 }, 6 }, /* an object that is not the next one, cut off */
		{ 7, { 0 }, 0 },
		{ 9, { 0 }, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct agent agent;

		journal_init(*state, 1, 2);
		put(*state, bad[i].tag, bad[i].number, bad[i].count);
		assert_int_equal(begin(*state, &agent), -EBADMSG);
		end(&agent);
	}
}

/* No room: a metric is refused, and so are all after it, so that ids have no hole. */
static void remember_refuses_metrics_without_room(void **state)
{
	struct metric big = counter, small = histogram;
	static char text[SIZE];
	struct agent agent, next;

	memset(text, 'x', sizeof(text) - 1);
	big.description = text;
	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(remember_metric(agent.remember, intern(&agent, &big), 1), -ENOSPC);
	assert_true(remember_full(agent.remember));
	assert_int_equal(remember_metric(agent.remember, intern(&agent, &small), 1), -ENOSPC);
	end(&agent);
	assert_int_equal(begin(*state, &next), 0);
	end(&next);
}

/* A resource that was there, ended and came back has two numbers after a restart. Forgotten, it has none: where its memory
 * becomes another resource's, that one must not be taken for it. And what was seen of it is over, under either. */
static void remember_forgets_a_resource_whole(void **state)
{
	struct attribute attribute[] = { { "service.name", "first" } }, other[] = { { "service.name", "other" } };
	const struct resource *first, *again, *list[1];
	struct sample zero = { .value = { "p", "q" }, .start_unix_ns = 5 };
	bool gone[PM_MAX_SERVICES] = { [3] = true };
	struct agent agent, next;

	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(remember_metric(agent.remember, intern(&agent, &counter), 1), 0);
	zero.metric = intern(&agent, &counter);
	assert_int_equal(services_again(agent.services, attribute, 1, &first), 0);
	zero.resource = list[0] = first;
	assert_int_equal(remember_service(agent.remember, 3, first), 0);
	assert_int_equal(remember_seen(agent.remember, &zero), 0);
	remember_gone(agent.remember, gone, list, 1);
	services_drop(agent.services, first);
	assert_int_equal(services_again(agent.services, attribute, 1, &first), 0);
	assert_int_equal(remember_service(agent.remember, 3, first), 0);
	end(&agent);

	assert_int_equal(begin(*state, &agent), 0);
	assert_int_equal(restore(&agent), 0);
	assert_int_equal(agent.seen_count, 0);
	assert_non_null(agent.service[3]);
	list[0] = agent.service[3];
	remember_gone(agent.remember, gone, list, 1);
	/* The worst that can happen: the same memory, other attributes. */
	for (size_t i = 0; i < list[0]->attribute_count; i++)
		if (!strcmp(list[0]->attribute[i].key, other->key))
			list[0]->attribute[i] = *other;
	assert_int_equal(remember_service(agent.remember, 4, list[0]), 0);
	end(&agent);

	assert_int_equal(begin(*state, &next), 0);
	assert_int_equal(restore(&next), 0);
	assert_null(next.service[3]);
	again = next.service[4];
	assert_non_null(again);
	assert_string_equal(service_name(again), "other");
	end(&next);
}

/* The last time that was told, in one record however often it is; in the journal of an agent of another schema, too. */
static void remember_knows_the_last_time(void **state)
{
	struct journal *journal = *state, *other;
	struct agent agent;
	uint64_t used;
	void *copied;

	assert_int_equal(begin(journal, &agent), 0);
	assert_int_equal(remember_told(agent.remember), 0);
	remember_tell(agent.remember, 100);
	used = journal_header(journal)->used;
	remember_tell(agent.remember, 200);
	assert_int_equal(remember_told(agent.remember), 200);
	assert_int_equal(journal_header(journal)->used, used);
	end(&agent);
	assert_int_equal(begin(journal, &agent), 0);
	assert_int_equal(remember_told(agent.remember), 200);
	remember_tell(agent.remember, 300);
	assert_int_equal(journal_header(journal)->used, used);
	end(&agent);
	(void)setup(&copied);
	other = copied;
	assert_int_equal(remember_copy(journal, other), 0);
	assert_int_equal(begin(other, &agent), 0);
	assert_int_equal(remember_told(agent.remember), 300);
	end(&agent);
	(void)teardown(&copied);
}

/* A journal full of what came and went: its copy has what holds, under the same ids, and room. */
static void remember_copies_what_holds(void **state)
{
	struct journal whole = { .memory = calloc(2, SIZE), .size = 2 * SIZE }, *from = &whole;
	struct journal to = { .memory = calloc(2, SIZE), .size = 2 * SIZE };
	struct object object = object_of(1);
	const struct resource *resource = NULL;
	bool gone[PM_MAX_SERVICES] = { [2] = true };
	struct sample zero = { .start_unix_ns = 5, .value = { "p", "q" } };
	struct remembered *added = NULL;
	char name[32];
	struct agent agent, next;
	uint32_t round, service;

	(void)state;
	journal_init(from, 1, 2);
	assert_int_equal(begin(from, &agent), 0);
	assert_int_equal(restore_as(&agent, 7), 0);
	assert_int_equal(remember_metric(agent.remember, intern(&agent, &counter), 100), 0);
	zero.metric = intern(&agent, &counter);
	for (round = 0; round < 150; round++) {
		struct attribute attribute[] = { { "service.name", name } };

		(void)snprintf(name, sizeof(name), "service %u", round);
		service = round % 3 + 1;
		assert_int_equal(services_again(agent.services, attribute, 1, &resource), 0);
		assert_int_equal(remember_service(agent.remember, service, resource), 0);
		zero.resource = resource;
		if (round % 10 == 1)
			assert_int_equal(remember_seen(agent.remember, &zero), 0);
		if (service == 2)
			remember_gone(agent.remember, gone, &resource, 1);
		object.id.inode = round + 1;
		assert_int_equal(remember_object(agent.remember, &object, 1, round, &added), 0);
		if (round != 40 && round != 149)
			remember_object_gone(agent.remember, added);
	}
	assert_int_equal(remember_metric(agent.remember, intern(&agent, &histogram), 200), 0);
	assert_int_equal(remember_spilled(agent.remember, 77), 0);
	end(&agent);
	assert_true(remember_worn(from));

	journal_init(&to, 1, 2);
	assert_int_equal(remember_copy(from, &to), 0);
	assert_false(remember_worn(&to));
	assert_true(journal_header(&to)->used < journal_header(from)->used / 4);
	for (round = 0; round < 2; round++) {
		struct journal *which = round ? &to : from;

		assert_int_equal(begin(which, &next), 0);
		assert_int_equal(restore_as(&next, 7), 0);
		assert_false(remember_renamed(next.remember));
		assert_int_equal(next.start[0], 100);
		assert_int_equal(next.start[1], 200);
		assert_string_equal(service_name(next.service[1]), "service 147");
		assert_null(next.service[2]);
		assert_string_equal(service_name(next.service[3]), "service 149");
		assert_int_equal(next.seen_count, 10);
		assert_string_equal(service_name(next.seen.resource), "service 141");
		assert_int_equal(next.spilled, 77);
		/* In the copy the files are to be attached anew, as they were. */
		object.id.inode = 41;
		assert_int_equal(remember_find(next.remember, &object.id) == NULL, round);
		assert_int_equal(remember_any(next.remember, &object.id)->sites, 40);
		assert_int_equal(remember_object(next.remember, &object, 1, 0, &added), 0);
		assert_int_equal(added->number, round ? 2 : 150);
		end(&next);
	}
	free(whole.memory);
	free(to.memory);
}

/* No service more is remembered, and half of them are over: a restart makes room, and that once, also when all files are attached
 * again. */
static void remember_is_worn_where_it_is_full(void **state)
{
	struct attribute more[] = { { "service.name", "one more" } };
	struct journal to = { .memory = calloc(1, SIZE), .size = SIZE };
	struct object object = object_of(1);
	const struct resource *resource;
	struct remembered *one = NULL;
	uint32_t file, service = 0, id;
	struct agent agent, next;
	char name[32];
	int err;

	assert_int_equal(begin(*state, &agent), 0);
	for (file = 0; file < 50; file++) {
		object.id.inode = file + 1;
		assert_int_equal(remember_object(agent.remember, &object, 1, file, &one), 0);
	}
	do {
		struct attribute attribute[] = { { "service.name", name } };

		(void)snprintf(name, sizeof(name), "service %u", ++service);
		assert_int_equal(services_again(agent.services, attribute, 1, &resource), 0);
		err = remember_service(agent.remember, service, resource);
	} while (!err);
	assert_int_equal(err, -ENOSPC);
	assert_false(remember_worn(*state));
	for (id = 1; id < service; id += 2)
		assert_int_equal(remember_forgotten(agent.remember, id), 0);
	end(&agent);
	assert_true(remember_worn(*state));

	journal_init(&to, 1, 2);
	assert_int_equal(remember_copy(*state, &to), 0);
	assert_int_equal(begin(&to, &next), 0);
	for (file = 0; file < 50; file++) {
		object.id.inode = file + 1;
		assert_int_equal(remember_object(next.remember, &object, 1, file, &one), 0);
	}
	assert_false(remember_worn(&to));
	assert_int_equal(services_again(next.services, more, 1, &resource), 0);
	assert_int_equal(remember_service(next.remember, service, resource), 0);
	end(&next);
	free(to.memory);
}

/* In a copy each file has one record more, so a journal that is nearly full of files has not all of them in its copy; but all of
 * everything else, and room for what their numbers become. */
static void remember_copies_a_full_journal(void **state)
{
	struct journal to = { .memory = calloc(1, SIZE), .size = SIZE };
	struct object object = object_of(1);
	struct remembered *one = NULL;
	struct metric filler = counter;
	char text[64], name[32];
	uint32_t files = 0, metrics = 0, copied = 0;
	struct agent agent, next;

	assert_int_equal(begin(*state, &agent), 0);
	do {
		object.id.inode = files + 1;
	} while (!remember_object(agent.remember, &object, 1, files, &one) && ++files);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	filler.description = text;
	filler.name = name;
	do {
		(void)snprintf(name, sizeof(name), "metric %u", metrics);
	} while (!remember_metric(agent.remember, intern(&agent, &filler), metrics + 1) && ++metrics);
	end(&agent);
	assert_true(files > 100 && metrics > 10);

	journal_init(&to, 1, 2);
	assert_int_equal(remember_copy(*state, &to), 0);
	assert_int_equal(journal_check(&to), 0);
	assert_int_equal(begin(&to, &next), 0);
	for (one = remember_objects(next.remember); one; one = one->next, copied++)
		assert_true(one->gone && one->id.inode == one->number + 1 && one->sites == one->number);
	assert_true(copied > files / 2 && copied < files);
	(void)snprintf(name, sizeof(name), "metric %u", metrics - 1);
	assert_int_equal(remember_metric(next.remember, intern(&next, &filler), 0), 0); /* is there */
	assert_int_equal(intern(&next, &filler)->id, metrics - 1);
	end(&next);
	free(to.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(remember_tells_the_next_agent, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_settles_anew_by_other_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_forgets_services, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_forgets_a_resource_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_tells_versions_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_knows_the_last_time, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_copies_what_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_is_worn_where_it_is_full, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_copies_a_full_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_refuses_contradictions, setup, teardown),
		cmocka_unit_test_setup_teardown(remember_refuses_metrics_without_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
