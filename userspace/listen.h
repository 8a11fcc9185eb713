/* SPDX-License-Identifier: BSD-2-Clause */
/* listen.h - sockets to serve on. */
#ifndef PROBEMETER_LISTEN_H
#define PROBEMETER_LISTEN_H

#include <stddef.h>

/**
 * listen_tcp - listen on the first address that @host and @port stand for
 * @port: 0: one that is free
 * @ret:  where, as a URL has it: "127.0.0.1:9464", "[::1]:9464"
 *
 * Return: the socket, or -errno (-ENOENT: no such host).
 */
int listen_tcp(const char *host, unsigned port, char *ret, size_t ret_size);

/**
 * listen_unix - listen on @path, for the owner and the group of the agent alone
 *
 * The directory is made if it is not there. What an agent that has gone left at @path is taken away; nothing else is.
 *
 * Return: the socket, or -errno (-EADDRINUSE: somebody answers there).
 */
int listen_unix(const char *path);

/* Was this socket bound with a loopback address? */
int listen_is_loopback(int fd);

#endif
