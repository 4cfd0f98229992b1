/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/stat_storage.h"

#include "guest/core/stat_limits.h"
#include "guest/io/storage_kind.h"
#include "lib/conf/storagecfg.h"
#include "lib/port/log.h"

#include <errno.h>
#include <string.h>

#define DOMAIN "statd"

/* A question on its way. The thread and the one who asked hold it together. */
typedef struct Question {
    gint refs;
    GBytes *text; /* storage.cfg: the thread reads its own copy */
    char *id;
    GMutex mutex;
    bool done; /* under the mutex, as what follows */
    int r;
    StorageStatus status;
    Err err;
} Question;

typedef struct Slot {
    char *id;
    bool kept;          /* in the last storage.cfg */
    Question *question; /* NULL: none is open */
    guint waited;       /* rounds since it was asked */
    bool away;          /* said so in the log */
    guint age;          /* rounds since the last answer */
    StorageStatus status;
} Slot;

struct StatStorages {
    GBytes *text;
    GPtrArray *slots; /* Slot, as in storage.cfg */
};

static void question_unref(Question *q)
{
    if (q != NULL && g_atomic_int_dec_and_test(&q->refs)) {
        g_bytes_unref(q->text);
        g_free(q->id);
        g_mutex_clear(&q->mutex);
        g_free(q);
    }
}

static void slot_free(void *data)
{
    Slot *slot = data;

    question_unref(slot->question);
    g_free(slot->id);
    g_free(slot);
}

StatStorages *stat_storages_new(void)
{
    StatStorages *s = g_new0(StatStorages, 1);

    s->slots = g_ptr_array_new_with_free_func(slot_free);
    return s;
}

void stat_storages_free(StatStorages *s)
{
    if (s != NULL) {
        g_ptr_array_unref(s->slots);
        g_clear_pointer(&s->text, g_bytes_unref);
        g_free(s);
    }
}

/* ---- which storages ---- */

static Slot *find_slot(const StatStorages *s, const char *id)
{
    for (guint i = 0; i < s->slots->len; i++) {
        Slot *slot = s->slots->pdata[i];

        if (strcmp(slot->id, id) == 0) {
            return slot;
        }
    }
    return NULL;
}

static void keep_slot(StatStorages *s, const char *id)
{
    Slot *slot = find_slot(s, id);

    if (slot == NULL) {
        slot = g_new0(Slot, 1);
        slot->id = g_strdup(id);
        slot->age = STAT_VALUE_ROUNDS;
        g_ptr_array_add(s->slots, slot);
    }
    slot->kept = true;
}

int stat_storages_set(StatStorages *s, GBytes *text, const char *node, Err *err)
{
    g_autoptr(StorageCfg) cfg = NULL;
    gsize size = 0;
    const char *data = g_bytes_get_data(text, &size);
    int r = storagecfg_parse(data != NULL ? data : "", size, &cfg, err);

    if (r < 0) {
        return err_wrapf(err, r, "storage.cfg");
    }
    for (guint i = 0; i < s->slots->len; i++) {
        ((Slot *)s->slots->pdata[i])->kept = false;
    }
    for (guint i = 0; i < storagecfg_count(cfg) && i < STAT_STORAGES_MAX; i++) {
        const Storage *storage = storagecfg_at(cfg, i);
        const StorageKind *kind;

        if (storage->error == NULL && storage_on_node(storage, node) &&
            storage_kind_of(storage, &kind, NULL) == 0) {
            keep_slot(s, storage->id);
        }
    }
    for (guint i = s->slots->len; i > 0; i--) {
        if (!((const Slot *)s->slots->pdata[i - 1])->kept) {
            g_ptr_array_remove_index(s->slots, i - 1);
        }
    }
    g_clear_pointer(&s->text, g_bytes_unref);
    s->text = g_bytes_ref(text);
    return 0;
}

/* ---- asking ---- */

/* In the thread: may take for ever. */
static int look(const Question *q, StorageStatus *ret, Err *err)
{
    g_autoptr(StorageCfg) cfg = NULL;
    const Storage *storage = NULL;
    const StorageKind *kind = NULL;
    gsize size = 0;
    const char *data = g_bytes_get_data(q->text, &size);
    int r = storagecfg_parse(data != NULL ? data : "", size, &cfg, err);

    if (r == 0) {
        r = storagecfg_get(cfg, q->id, &storage, err);
    }
    if (r == 0) {
        r = storage_kind_of(storage, &kind, err);
    }
    return r < 0 ? r : kind->status(storage, ret, err);
}

static gpointer ask_thread(gpointer data)
{
    Question *q = data;
    StorageStatus status = {0, 0, 0};
    Err err = ERR_INIT;
    int r = look(q, &status, &err);

    g_mutex_lock(&q->mutex);
    q->r = r;
    q->status = status;
    q->err = err;
    q->done = true;
    g_mutex_unlock(&q->mutex);
    question_unref(q);
    return NULL;
}

static void ask(const StatStorages *s, Slot *slot)
{
    Question *q = g_new0(Question, 1);
    GThread *thread;

    q->refs = 2;
    q->text = g_bytes_ref(s->text);
    q->id = g_strdup(slot->id);
    g_mutex_init(&q->mutex);
    thread = g_thread_try_new("storage", ask_thread, q, NULL);
    if (thread == NULL) { /* no more threads: the next round tries again */
        question_unref(q);
        question_unref(q);
        return;
    }
    g_thread_unref(thread);
    slot->question = q;
    slot->waited = 0;
}

static void note(Slot *slot, bool away, const char *why)
{
    if (away && !slot->away) {
        log_line(TRACE_WARNING, DOMAIN, "storage '%s' is not told: %s", slot->id, why);
    } else if (!away && slot->away) {
        log_line(TRACE_NOTICE, DOMAIN, "storage '%s' is there again", slot->id);
    }
    slot->away = away;
}

/* Takes the answer if it has come. */
static void collect(Slot *slot)
{
    Question *q = slot->question;
    bool done;

    if (q == NULL) {
        return;
    }
    g_mutex_lock(&q->mutex);
    done = q->done;
    g_mutex_unlock(&q->mutex);
    if (!done) {
        return;
    }
    if (q->r == 0) {
        slot->status = q->status;
        slot->age = 0;
    }
    note(slot, q->r < 0, err_text(&q->err));
    g_clear_pointer(&slot->question, question_unref);
}

void stat_storages_begin(StatStorages *s)
{
    for (guint i = 0; i < s->slots->len; i++) {
        Slot *slot = s->slots->pdata[i];

        collect(slot);
        slot->age = MIN(slot->age + 1, STAT_VALUE_ROUNDS);
        if (slot->question == NULL) {
            ask(s, slot);
        } else if (++slot->waited >= STAT_VALUE_ROUNDS) {
            note(slot, true, "it does not answer");
        }
    }
}

int stat_storages_tell(StatStorages *s, StatTellStorage tell, void *ctx, Err *err)
{
    int r = 0;

    for (guint i = 0; r == 0 && i < s->slots->len; i++) {
        Slot *slot = s->slots->pdata[i];

        collect(slot);
        if (slot->age < STAT_VALUE_ROUNDS && !slot->away) {
            r = tell(ctx, slot->id, slot->status.total, slot->status.used, err);
        }
    }
    return r;
}
