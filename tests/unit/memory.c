/* SPDX-License-Identifier: MIT */
/* Allocation that ends when a test wants it to (linked with --wrap). */
#include "unit.h"

#include "base/quote.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static unsigned left; /* the allocation that fails, counted down; 0: none */
static bool ended;

void memory_ends_at(unsigned nth)
{
	left = nth;
	ended = false;
}

bool memory_ended(void)
{
	return ended;
}

static bool is_over(void)
{
	if (left > 1)
		left--;
	else if (left == 1)
		ended = true;
	return ended;
}

void *__wrap_malloc(size_t size)
{
	return is_over() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_over() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return is_over() ? NULL : __real_realloc(memory, size);
}

struct span exact_copy(struct span text)
{
	char *copy = __real_malloc(text.len == 0 ? 1 : text.len);

	if (copy == NULL)
		abort();
	if (text.len > 0)
		memcpy(copy, text.at, text.len);
	return (struct span){copy, text.len};
}

void assert_span_is(struct span found, const char *text, const char *file,
		    int line)
{
	if (span_is(found, text))
		return;
	if (span_present(found))
		print_error("found %s, expected %s\n", quote(found).text,
			    quote(span_of(text)).text);
	else
		print_error("absent, expected %s\n", quote(span_of(text)).text);
	_fail(file, line);
}
