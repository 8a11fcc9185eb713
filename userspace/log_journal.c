/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_journal.c - consumes a message, produces an entry of systemd's journal.
 *
 * A file of its own because syslog.h, which comes along, has other ideas of what LOG_INFO is.
 */
#include "log_line.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "utf8.h"

int log_line_journal(const struct log_line *line)
{
	static const char object[] = "PROBEMETER_OBJECT=", identifier[] = "SYSLOG_IDENTIFIER=probemeter";
	char message[sizeof("MESSAGE=") + 2 * LOG_TEXT_BYTES] = "MESSAGE=", priority[sizeof("PRIORITY=0")];
	char objects[LOG_OBJECTS][sizeof(object) + LOG_TEXT_BYTES];
	struct iovec fields[3 + LOG_OBJECTS];
	int count = 3;

	(void)utf8_printable(line->text, strlen(line->text), message + 8, sizeof(message) - 8);
	(void)snprintf(priority, sizeof(priority), "PRIORITY=%d", line->priority);
	fields[0] = (struct iovec){ message, strlen(message) };
	fields[1] = (struct iovec){ priority, strlen(priority) };
	fields[2] = (struct iovec){ (void *)identifier, strlen(identifier) };
	for (size_t i = 0; i < line->object_count; i++) {
		memcpy(objects[i], object, sizeof(object));
		(void)utf8_printable(line->object[i].text, line->object[i].length, objects[i] + sizeof(object) - 1, LOG_TEXT_BYTES);
		fields[count++] = (struct iovec){ objects[i], strlen(objects[i]) };
	}
	return sd_journal_sendv(fields, count);
}
