/* SPDX-License-Identifier: BSD-2-Clause */
/* service - puts the parts together, in the order in which they need each other. */
#ifndef SCRIPTD_SERVICE_H
#define SCRIPTD_SERVICE_H

struct json_object;
struct launcher;
struct options;
struct service;

/**
 * service_start - start everything
 * @launcher: started before any thread; the service takes it, also on failure
 * @port:     set to the port served
 * @ret:      stop with service_stop(), then free with service_free()
 *
 * Return: 0, or -errno after a line on stderr that says what failed.
 */
int service_start(const struct options *options, struct launcher *launcher, int *port, struct service **ret);

/** service_stop - end what runs, keep what waits; afterwards only this thread is left */
void service_stop(struct service *service);

/** service_free - NULL is fine */
void service_free(struct service *service);

#endif
