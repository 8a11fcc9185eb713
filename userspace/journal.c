/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal.c - records that survive the writer's death at any instruction.
 *
 * Consumes memory that outlives the process (a pinned BPF map, mapped) and records as bytes; produces an append-only
 * list of them. A record is written behind the used part first, and counts once `used` has moved past it: one store of
 * one word. No file and no fsync: the memory is the kernel's, and goes with the maps it belongs to. There is one writer,
 * the holder of the lock (lock.c). The form of header and records is the same for all schemas, for ever.
 */
#include "journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x6c616e72756f6a70ull /* "pjournal" */

struct head {
	uint32_t tag;
	uint32_t size; /* of what follows, without the padding to 8 bytes */
};

static struct journal_header *header(const struct journal *journal)
{
	return (struct journal_header *)journal->memory;
}

const struct journal_header *journal_header(const struct journal *journal)
{
	return header(journal);
}

static size_t padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

void journal_init(struct journal *journal, uint64_t salt, uint64_t start_unix_ns)
{
	*header(journal) = (struct journal_header){ .salt = salt, .start_unix_ns = start_unix_ns };
	__atomic_store_n(&header(journal)->magic, MAGIC, __ATOMIC_RELEASE);
}

int journal_check(const struct journal *journal)
{
	struct journal_record record;
	size_t offset = 0, used;

	if (journal->size < sizeof(struct journal_header) || header(journal)->magic != MAGIC)
		return -EBADMSG;
	used = header(journal)->used;
	if (used > journal->size - sizeof(struct journal_header) || used % 8)
		return -EBADMSG;
	while (journal_next(journal, &offset, &record))
		;
	return offset == used ? 0 : -EBADMSG;
}

void pack_begin(struct journal_pack *pack)
{
	pack->size = 0;
	pack->failed = false;
}

void pack_bytes(struct journal_pack *pack, const void *data, size_t size)
{
	if (pack->size + size > pack->room) {
		size_t room = pack->room ? pack->room : 512;
		uint8_t *grown;

		while (room < pack->size + size)
			room *= 2;
		grown = realloc(pack->data, room);
		if (!grown) {
			pack->failed = true;
			return;
		}
		pack->data = grown;
		pack->room = room;
	}
	if (size)
		memcpy(pack->data + pack->size, data, size);
	pack->size += size;
}

void pack_number(struct journal_pack *pack, uint64_t number)
{
	pack_bytes(pack, &number, sizeof(number));
}

void pack_text(struct journal_pack *pack, const char *text)
{
	pack_bytes(pack, text, strlen(text) + 1);
}

void pack_free(struct journal_pack *pack)
{
	free(pack->data);
	*pack = (struct journal_pack){ 0 };
}

int journal_append(struct journal *journal, uint32_t tag, const struct journal_pack *pack, unsigned percent)
{
	size_t room = (journal->size - sizeof(struct journal_header)) * percent / 100, used = header(journal)->used;
	struct head head = { .tag = tag, .size = (uint32_t)pack->size };
	uint8_t *at = journal->memory + sizeof(struct journal_header) + used;

	if (pack->failed)
		return -ENOMEM;
	if (used + sizeof(head) + padded(pack->size) > room)
		return -ENOSPC;
	memcpy(at, &head, sizeof(head));
	if (pack->size)
		memcpy(at + sizeof(head), pack->data, pack->size);
	__atomic_store_n(&header(journal)->used, used + sizeof(head) + padded(pack->size), __ATOMIC_RELEASE);
	return 0;
}

bool journal_next(const struct journal *journal, size_t *offset, struct journal_record *ret)
{
	size_t used = header(journal)->used;
	const uint8_t *at = journal->memory + sizeof(struct journal_header) + *offset;
	struct head head;

	if (*offset >= used || used - *offset < sizeof(head))
		return false;
	memcpy(&head, at, sizeof(head));
	if (!head.tag || padded(head.size) > used - *offset - sizeof(head))
		return false;
	*ret = (struct journal_record){ .tag = head.tag, .start = *offset, .at = at + sizeof(head), .end = at + sizeof(head) + head.size };
	*offset += sizeof(head) + padded(head.size);
	return true;
}

void journal_retag(struct journal *journal, const struct journal_record *record, uint32_t tag)
{
	__atomic_store_n((uint32_t *)(void *)(journal->memory + sizeof(struct journal_header) + record->start), tag, __ATOMIC_RELEASE);
}

void record_bytes(struct journal_record *record, void *ret, size_t size)
{
	if ((size_t)(record->end - record->at) < size) {
		record->failed = true;
		memset(ret, 0, size);
		return;
	}
	if (size)
		memcpy(ret, record->at, size);
	record->at += size;
}

uint64_t record_number(struct journal_record *record)
{
	uint64_t number;

	record_bytes(record, &number, sizeof(number));
	return number;
}

const char *record_text(struct journal_record *record)
{
	const char *text = (const char *)record->at;
	const uint8_t *nul = memchr(record->at, 0, (size_t)(record->end - record->at));

	if (!nul) {
		record->failed = true;
		return "";
	}
	record->at = nul + 1;
	return text;
}
