/* SPDX-License-Identifier: BSD-2-Clause */
/* document.h - texts made from the option table. */
#ifndef PROBEMETER_DOCUMENT_H
#define PROBEMETER_DOCUMENT_H

#include <stdio.h>

#include "options_table.h"

/* A completion script. */
void completion_bash(FILE *out);
void completion_zsh(FILE *out);
void completion_fish(FILE *out);

/* The manual page of one command, of probemeter(1) itself for COMMAND_NONE. Dated by SOURCE_DATE_EPOCH, else today. */
void manual_command(FILE *out, enum command command);

/* The manual page of the configuration file. */
void manual_configuration(FILE *out);

#endif
