/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * monitor - one process per script, forked by the launcher: starts it, waits,
 * kills it when its time is up, leaves no descendant behind, reports.
 */
#ifndef SCRIPTD_MONITOR_H
#define SCRIPTD_MONITOR_H

#include "launcher.h"

/** monitor_run - run @request's script to its end and report on @control_fd; takes all three fds */
void monitor_run(const struct launch_request *request, int script_fd, int output_fd, int control_fd);

/** monitor_report - write @result to @control_fd; a reader that has gone is no error */
void monitor_report(int control_fd, const struct launch_result *result);

#endif
