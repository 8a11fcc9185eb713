/* SPDX-License-Identifier: BSD-2-Clause */
/* lease.h - to be asked before anybody writes to a file that is attached. */
#ifndef PROBEMETER_LEASE_H
#define PROBEMETER_LEASE_H

/* A descriptor that is readable when somebody wants to write; -errno. For the calling thread, which blocks the signal. */
int leases_open(void);

/* Take one on @fd, open for reading. Return: 0; -EAGAIN if somebody has the file open for writing; -errno where the file
 * system or our rights allow none. */
int lease_take(int fd);

/* The next @fd whose lease is asked for, or -EAGAIN. Whoever wants to write waits until lease_end(). */
int leases_next(int leases);

void lease_end(int fd);

#endif
