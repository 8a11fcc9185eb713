/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * container.h - which container and pod a cgroup path speaks of.
 */
#ifndef PROBEMETER_CONTAINER_H
#define PROBEMETER_CONTAINER_H

#define CONTAINER_ID_BYTES 65 /* 64 hexadecimal digits */
#define CONTAINER_POD_BYTES 37 /* a UUID */

/**
 * container_of_cgroup - ids in the text of /proc/PID/cgroup
 * @text:   its lines, of cgroup v1 or v2
 * @ret_id: container.id, "" if the path names none
 * @ret_pod: k8s.pod.uid, with dashes also where systemd's names have underscores; "" likewise
 *
 * Known: docker, containerd, CRI-O and podman, by the cgroupfs and the systemd driver, also nested: the innermost
 * container counts, in the first line that has one.
 * Source: OpenTelemetry semantic conventions, resource/container and resource/k8s.
 */
void container_of_cgroup(const char *text, char ret_id[CONTAINER_ID_BYTES], char ret_pod[CONTAINER_POD_BYTES]);

#endif
