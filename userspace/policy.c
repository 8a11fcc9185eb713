/* SPDX-License-Identifier: BSD-2-Clause */
/* policy.c - consumes options, produces rules: those given one by one, then those of the policy file. */
#include "policy.h"

#include <errno.h>
#include <stdio.h>

#include "options.h"
#include "rules.h"

int policy_read(const struct options *options, struct rules **ret, char *error, size_t error_size)
{
	const struct {
		const struct texts *texts;
		enum rule_verb verb;
	} given[] = {
		{ &options->includes, RULE_INCLUDE },
		{ &options->excludes, RULE_EXCLUDE },
		{ &options->services, RULE_SERVICE },
	};
	struct rules *rules = rules_new();
	size_t i, n;
	int err = rules ? 0 : -ENOMEM;

	(void)snprintf(error, error_size, "out of memory");
	for (i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		for (n = 0; !err && n < given[i].texts->count; n++)
			err = rules_add_argument(rules, given[i].verb, given[i].texts->text[n], error, error_size);
	if (!err && options->policy)
		err = rules_add_file(rules, options->policy, error, error_size);
	if (err)
		rules_free(rules);
	else
		*ret = rules;
	return err;
}
