/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/prng.h"

#include <assert.h>

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* splitmix64: spreads any seed, also 0, over the whole state. */
static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void prng_init(Prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        p->s[i] = splitmix(&seed);
    }
}

uint64_t prng_u64(Prng *p)
{
    uint64_t result = rotl(p->s[1] * 5, 7) * 9;
    uint64_t t = p->s[1] << 17;

    p->s[2] ^= p->s[0];
    p->s[3] ^= p->s[1];
    p->s[1] ^= p->s[2];
    p->s[0] ^= p->s[3];
    p->s[2] ^= t;
    p->s[3] = rotl(p->s[3], 45);
    return result;
}

uint64_t prng_below(Prng *p, uint64_t bound)
{
    uint64_t threshold;
    uint64_t r;

    assert(bound > 0);
    threshold = (0 - bound) % bound; /* rejects the part that would favour small results */
    do {
        r = prng_u64(p);
    } while (r < threshold);
    return r % bound;
}

int64_t prng_range(Prng *p, int64_t lo, int64_t hi)
{
    uint64_t span;

    assert(lo <= hi);
    span = (uint64_t)hi - (uint64_t)lo + 1;
    return (int64_t)((uint64_t)lo + (span == 0 ? prng_u64(p) : prng_below(p, span)));
}

bool prng_chance(Prng *p, uint32_t num, uint32_t den)
{
    return prng_below(p, den) < num;
}
