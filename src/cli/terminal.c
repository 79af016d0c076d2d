/* SPDX-License-Identifier: MIT */
/* Text for a terminal: harmless, cut to fit, coloured where that is wanted. */
#include "cli/terminal.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/utf8.h"

static size_t columns_of_terminal(void)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	long width = columns == NULL ? 0 : strtol(columns, NULL, 10);

	if (width <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		width = size.ws_col;
	return width > 0 ? (size_t)width : 80;
}

static bool wants_colour(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return (no_color == NULL || *no_color == '\0') && term != NULL &&
	       !span_is(span_of(term), "dumb");
}

void terminal_init(struct terminal *terminal)
{
	terminal->interactive = isatty(STDOUT_FILENO);
	terminal->colour = terminal->interactive && wants_colour();
	terminal->width =
		terminal->interactive ? columns_of_terminal() : SIZE_MAX;
}

enum tone tone_of(struct span word)
{
	static const struct {
		const char *word;
		enum tone tone;
	} tones[] = {
		{"published", TONE_GOOD}, {"processed", TONE_GOOD},
		{"running", TONE_GOOD},	  {"pending", TONE_WAIT},
		{"standby", TONE_WAIT},	  {"connecting", TONE_WAIT},
		{"waiting", TONE_WAIT},	  {"draining", TONE_WAIT},
		{"error", TONE_BAD},	  {"invalid", TONE_BAD},
		{"away", TONE_BAD},	  {"blocked", TONE_BAD},
		{"stalled", TONE_BAD},	  {"stopped", TONE_DIM},
	};

	for (size_t i = 0; i < sizeof(tones) / sizeof(tones[0]); i++)
		if (span_is(word, tones[i].word))
			return tones[i].tone;
	return TONE_PLAIN;
}

static const char *colour_of(enum tone tone)
{
	switch (tone) {
	case TONE_TITLE:
		return "\033[1m";
	case TONE_DIM:
		return "\033[2m";
	case TONE_GOOD:
		return "\033[32m";
	case TONE_WAIT:
		return "\033[33m";
	case TONE_BAD:
		return "\033[31m";
	case TONE_PLAIN:
		break;
	}
	return NULL;
}

/* A character of some text: how many bytes, how many columns. */
struct glyph {
	size_t len;
	size_t width;
	bool printable; /* else '?' is shown, one column wide */
};

/* wcwidth knows only what the locale knows: main sets a UTF-8 one. */
static struct glyph glyph_at(const char *at, const char *end)
{
	size_t len = utf8_sequence(at, end);
	mbstate_t state = {0};
	wchar_t wide;
	int width;

	if (len == 0 || mbrtowc(&wide, at, len, &state) != len)
		return (struct glyph){len == 0 ? 1 : len, 1, false};
	width = wcwidth(wide);
	if (width < 0)
		return (struct glyph){len, 1, false};
	return (struct glyph){len, (size_t)width, true};
}

size_t text_width(struct span text)
{
	const char *end = text.at + text.len;
	size_t width = 0;

	for (const char *at = text.at; at < end;) {
		struct glyph glyph = glyph_at(at, end);

		width += glyph.width;
		at += glyph.len;
	}
	return width;
}

static bool is_blank(char c)
{
	return c == '\n' || c == '\t' || c == '\r';
}

static size_t append_glyphs(struct buffer *out, struct span text, size_t width)
{
	const char *end = text.at + text.len;
	bool cut = text_width(text) > width;
	size_t room = cut ? width - 1 : width;
	size_t used = 0;

	for (const char *at = text.at; at < end;) {
		struct glyph glyph = glyph_at(at, end);

		if (glyph.width > room - used)
			break;
		if (glyph.printable)
			buffer_append(out, at, glyph.len);
		else
			buffer_append_text(out, is_blank(*at) ? " " : "?");
		used += glyph.width;
		at += glyph.len;
	}
	if (cut)
		buffer_append_text(out, "\u2026");
	return used + cut;
}

size_t text_append(struct buffer *out, const struct terminal *terminal,
		   struct span text, enum tone tone, size_t width)
{
	const char *colour = terminal->colour ? colour_of(tone) : NULL;
	size_t used;

	if (text.len == 0 || width == 0)
		return 0;
	if (colour != NULL)
		buffer_append_text(out, colour);
	used = append_glyphs(out, text, width);
	if (colour != NULL)
		buffer_append_text(out, "\033[0m");
	return used;
}
