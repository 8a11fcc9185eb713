/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * colour.c - whether output has colours, and how a terminal is told of them.
 *
 * Consumes a stream and the environment, produces escape sequences of ECMA-48. What is shown in which colour is for
 * whoever shows it; a view that fills the screen leaves the sequences to curses.
 */
#include "colour.h"

#include <stdlib.h>
#include <unistd.h>

bool colour_wanted(FILE *out)
{
	const char *no_colour = getenv("NO_COLOR");

	return fileno(out) >= 0 && isatty(fileno(out)) && !(no_colour && *no_colour);
}

const char *colour(bool wanted, enum colour which)
{
	static const char *const sequences[] = {
		[COLOUR_PLAIN] = "\033[0m", [COLOUR_BOLD] = "\033[1m", [COLOUR_DIM] = "\033[2m",
		[COLOUR_GOOD] = "\033[32m", [COLOUR_WARNING] = "\033[33m", [COLOUR_BAD] = "\033[1;31m",
	};

	return wanted ? sequences[which] : "";
}
