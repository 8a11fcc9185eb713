/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.c - the host's identity, and whether its processes are all before us.
 *
 * Consumes files of /etc, /sys and /var/lib; produces one text. It survives restarts and reboots; a changed first
 * network card or main board makes another host. Clones that also share the firmware's uuid and the card's address, as
 * copies of a running machine's memory may, look the same from inside and cannot be told apart by anybody there.
 */
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE 128

/* The first line of a file without its end; "" if there is none. */
static const char *line_of(const char *root, const char *path, char ret[LINE])
{
	char full[4096];
	FILE *file;

	ret[0] = '\0';
	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	file = fopen(full, "re");
	if (!file)
		return ret;
	if (!fgets(ret, LINE, file))
		ret[0] = '\0';
	(void)fclose(file);
	ret[strcspn(ret, "\n")] = '\0';
	return ret;
}

/* Of the cards, not of bridges and tunnels, the one that the kernel numbered first; its address must be its own. */
static void card_address(const char *root, char ret[LINE])
{
	char path[512], text[LINE];
	unsigned long best = 0, index;
	struct dirent *entry;
	struct stat st;
	DIR *net;

	ret[0] = '\0';
	(void)snprintf(path, sizeof(path), "%s/sys/class/net", root);
	net = opendir(path);
	while (net && (entry = readdir(net))) {
		(void)snprintf(path, sizeof(path), "%s/sys/class/net/%.64s/device", root, entry->d_name);
		if (entry->d_name[0] == '.' || stat(path, &st))
			continue;
		(void)snprintf(path, sizeof(path), "/sys/class/net/%.64s/addr_assign_type", entry->d_name);
		if (strcmp(line_of(root, path, text), "0"))
			continue;
		(void)snprintf(path, sizeof(path), "/sys/class/net/%.64s/ifindex", entry->d_name);
		index = strtoul(line_of(root, path, text), NULL, 10);
		if (!index || (best && index > best))
			continue;
		best = index;
		(void)snprintf(path, sizeof(path), "/sys/class/net/%.64s/address", entry->d_name);
		(void)line_of(root, path, ret);
	}
	if (net)
		(void)closedir(net);
}

static int number_write(const char *path)
{
	unsigned long long random[2];
	char text[40];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;

	if (fd < 0)
		return -errno;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		err = -EIO;
	(void)snprintf(text, sizeof(text), "%016llx%016llx\n", random[0], random[1]);
	errno = EIO;
	if (!err && (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd)))
		err = -errno;
	(void)close(fd);
	return err;
}

/* Whoever comes first makes it, whole or not at all. */
static int number_kept(const char *root, char ret[LINE])
{
	static const char file[] = "/var/lib/probemeter/host-id";
	char path[4096], fresh[4096];
	int err;

	if (strlen(line_of(root, file, ret)) == 2 * 16)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/var/lib/probemeter", root);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s%s", root, file);
	(void)snprintf(fresh, sizeof(fresh), "%s%s.%d", root, file, getpid());
	err = number_write(fresh);
	if (!err && link(fresh, path) && errno != EEXIST)
		err = -errno;
	if (err != -EEXIST)
		(void)unlink(fresh);
	if (err)
		return err;
	return strlen(line_of(root, file, ret)) == 2 * 16 ? 0 : -EINVAL;
}

/* Addresses with this bit are given out by whoever runs the host, often the same ones to all. */
static bool card_is_local(const char *address)
{
	return !*address || strtoul(address, NULL, 16) & 2;
}

int host_identity(const char *root, char ret[HOST_IDENTITY_BYTES])
{
	char machine[LINE], product[LINE], card[LINE], number[LINE] = "";
	int err = 0;

	(void)line_of(root, "/etc/machine-id", machine);
	(void)line_of(root, "/sys/class/dmi/id/product_uuid", product);
	card_address(root, card);
	if (!*product && card_is_local(card))
		err = number_kept(root, number);
	if (err && gethostname(number, sizeof(number) - 1))
		number[0] = '\0';
	(void)snprintf(ret, HOST_IDENTITY_BYTES, "%s/%s/%s/%s", machine, product, card, number);
	return err;
}

/* include/linux/proc_ns.h, the same in all kernels since 3.8. */
#define INITIAL_PID_NAMESPACE 0xeffffffcu

uint32_t host_pid_namespace(void)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NAMESPACE)
		return 0;
	return (uint32_t)st.st_ino;
}
