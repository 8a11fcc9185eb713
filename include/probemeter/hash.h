/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash.h - the label hash: 64 bits over the values of one call's labels. Function and constants are ABI.
 *
 * Sixteen bytes a step, each one folded 64x64->128 bit multiplication. The first factor is a word of the label xor a
 * constant that holds a zero byte; a label holds none, so a whole word never cancels it and the state is never lost.
 * Lengths go in, so that ("ab", "c") and ("a", "bc") differ.
 */
#ifndef PROBEMETER_HASH_H
#define PROBEMETER_HASH_H

#include <stdint.h>
#include <string.h>

#include <probemeter/arguments.h>

#define PROBEMETER_HASH_SEED UINT64_C(0x9e3779b97f4a7c15)
#define PROBEMETER_HASH_WORD UINT64_C(0xd1342543de00a4cd)
#define PROBEMETER_HASH_LENGTH UINT64_C(0xa0761d6478bd642f)

PROBEMETER_QUIET_BEGIN_

PROBEMETER_INLINE_ uint64_t probemeter_mix_(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

PROBEMETER_INLINE_ uint64_t probemeter_word_(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

PROBEMETER_INLINE_ uint32_t probemeter_half_(const char *at)
{
	uint32_t half;

	memcpy(&half, at, sizeof(half));
	return half;
}

/* The length that counts: NULL is the empty string, longer than PROBEMETER_LABEL_BYTES is cut. */
PROBEMETER_INLINE_ uint64_t probemeter_length_(const char *label)
{
	uint64_t length = label ? strlen(label) : 0;

	return length < PROBEMETER_LABEL_BYTES ? length : PROBEMETER_LABEL_BYTES;
}

/* Bring the label's pages in: a compiler that knows the label hashes it at build time and would read nothing, and a BPF
 * program that reads it cannot fault a page in. It lies in two pages at most. */
PROBEMETER_INLINE_ void probemeter_touch_(const char *label, uint64_t length)
{
	if (label) {
		(void)*(const volatile char *)label;
		(void)*(const volatile char *)(label + length);
	}
}

PROBEMETER_INLINE_ uint64_t probemeter_hash_label_(uint64_t hash, const char *label)
{
	uint64_t left = probemeter_length_(label), a = 0, b = 0;

	probemeter_touch_(label, left);
	hash ^= left * PROBEMETER_HASH_LENGTH;
	for (; left > 16; left -= 16, label += 16)
		hash = probemeter_mix_(probemeter_word_(label) ^ PROBEMETER_HASH_WORD, probemeter_word_(label + 8) ^ hash);
	if (left >= 8) {
		a = probemeter_word_(label);
		b = probemeter_word_(label + left - 8);
	} else if (left >= 4) {
		a = probemeter_half_(label);
		b = probemeter_half_(label + left - 4);
	} else if (left) {
		a = (uint64_t)(unsigned char)label[0] << 16 | (uint64_t)(unsigned char)label[left >> 1] << 8 |
		    (unsigned char)label[left - 1];
	}
	return probemeter_mix_(a ^ PROBEMETER_HASH_WORD, b ^ hash);
}

PROBEMETER_QUIET_END_

#define PROBEMETER_HASH_0 PROBEMETER_HASH_SEED
#define PROBEMETER_HASH_1 probemeter_hash_label_(PROBEMETER_HASH_0, label1)
#define PROBEMETER_HASH_2 probemeter_hash_label_(PROBEMETER_HASH_1, label2)
#define PROBEMETER_HASH_3 probemeter_hash_label_(PROBEMETER_HASH_2, label3)
#define PROBEMETER_HASH_4 probemeter_hash_label_(PROBEMETER_HASH_3, label4)

#endif
