/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.c - hash.h over the vectors of standard input, printed in the same form. hash.txt explains it. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <probemeter/hash.h>

int main(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		uint64_t hash = PROBEMETER_HASH_SEED;
		char *save = NULL, *word;

		if (line[0] == '#')
			continue;
		line[strcspn(line, "\n")] = '\0';
		word = strstr(line, " = ");
		if (word)
			*word = '\0';
		(void)strtok_r(line, " ", &save);
		printf("hash");
		while ((word = strtok_r(NULL, " ", &save))) {
			static char label[2048];
			char *end = label;

			printf(" %s", word);
			if (!strcmp(word, "null")) {
				hash = probemeter_hash_label_(hash, NULL);
				continue;
			}
			if (!strncmp(word, "hex:", 4)) {
				for (word += 4; *word; word += 2) {
					char byte[] = { word[0], word[1], '\0' };

					*end++ = (char)strtoul(byte, NULL, 16);
				}
			} else if (!strncmp(word, "count:", 6)) {
				long i, n = strtol(word + 6, NULL, 10);

				for (i = 0; i < n; i++)
					*end++ = (char)('a' + i % 23);
			}
			*end = '\0';
			hash = probemeter_hash_label_(hash, label);
		}
		printf(" = %016llx\n", (unsigned long long)hash);
	}
	return 0;
}
