/* SPDX-License-Identifier: BSD-2-Clause */
/* colour.h - colours of text for people. */
#ifndef PROBEMETER_COLOUR_H
#define PROBEMETER_COLOUR_H

#include <stdbool.h>
#include <stdio.h>

enum colour { COLOUR_PLAIN, COLOUR_BOLD, COLOUR_DIM, COLOUR_GOOD, COLOUR_WARNING, COLOUR_BAD };

/* May @out have any: is it a terminal, and NO_COLOR unset or empty? Source: no-color.org. */
bool colour_wanted(FILE *out);

/* What a terminal is told from here on; "" unless @wanted. What is coloured ends with COLOUR_PLAIN. */
const char *colour(bool wanted, enum colour which);

#endif
