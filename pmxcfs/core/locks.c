/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/locks.h"

#include "pmxcfs/core/pmxcfs_limits.h"

#include <string.h>

/* A renewal whose time is this close to now means "now". */
#define RENEW_SLACK_SEC 10

/* Less is rounding. */
#define STEP_MIN_SEC 2

typedef struct LockTimer {
    uint8_t csum[ENTRY_DIGEST_SIZE];
    MonoTime start;
} LockTimer;

struct LockTable {
    GHashTable *timers; /* path -> LockTimer */
};

LockTable *locks_new(void)
{
    LockTable *t = g_new0(LockTable, 1);

    t->timers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return t;
}

void locks_free(LockTable *t)
{
    if (t != NULL) {
        g_hash_table_destroy(t->timers);
        g_free(t);
    }
}

void locks_start(LockTable *t,
                 const char *path,
                 const uint8_t csum[ENTRY_DIGEST_SIZE],
                 MonoTime now)
{
    LockTimer *timer = g_new(LockTimer, 1);

    memcpy(timer->csum, csum, ENTRY_DIGEST_SIZE);
    timer->start = now;
    g_hash_table_replace(t->timers, g_strdup(path), timer);
}

void locks_drop(LockTable *t, const char *path)
{
    g_hash_table_remove(t->timers, path);
}

/* The timer of `path` when it runs for this very state of the lock. */
static const LockTimer *
timer_of(const LockTable *t, const char *path, const uint8_t csum[ENTRY_DIGEST_SIZE])
{
    const LockTimer *timer = g_hash_table_lookup(t->timers, path);

    return timer != NULL && memcmp(timer->csum, csum, ENTRY_DIGEST_SIZE) == 0 ? timer : NULL;
}

bool locks_expired(LockTable *t,
                   const char *path,
                   const uint8_t csum[ENTRY_DIGEST_SIZE],
                   MonoTime now)
{
    const LockTimer *timer = timer_of(t, path, csum);

    if (timer == NULL) {
        locks_start(t, path, csum, now);
        return false;
    }
    /* Whole seconds, strictly more than the lifetime. */
    return mono_diff_us(now, timer->start) / US_PER_SEC > CFS_LOCK_TIMEOUT_SEC;
}

void locks_carry(LockTable *t,
                 const LockTable *old,
                 const char *path,
                 const uint8_t csum[ENTRY_DIGEST_SIZE],
                 MonoTime now)
{
    const LockTimer *timer = old != NULL ? timer_of(old, path, csum) : NULL;

    locks_start(t, path, csum, timer != NULL ? timer->start : now);
}

uint32_t locks_renewal_time(uint32_t asked, uint32_t have, uint32_t now, int64_t steady)
{
    bool means_now = ABS((int64_t)asked - (int64_t)now) <= RENEW_SLACK_SEC;
    bool set_back = steady - (int64_t)now >= STEP_MIN_SEC;

    return asked != 0 && asked < have && means_now && set_back && have <= steady + 1 ? have : asked;
}
