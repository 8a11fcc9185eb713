/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.h - what tells this host from every other one, also from its clones; and whether we see all of it.
 */
#ifndef PROBEMETER_HOST_H
#define PROBEMETER_HOST_H

#include <stddef.h>
#include <stdint.h>

/**
 * host_identity - a text that is the same at each start on this host, and another one on another host
 * @root: "" for this host; tests have trees of their own
 * @ret:  room for HOST_IDENTITY_BYTES
 *
 * Made from what a copied disk shares, /etc/machine-id, and from what it does not: the firmware's product uuid and the
 * permanent address of the first network card. Where a host has neither uuid nor a card with an address of its maker's,
 * also from a random number that is made once, at /var/lib/probemeter/host-id.
 *
 * Return: 0, or -errno if the number was needed and could not be kept: then clones of this host cannot be told apart
 * but by their host names, which are used.
 */
#define HOST_IDENTITY_BYTES 512
int host_identity(const char *root, char ret[HOST_IDENTITY_BYTES]);

/* The pid namespace that this process is in, by inode, or 0 for the initial one, in which all processes of a host are. */
uint32_t host_pid_namespace(void);

#endif
