/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * container.c - ids out of cgroup paths.
 *
 * Consumes the text of /proc/PID/cgroup; produces a container's id and its pod's uid. Pure. What they are called in
 * Docker or Kubernetes is the collector's business.
 *
 * A container's cgroup is its id, alone or behind a runtime's prefix, with or without ".scope":
 *   /docker/ID   /system.slice/docker-ID.scope   /kubepods/burstable/podUID/ID   .../cri-containerd-ID.scope
 *   .../crio-ID.scope   .../libpod-ID.scope/container   /kubepods...:cri-containerd:ID
 * A pod's is "pod" and its uid, alone or at the end of a slice's name.
 */
#include "container.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DIGITS "0123456789abcdef"

/* Is this component a container's? The id stands at its end, behind the start or a separator. */
static bool id_of(const char *start, size_t length, char *ret)
{
	if (length > 6 && !memcmp(start + length - 6, ".scope", 6))
		length -= 6;
	if (length < 64 || (length > 64 && !strchr("-:", start[length - 65])))
		return false;
	start += length - 64;
	if (strspn(start, DIGITS) < 64)
		return false;
	memcpy(ret, start, 64);
	ret[64] = '\0';
	return true;
}

/* "pod" and a uid: a UUID, in a slice's name with '_' for '-'; or 32 digits, as static pods have. */
static bool pod_of(const char *start, size_t length, char *ret)
{
	size_t i;

	if (length > 6 && !memcmp(start + length - 6, ".slice", 6))
		length -= 6;
	for (i = 0; i < 2; i++) {
		size_t size = i ? 32 : 36, n;
		const char *uid = start + length - size;

		if (length < size + 3 || memcmp(uid - 3, "pod", 3) || (length > size + 3 && uid[-4] != '-'))
			continue;
		for (n = 0; n < size; n++) {
			bool dash = size == 36 && (n == 8 || n == 13 || n == 18 || n == 23);

			if (!(dash ? uid[n] == '-' || uid[n] == '_' : uid[n] && strchr(DIGITS, uid[n])))
				break;
			ret[n] = dash ? '-' : uid[n];
		}
		ret[n] = '\0';
		if (n == size)
			return true;
	}
	ret[0] = '\0';
	return false;
}

void container_of_cgroup(const char *text, char ret_id[CONTAINER_ID_BYTES], char ret_pod[CONTAINER_POD_BYTES])
{
	const char *at, *start = text;

	ret_id[0] = ret_pod[0] = '\0';
	/* Component by component, to the end of the first line that has a container. */
	for (at = text;; at++) {
		char pod[CONTAINER_POD_BYTES];
		size_t length;

		if (*at && *at != '/' && *at != '\n')
			continue;
		length = (size_t)(at - start);
		if (pod_of(start, length, pod))
			strcpy(ret_pod, pod);
		(void)id_of(start, length, ret_id);
		if (!*at || (*at == '\n' && *ret_id))
			break;
		start = at + 1;
	}
}
