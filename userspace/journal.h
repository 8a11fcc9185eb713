/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal.h - tagged records in a piece of memory that outlives the process: append and walk. Pure.
 */
#ifndef PROBEMETER_JOURNAL_H
#define PROBEMETER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The memory; page-aligned, not owned. */
struct journal {
	uint8_t *memory;
	size_t size;
};

struct journal_header {
	uint64_t magic;
	uint64_t salt; /* the maps' own, cell.bpf.h */
	uint64_t start_unix_ns; /* since when there are totals in these maps */
	uint64_t used; /* bytes of records behind the header */
};

/* Start an empty one. */
void journal_init(struct journal *journal, uint64_t salt, uint64_t start_unix_ns);

/* Is it one, with every record whole? Return: 0 or -EBADMSG. */
int journal_check(const struct journal *journal);

const struct journal_header *journal_header(const struct journal *journal);

/* A record being built; zeroed is empty. Memory is kept for the next one, pack_free() gives it back. */
struct journal_pack {
	uint8_t *data;
	size_t size, room;
	bool failed; /* memory was short: journal_append() says so */
};

void pack_begin(struct journal_pack *pack);
void pack_number(struct journal_pack *pack, uint64_t number);
void pack_bytes(struct journal_pack *pack, const void *data, size_t size);
void pack_text(struct journal_pack *pack, const char *text);
void pack_free(struct journal_pack *pack);

/**
 * journal_append - one more record, whole or not at all
 * @tag:     what it is; never 0
 * @percent: of the memory that may be used with it
 *
 * The record counts from one store of the header's `used` on, so a writer may be killed at any instruction.
 *
 * Return: 0, -ENOSPC, -ENOMEM.
 */
int journal_append(struct journal *journal, uint32_t tag, const struct journal_pack *pack, unsigned percent);

/* A record being read. */
struct journal_record {
	uint32_t tag;
	size_t start; /* offset of its tag */
	const uint8_t *at, *end;
	bool failed; /* it had less in it than was asked for */
};

/* The record at *@offset (0: the first one), and the offset of the next. Return: false behind the last one. */
bool journal_next(const struct journal *journal, size_t *offset, struct journal_record *ret);

/* Make another tag of a record's, in its place, by one store: for what need not be remembered any more. */
void journal_retag(struct journal *journal, const struct journal_record *record, uint32_t tag);

uint64_t record_number(struct journal_record *record);
/* Pointers into the journal; "" and zeros where the record has less. */
const char *record_text(struct journal_record *record);
void record_bytes(struct journal_record *record, void *ret, size_t size);

#endif
