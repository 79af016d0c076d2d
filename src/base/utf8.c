/* SPDX-License-Identifier: MIT */
/* Well-formed byte sequences, table 3-7 of the Unicode standard. */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

static bool continues(unsigned char byte)
{
	return (byte & 0xc0) == 0x80;
}

/* What the lead byte announces; 0 for one that leads nothing. */
static size_t announced(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2)
		return 0;
	if (lead < 0xe0)
		return 2;
	if (lead < 0xf0)
		return 3;
	return lead < 0xf5 ? 4 : 0;
}

/* The second byte is where overlong forms, surrogates and what lies beyond
 * U+10FFFF show. */
static bool second_fits(unsigned char lead, unsigned char second)
{
	switch (lead) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second < 0xa0;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second < 0x90;
	default:
		return true;
	}
}

size_t utf8_sequence(const char *at, const char *end)
{
	const unsigned char *byte = (const unsigned char *)at;
	size_t len = announced(byte[0]);

	if (len > (size_t)(end - at))
		return 0;
	for (size_t i = 1; i < len; i++)
		if (!continues(byte[i]))
			return 0;
	if (len > 1 && !second_fits(byte[0], byte[1]))
		return 0;
	return len;
}

/* Eight bytes at a time: nearly all text is ASCII. */
static const char *skip_ascii(const char *at, const char *end)
{
	uint64_t word;

	for (; end - at >= (ptrdiff_t)sizeof(word); at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		if ((word & UINT64_C(0x8080808080808080)) != 0)
			break;
	}
	while (at < end && (*at & 0x80) == 0)
		at++;
	return at;
}

bool utf8_valid(struct span text)
{
	const char *at = text.at;
	const char *end = at + text.len;

	while ((at = skip_ascii(at, end)) < end) {
		size_t len = utf8_sequence(at, end);

		if (len == 0)
			return false;
		at += len;
	}
	return true;
}
