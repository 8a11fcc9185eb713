/* SPDX-License-Identifier: BSD-2-Clause */
/* version.h - the one place that says which probemeter this is. */
#ifndef PROBEMETER_VERSION_H
#define PROBEMETER_VERSION_H

#define PROBEMETER_VERSION "0.1.0"

#endif
