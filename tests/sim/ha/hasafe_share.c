/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands before the parsers of the status files (the linker puts it there): ten daemons read the
 * same files over and over, and only to look at them, so what one has parsed is handed to all. What
 * the stack makes of a file, and when, stays its own doing. A master that takes over goes on with
 * what it reads, and changes it: it gets a status of its own.
 */
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/core/ha_manager.h"
#include "ha-manager/core/ha_manager_status.h"

#include <string.h>

#define KEPT 32u /* texts of a kind; more than are in use at any one time */

int __real_ha_manager_new(
    const HaEnv *env, StrMap *last_seen, uint64_t epoch_seen, HaManager **ret_manager, Err *err);
int __wrap_ha_manager_new(
    const HaEnv *env, StrMap *last_seen, uint64_t epoch_seen, HaManager **ret_manager, Err *err);
int __real_ha_manager_status_parse(
    const char *text, HaStatusWarn warn, void *ctx, HaManagerStatus **ret_ms, Err *err);
int __wrap_ha_manager_status_parse(
    const char *text, HaStatusWarn warn, void *ctx, HaManagerStatus **ret_ms, Err *err);
void __real_ha_manager_status_free(HaManagerStatus *ms);
void __wrap_ha_manager_status_free(HaManagerStatus *ms);
int __real_ha_lrm_status_parse(const char *text, HaLrmStatus **ret_ls, Err *err);
int __wrap_ha_lrm_status_parse(const char *text, HaLrmStatus **ret_ls, Err *err);
void __real_ha_lrm_status_free(HaLrmStatus *ls);
void __wrap_ha_lrm_status_free(HaLrmStatus *ls);

typedef struct Shared {
    size_t size;
    char *text;
    void *object;
    unsigned refs; /* one of them the shelf's */
} Shared;

typedef struct Shelf {
    Shared *kept[KEPT];
    unsigned next;         /* to be replaced */
    GHashTable *by_object; /* all that somebody has, kept or not */
} Shelf;

static Shelf managers, lrms;
static unsigned taking_over; /* masters that read what the last one left */

/* NULL: not on the shelf. */
static Shared *find(const Shelf *shelf, const char *text, size_t size)
{
    for (unsigned i = 0; i < KEPT; i++) {
        /* The latest is wanted most. */
        Shared *s = shelf->kept[(shelf->next + KEPT - 1 - i) % KEPT];

        if (s != NULL && s->size == size && memcmp(s->text, text, size) == 0) {
            return s;
        }
    }
    return NULL;
}

/* NULL: somebody still has it, or it is none of ours. Else the caller frees the object. */
static void *let_go(Shelf *shelf, const void *object)
{
    Shared *s = shelf->by_object != NULL ? g_hash_table_lookup(shelf->by_object, object) : NULL;
    void *owned;

    if (s == NULL || --s->refs > 0) {
        return NULL;
    }
    owned = s->object;
    g_hash_table_remove(shelf->by_object, object);
    g_free(s->text);
    g_free(s);
    return owned;
}

static bool is_shared(const Shelf *shelf, const void *object)
{
    return shelf->by_object != NULL && g_hash_table_contains(shelf->by_object, object);
}

/* Puts it there; what has to make room for it, NULL: nothing. */
static const void *keep(Shelf *shelf, const char *text, size_t size, void *object)
{
    Shared *s = g_new(Shared, 1);
    const Shared *old = shelf->kept[shelf->next];

    if (shelf->by_object == NULL) {
        shelf->by_object = g_hash_table_new(NULL, NULL);
    }
    *s = (Shared){size, g_strdup(text), object, 2};
    shelf->kept[shelf->next] = s;
    shelf->next = (shelf->next + 1) % KEPT;
    g_hash_table_insert(shelf->by_object, object, s);
    return old != NULL ? old->object : NULL;
}

int __wrap_ha_manager_new(
    const HaEnv *env, StrMap *last_seen, uint64_t epoch_seen, HaManager **ret_manager, Err *err)
{
    int r;

    taking_over++; /* whoever else parses meanwhile gets its own, too */
    r = __real_ha_manager_new(env, last_seen, epoch_seen, ret_manager, err);
    taking_over--;
    return r;
}

int __wrap_ha_manager_status_parse(
    const char *text, HaStatusWarn warn, void *ctx, HaManagerStatus **ret_ms, Err *err)
{
    size_t size = strlen(text);
    Shared *s = find(&managers, text, size);
    int r;

    if (taking_over > 0) {
        return __real_ha_manager_status_parse(text, warn, ctx, ret_ms, err);
    }
    if (s != NULL) {
        s->refs++;
        *ret_ms = s->object;
        return 0;
    }
    r = __real_ha_manager_status_parse(text, warn, ctx, ret_ms, err);
    if (r == 0) {
        __real_ha_manager_status_free(
            let_go(&managers, keep(&managers, text, size, *ret_ms)));
    }
    return r;
}

void __wrap_ha_manager_status_free(HaManagerStatus *ms)
{
    __real_ha_manager_status_free(is_shared(&managers, ms) ? let_go(&managers, ms) : ms);
}

int __wrap_ha_lrm_status_parse(const char *text, HaLrmStatus **ret_ls, Err *err)
{
    size_t size = strlen(text);
    Shared *s = find(&lrms, text, size);
    int r;

    if (s != NULL) {
        s->refs++;
        *ret_ls = s->object;
        return 0;
    }
    r = __real_ha_lrm_status_parse(text, ret_ls, err);
    if (r == 0) {
        __real_ha_lrm_status_free(let_go(&lrms, keep(&lrms, text, size, *ret_ls)));
    }
    return r;
}

void __wrap_ha_lrm_status_free(HaLrmStatus *ls)
{
    __real_ha_lrm_status_free(is_shared(&lrms, ls) ? let_go(&lrms, ls) : ls);
}
