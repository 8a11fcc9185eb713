/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utf8.c - decode, repair and measure UTF-8.
 *
 * Consumes bytes that services chose (labels, names, environments), produces text that every receiver accepts. Where
 * such text is cut for length, and what a terminal does with it, is decided by callers. Pure.
 */
#include "utf8.h"

#include <string.h>

#define UTF8_REPLACEMENT 0xfffd

/* Table 3-7 of the Unicode Standard: by first byte, how many bytes follow and what the second may be. The narrow
 * ranges of the second byte are what keeps overlong forms, surrogates and code points past U+10FFFF out. */
static const struct utf8_lead {
	unsigned char first, last, follow, low, high, mask;
} utf8_leads[] = {
	{ .first = 0x00, .last = 0x7f, .follow = 0, .mask = 0x7f },
	{ .first = 0xc2, .last = 0xdf, .follow = 1, .low = 0x80, .high = 0xbf, .mask = 0x1f },
	{ .first = 0xe0, .last = 0xe0, .follow = 2, .low = 0xa0, .high = 0xbf, .mask = 0x0f },
	{ .first = 0xe1, .last = 0xec, .follow = 2, .low = 0x80, .high = 0xbf, .mask = 0x0f },
	{ .first = 0xed, .last = 0xed, .follow = 2, .low = 0x80, .high = 0x9f, .mask = 0x0f },
	{ .first = 0xee, .last = 0xef, .follow = 2, .low = 0x80, .high = 0xbf, .mask = 0x0f },
	{ .first = 0xf0, .last = 0xf0, .follow = 3, .low = 0x90, .high = 0xbf, .mask = 0x07 },
	{ .first = 0xf1, .last = 0xf3, .follow = 3, .low = 0x80, .high = 0xbf, .mask = 0x07 },
	{ .first = 0xf4, .last = 0xf4, .follow = 3, .low = 0x80, .high = 0x8f, .mask = 0x07 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct utf8_lead *utf8_lead_find(unsigned char byte)
{
	for (size_t i = 0; i < COUNT(utf8_leads); i++)
		if (byte >= utf8_leads[i].first && byte <= utf8_leads[i].last)
			return &utf8_leads[i];
	return NULL;
}

size_t utf8_next(const char *in, size_t length, uint32_t *ret)
{
	const unsigned char *byte = (const unsigned char *)in;
	const struct utf8_lead *lead = utf8_lead_find(byte[0]);
	uint32_t code;
	size_t taken;

	*ret = UTF8_REPLACEMENT;
	if (!lead)
		return 1;
	code = byte[0] & lead->mask;
	for (taken = 1; taken <= lead->follow; taken++) {
		unsigned char low = taken == 1 ? lead->low : 0x80;
		unsigned char high = taken == 1 ? lead->high : 0xbf;

		if (taken == length || byte[taken] < low || byte[taken] > high)
			return taken;
		code = code << 6 | (byte[taken] & 0x3f);
	}
	*ret = code;
	return taken;
}

bool utf8_valid(const char *text, size_t length)
{
	const char *end = text + length;

	while (text < end) {
		uint32_t code;
		size_t taken;

		if ((signed char)*text >= 0) {
			text++;
			continue;
		}
		taken = utf8_next(text, (size_t)(end - text), &code);
		/* U+FFFD itself is a valid character: three bytes, the first of them 0xef. */
		if (code == UTF8_REPLACEMENT && (taken != 3 || (unsigned char)*text != 0xef))
			return false;
		text += taken;
	}
	return true;
}

static size_t utf8_encode(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

static size_t hex(uint32_t value, int digits, char *out)
{
	for (int i = 0; i < digits; i++)
		out[i] = "0123456789abcdef"[value >> 4 * (digits - 1 - i) & 0xf];
	return (size_t)digits;
}

/* Marks, isolates and overrides of direction, line and paragraph separators, byte order mark. */
static bool utf8_disturbs(uint32_t code)
{
	return code == 0x200e || code == 0x200f || code == 0x061c || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

/* One character as utf8_printable() shows it; at most 8 bytes. */
static size_t utf8_escape(uint32_t code, char out[8])
{
	const char *named = code ? strchr("\nn\rr\tt", (int)(code < 0x80 ? code : 0)) : NULL;

	out[0] = '\\';
	if (code < 0x20 && named && *named) {
		out[1] = named[1];
		return 2;
	}
	if (code < 0x20 || code == 0x7f || (code >= 0x80 && code < 0xa0)) {
		out[1] = 'x';
		return 2 + hex(code, 2, out + 2);
	}
	if (utf8_disturbs(code)) {
		memcpy(out, "\\u{", 3);
		hex(code, 4, out + 3);
		out[7] = '}';
		return 8;
	}
	return utf8_encode(code, out);
}

static size_t utf8_copy(const char *in, size_t length, char *out, size_t out_size, bool escape)
{
	size_t need = 0, used = 0;
	bool cut = false;

	for (size_t i = 0; i < length;) {
		char piece[8];
		size_t bytes;
		uint32_t code;

		i += utf8_next(in + i, length - i, &code);
		bytes = escape ? utf8_escape(code, piece) : utf8_encode(code, piece);
		need += bytes;
		/* Once a character did not fit, a shorter one behind it must not be taken either. */
		cut = cut || used + bytes >= out_size;
		if (cut)
			continue;
		memcpy(out + used, piece, bytes);
		used += bytes;
	}
	if (out_size)
		out[used] = '\0';
	return need;
}

size_t utf8_clean(const char *in, size_t length, char *out, size_t out_size)
{
	return utf8_copy(in, length, out, out_size, false);
}

size_t utf8_printable(const char *in, size_t length, char *out, size_t out_size)
{
	return utf8_copy(in, length, out, out_size, true);
}

/* Coarse, after Unicode's EastAsianWidth.txt and general categories Mn and Cf: enough to keep a table straight. */
static const struct utf8_width {
	uint32_t first, last;
	int columns;
} utf8_widths[] = {
	{ 0x0300, 0x036f, 0 },	 { 0x0483, 0x0489, 0 },	  { 0x0591, 0x05bd, 0 },   { 0x0610, 0x061a, 0 },
	{ 0x064b, 0x065f, 0 },	 { 0x0900, 0x0902, 0 },	  { 0x1100, 0x115f, 2 },   { 0x1ab0, 0x1aff, 0 },
	{ 0x1dc0, 0x1dff, 0 },	 { 0x200b, 0x200d, 0 },	  { 0x20d0, 0x20ff, 0 },   { 0x2e80, 0x303e, 2 },
	{ 0x3041, 0xa4cf, 2 },	 { 0xa960, 0xa97f, 2 },	  { 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 },
	{ 0xfe00, 0xfe0f, 0 },	 { 0xfe20, 0xfe2f, 0 },	  { 0xfe30, 0xfe6f, 2 },   { 0xff00, 0xff60, 2 },
	{ 0xffe0, 0xffe6, 2 },	 { 0x1f300, 0x1f64f, 2 }, { 0x1f680, 0x1f6ff, 2 }, { 0x1f900, 0x1faff, 2 },
	{ 0x20000, 0x3fffd, 2 }, { 0xe0100, 0xe01ef, 0 },
};

int utf8_columns(uint32_t code)
{
	for (size_t i = 0; i < COUNT(utf8_widths) && code >= utf8_widths[i].first; i++)
		if (code <= utf8_widths[i].last)
			return utf8_widths[i].columns;
	return 1;
}
