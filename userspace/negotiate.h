/* SPDX-License-Identifier: BSD-2-Clause */
/* negotiate.h - which of the forms that there are a client would rather have. Pure. */
#ifndef PROBEMETER_NEGOTIATE_H
#define PROBEMETER_NEGOTIATE_H

#include <stdbool.h>

/**
 * negotiate_openmetrics - OpenMetrics, or the text format?
 * @accept: the header of that name, or NULL
 *
 * Return: true if OpenMetrics is named, in a version that we write, and nothing older is wanted more.
 * Source: RFC 9110, "Accept"; OpenMetrics 1.0, "Protocol Negotiation".
 */
bool negotiate_openmetrics(const char *accept);

/* May the answer be packed by gzip? @accept_encoding: the header of that name, or NULL. Source: RFC 9110. */
bool negotiate_gzip(const char *accept_encoding);

#endif
