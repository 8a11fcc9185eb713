/* SPDX-License-Identifier: BSD-2-Clause */
/* files.h - how many file descriptors this process may have, and whether some are left. */
#ifndef PROBEMETER_FILES_H
#define PROBEMETER_FILES_H

#include <stdbool.h>

/* Without that many an agent does not start: maps, programs and links of its own, rings of events per CPU, who asks. */
unsigned files_least(void);

/* May this process have @count at a time? As many as its hard limit has. */
bool files_may(unsigned count, unsigned long long *ret_limit);

/* Lift the soft limit to the hard one. */
void files_allow(void);

/* Can @count more (at most 16) be opened now? */
bool files_left(unsigned count);

#endif
