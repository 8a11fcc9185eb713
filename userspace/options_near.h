/* SPDX-License-Identifier: BSD-2-Clause */
/* options_near.h - "did you mean": the option whose name looks most like a word that is none. */
#ifndef PROBEMETER_OPTIONS_NEAR_H
#define PROBEMETER_OPTIONS_NEAR_H

#include "options.h"

/* For the configuration file: by name, or by variable. There always is one. */
const char *option_near_name(const char *word);

/* For the command line: a flag of @command, or of any for COMMAND_NONE. NULL: none is near enough to be meant. */
const char *option_near_flag(const char *word, enum command command);

#endif
