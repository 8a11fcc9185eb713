/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - `probemeter check`: each requirement, pass or fail, with the remedy.
 *
 * A table of requirements; each is looked at for itself, so that one failure hides no other.
 */
#include "check.h"

#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "kernel.h"
#include "log.h"
#include "options.h"
#include "privilege.h"
#include "trial.h"

#define BTF_MAGIC 0xeb9f

static bool kernel_new_enough(char *detail, size_t size)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return false;
	(void)snprintf(detail, size, "Linux %s", name.release);
	return major > 5 || (major == 5 && minor >= 15);
}

/* There and readable is not enough: a container may show an empty file in its place. */
static bool has_btf(char *detail, size_t size)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	FILE *file = fopen(path, "re");
	uint16_t magic = 0;
	bool read = file && fread(&magic, sizeof(magic), 1, file) == 1;

	(void)snprintf(detail, size, read && magic == BTF_MAGIC ? "%s" : read ? "%s is not BTF" : "no %s", path);
	if (file)
		(void)fclose(file);
	return read && magic == BTF_MAGIC;
}

static bool has_capabilities(char *detail, size_t size)
{
	char missing[600];

	if (!privilege_missing(missing, sizeof(missing))) {
		(void)snprintf(detail, size, "all held");
		return true;
	}
	(void)snprintf(detail, size, "missing: %s", missing);
	return false;
}

static bool programs_load(char *detail, size_t size)
{
	struct trial trial;
	int err = trial_run(KERNEL_LINKS_AUTO, &trial);

	if (err)
		(void)snprintf(detail, size, "%s", strerror(-err));
	else
		trial_describe(&trial, detail, size);
	return !err && trial.result[trial.way].counts;
}

static const struct requirement {
	const char *name;
	const char *why;
	const char *remedy;
	bool (*met)(char *detail, size_t size);
	bool first; /* without it nothing else is worth trying */
} requirements[] = {
	{ "kernel", "attach cookies are as old as 5.15", "boot Linux 5.15 or newer", kernel_new_enough, true },
	{ "btf", "the programs are fitted to this kernel's types", "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y", has_btf,
	  true },
	{ "capabilities", "each is needed for one thing, see README", "run as root", has_capabilities, true },
	{ "probes", "the agent loads its programs and counts hits of a stub of its own",
	  "see the lines above; if they pass, run with OTEL_LOG_LEVEL=debug and look for the kernel's own words",
	  programs_load, false },
};
#define REQUIREMENTS (sizeof(requirements) / sizeof(requirements[0]))

bool check_refuses(char *ret, size_t size)
{
	char detail[640] = "";
	size_t i;

	for (i = 0; i < REQUIREMENTS; i++) {
		if (!requirements[i].first || requirements[i].met(detail, sizeof(detail)))
			continue;
		(void)snprintf(ret, size, "%s: %s; %s", requirements[i].name, detail, requirements[i].remedy);
		return true;
	}
	return false;
}

int check(const struct options *options)
{
	json_object *rows = options->json ? json_object_new_array() : NULL;
	size_t failed = 0, i;

	for (i = 0; i < REQUIREMENTS; i++) {
		const struct requirement *r = &requirements[i];
		char detail[640] = "";
		bool met = r->met(detail, sizeof(detail));

		failed += !met;
		if (rows) {
			json_object *row = json_object_new_object();

			json_object_object_add(row, "requirement", json_object_new_string(r->name));
			json_object_object_add(row, "met", json_object_new_boolean(met));
			json_object_object_add(row, "detail", json_object_new_string(detail));
			json_object_object_add(row, "why", json_object_new_string(r->why));
			json_object_object_add(row, "remedy", json_object_new_string(r->remedy));
			json_object_array_add(rows, row);
			continue;
		}
		printf("%s  %-14s %s\n", met ? "pass" : "FAIL", r->name, detail);
		if (!met)
			printf("      why: %s\n      do:  %s\n", r->why, r->remedy);
	}
	if (rows)
		puts(json_object_to_json_string_ext(rows, JSON_C_TO_STRING_PRETTY));
	json_object_put(rows);
	return failed ? 1 : 0;
}
