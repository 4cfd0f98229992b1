/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_status_cache.h"

#include <errno.h>
#include <string.h>

static void forget_refused(HaStatusCache *cache)
{
    g_clear_pointer(&cache->refused, g_free);
    cache->refusals = 0;
}

/* Whoever writes with that lower epoch has gone on doing so. */
static bool goes_on(HaStatusCache *cache, const char *text)
{
    if (g_strcmp0(cache->refused, text) != 0) {
        g_free(cache->refused);
        cache->refused = g_strdup(text);
        cache->refusals++;
    }
    return cache->refusals >= HA_STATUS_REFUSALS;
}

int ha_status_cache_take(HaStatusCache *cache, char *text, bool refuse_older, Err *err)
{
    g_autofree char *owned = text;
    g_autoptr(HaManagerStatus) ms = NULL;
    int r;

    if (cache->text != NULL && strcmp(cache->text, text) == 0) {
        forget_refused(cache);
        return 0;
    }
    r = ha_manager_status_parse(text, NULL, NULL, &ms, err);
    if (r < 0) {
        return r;
    }
    if (refuse_older && cache->ms != NULL && ms->epoch < cache->ms->epoch &&
        !goes_on(cache, text)) {
        return err_setf(err, -ESTALE,
                        "written by a replaced master (epoch %" G_GUINT64_FORMAT
                        ", known %" G_GUINT64_FORMAT ")",
                        ms->epoch, cache->ms->epoch);
    }
    ha_status_cache_done(cache);
    cache->text = g_steal_pointer(&owned);
    cache->ms = g_steal_pointer(&ms);
    return 0;
}

void ha_status_cache_done(HaStatusCache *cache)
{
    forget_refused(cache);
    g_clear_pointer(&cache->text, g_free);
    g_clear_pointer(&cache->ms, ha_manager_status_free);
}
