/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules.c - parse rules and match processes against them.
 *
 * Consumes lines of the grammar in rules.h and facts of a process; produces verdicts. Pure, but for reading a file.
 * What a verdict leads to is for run.c (attach or not), owner.c (count or not) and service.c (names).
 */
#include "rules.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <probemeter/probemeter.h>

#include "arena.h"
#include "service.h"
#include "utf8.h"

#define MAX_FILE_BYTES (1 << 20)

struct rule {
	struct rule *next;
	enum rule_verb verb;
	const struct selector *kind;
	const char *glob;
	unsigned long first, last; /* user ids */
	const char *name;
};

struct rules {
	struct arena *arena;
	struct rule *first, **end;
	bool choose, include, by_uid;
};

static bool path_matches(const struct rule *rule, const struct service_facts *facts)
{
	return facts->executable && !fnmatch(rule->glob, facts->executable, 0);
}

static bool unit_matches(const struct rule *rule, const struct service_facts *facts)
{
	char full[280]; /* as systemctl has it */

	if (!facts->unit)
		return false;
	(void)snprintf(full, sizeof(full), "%s.service", facts->unit);
	return !fnmatch(rule->glob, facts->unit, 0) || !fnmatch(rule->glob, full, 0);
}

/* The path behind the second colon of each line, one per hierarchy. */
static bool cgroup_matches(const struct rule *rule, const struct service_facts *facts)
{
	const char *line = facts->cgroup ? facts->cgroup : "", *end, *path;
	char text[4096];

	for (; *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		path = memchr(line, ':', (size_t)(end - line));
		path = path ? memchr(path + 1, ':', (size_t)(end - path) - 1) : NULL;
		if (!path || (size_t)(end - path) > sizeof(text))
			continue;
		(void)snprintf(text, sizeof(text), "%.*s", (int)(end - path) - 1, path + 1);
		if (!fnmatch(rule->glob, text, 0))
			return true;
	}
	return false;
}

static bool any_matches(const struct rule *rule, const struct service_facts *facts)
{
	return path_matches(rule, facts) || unit_matches(rule, facts) || cgroup_matches(rule, facts);
}

static bool uid_matches(const struct rule *rule, const struct service_facts *facts)
{
	return facts->has_uid && facts->uid >= rule->first && facts->uid <= rule->last;
}

/* The last one has no prefix. */
static const struct selector {
	const char *prefix;
	bool (*matches)(const struct rule *rule, const struct service_facts *facts);
	bool of_file;
} selectors[] = {
	{ "path:", path_matches, true },     { "cgroup:", cgroup_matches, false }, { "unit:", unit_matches, false },
	{ "uid:", uid_matches, false }, { "", any_matches, true },
};

static const struct {
	const char *word;
	bool selector_first;
	bool has_name;
} verbs[] = {
	[RULE_INCLUDE] = { "include", true, false },
	[RULE_EXCLUDE] = { "exclude", true, false },
	[RULE_SERVICE] = { "service", true, true },
	[RULE_NAME] = { "name", false, true },
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

struct rules *rules_new(void)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (rules)
		rules->arena = arena_new();
	if (rules && !rules->arena) {
		free(rules);
		return NULL;
	}
	if (rules)
		rules->end = &rules->first;
	return rules;
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	arena_free(rules->arena);
	free(rules);
}

static bool uids_parse(const char *text, struct rule *rule)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	rule->first = rule->last = strtoul(text, &end, 10);
	if (*end == '-' && isdigit((unsigned char)end[1]))
		rule->last = strtoul(end + 1, &end, 10);
	return !*end && rule->first <= rule->last && rule->last <= 0xffffffff;
}

/* A kind of selector that nobody knows is more likely misspelt than a GLOB, and a rule that matches nothing is found late. */
static bool kind_misspelt(const struct rule *rule)
{
	return rule->kind->matches == any_matches && rule->glob[strspn(rule->glob, "abcdefghijklmnopqrstuvwxyz_")] == ':';
}

static int rule_add(struct rules *rules, enum rule_verb verb, const char *selector, const char *name, char *error,
		    size_t error_size)
{
	struct rule *rule = arena_alloc(rules->arena, sizeof(*rule), sizeof(void *));

	if (!rule)
		return -ENOMEM;
	rule->verb = verb;
	for (rule->kind = selectors; strncmp(selector, rule->kind->prefix, strlen(rule->kind->prefix)); rule->kind++)
		;
	rule->glob = arena_strdup(rules->arena, selector + strlen(rule->kind->prefix));
	rule->name = name ? arena_strdup(rules->arena, name) : NULL;
	if (!rule->glob || (name && !rule->name))
		return -ENOMEM;
	if (!*rule->glob || kind_misspelt(rule) || (rule->kind->matches == uid_matches && !uids_parse(rule->glob, rule))) {
		(void)snprintf(error, error_size,
			       "'%.200s': expected path:GLOB, cgroup:GLOB, unit:GLOB, uid:N or uid:N-M, or a GLOB of any of the first three",
			       selector);
		return -EINVAL;
	}
	if (name && (!*name || !utf8_valid(name, strlen(name)))) {
		(void)snprintf(error, error_size, "expected a name for '%.200s'", selector);
		return -EINVAL;
	}
	rules->choose |= verb == RULE_INCLUDE || verb == RULE_EXCLUDE;
	rules->include |= verb == RULE_INCLUDE;
	rules->by_uid |= rule->kind->matches == uid_matches;
	*rules->end = rule;
	rules->end = &rule->next;
	return 0;
}

static char *word_cut(char **at)
{
	char *word = *at + strspn(*at, " \t\r\n");

	*at = word + strcspn(word, " \t\r\n");
	if (**at)
		*(*at)++ = '\0';
	return word;
}

int rules_add(struct rules *rules, const char *line, char *error, size_t error_size)
{
	char *copy = strdup(line), *at = copy, *word[3], *rest;
	size_t verb;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	word[0] = word_cut(&at);
	word[1] = word_cut(&at);
	word[2] = word_cut(&at);
	rest = word_cut(&at);
	for (verb = 0; verb < VERBS && strcmp(word[0], verbs[verb].word); verb++)
		;
	if (*word[0] && *word[0] != '#') {
		if (verb == VERBS || !*word[1] || *rest || !*word[2] == verbs[verb].has_name) {
			(void)snprintf(error, error_size,
				       "expected include SELECTOR, exclude SELECTOR, service SELECTOR NAME or name NAME SELECTOR");
			err = -EINVAL;
		} else {
			bool first = verbs[verb].selector_first;

			err = rule_add(rules, (enum rule_verb)verb, word[first ? 1 : 2],
				       verbs[verb].has_name ? word[first ? 2 : 1] : NULL, error, error_size);
		}
	}
	free(copy);
	return err;
}

int rules_add_argument(struct rules *rules, enum rule_verb verb, const char *argument, char *error, size_t error_size)
{
	const char *equals = verb == RULE_SERVICE ? strrchr(argument, '=') : NULL;
	char *selector;
	int err;

	if (verb == RULE_SERVICE && !equals) {
		(void)snprintf(error, error_size, "'%.200s': expected GLOB=NAME", argument);
		return -EINVAL;
	}
	selector = strndup(argument, equals ? (size_t)(equals - argument) : strlen(argument));
	if (!selector)
		return -ENOMEM;
	err = rule_add(rules, verb, selector, equals ? equals + 1 : NULL, error, error_size);
	free(selector);
	return err;
}

/* A regular file of bounded size: a FIFO would be waited for, and a device may have no end. */
static int file_open(const char *path, FILE **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size > MAX_FILE_BYTES)
		err = -EFBIG;
	else if (!(*ret = fdopen(fd, "r")))
		err = -errno;
	if (err)
		(void)close(fd);
	return err;
}

int rules_add_file(struct rules *rules, const char *path, char *error, size_t error_size)
{
	char *line = NULL, why[400];
	FILE *file = NULL;
	unsigned number = 0;
	size_t room = 0;
	int err = file_open(path, &file);

	if (err) {
		(void)snprintf(error, error_size, "'%.200s': %s", path, err == -EINVAL ? "not a regular file" : strerror(-err));
		return err;
	}
	while (!err && getline(&line, &room, file) >= 0) {
		number++;
		err = rules_add(rules, line, why, sizeof(why));
		if (err == -EINVAL)
			(void)snprintf(error, error_size, "'%.200s' line %u: %s", path, number, why);
	}
	if (!err && ferror(file)) {
		err = -EIO;
		(void)snprintf(error, error_size, "'%.200s': cannot be read", path);
	}
	free(line);
	(void)fclose(file);
	return err;
}

bool rules_file(const struct rules *rules, const char *path)
{
	const struct service_facts file = { .executable = path };
	const struct rule *rule;

	for (rule = rules ? rules->first : NULL; rule; rule = rule->next)
		if (rule->verb == RULE_EXCLUDE && rule->kind->of_file && rule->kind->matches(rule, &file))
			return false;
	return true;
}

bool rules_process(const struct rules *rules, const struct service_facts *facts)
{
	const struct rule *rule;
	bool included = !rules || !rules->include;

	for (rule = rules ? rules->first : NULL; rule; rule = rule->next) {
		if (rule->verb > RULE_EXCLUDE || !rule->kind->matches(rule, facts))
			continue;
		if (rule->verb == RULE_EXCLUDE)
			return false;
		included = true;
	}
	return included;
}

const char *rules_service(const struct rules *rules, const struct service_facts *facts)
{
	const struct rule *rule;

	for (rule = rules ? rules->first : NULL; rule; rule = rule->next)
		if (rule->verb == RULE_SERVICE && rule->kind->matches(rule, facts))
			return rule->name;
	return NULL;
}

bool rules_name(const struct rules *rules, const char *name, const struct service_facts *facts)
{
	const struct rule *rule;
	bool allowed = true;

	for (rule = rules ? rules->first : NULL; rule; rule = rule->next) {
		if (rule->verb != RULE_NAME || fnmatch(rule->name, name, 0))
			continue;
		if (rule->kind->matches(rule, facts))
			return true;
		allowed = false;
	}
	return allowed;
}

bool rules_choose(const struct rules *rules)
{
	return rules && rules->choose;
}

bool rules_by_uid(const struct rules *rules)
{
	return rules && rules->by_uid;
}

uint64_t rules_hash(const struct rules *rules)
{
	const struct rule *rule;
	uint64_t hash = 0;

	for (rule = rules ? rules->first : NULL; rule; rule = rule->next) {
		hash = probemeter_hash_label_(hash + 1 + rule->verb, rule->kind->prefix);
		hash = probemeter_hash_label_(probemeter_hash_label_(hash, rule->glob), rule->name ? rule->name : "");
	}
	return hash;
}
