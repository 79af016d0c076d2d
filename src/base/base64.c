/* SPDX-License-Identifier: MIT */
/* Three bytes as four characters, and back. */
#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz"
			       "0123456789+/";

static void append_group(struct buffer *out, const unsigned char *at,
			 size_t count)
{
	uint32_t bits = (uint32_t)at[0] << 16;
	char group[4];

	if (count > 1)
		bits |= (uint32_t)at[1] << 8;
	if (count > 2)
		bits |= at[2];
	for (size_t i = 0; i < 4; i++)
		group[i] =
			i > count ? '=' : alphabet[bits >> (18 - 6 * i) & 0x3f];
	buffer_append(out, group, sizeof(group));
}

void base64_append(struct buffer *out, struct span bytes)
{
	const unsigned char *at = (const unsigned char *)bytes.at;

	for (size_t left = bytes.len; left > 0;) {
		size_t count = left < 3 ? left : 3;

		append_group(out, at, count);
		at += count;
		left -= count;
	}
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* The text without its padding, absent when its length is not a multiple of
 * four. */
static struct span without_padding(struct span text)
{
	if (text.len % 4 != 0)
		return SPAN_NONE;
	for (int i = 0; i < 2; i++)
		if (text.len > 0 && text.at[text.len - 1] == '=')
			text.len--;
	return text;
}

static bool decode(struct span text, unsigned char *out)
{
	uint32_t bits = 0;
	unsigned held = 0;

	for (size_t i = 0; i < text.len; i++) {
		int value = value_of(text.at[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*out++ = (unsigned char)(bits >> held);
		}
	}
	return (bits & ((1U << held) - 1)) == 0;
}

int base64_decode(struct span text, struct arena *arena, struct span *bytes,
		  struct error *err)
{
	struct span digits = without_padding(text);
	char *made;

	if (!span_present(digits))
		return error_set(err, STATUS_INVALID,
				 "base64 comes in groups of four characters");
	made = arena_alloc(arena, digits.len / 4 * 3 + 4);
	if (made == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	if (!decode(digits, (unsigned char *)made))
		return error_set(err, STATUS_INVALID, "the text is not base64");
	*bytes = (struct span){made, digits.len * 6 / 8};
	made[bytes->len] = '\0';
	return 0;
}
