/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_service.c - what a process says of itself, and what the host knows, become a resource.
 */
#include "unit.h"

#include <errno.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <probemeter/version.h>

#include "rules.h"
#include "service.h"
#include "utf8.h"

#define DEFAULT "integr8scode-backend"

/* The sanitizer's own; gcc installs no header for it. */
extern size_t __sanitizer_get_current_allocated_bytes(void);

static int set_up(void **state)
{
	*state = services_new(DEFAULT);
	return !*state;
}

static int tear_down(void **state)
{
	services_free(*state);
	return 0;
}

static const struct resource *resource_of(struct services *services, const struct service_facts *facts)
{
	const struct resource *resource = NULL;

	assert_int_equal(services_resource(services, facts, &resource), 0);
	assert_non_null(resource);
	return resource;
}

/* The value of @key, or NULL; a key that comes twice is a failure. */
static const char *attribute_of(const struct resource *resource, const char *key)
{
	const char *value = NULL;

	for (size_t i = 0; i < resource->attribute_count; i++)
		if (!strcmp(resource->attribute[i].key, key)) {
			assert_null(value);
			value = resource->attribute[i].value;
		}
	return value;
}

#define FACTS(own, attributes, tracing, path, systemd, known) \
	{ .otel_service_name = own, .otel_resource_attributes = attributes, .tracing_service_name = tracing, \
	  .executable = path, .unit = systemd, .catalogue = known }

/* Each row drops the source that won in the row before. An empty variable is one that is not set. */
static void name_comes_from_the_first_source_that_has_one(void **state)
{
	static const struct {
		struct service_facts facts;
		const char *name;
	} expected[] = {
		{ FACTS("own", "service.name=attributes", "tracing", "/srv/api", "unit", true), "own" },
		{ FACTS("", "service.name=attributes", "tracing", "/srv/api", "unit", true), "attributes" },
		{ FACTS(NULL, "service.name=attributes", "tracing", "/srv/api", "unit", true), "attributes" },
		{ FACTS(NULL, "a=b,service.name=attributes", "tracing", "/srv/api", "unit", false), "attributes" },
		{ FACTS(NULL, "service.name=,a=b", "tracing", "/srv/api", "unit", true), "tracing" },
		{ FACTS(NULL, "a=b", "tracing", "/srv/api", "unit", true), "tracing" },
		{ FACTS(NULL, NULL, "tracing", "/srv/api", "unit", false), "tracing" },
		{ FACTS(NULL, NULL, "", "/srv/api", "unit", true), DEFAULT },
		{ FACTS(NULL, NULL, NULL, "/srv/api", "unit", true), DEFAULT },
		{ FACTS(NULL, NULL, NULL, NULL, NULL, true), DEFAULT },
		{ FACTS(NULL, NULL, NULL, "/srv/api", "unit", false), "unit" },
		{ FACTS(NULL, NULL, NULL, "/srv/api", "", false), "unknown_service:api" },
		{ FACTS(NULL, NULL, NULL, "/srv/api", NULL, false), "unknown_service:api" },
		{ FACTS(NULL, NULL, NULL, "api", NULL, false), "unknown_service:api" },
		{ FACTS(NULL, NULL, NULL, NULL, NULL, false), "unknown_service" },
		{ FACTS(NULL, NULL, NULL, "", NULL, false), "unknown_service" },
	};

	for (size_t i = 0; i < COUNT(expected); i++) {
		const struct resource *resource = resource_of(*state, &expected[i].facts);

		assert_string_equal(service_name(resource), expected[i].name);
		assert_string_equal(attribute_of(resource, "service.name"), expected[i].name);
	}
}

/* A value that does not decode is discarded whole, as the specification wants; the name's other sources are not. */
static void broken_attributes_are_discarded_and_nothing_else(void **state)
{
	static const char *const broken[] = {
		"team=a%2,service.name=wrong", "team=a%zz,service.name=wrong", "service.name=wrong,team=%",
		"service.name=wrong,noequals", "service.name=wrong,=value",    "service.name=wrong,team=%FF",
		"service.name=wrong,team=%00",
	};

	for (size_t i = 0; i < COUNT(broken); i++) {
		const struct service_facts named = { .otel_service_name = "own", .otel_resource_attributes = broken[i] };
		const struct service_facts traced = { .tracing_service_name = "tracing",
						      .otel_resource_attributes = broken[i] };
		const struct resource *resource = resource_of(*state, &named);

		assert_string_equal(service_name(resource), "own");
		assert_null(attribute_of(resource, "team"));
		assert_string_equal(service_name(resource_of(*state, &traced)), "tracing");
	}
}

/* What a process says of itself goes on the wire, decoded, and wins over what the host would say. */
static void attributes_of_the_process_come_out(void **state)
{
	const struct service_facts facts = {
		.otel_service_name = "shop",
		.otel_resource_attributes = "team=a%2Cb%3Dc, deployment.environment = prod ,service.name=other,"
					    "service.instance.id=seven,host.name=elsewhere,city=K%C3%B6ln",
	};
	const struct resource *resource = resource_of(*state, &facts);

	assert_string_equal(service_name(resource), "shop");
	assert_string_equal(attribute_of(resource, "team"), "a,b=c");
	assert_string_equal(attribute_of(resource, "deployment.environment"), "prod");
	assert_string_equal(attribute_of(resource, "service.instance.id"), "seven");
	assert_string_equal(attribute_of(resource, "host.name"), "elsewhere");
	assert_string_equal(attribute_of(resource, "city"), "K\xc3\xb6ln");
}

/* The attributes every resource has, each key once, ordered by key so that equal resources are equal. */
static void resource_is_completed_and_ordered(void **state)
{
	const struct service_facts facts = { .otel_service_name = "shop", .otel_resource_attributes = "z=1,a=2,m=3" };
	const struct resource *resource = resource_of(*state, &facts);
	char host[256] = "", id[SERVICE_MACHINE_ID + 1];
	struct utsname kernel;

	(void)gethostname(host, sizeof(host) - 1);
	assert_int_equal(uname(&kernel), 0);
	assert_string_equal(attribute_of(resource, "host.name"), host);
	assert_string_equal(attribute_of(resource, "host.arch"), service_arch(kernel.machine));
	assert_string_equal(attribute_of(resource, "os.type"), "linux");
	if (service_machine_id("/etc/machine-id", id) || service_machine_id("/var/lib/dbus/machine-id", id))
		assert_string_equal(attribute_of(resource, "host.id"), id);
	else
		assert_null(attribute_of(resource, "host.id"));
	assert_null(attribute_of(resource, "service.version"));
	assert_string_equal(attribute_of(resource, "telemetry.sdk.name"), "probemeter");
	assert_string_equal(attribute_of(resource, "telemetry.sdk.language"), "c");
	assert_string_equal(attribute_of(resource, "telemetry.sdk.version"), PROBEMETER_VERSION);
	assert_non_null(attribute_of(resource, "service.instance.id"));
	for (size_t i = 1; i < resource->attribute_count; i++)
		assert_true(strcmp(resource->attribute[i - 1].key, resource->attribute[i].key) < 0);
}

/* The words of the semantic conventions, not those of uname(). */
static void architecture_has_its_conventional_name(void **state)
{
	static const char *const expected[][2] = {
		{ "x86_64", "amd64" }, { "aarch64", "arm64" }, { "aarch64_be", "arm64" }, { "armv7l", "arm32" }, { "i686", "x86" },
		{ "ppc64le", "ppc64" }, { "ppc", "ppc32" }, { "ia64", "ia64" }, { "s390x", "s390x" }, { "riscv64", "riscv64" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++)
		assert_string_equal(service_arch(expected[i][0]), expected[i][1]);
}

/* An id that is no id yet is left out: hosts of one image would share it. */
static void machine_id_is_read_whole_or_not_at_all(void **state)
{
	static const struct {
		const char *text;
		const char *id;
	} expected[] = {
		{ "0123456789abcdef0123456789abcdef\n", "0123456789abcdef0123456789abcdef" },
		{ "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef" },
		{ "", NULL },
		{ "\n", NULL },
		{ "uninitialized\n", NULL },
		{ "0123456789abcdef\n", NULL },
		{ "00000000000000000000000000000000\n", NULL },
		{ "\xff\xff" "0123456789abcdef0123456789abcdef\n", NULL },
	};
	char path[] = "/tmp/probemeter-machine-id-XXXXXX", id[SERVICE_MACHINE_ID + 1];
	int file = mkstemp(path);

	(void)state;
	assert_true(file >= 0);
	for (size_t i = 0; i < COUNT(expected); i++) {
		size_t size = strlen(expected[i].text);

		assert_int_equal(ftruncate(file, 0), 0);
		assert_int_equal(pwrite(file, expected[i].text, size, 0), size);
		(void)strcpy(id, "untouched");
		assert_int_equal(service_machine_id(path, id), expected[i].id != NULL);
		assert_string_equal(id, expected[i].id ? expected[i].id : "untouched");
	}
	(void)close(file);
	(void)unlink(path);
	assert_false(service_machine_id(path, id));
}

/* Prefork workers share a resource; whatever makes a difference on the wire makes another one. */
static void equal_resources_are_one_pointer(void **state)
{
	const struct service_facts master = { .otel_service_name = "shop", .otel_resource_attributes = "a=1,b=2" };
	const struct service_facts worker = { .otel_service_name = "shop",
					      .otel_resource_attributes = "b=2,a=1",
					      .executable = "/srv/worker",
					      .unit = "shop" };
	const struct service_facts other[] = {
		{ .otel_service_name = "shop", .otel_resource_attributes = "a=1,b=3" },
		{ .otel_service_name = "shop", .otel_resource_attributes = "a=1" },
		{ .otel_service_name = "shop", .otel_resource_attributes = "a=1b,=2" },
		{ .otel_service_name = "shop2", .otel_resource_attributes = "a=1,b=2" },
	};
	const struct resource *resource = resource_of(*state, &master);

	assert_ptr_equal(resource_of(*state, &worker), resource);
	for (size_t i = 0; i < COUNT(other); i++) {
		assert_ptr_not_equal(resource_of(*state, &other[i]), resource);
		assert_ptr_equal(resource_of(*state, &other[i]), resource_of(*state, &other[i]));
	}
	/* As it was: interning others moved nothing. */
	assert_string_equal(attribute_of(resource, "b"), "2");
	assert_ptr_equal(resource_of(*state, &master), resource);
}

/* Asking again for what is known costs no memory: hosts start millions of short-lived processes. */
static void known_resources_take_no_more_memory(void **state)
{
	const struct service_facts facts = { .otel_service_name = "shop", .otel_resource_attributes = "a=1,b=2" };
	size_t before, after;

	(void)resource_of(*state, &facts);
	before = __sanitizer_get_current_allocated_bytes();
	for (int i = 0; i < 5000; i++)
		(void)resource_of(*state, &facts);
	after = __sanitizer_get_current_allocated_bytes();
	assert_true(after <= before);
}

/* The same after a restart of the agent, another one for another service: 8-4-4-4-12 hexadecimal digits, version 8. */
static void instance_id_is_stable_and_told_apart_by_name(void **state)
{
	const struct service_facts shop = { .otel_service_name = "shop" }, mail = { .otel_service_name = "mail" };
	struct services *restarted = services_new("another default");
	const char *id = attribute_of(resource_of(*state, &shop), "service.instance.id"), *other;

	assert_string_equal(attribute_of(resource_of(restarted, &shop), "service.instance.id"), id);
	/* In both halves. */
	other = attribute_of(resource_of(*state, &mail), "service.instance.id");
	assert_memory_not_equal(other, id, 14);
	assert_memory_not_equal(other + 19, id + 19, 17);
	assert_int_equal(strlen(id), 36);
	for (size_t i = 0; i < 36; i++)
		assert_true(i == 8 || i == 13 || i == 18 || i == 23 ? id[i] == '-' :
								      strchr("0123456789abcdef", id[i]) != NULL);
	assert_int_equal(id[14], '8');
	assert_non_null(strchr("89ab", id[19]));
	services_free(restarted);
}

/* Hosts with one machine-id and another identity. */
static void instance_id_tells_hosts_apart(void **state)
{
	const struct service_facts shop = { .otel_service_name = "shop" };
	const char *here = attribute_of(resource_of(*state, &shop), "service.instance.id"), *there;
	struct services *other = services_new(DEFAULT);

	services_host(other, "another");
	there = attribute_of(resource_of(other, &shop), "service.instance.id");
	assert_memory_not_equal(here, there, 14);
	assert_memory_not_equal(here + 19, there + 19, 17);
	services_free(other);
}

#define CONTAINER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Two pods of one name; what the environment says of a container wins, as it does for all attributes. */
static void container_is_part_of_the_resource(void **state)
{
	const struct service_facts bare = { .otel_service_name = "shop" };
	const struct service_facts pod = {
		.otel_service_name = "shop",
		.cgroup = "0::/kubepods/pod1234abcd-0000-1111-2222-abcdefabcdef/" CONTAINER "\n",
	};
	const struct service_facts own = {
		.otel_service_name = "shop",
		.otel_resource_attributes = "container.id=mine",
		.cgroup = "0::/docker/" CONTAINER "\n",
	};
	const struct resource *resource = resource_of(*state, &pod);

	assert_string_equal(attribute_of(resource, "container.id"), CONTAINER);
	assert_string_equal(attribute_of(resource, "k8s.pod.uid"), "1234abcd-0000-1111-2222-abcdefabcdef");
	assert_null(attribute_of(resource_of(*state, &bare), "container.id"));
	assert_string_not_equal(attribute_of(resource, "service.instance.id"),
				attribute_of(resource_of(*state, &bare), "service.instance.id"));
	assert_string_equal(attribute_of(resource_of(*state, &own), "container.id"), "mine");
	assert_null(attribute_of(resource_of(*state, &own), "k8s.pod.uid"));
}

/* Ever new attributes take no memory for ever: from some number on they are one service, and who is known stays himself. */
static void too_many_resources_are_one(void **state)
{
	char attributes[64];
	const struct service_facts shop = { .otel_service_name = "shop" };
	const struct service_facts noisy = { .otel_service_name = "noisy", .otel_resource_attributes = attributes };
	const struct resource *known = resource_of(*state, &shop), *last = NULL, *before = NULL;
	size_t distinct = 0;

	for (int i = 0; i < 8192 + 100; i++) {
		(void)snprintf(attributes, sizeof(attributes), "run=%d", i);
		before = last;
		last = resource_of(*state, &noisy);
		distinct += last != before;
	}
	assert_ptr_equal(last, before);
	assert_string_equal(attribute_of(last, "service.name"), "unknown_service");
	assert_int_equal(distinct, 8192);
	assert_ptr_equal(resource_of(*state, &shop), known);
	(void)snprintf(attributes, sizeof(attributes), "run=7");
	assert_string_equal(attribute_of(resource_of(*state, &noisy), "service.name"), "noisy");
}

/* Whatever a service calls itself, it is not taken for the agent, whose metrics say what was dropped. */
static void nobody_passes_for_the_agent(void **state)
{
	const struct resource *agent;
	const char *id;
	char copy[128];
	const struct service_facts same = { .otel_service_name = "probemeter" };
	const struct service_facts copied = { .otel_service_name = "probemeter", .otel_resource_attributes = copy };

	assert_int_equal(services_agent(*state, NULL, NULL, 0, &agent), 0);
	id = attribute_of(agent, "service.instance.id");
	assert_string_not_equal(attribute_of(resource_of(*state, &same), "service.instance.id"), id);
	(void)snprintf(copy, sizeof(copy), "service.version=%s,service.instance.id=%s", attribute_of(agent, "service.version"), id);
	assert_ptr_not_equal(resource_of(*state, &copied), agent);
	assert_string_not_equal(attribute_of(resource_of(*state, &copied), "service.instance.id"), id);
}

/* A pid that comes again is another process; an instance id out of the environment would be the same for all children. */
static void process_by_itself_has_its_pid_and_start(void **state)
{
	const struct service_facts facts[] = {
		{ .otel_service_name = "shop", .pid = 7, .start_ticks = 100, .otel_resource_attributes = "service.instance.id=x" },
		{ .otel_service_name = "shop", .pid = 8, .start_ticks = 100 },
		{ .otel_service_name = "shop", .pid = 7, .start_ticks = 200 },
	};

	for (size_t i = 0; i < COUNT(facts); i++) {
		const struct resource *resource = resource_of(*state, &facts[i]);

		assert_string_equal(attribute_of(resource, "process.pid"), facts[i].pid == 7 ? "7" : "8");
		assert_string_not_equal(attribute_of(resource, "service.instance.id"), "x");
		for (size_t n = 0; n < i; n++)
			assert_string_not_equal(attribute_of(resource, "service.instance.id"),
						attribute_of(resource_of(*state, &facts[n]), "service.instance.id"));
	}
}

/* Rules give names to those who have none, and take names from those who may not have them, whatever they came from. */
static void rules_give_and_refuse_names(void **state)
{
	static const struct {
		struct service_facts facts;
		const char *name;
	} expected[] = {
		{ FACTS("orders", NULL, NULL, "/srv/orders", "x", false), "orders" },
		{ FACTS("orders", NULL, NULL, "/tmp/a", "cron", false), "cron" },
		{ FACTS("orders", "service.name=mail", NULL, "/tmp/a", "cron", false), "mail" },
		{ FACTS(NULL, "service.name=orders", "shop", "/tmp/a", NULL, false), "shop" },
		{ FACTS(NULL, NULL, "orders", "/tmp/a", NULL, true), DEFAULT },
		{ FACTS("orders", NULL, NULL, "/tmp/a", "orders", false), "unknown_service:a" },
		{ FACTS("orders", NULL, NULL, "/opt/b", "orders", true), "given" },
		{ FACTS("orders ", NULL, NULL, "/opt/b", NULL, true), "orders " },
	};
	struct rules *rules = rules_new();
	char error[256];

	assert_int_equal(rules_add(rules, "name orders path:/srv/*", error, sizeof(error)), 0);
	assert_int_equal(rules_add(rules, "name given path:/srv/*", error, sizeof(error)), 0);
	assert_int_equal(rules_add(rules, "service path:/opt/* given", error, sizeof(error)), 0);
	services_rules(*state, rules);
	for (size_t i = 0; i < COUNT(expected); i++)
		assert_string_equal(service_name(resource_of(*state, &expected[i].facts)), expected[i].name);
	rules_free(rules);
}

/* Names come from strangers' environments: what is not UTF-8 must not reach a collector, which would refuse the export. */
static void names_are_made_valid_utf8(void **state)
{
	const struct service_facts own = { .otel_service_name = "sh\xffop" };
	const struct service_facts tracing = { .tracing_service_name = "\xc3" };
	const struct service_facts unknown = { .executable = "/srv/\xe2\x82" };

	assert_string_equal(service_name(resource_of(*state, &own)), "sh\xef\xbf\xbdop");
	assert_string_equal(service_name(resource_of(*state, &tracing)), "\xef\xbf\xbd");
	assert_string_equal(service_name(resource_of(*state, &unknown)), "unknown_service:\xef\xbf\xbd");
}

/* The same for all that a process can say of itself: no byte of it makes an attribute that is not UTF-8, or is there twice. */
static void every_attribute_is_valid_utf8(void **state)
{
	char text[2][64];
	uint64_t random = 7;

	for (int round = 0; round < 2000; round++) {
		struct service_facts facts = { .otel_service_name = round % 3 ? text[0] : NULL,
					       .otel_resource_attributes = text[1],
					       .tracing_service_name = round % 2 ? text[0] : NULL,
					       .executable = text[0],
					       .unit = round % 5 ? NULL : text[0] };
		const struct resource *resource;

		for (size_t t = 0; t < 2; t++) {
			size_t length = 1 + round % 62;

			for (size_t i = 0; i < length; i++) {
				random = random * 6364136223846793005u + 1442695040888963407u;
				text[t][i] = t && random >> 62 ? "=,%ef0189ab c"[(random >> 33) % 13] : (char)(random >> 40 | 1);
			}
			text[t][length] = '\0';
		}
		resource = resource_of(*state, &facts);
		for (size_t i = 0; i < resource->attribute_count; i++) {
			const struct attribute *one = &resource->attribute[i];

			assert_true(*one->key && utf8_valid(one->key, strlen(one->key)));
			assert_true(utf8_valid(one->value, strlen(one->value)));
			assert_true(!i || strcmp(resource->attribute[i - 1].key, one->key) < 0);
		}
	}
}

/* An absurd path is cut, not written past a buffer. */
static void long_names_are_survived(void **state)
{
	char path[5000];
	const struct service_facts unknown = { .executable = path }, own = { .otel_service_name = path };

	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_memory_equal(service_name(resource_of(*state, &unknown)), "unknown_service:ppp", 19);
	assert_string_equal(service_name(resource_of(*state, &own)), path);
}

/* The agent's own metrics: a name of their own, whatever the default for services is, or what its variables say. */
static void agent_is_a_service_called_probemeter(void **state)
{
	static const struct attribute given[] = { { "team", "platform" }, { "service.name", "wrong" } };
	const struct resource *resource;

	assert_int_equal(services_agent(*state, NULL, NULL, 0, &resource), 0);
	assert_string_equal(service_name(resource), "probemeter");
	assert_int_equal(services_agent(*state, "watcher\xff", given, COUNT(given), &resource), 0);
	assert_string_equal(service_name(resource), "watcher\xef\xbf\xbd");
	assert_string_equal(attribute_of(resource, "team"), "platform");
	assert_string_equal(attribute_of(resource, "service.version"), PROBEMETER_VERSION);
}

/* Only the scopes of the documented catalogue give a process the default name. */
static void catalogue_is_known_by_its_scopes(void **state)
{
	static const char *const scopes[] = {
		"ExecutionMetrics", "CoordinatorMetrics", "RateLimitMetrics",	 "EventMetrics", "DatabaseMetrics",
		"ConnectionMetrics", "HealthMetrics",	   "NotificationMetrics", "DLQMetrics",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scopes); i++)
		assert_true(service_scope_is_catalogue(scopes[i]));
	assert_false(service_scope_is_catalogue("probemeter"));
	assert_false(service_scope_is_catalogue("executionmetrics"));
	assert_false(service_scope_is_catalogue("ExecutionMetrics2"));
	assert_false(service_scope_is_catalogue(""));
}

#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* The text of /proc/PID/cgroup as hosts and containers have it; NULL: no unit. */
static void unit_is_the_innermost_service_of_the_cgroup(void **state)
{
	static const struct {
		const char *text;
		const char *unit;
	} expected[] = {
		/* v2 */
		{ "0::/system.slice/shop.service\n", "shop" },
		{ "0::/system.slice/shop.service", "shop" },
		{ "0::/system.slice/system-shop.slice/shop@7.service\n", "shop@7" },
		{ "0::/system.slice/shop.service/workers/3\n", "shop" },
		{ "0::/system.slice/shop\\x2dnew.service\n", "shop\\x2dnew" },
		{ "0::/system.slice/tenant:shop.service\n", "tenant:shop" },
		{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service\n", "shop" },
		{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service/worker\n", "shop" },
		{ "0::/user.slice/user-1000.slice/session-2.scope\n", NULL },
		{ "0::/init.scope\n", NULL },
		{ "0::/\n", NULL },
		/* v1: a line per controller; some have only part of the path */
		{ "12:cpuset:/\n11:memory:/system.slice/shop.service\n1:name=systemd:/system.slice/shop.service\n0::/\n",
		  "shop" },
		{ "3:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/shop.service\n", "shop" },
		/* Containers have no unit of their own. */
		{ "0::/system.slice/docker-" ID64 ".scope\n", NULL },
		{ "0::/docker/" ID64 "\n", NULL },
		{ "11:memory:/docker/" ID64 "\n1:name=systemd:/docker/" ID64 "\n", NULL },
		{ "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-" ID64 ".scope\n",
		  NULL },
		{ "0::/../../kubepods-besteffort-pod1.slice\n", NULL },
		/* Looks like one and is none. */
		{ "0::/system.slice/shop.services\n", NULL },
		{ "0::/shop.service.d/x\n", NULL },
		{ "0::/system.slice/.service\n", NULL },
		{ "0::/.service/shop.service\n", "shop" },
		{ "", NULL },
	};
	char unit[64];

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		(void)strcpy(unit, "untouched");
		if (expected[i].unit) {
			assert_int_equal(service_unit(expected[i].text, unit, sizeof(unit)), 0);
			assert_string_equal(unit, expected[i].unit);
		} else {
			assert_int_equal(service_unit(expected[i].text, unit, sizeof(unit)), -ENOENT);
			assert_string_equal(unit, "untouched");
		}
	}
	/* No room, no name: half a unit's name is another unit's. */
	assert_int_equal(service_unit("0::/abcd.service", unit, 4), -ENOENT);
	assert_int_equal(service_unit("0::/abcd.service", unit, 5), 0);
	assert_string_equal(unit, "abcd");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(name_comes_from_the_first_source_that_has_one),
		TEST(broken_attributes_are_discarded_and_nothing_else),
		TEST(attributes_of_the_process_come_out),
		TEST(resource_is_completed_and_ordered),
		TEST(architecture_has_its_conventional_name),
		TEST(machine_id_is_read_whole_or_not_at_all),
		TEST(equal_resources_are_one_pointer),
		TEST(known_resources_take_no_more_memory),
		TEST(instance_id_is_stable_and_told_apart_by_name),
		TEST(instance_id_tells_hosts_apart),
		TEST(nobody_passes_for_the_agent),
		TEST(too_many_resources_are_one),
		TEST(container_is_part_of_the_resource),
		TEST(process_by_itself_has_its_pid_and_start),
		TEST(rules_give_and_refuse_names),
		TEST(names_are_made_valid_utf8),
		TEST(every_attribute_is_valid_utf8),
		TEST(long_names_are_survived),
		TEST(agent_is_a_service_called_probemeter),
		TEST(catalogue_is_known_by_its_scopes),
		TEST(unit_is_the_innermost_service_of_the_cgroup),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
