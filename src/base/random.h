/* SPDX-License-Identifier: MIT */
/*
 * Pseudo-random numbers from a seed, for back-off and simulation; fresh seeds
 * and UUIDs come from the kernel.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

/* A seed nobody can guess; never fails. */
uint64_t random_seed(void);

uint64_t random_next(struct random *random);

/* Uniform in [0, bound); 0 when bound is 0. */
uint64_t random_below(struct random *random, uint64_t bound);

/* A version 4 UUID: 36 lower-case characters and a NUL. */
enum { UUID_TEXT_SIZE = 37 };
void uuid_generate(char text[UUID_TEXT_SIZE]);

#endif
