/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual time: a heap of events, and coroutines that sleep in it. */
#include "tests/sim/ha/hasafe.h"

#include <assert.h>
#include <setjmp.h>
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
    ucontext_t ctx; /* its first entry; from then on `at`, which costs no system call */
    jmp_buf at;
    void *stack;
    uint64_t due; /* order of the event that goes on with it; others are of sleeps cut short */
    bool entered;
    bool done;
};

struct HaSafeClock {
    HaSafe *s;
    int64_t now;
    int64_t until; /* of the run that is under way */
    uint64_t orders;
    GArray *heap; /* Event, the earliest first */
    HaSafeTask *current;
    unsigned tasks;
    bool draining; /* sleeping takes no time: everything is to end */
    jmp_buf main;
    GPtrArray *idle; /* HaSafeTask *, to be used again with their stacks */
    GPtrArray *all;
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

    e.order = ++c->orders;
    if (e.task != NULL) {
        e.task->due = e.order;
    }
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
    c->idle = g_ptr_array_new();
    c->all = g_ptr_array_new();
    return c;
}

static HaSafeTask *take_task(HaSafeClock *c)
{
    HaSafeTask *t;

    if (c->idle->len > 0) {
        return g_ptr_array_steal_index_fast(c->idle, c->idle->len - 1);
    }
    t = g_new0(HaSafeTask, 1);
    t->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->stack == MAP_FAILED) {
        abort();
    }
    g_ptr_array_add(c->all, t);
    return t;
}

static void enter(HaSafeTask *t)
{
    HaSafeClock *c = t->s->clock;

    ON_ASAN(__sanitizer_finish_switch_fiber(NULL, &c->main_bottom, &c->main_size));
    t->fn(t->s, t->data);
    t->done = true;
    ON_ASAN(__sanitizer_start_switch_fiber(NULL, c->main_bottom, c->main_size));
    _longjmp(c->main, 1);
}

static void entry(unsigned low, unsigned high)
{
    enter((HaSafeTask *)(uintptr_t)(((uint64_t)high << 32) | low));
}

static void go_on(HaSafeClock *c, HaSafeTask *t)
{
    c->current = t;
    ON_ASAN(__sanitizer_start_switch_fiber(&c->main_fake, t->stack, STACK_SIZE));
    if (_setjmp(c->main) == 0) {
        if (t->entered) {
            _longjmp(t->at, 1);
        }
        t->entered = true;
        (void)setcontext(&t->ctx); /* comes back only when it fails */
        abort();
    }
    ON_ASAN(__sanitizer_finish_switch_fiber(c->main_fake, NULL, NULL));
    c->current = NULL;
    if (t->done) {
        t->due = 0;
        g_ptr_array_add(c->idle, t);
        c->tasks--;
    }
}

/* Not inlined: no variable of the caller may live across getcontext, which returns twice. */
__attribute__((noinline)) static void set_up(HaSafeTask *t)
{
    if (getcontext(&t->ctx) < 0) {
        abort();
    }
    t->ctx.uc_stack.ss_sp = t->stack;
    t->ctx.uc_stack.ss_size = STACK_SIZE;
    makecontext(&t->ctx, (void (*)(void))entry, 2, (unsigned)(uintptr_t)t,
                (unsigned)((uint64_t)(uintptr_t)t >> 32));
}

void hasafe_spawn(HaSafe *s, HaSafeFn fn, void *data)
{
    HaSafeClock *c = s->clock;
    HaSafeTask *t = take_task(c);

    *t = (HaSafeTask){.s = s, .fn = fn, .data = data, .stack = t->stack};
    set_up(t);
    c->tasks++;
    push(c, (Event){.at = c->now, .task = t});
}

/* Nothing else happens meanwhile: time can just go on, without a turn through the heap. */
static bool undisturbed(const HaSafeClock *c, int64_t until)
{
    return !c->draining && !c->s->failed && until <= c->until &&
           (c->heap->len == 0 || g_array_index(c->heap, Event, 0).at > until);
}

void hasafe_sleep(HaSafe *s, int64_t us)
{
    HaSafeClock *c = s->clock;
    HaSafeTask *t = c->current;
    ON_ASAN(void *fake = NULL);

    assert(t != NULL);
    if (us >= 0 && undisturbed(c, c->now + us)) {
        c->now += us;
        return;
    }
    push(c, (Event){.at = c->now + (c->draining ? 0 : us), .task = t});
    ON_ASAN(__sanitizer_start_switch_fiber(&fake, c->main_bottom, c->main_size));
    if (_setjmp(t->at) == 0) {
        _longjmp(c->main, 1);
    }
    ON_ASAN(__sanitizer_finish_switch_fiber(fake, &c->main_bottom, &c->main_size));
}

HaSafeTask *hasafe_self(const HaSafe *s)
{
    return s->clock->current;
}

void hasafe_wake(HaSafe *s, HaSafeTask *t)
{
    push(s->clock, (Event){.at = s->clock->now, .task = t});
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
        if (e.order == e.task->due) {
            go_on(c, e.task);
        }
    } else if (!c->draining) {
        e.fn(c->s, e.data);
    }
}

void hasafe_run_until(HaSafe *s, int64_t until)
{
    HaSafeClock *c = s->clock;

    c->until = until;
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
    for (guint i = 0; i < c->all->len; i++) {
        HaSafeTask *t = c->all->pdata[i];

        (void)munmap(t->stack, STACK_SIZE); /* ours, of this size */
        g_free(t);
    }
    g_ptr_array_unref(c->all);
    g_ptr_array_unref(c->idle);
    g_array_unref(c->heap);
    g_free(c);
}
