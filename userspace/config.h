/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - the configuration file: lines of the form
 *
 *   # a comment
 *   endpoint = https://collector.example:4318
 *   include = unit:shop*
 *   include = uid:1000-1999
 *
 * The names are those of the flags, without dashes, or of option_row.name; what may be repeated on the command line may
 * be repeated here.
 */
#ifndef PROBEMETER_CONFIG_H
#define PROBEMETER_CONFIG_H

#include <stddef.h>

struct options;

#define CONFIG_PATH "/etc/probemeter/probemeter.conf"

/**
 * config_read - the settings of @options->config, or of CONFIG_PATH, that neither flag nor variable has made
 * @options: filled by flags and variables; CONFIG_PATH need not exist, a file that was named must
 * @error:   on -EINVAL one line: file, line, what was expected
 *
 * Every line is judged, also one that is overridden or that this command does not listen to.
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int config_read(struct options *options, char *error, size_t error_size);

/**
 * config_headers - add what @options->headers_file holds to the headers
 *
 * One header a line, "Name: value" as HTTP has it; blank lines and lines that begin with # are nothing. A header of that
 * name in @options->headers stays. No message shows a value.
 *
 * Return: 0, -EINVAL with @error, -ENOMEM.
 */
int config_headers(struct options *options, char *error, size_t error_size);

#endif
