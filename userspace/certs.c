/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * certs.c - watch the files with certificates and key, which others rotate while the agent runs.
 *
 * Consumes paths, produces "changed" or the reason why one cannot be read. Looking again before each request costs
 * three system calls a file and needs no descriptor that is held, and it follows symbolic links that are switched over,
 * as Kubernetes does it. What is in the files is for curl to judge.
 */
#include "certs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

int certs_init(struct certs *certs, const struct options *options)
{
	const struct {
		enum option_key key;
		const char *path;
	} from[CERTS_ROLES] = {
		[CERTS_AUTHORITY] = { OPTION_CERTIFICATE, options->certificate },
		[CERTS_CLIENT] = { OPTION_CLIENT_CERTIFICATE, options->client_certificate },
		[CERTS_KEY] = { OPTION_CLIENT_KEY, options->client_certificate ? options->client_key : NULL },
	};

	*certs = (struct certs){ 0 };
	for (size_t i = 0; i < CERTS_ROLES; i++) {
		const char *source = options->source[from[i].key];

		if (!from[i].path)
			continue;
		certs->file[i].path = strdup(from[i].path);
		certs->file[i].variable = strdup(source ? source : "default");
		if (!certs->file[i].path || !certs->file[i].variable)
			return -ENOMEM;
	}
	return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* The time of change too: a copy can keep the time of modification. */
static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

static int file_look(const struct certs_file *file, struct stat *ret)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, ret))
		err = -errno;
	else if (!S_ISREG(ret->st_mode))
		err = S_ISDIR(ret->st_mode) ? -EISDIR : -EINVAL; /* curl would wait for who writes to a FIFO */
	(void)close(fd);
	return err;
}

int certs_look(struct certs *certs, bool *ret_changed, char *problem, size_t problem_size)
{
	for (size_t i = 0; i < CERTS_ROLES; i++) {
		struct certs_file *file = &certs->file[i];
		struct stat now;
		int err;

		if (!file->path)
			continue;
		err = file_look(file, &now);
		if (err) {
			(void)snprintf(problem, problem_size, "%s: '%s' cannot be read: %s", file->variable, file->path,
				       strerror(-err));
			return err;
		}
		certs->changed = certs->changed || (file->known && !same_file(&file->seen, &now));
		file->seen = now;
		file->known = true;
	}
	*ret_changed = certs->changed;
	certs->changed = false;
	return 0;
}

void certs_free(struct certs *certs)
{
	for (size_t i = 0; i < CERTS_ROLES; i++) {
		free(certs->file[i].variable);
		free(certs->file[i].path);
	}
	*certs = (struct certs){ 0 };
}
