/* SPDX-License-Identifier: MIT */
/* SplitMix64 (Steele, Lea, Flood 2014) and the kernel's entropy. */
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static void kernel_random(void *bytes, size_t size)
{
	/* getrandom of up to 256 bytes neither blocks nor is interrupted once
	 * the pool is ready, which it is long before a service starts. */
	if (getrandom(bytes, size, 0) != (ssize_t)size)
		abort();
}

uint64_t random_seed(void)
{
	uint64_t seed;

	kernel_random(&seed, sizeof(seed));
	return seed;
}

uint64_t random_next(struct random *random)
{
	uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t random_below(struct random *random, uint64_t bound)
{
	uint64_t limit, value;

	if (bound == 0)
		return 0;
	limit = UINT64_MAX - UINT64_MAX % bound;
	do
		value = random_next(random);
	while (value >= limit);
	return value % bound;
}

void uuid_generate(char text[UUID_TEXT_SIZE])
{
	unsigned char b[16];

	kernel_random(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(text, UUID_TEXT_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9],
		 b[10], b[11], b[12], b[13], b[14], b[15]);
}
