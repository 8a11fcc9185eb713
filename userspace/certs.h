/* SPDX-License-Identifier: BSD-2-Clause */
/* certs.h - the PEM files that a TLS connection needs, and whether they are still the ones that were read. */
#ifndef PROBEMETER_CERTS_H
#define PROBEMETER_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct options;

enum certs_role { CERTS_AUTHORITY, CERTS_CLIENT, CERTS_KEY, CERTS_ROLES };

/* Zeroed is right to start with, and to end with. */
struct certs {
	struct certs_file {
		char *variable; /* which named it */
		char *path; /* NULL: the user named none */
		struct stat seen; /* once @known */
		bool known;
	} file[CERTS_ROLES];
	bool changed; /* and not told yet */
};

/* Copies what it needs of @options. Return: 0, -ENOMEM; certs_free() in either case. */
int certs_init(struct certs *certs, const struct options *options);

/**
 * certs_look - can they be read, and has one been replaced or written to since the last look?
 * @ret_changed: false at the first look
 * @problem:     on failure: which variable and file, and why
 *
 * Return: 0, or -errno of the file that cannot be read.
 */
int certs_look(struct certs *certs, bool *ret_changed, char *problem, size_t problem_size);

void certs_free(struct certs *certs);

#endif
