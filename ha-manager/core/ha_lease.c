/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_lease.h"

#include <errno.h>

void ha_lease_init(HaLease *l, const HaEnv *env, char *name_taken)
{
    *l = (HaLease){.env = env, .name = name_taken};
}

void ha_lease_done(HaLease *l)
{
    g_clear_pointer(&l->name, g_free);
}

/* Somebody relies on it: guests run under it. */
static bool is_guarded(const HaLease *l)
{
    return l->env->conduct.guests_first && l->held && l->watchdog;
}

/* A guarded lease is not given up for a moment without quorum, or for a filesystem that stands
 * still while the cluster finds out who has left it: there is time until guests have to be stopped.
 */
static bool worth_waiting(const HaLease *l, int result, unsigned tries)
{
    const HaTiming *t = l->env->timing;
    MonoTime then = mono_add_ms(l->env->ops->mono(l->env->ctx), t->lock_pause_ms);

    /* The number of tries counts where no time passes: in a simulator. */
    return result != -ESTALE && result != -ENOENT && tries < t->giveup_ms / t->lock_pause_ms &&
           mono_diff_us(then, l->fed) / US_PER_MS < t->giveup_ms;
}

bool ha_lease_take(HaLease *l, MonoTime *ret_since)
{
    const HaTiming *t = l->env->timing;

    for (unsigned i = 0;; i++) {
        MonoTime since = l->env->ops->mono(l->env->ctx);
        int r = l->env->ops->lock(l->env->ctx, l->name);

        if (r == 0) {
            *ret_since = since;
            l->held = true;
            return true;
        }
        if (is_guarded(l)) {
            if (!worth_waiting(l, r, i)) {
                return false; /* better use the time until the watchdog fires */
            }
        } else if (i + 1 >= t->lock_tries ||
                   (l->env->conduct.guests_first && !l->env->ops->quorate(l->env->ctx))) {
            return false;
        }
        l->env->ops->sleep_ms(l->env->ctx, t->lock_pause_ms);
    }
}

/* Whether what counts from `since` is young enough to act on. */
static bool in_time(const HaLease *l, MonoTime since, const char *consequence)
{
    int64_t late_ms = mono_diff_us(l->env->ops->mono(l->env->ctx), since) / US_PER_MS;

    if (late_ms <= ha_timing_feed_window_ms(l->env->timing)) {
        return true;
    }
    ha_log(l->env, TRACE_WARNING,
           "renewing lock '%s' and feeding the watchdog took %" G_GINT64_FORMAT " ms - %s", l->name,
           late_ms, consequence);
    return false;
}

bool ha_lease_guard(HaLease *l, MonoTime since)
{
    if (!in_time(l, since, "not updating the watchdog")) {
        return false;
    }
    if (!l->watchdog) {
        if (l->env->ops->watchdog_open(l->env->ctx) < 0) {
            ha_log(l->env, TRACE_ERR, "unable to open watchdog");
            return false;
        }
        l->watchdog = true;
        l->fed = since;
    }
    if (l->env->ops->watchdog_feed(l->env->ctx, since) < 0) {
        ha_log(l->env, TRACE_ERR, "unable to update watchdog");
        return false;
    }
    l->fed = since;
    /* A pause just before the feeding: the lease may be over by now, and nothing guarded the time
     * between. From here on the watchdog does. */
    return in_time(l, since, "starting nothing");
}

bool ha_lease_hold(HaLease *l, bool guard)
{
    MonoTime since;

    return ha_lease_take(l, &since) && (!guard || ha_lease_guard(l, since));
}

void ha_lease_close_watchdog(HaLease *l)
{
    if (!l->watchdog) {
        return;
    }
    l->watchdog = false;
    if (l->env->ops->watchdog_close(l->env->ctx) < 0) {
        ha_log(l->env, TRACE_ERR, "unable to close watchdog");
    }
}

int ha_lease_release(HaLease *l)
{
    if (!l->held) {
        return 0;
    }
    l->held = false;
    return l->env->ops->unlock(l->env->ctx, l->name);
}
