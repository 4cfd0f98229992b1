/* SPDX-License-Identifier: Apache-2.0 */
/* What is around the two machines of a migration: time, links, volumes, and the rules that hold at
 * every moment. */
#include "tests/sim/migsim.h"

#include <stdio.h>

STRTAB_DEFINE(fault, Fault, FAULT_LIST, FAULT_N)
STRTAB_DEFINE(outcome, Outcome, OUTCOME_LIST, OUTCOME_N)

void migsim_say(World *w, const char *fmt, ...)
{
    va_list ap;

    if (!w->verbose) {
        return;
    }
    va_start(ap, fmt);
    printf("%9.3f  ", (double)w->now.us / 1e6);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

void migsim_broken(World *w, const char *what)
{
    if (w->broken[0] == '\0') {
        (void)g_strlcpy(w->broken, what, sizeof w->broken);
        migsim_say(w, "BROKEN: %s", what);
    }
}

void migsim_check(World *w)
{
    if (w->src_qemu == QEMU_RUNS && w->tgt_qemu == QEMU_RUNS) {
        migsim_broken(w, "the guest runs on both sides");
    }
    if (w->src_qemu == QEMU_RUNS && w->src_life > 0 && !w->src_volume) {
        migsim_broken(w, "the guest runs on the source without its volume");
    }
    if (w->tgt_qemu == QEMU_RUNS && w->mirrors && !w->tgt_volume) {
        migsim_broken(w, "the guest runs on the target without its volume");
    }
}

Pending *migsim_add(World *w, int64_t ms, Kind kind)
{
    Pending *p = &w->events[w->n_events];

    g_assert_cmpuint(w->n_events, <, EVENTS_MAX);
    w->n_events++;
    *p = (Pending){.at = mono_add_ms(w->now, ms), .order = w->order++, .kind = kind};
    return p;
}

int64_t migsim_some_ms(World *w, int64_t lo, int64_t hi)
{
    return prng_range(&w->prng, lo, hi);
}

bool migsim_frozen(const World *w)
{
    return w->tgt_frozen && w->tgt_qemu != QEMU_NONE;
}

bool migsim_reachable(const World *w)
{
    return !w->cut && !w->stalled && w->src_up && w->tgt_up;
}

/* ---- links ----------------------------------------------------------------------------------- */

void migsim_drop_link(World *w, bool silent)
{
    if (w->link == 0) {
        return;
    }
    for (int side = 0; side < 2; side++) {
        int64_t ms = silent ? migsim_some_ms(w, MIG_LOST_MS - 1000, MIG_LOST_MS + 1000)
                            : migsim_some_ms(w, 0, 2);
        Pending *p = migsim_add(w, ms, KIND_LOSS);

        p->a = (int)w->link;
        p->b = side;
        p->life = side == 0 ? w->src_life : w->tgt_life;
    }
    w->link = 0;
}

/* What is said next over the link, to `side`. */
static Pending *next_message(World *w, int side)
{
    Pending *p = migsim_add(w, migsim_some_ms(w, 1, 5), side == 0 ? KIND_SOURCE : KIND_TARGET);

    p->at = mono_before(p->at, w->heard[side]) ? w->heard[side] : p->at;
    w->heard[side] = p->at;
    p->life = side == 0 ? w->src_life : w->tgt_life;
    p->message = true;
    return p;
}

void migsim_to_source(World *w, MigOp op, int r)
{
    Pending *p;

    if (w->link == 0) {
        return;
    }
    p = next_message(w, 0);
    p->a = MIG_EV_DONE;
    p->b = (int)op;
    p->r = r;
}

void migsim_to_target(World *w, MigTevKind kind)
{
    Pending *p;

    if (w->link == 0) {
        return;
    }
    p = next_message(w, 1);
    p->a = kind;
}

void migsim_make_volume(World *w)
{
    w->tgt_knows = w->tgt_journal.knows = true;
    w->coming++;
    migsim_add(w, migsim_some_ms(w, 1, 30), KIND_VOLUME)->life = w->tgt_life;
}
