/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listen.c - sockets to serve on.
 *
 * Consumes a host and port, or a path; produces a listening descriptor that does not block. What is said there is
 * serve.c's.
 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 64
#define LISTEN_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
#define LISTEN_UNIX_MODE 0660

static int bind_one(const struct addrinfo *info)
{
	int fd = socket(info->ai_family, LISTEN_FLAGS, 0), yes = 1, err;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (info->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	if (!bind(fd, info->ai_addr, info->ai_addrlen) && !listen(fd, LISTEN_BACKLOG))
		return fd;
	err = -errno;
	(void)close(fd);
	return err;
}

static void describe(int fd, char *ret, size_t ret_size)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);
	char host[INET6_ADDRSTRLEN], port[8];

	if (getsockname(fd, (struct sockaddr *)&address, &length) ||
	    getnameinfo((struct sockaddr *)&address, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		(void)snprintf(ret, ret_size, "?");
	else
		(void)snprintf(ret, ret_size, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

int listen_tcp(const char *host, unsigned port, char *ret, size_t ret_size)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list, *info;
	char service[16];
	int fd = -ENOENT;

	(void)snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &list))
		return -ENOENT;
	for (info = list; info && fd < 0; info = info->ai_next)
		fd = bind_one(info);
	freeaddrinfo(list);
	if (fd >= 0)
		describe(fd, ret, ret_size);
	return fd;
}

int listen_is_loopback(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} address = { 0 };
	socklen_t length = sizeof(address);

	if (getsockname(fd, &address.any, &length))
		return 0;
	if (address.any.sa_family == AF_INET)
		return ntohl(address.four.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address.six.sin6_addr);
}

/* Nobody listens there any more. */
static int is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, LISTEN_FLAGS, 0), stale;

	if (fd < 0)
		return 0;
	stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno == ECONNREFUSED;
	(void)close(fd);
	return stale;
}

/* Room for others is never made, not even for a moment: the socket file gets its mode from the descriptor. */
static int bind_unix(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, LISTEN_FLAGS, 0), err;

	if (fd < 0)
		return -errno;
	if (!fchmod(fd, LISTEN_UNIX_MODE) && !bind(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    !chmod(address->sun_path, LISTEN_UNIX_MODE) && !listen(fd, LISTEN_BACKLOG))
		return fd;
	err = -errno;
	(void)close(fd);
	return err;
}

int listen_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *slash = strrchr(path, '/');
	char directory[sizeof(address.sun_path)] = "";
	struct stat st;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	if (slash)
		memcpy(directory, path, (size_t)(slash - path));
	if (*directory && mkdir(directory, 0755) && errno != EEXIST)
		return -errno;
	fd = bind_unix(&address);
	if (fd == -EADDRINUSE && !lstat(path, &st) && S_ISSOCK(st.st_mode) && is_stale(&address) && !unlink(path))
		fd = bind_unix(&address);
	return fd;
}
