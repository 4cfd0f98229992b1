/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prng: a small seeded generator (xoshiro256**), for simulations and jitter, never for secrets.
 * The same seed gives the same sequence on every machine. One owner at a time.
 */
#ifndef LIB_BASE_PRNG_H
#define LIB_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Prng {
    uint64_t s[4];
} Prng;

/* Starts the sequence that belongs to `seed`; every seed is valid. */
void prng_init(Prng *p, uint64_t seed);

/* Uniform in all 64 bits. */
uint64_t prng_u64(Prng *p);

/* Uniform in [0, bound); `bound` must not be 0. */
uint64_t prng_below(Prng *p, uint64_t bound);

/* Uniform in [lo, hi], lo <= hi. */
int64_t prng_range(Prng *p, int64_t lo, int64_t hi);

/* True `num` times out of `den` on average. */
bool prng_chance(Prng *p, uint32_t num, uint32_t den);

#endif
