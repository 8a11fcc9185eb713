/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hotplug.c - listen to the kernel's messages on devices, and pick those on CPUs.
 *
 * Consumes netlink messages (NETLINK_KOBJECT_UEVENT, which any user may hear); produces numbers of CPUs. The kernel takes
 * perf's events from a CPU that goes offline and does not give them back, so whoever listens there must do so anew.
 */
#include "hotplug.h"

#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KERNEL_GROUP 1 /* 2 is udev's */

int hotplug_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT), err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		err = -errno;
		(void)close(fd);
		return err;
	}
	return fd;
}

int hotplug_cpu(const char *message, size_t size)
{
	static const char *const begins[] = { "online@/devices/system/cpu/cpu", "offline@/devices/system/cpu/cpu" };
	size_t length, i;
	char *end;
	long cpu;

	if (!size || message[size - 1])
		return -ENOENT;
	for (i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		length = strlen(begins[i]);
		if (strncmp(message, begins[i], length) || message[length] < '0' || message[length] > '9')
			continue;
		cpu = strtol(message + length, &end, 10);
		return *end || cpu > INT_MAX ? -ENOENT : (int)cpu;
	}
	return -ENOENT;
}

int hotplug_next(int fd)
{
	struct sockaddr_nl from = { 0 };
	socklen_t from_size;
	char message[4096]; /* the kernel's have 2 KiB and a path */
	ssize_t size;
	int cpu;

	for (;;) {
		from_size = sizeof(from);
		size = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from, &from_size);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return errno == ENOBUFS ? -ENOBUFS : -EAGAIN;
		/* Others may send to this group, too. */
		cpu = from.nl_pid ? -ENOENT : hotplug_cpu(message, (size_t)size);
		if (cpu >= 0)
			return cpu;
	}
}
