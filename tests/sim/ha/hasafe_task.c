/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual time: a heap of events, and coroutines that sleep in it. */
#include "tests/sim/ha/hasafe.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define ON_ASAN(x) x
#else
#define ON_ASAN(x)
#endif

#define STACK_SIZE (256u * 1024u)

typedef struct Event {
    int64_t at;
    uint64_t order; /* of events at the same time: first come, first served */
    HaSafeFn fn;
    void *data;
    HaSafeTask *task; /* to go on with; NULL: call fn */
} Event;

struct HaSafeTask {
    HaSafe *s;
    HaSafeFn fn;
    void *data;
    ucontext_t ctx;
    void *stack;
    bool done;
};

struct HaSafeClock {
    HaSafe *s;
    int64_t now;
    uint64_t orders;
    GArray *heap; /* Event, the earliest first */
    HaSafeTask *current;
    unsigned tasks;
    bool draining; /* sleeping takes no time: everything is to end */
    ucontext_t main;
    GPtrArray *stacks; /* free ones */
    const void *main_bottom;
    size_t main_size;
    void *main_fake;
};

static bool earlier(const Event *a, const Event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static Event *at(HaSafeClock *c, guint i)
{
    return &g_array_index(c->heap, Event, i);
}

static void swap(HaSafeClock *c, guint i, guint j)
{
    Event e = *at(c, i);

    *at(c, i) = *at(c, j);
    *at(c, j) = e;
}

static void push(HaSafeClock *c, Event e)
{
    guint i = c->heap->len;

    e.order = c->orders++;
    g_array_append_val(c->heap, e);
    while (i > 0 && earlier(at(c, i), at(c, (i - 1) / 2))) {
        swap(c, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static Event pop(HaSafeClock *c)
{
    Event e = *at(c, 0);
    guint i = 0;

    swap(c, 0, c->heap->len - 1);
    g_array_set_size(c->heap, c->heap->len - 1);
    for (;;) {
        guint least = i;

        for (guint k = 2 * i + 1; k <= 2 * i + 2 && k < c->heap->len; k++) {
            if (earlier(at(c, k), at(c, least))) {
                least = k;
            }
        }
        if (least == i) {
            return e;
        }
        swap(c, i, least);
        i = least;
    }
}

HaSafeClock *hasafe_clock_new(HaSafe *s)
{
    HaSafeClock *c = g_new0(HaSafeClock, 1);

    c->s = s;
    c->heap = g_array_new(FALSE, FALSE, sizeof(Event));
    c->stacks = g_ptr_array_new();
    return c;
}

static void *take_stack(HaSafeClock *c)
{
    void *stack;

    if (c->stacks->len > 0) {
        return g_ptr_array_steal_index_fast(c->stacks, c->stacks->len - 1);
    }
    stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) {
        abort();
    }
    return stack;
}

static void enter(HaSafeTask *t)
{
    HaSafeClock *c = t->s->clock;

    ON_ASAN(__sanitizer_finish_switch_fiber(NULL, &c->main_bottom, &c->main_size));
    t->fn(t->s, t->data);
    t->done = true;
    ON_ASAN(__sanitizer_start_switch_fiber(NULL, c->main_bottom, c->main_size));
    setcontext(&c->main);
    abort();
}

static void entry(unsigned low, unsigned high)
{
    enter((HaSafeTask *)(uintptr_t)(((uint64_t)high << 32) | low));
}

static void go_on(HaSafeClock *c, HaSafeTask *t)
{
    c->current = t;
    ON_ASAN(__sanitizer_start_switch_fiber(&c->main_fake, t->stack, STACK_SIZE));
    if (swapcontext(&c->main, &t->ctx) < 0) {
        abort();
    }
    ON_ASAN(__sanitizer_finish_switch_fiber(c->main_fake, NULL, NULL));
    c->current = NULL;
    if (t->done) {
        g_ptr_array_add(c->stacks, t->stack);
        c->tasks--;
        g_free(t);
    }
}

void hasafe_spawn(HaSafe *s, HaSafeFn fn, void *data)
{
    HaSafeClock *c = s->clock;
    HaSafeTask *t = g_new0(HaSafeTask, 1);
    uint64_t p = (uint64_t)(uintptr_t)t;

    *t = (HaSafeTask){.s = s, .fn = fn, .data = data, .stack = take_stack(c)};
    if (getcontext(&t->ctx) < 0) {
        abort();
    }
    t->ctx.uc_stack.ss_sp = t->stack;
    t->ctx.uc_stack.ss_size = STACK_SIZE;
    makecontext(&t->ctx, (void (*)(void))entry, 2, (unsigned)p, (unsigned)(p >> 32));
    c->tasks++;
    push(c, (Event){.at = c->now, .task = t});
}

void hasafe_sleep(HaSafe *s, int64_t us)
{
    HaSafeClock *c = s->clock;
    HaSafeTask *t = c->current;
    ON_ASAN(void *fake = NULL);

    assert(t != NULL);
    push(c, (Event){.at = c->now + (c->draining ? 0 : us), .task = t});
    ON_ASAN(__sanitizer_start_switch_fiber(&fake, c->main_bottom, c->main_size));
    if (swapcontext(&t->ctx, &c->main) < 0) {
        abort();
    }
    ON_ASAN(__sanitizer_finish_switch_fiber(fake, &c->main_bottom, &c->main_size));
}

int64_t hasafe_now(const HaSafe *s)
{
    return s->clock->now;
}

void hasafe_after(HaSafe *s, int64_t us, HaSafeFn fn, void *data)
{
    push(s->clock, (Event){.at = s->clock->now + us, .fn = fn, .data = data});
}

static void run_first(HaSafeClock *c)
{
    Event e = pop(c);

    c->now = e.at > c->now ? e.at : c->now;
    if (e.task != NULL) {
        go_on(c, e.task);
    } else if (!c->draining) {
        e.fn(c->s, e.data);
    }
}

void hasafe_run_until(HaSafe *s, int64_t until)
{
    HaSafeClock *c = s->clock;

    while (!s->failed && c->heap->len > 0 && at(c, 0)->at <= until) {
        run_first(c);
    }
    c->now = s->failed ? c->now : until;
}

void hasafe_clock_free(HaSafeClock *c)
{
    c->draining = true;
    while (c->tasks > 0) {
        run_first(c);
    }
    for (guint i = 0; i < c->stacks->len; i++) {
        (void)munmap(c->stacks->pdata[i], STACK_SIZE); /* ours, of this size */
    }
    g_ptr_array_unref(c->stacks);
    g_array_unref(c->heap);
    g_free(c);
}
