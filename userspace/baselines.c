/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * baselines.c - what was acknowledged outlives the agent, as the totals do.
 *
 * Consumes a delta's state, packed (delta.c); produces a file, replaced by one rename each time, and the state again. It
 * lies beside the lock, whose holder alone writes it.
 */
#include "baselines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "delta.h"
#include "journal.h"

#define MAGIC 0x31617465646d70ull /* "pmdelta1": another form is another number */

struct head {
	uint64_t magic;
	uint64_t life;
	uint64_t unanswered;
	uint64_t size; /* of what follows */
};

static int path_of(const char *directory, const char *suffix, char *ret, size_t size)
{
	return (size_t)snprintf(ret, size, "%s/baselines%s", directory, suffix) < size ? 0 : -ENAMETOOLONG;
}

static int all_write(int fd, const void *data, size_t size)
{
	const char *at = data;
	ssize_t done;

	for (; size; at += done, size -= (size_t)done) {
		done = write(fd, at, size);
		if (done < 0)
			return -errno;
	}
	return 0;
}

int baselines_save(const char *directory, uint64_t life, const struct delta *delta, uint64_t unanswered)
{
	struct journal_pack pack = { 0 };
	char path[512], fresh[512];
	struct head head;
	int err, fd;

	delta_pack(delta, &pack);
	head = (struct head){ .magic = MAGIC, .life = life, .unanswered = unanswered, .size = pack.size };
	err = pack.failed ? -ENOMEM : path_of(directory, "", path, sizeof(path));
	if (!err)
		err = path_of(directory, ".new", fresh, sizeof(fresh));
	fd = err ? -1 : open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (!err && fd < 0)
		err = -errno;
	if (!err)
		err = all_write(fd, &head, sizeof(head));
	if (!err)
		err = all_write(fd, pack.data, pack.size);
	if (fd >= 0)
		(void)close(fd);
	if (!err && rename(fresh, path))
		err = -errno;
	pack_free(&pack);
	return err;
}

/* The whole file, from malloc(). */
static int all_read(const char *path, uint8_t **ret, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), err = fd < 0 ? -errno : 0;
	uint8_t *data = NULL;
	size_t size = 0;
	struct stat st;
	ssize_t got;

	if (err)
		return err;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(struct head))
		err = -EBADMSG;
	if (!err) {
		data = malloc((size_t)st.st_size);
		err = data ? 0 : -ENOMEM;
	}
	while (!err && size < (size_t)st.st_size) {
		got = read(fd, data + size, (size_t)st.st_size - size);
		if (got <= 0)
			err = got ? -errno : -EBADMSG;
		else
			size += (size_t)got;
	}
	(void)close(fd);
	if (err) {
		free(data);
		return err;
	}
	*ret = data;
	*ret_size = size;
	return 0;
}

int baselines_load(const char *directory, uint64_t life, struct delta *delta, uint64_t *ret_unanswered)
{
	struct journal_record record = { 0 };
	char path[512];
	struct head head;
	uint8_t *data;
	size_t size;
	int err = path_of(directory, "", path, sizeof(path));

	if (!err)
		err = all_read(path, &data, &size);
	if (err)
		return err;
	memcpy(&head, data, sizeof(head));
	if (head.magic != MAGIC || head.size != size - sizeof(head))
		err = -EBADMSG;
	else if (head.life != life)
		err = -ENOENT;
	if (!err) {
		record.at = data + sizeof(head);
		record.end = data + size;
		err = delta_unpack(delta, &record);
	}
	if (!err)
		*ret_unanswered = head.unanswered;
	free(data);
	return err;
}

void baselines_remove(const char *directory)
{
	char path[512];

	if (!path_of(directory, "", path, sizeof(path)))
		(void)unlink(path);
	if (!path_of(directory, ".new", path, sizeof(path)))
		(void)unlink(path);
}
