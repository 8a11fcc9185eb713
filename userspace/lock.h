/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h - one agent on a host, and one for a set of pins, whatever its --run-dir.
 */
#ifndef PROBEMETER_LOCK_H
#define PROBEMETER_LOCK_H

#include <sys/types.h>

/**
 * lock_take - be the one agent, until the process ends or lock_release()
 * @directory: made if it is not there
 * @ret_pid:   on -EBUSY who holds it; 0 if it is outside of our pid namespace
 *
 * Return: a descriptor to keep, -EBUSY, or -errno if @directory cannot be used.
 */
int lock_take(const char *directory, pid_t *ret_pid);
void lock_release(int lock);

/* Who holds it: 1 and the pid (0: outside of our pid namespace), 0 if nobody does, or -errno. */
int lock_holder(const char *directory, pid_t *ret_pid);

/* As lock_take(), of a directory in which no file can be made; it must be there. -ENOENT if it is not. */
int lock_directory(const char *path, pid_t *ret_pid);

#endif
