/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * negotiate.c - which of the forms that there are a client would rather have.
 *
 * Consumes headers that strangers wrote, produces yes or no. What cannot be read counts as not said.
 */
#include "negotiate.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One element of a list: "text/plain;version=0.0.4;q=0.5". */
struct element {
	const char *name, *version; /* version NULL: not given */
	size_t name_length, version_length;
	double q;
};

static size_t trim(const char **text, size_t length)
{
	while (length && (**text == ' ' || **text == '\t')) {
		(*text)++;
		length--;
	}
	while (length && ((*text)[length - 1] == ' ' || (*text)[length - 1] == '\t'))
		length--;
	return length;
}

static void parameter(struct element *element, const char *text, size_t length)
{
	length = trim(&text, length);
	if (length > 2 && !strncasecmp(text, "q=", 2)) {
		element->q = strtod(text + 2, NULL);
		if (!(element->q >= 0 && element->q <= 1))
			element->q = 0;
	} else if (length > 8 && !strncasecmp(text, "version=", 8)) {
		element->version = text + 8;
		element->version_length = length - 8;
	}
}

/* The next element of @list. Return: where the one behind it begins, NULL: there was none. */
static const char *element_next(const char *list, struct element *ret)
{
	size_t length = strcspn(list, ","), part, at;

	if (!*list)
		return NULL;
	*ret = (struct element){ .name = list, .q = 1 };
	part = strcspn(list, ";,");
	for (at = part; at < length; at += part) {
		at++;
		part = strcspn(list + at, ";,");
		parameter(ret, list + at, part);
	}
	ret->name_length = trim(&ret->name, strcspn(list, ";,"));
	return list + length + (list[length] == ',');
}

static bool is_named(const struct element *element, const char *name)
{
	return element->name_length == strlen(name) && !strncasecmp(element->name, name, element->name_length);
}

static bool is_version(const struct element *element, const char *version)
{
	return !element->version ||
	       (element->version_length == strlen(version) && !memcmp(element->version, version, element->version_length));
}

bool negotiate_openmetrics(const char *accept)
{
	double open = 0, text = 0;
	struct element element;

	while (accept && (accept = element_next(accept, &element))) {
		if (is_named(&element, "application/openmetrics-text") && is_version(&element, "1.0.0"))
			open = element.q > open ? element.q : open;
		else if (is_named(&element, "text/plain") && is_version(&element, "0.0.4"))
			text = element.q > text ? element.q : text;
	}
	return open > 0 && open >= text;
}

bool negotiate_gzip(const char *accept_encoding)
{
	double gzip = -1, any = 0;
	struct element element;

	while (accept_encoding && (accept_encoding = element_next(accept_encoding, &element))) {
		if (is_named(&element, "gzip"))
			gzip = element.q;
		else if (is_named(&element, "*"))
			any = element.q;
	}
	return gzip >= 0 ? gzip > 0 : any > 0;
}
