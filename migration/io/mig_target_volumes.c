/* SPDX-License-Identifier: Apache-2.0 */
/* Ports and volumes on the target: made by `prepare`, removed by `free`. */
#include "lib/port/log.h"
#include "lib/port/process.h"
#include "migration/io/mig_target_ops.h"

#include <errno.h>
#include <string.h>

#define ALLOC_MS      120000
#define LIST_MS       20000
#define QUEUE_LOOK_MS 500
#define SECTOR        512

/* ---- ports ----------------------------------------------------------------------------------- */

static gboolean look_again(gpointer data)
{
    mig_job_note(data, MIG_NOTE_COMMAND, MIG_TOP_PREPARE, 1, NULL);
    return G_SOURCE_REMOVE;
}

static void wait_for_port(MigJob *j, unsigned position)
{
    GSource *s = g_timeout_source_new(QUEUE_LOOK_MS);

    if (j->at != position) {
        JsonTree *t = jsontree_new_object();

        j->at = position;
        jsontree_set_int(t, "position", position);
        mig_job_send(j, WIRE_MIG_WAITING, t);
    }
    g_source_set_callback(s, look_again, j, NULL);
    (void)g_source_attach(s, j->context);
    g_source_unref(s);
}

static bool mirrors(const JsonTree *ask)
{
    const JsonTree *list = jsontree_get(ask, "volumes");

    for (guint i = 0; i < jsontree_count(list); i++) {
        if (g_strcmp0(jsontree_get_text(jsontree_at(list, i), "how"), "mirror") == 0) {
            return true;
        }
    }
    return false;
}

/* 1 all are there; 0 waiting; -errno. */
static int take_ports(MigJob *j, Err *err)
{
    int want = !j->target.online ? 0 : mirrors(j->ask) ? 2 : 1;

    if (want > 0 && j->listen == NULL) {
        int r = mig_target_address(j, jsontree_get_text(j->ask, "network"), &j->listen, err);

        if (r < 0) {
            return r;
        }
    }
    for (int i = 0; i < want; i++) {
        unsigned position = 0;
        int r = j->lease[i] != NULL
                    ? 0
                    : mig_ports_take(j->setup->ports, j->listen, j, &position, &j->lease[i], err);

        if (r == -EAGAIN) {
            /* Nobody keeps one port and waits for a second: that could last for ever. */
            mig_lease_free(g_steal_pointer(&j->lease[0]));
            wait_for_port(j, position);
            return 0;
        }
        if (r < 0) {
            return r;
        }
    }
    return 1;
}

/* ---- volumes --------------------------------------------------------------------------------- */

static void answer(MigJob *j)
{
    JsonTree *t = jsontree_new_object();
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < jsontree_count(j->pairs_all); i++) {
        const JsonTree *p = jsontree_at(j->pairs_all, i);
        JsonTree *one = jsontree_new_object();

        jsontree_set_text(one, "volid", jsontree_get_text(p, "old"));
        jsontree_set_text(one, "new", jsontree_get_text(p, "new"));
        jsontree_add(list, one);
    }
    jsontree_set(t, "volumes", list);
    mig_job_send(j, WIRE_MIG_PREPARED, t);
    mig_target_done(j, MIG_TOP_PREPARE, 0, NULL);
}

/* Volumes of the guest on a storage of this node: array of ids. */
static int list_volumes(MigJob *j, const char *storage, JsonTree **ret, Err *err)
{
    g_autofree char *vmid = g_strdup_printf("%u", j->vmid);
    ProcessOptions options = {.timeout_ms = LIST_MS};
    g_autofree char *text = NULL;
    g_autoptr(JsonTree) t = NULL;
    int r = process_check((const char *const[]){j->setup->pvesm, "list", storage, "--vmid", vmid,
                                                "--output-format", "json", NULL},
                          &options, &text, err);

    if (r < 0 || (r = jsontree_parse(text, strlen(text), &t, err)) < 0) {
        return r;
    }
    *ret = jsontree_new_array();
    for (guint i = 0; i < jsontree_count(t); i++) {
        const char *volid = jsontree_get_text(jsontree_at(t, i), "volid");

        if (volid != NULL) {
            jsontree_add(*ret, jsontree_new_text(volid));
        }
    }
    return 0;
}

static bool listed(const JsonTree *list, const char *volid)
{
    for (guint i = 0; i < jsontree_count(list); i++) {
        if (g_strcmp0(jsontree_text(jsontree_at(list, i)), volid) == 0) {
            return true;
        }
    }
    return false;
}

int mig_target_intend(MigJob *j, const char *storage, Err *err)
{
    JsonTree *before = NULL, *one;
    int r;

    for (guint i = 0; i < jsontree_count(j->intents); i++) {
        if (g_strcmp0(jsontree_get_text(jsontree_at(j->intents, i), "storage"), storage) == 0) {
            return 0;
        }
    }
    r = list_volumes(j, storage, &before, err);
    if (r < 0) {
        return err_wrapf(err, r, "storage '%s'", storage);
    }
    one = jsontree_new_object();
    jsontree_set_text(one, "storage", storage);
    jsontree_set(one, "before", before);
    if (j->intents == NULL) {
        j->intents = jsontree_new_array();
    }
    jsontree_add(j->intents, one);
    mig_target_journal(j);
    return j->journal_failed ? err_setf(err, -EROFS, "the journal of migrations cannot be written")
                             : 0;
}

/* What was made but never noted: an agent that dies right after `pvesm alloc` knows no name. */
static void find_unnoted(MigJob *j)
{
    for (guint i = 0; i < jsontree_count(j->intents); i++) {
        const JsonTree *intent = jsontree_at(j->intents, i);
        const char *storage = jsontree_get_text(intent, "storage");
        g_autoptr(JsonTree) now = NULL;
        Err err = ERR_INIT;

        if (storage == NULL || list_volumes(j, storage, &now, &err) < 0) {
            mig_job_say(j, "volumes of guest %u may be left on storage '%s': %s", j->vmid,
                        storage != NULL ? storage : "?", err_text(&err));
            continue;
        }
        for (guint k = 0; k < jsontree_count(now); k++) {
            const char *volid = jsontree_text(jsontree_at(now, k));

            if (!listed(jsontree_get(intent, "before"), volid) &&
                !g_ptr_array_find_with_equal_func(j->made, volid, g_str_equal, NULL)) {
                g_ptr_array_add(j->made, g_strdup(volid));
            }
        }
    }
    jsontree_free(g_steal_pointer(&j->intents)); /* from here on they are in `made` */
}

/* Name of the volume within its storage: "vm-100-disk-0.qcow2". */
static const char *leaf(const char *volid)
{
    const char *colon = strchr(volid, ':');
    const char *slash = strrchr(volid, '/');

    return slash != NULL ? slash + 1 : colon != NULL ? colon + 1 : volid;
}

static bool is_mirror(const JsonTree *volume)
{
    return g_strcmp0(jsontree_get_text(volume, "how"), "mirror") == 0;
}

bool mig_target_is_replayed(const JsonTree *volume)
{
    return is_mirror(volume) && jsontree_get_bool(volume, "snapshots", false);
}

static void alloc(MigJob *j, const JsonTree *volume, bool same_name)
{
    g_autofree char *vmid = g_strdup_printf("%u", j->vmid);
    /* QEMU shows whole sectors, also of a file that ends within one. */
    int64_t sectors = (jsontree_get_int(volume, "size", 0) + SECTOR - 1) / SECTOR;
    g_autofree char *kib =
        g_strdup_printf("%" G_GINT64_FORMAT "%s", sectors / 2, sectors % 2 != 0 ? ".5K" : "K");
    const char *format = jsontree_get_text(volume, "format");

    mig_job_command(j, MIG_NOTE_COMMAND, MIG_TOP_PREPARE,
                    (const char *const[]){j->setup->pvesm, "alloc",
                                          jsontree_get_text(volume, "storage"), vmid,
                                          same_name ? leaf(jsontree_get_text(volume, "volid")) : "",
                                          kib, "--format", format != NULL ? format : "raw", NULL},
                    ALLOC_MS);
}

/* The volume between quotes in the last line. Caller frees; NULL when there is none. */
static char *quoted(const char *text)
{
    const char *end = text != NULL ? strrchr(text, '\'') : NULL;
    const char *begin = end;

    while (begin != NULL && begin > text && begin[-1] != '\'') {
        begin--;
    }
    return begin != NULL && begin > text ? g_strndup(begin, (gsize)(end - begin)) : NULL;
}

void mig_target_note_volume(MigJob *j, const char *old, const char *fresh)
{
    JsonTree *one = jsontree_new_object();

    jsontree_set_text(one, "old", old);
    jsontree_set_text(one, "new", fresh);
    if (strcmp(old, fresh) != 0) {
        if (j->pairs == NULL) {
            j->pairs = jsontree_new_array();
        }
        jsontree_add(j->pairs, jsontree_copy(one));
    }
    jsontree_add(j->pairs_all, one);
    g_ptr_array_add(j->made, g_strdup(fresh));
    mig_target_journal(j);
}

/* The next volume that a mirror alone will fill; the others are made as they come. */
static void next_volume(MigJob *j)
{
    const JsonTree *list = jsontree_get(j->ask, "volumes");

    for (; j->at < jsontree_count(list); j->at++) {
        const JsonTree *v = jsontree_at(list, j->at);

        if (jsontree_get_text(v, "volid") == NULL || jsontree_get_text(v, "storage") == NULL) {
            mig_target_done(j, MIG_TOP_PREPARE, -EBADMSG, "a volume without name");
            return;
        }
        if (is_mirror(v) && !mig_target_is_replayed(v)) {
            Err err = ERR_INIT;
            int r = mig_target_intend(j, jsontree_get_text(v, "storage"), &err);

            if (r < 0) {
                mig_target_done(j, MIG_TOP_PREPARE, r, err_text(&err));
            } else {
                alloc(j, v, !j->renaming);
            }
            return;
        }
    }
    answer(j);
}

static void allocated(MigJob *j, const MigNote *n)
{
    const JsonTree *v = jsontree_at(jsontree_get(j->ask, "volumes"), j->at);
    g_autofree char *fresh = n->r == 0 ? quoted(n->text) : NULL;

    if (fresh == NULL && !j->renaming) {
        j->renaming = true; /* the name may be taken: any other will do */
        next_volume(j);
        return;
    }
    if (fresh == NULL) {
        g_autofree char *text =
            g_strdup_printf("a volume on storage '%s': %s", jsontree_get_text(v, "storage"),
                            n->text != NULL ? n->text : "pvesm gave no name");

        mig_target_done(j, MIG_TOP_PREPARE, n->r < 0 ? n->r : -EIO, text);
        return;
    }
    j->renaming = false;
    mig_target_note_volume(j, jsontree_get_text(v, "volid"), fresh);
    j->at++;
    next_volume(j);
}

static void ports_then_volumes(MigJob *j)
{
    Err err = ERR_INIT;
    int r = j->interrupted ? err_setf(&err, -EINTR, "given up while waiting for a port")
                           : take_ports(j, &err);

    if (r < 0) {
        mig_ports_leave(j->setup->ports, j);
        mig_target_done(j, MIG_TOP_PREPARE, r, err_text(&err));
    } else if (r == 1) {
        j->at = 0;
        j->allocating = true;
        next_volume(j);
    }
}

void mig_target_prepare(MigJob *j)
{
    j->at = 0;
    j->allocating = j->renaming = false;
    jsontree_free(j->pairs_all);
    j->pairs_all = jsontree_new_array();
    jsontree_free(j->asked);
    j->asked = jsontree_copy(j->ask);
    ports_then_volumes(j);
}

void mig_target_prepare_next(MigJob *j, const MigNote *n)
{
    if (!j->allocating) {
        ports_then_volumes(j);
    } else if (j->interrupted && n->r < 0) {
        mig_target_done(j, MIG_TOP_PREPARE, -EINTR, "given up");
    } else {
        allocated(j, n);
    }
}

/* ---- removing -------------------------------------------------------------------------------- */

static void free_first(MigJob *j)
{
    if (j->made->len == 0) {
        mig_target_done(j, MIG_TOP_FREE, 0, NULL);
        return;
    }
    mig_job_command(
        j, MIG_NOTE_COMMAND, MIG_TOP_FREE,
        (const char *const[]){j->setup->pvesm, "free", g_ptr_array_index(j->made, 0), NULL},
        ALLOC_MS);
}

/* Only when it is certain that no configuration of this node refers to them. */
void mig_target_free(MigJob *j)
{
    Err err = ERR_INIT;
    int place = mig_tree_place(&j->setup->tree, j->peer, j->vmid, &err);

    if (g_atomic_int_get(&j->streams) > 0) {
        mig_target_done(j, MIG_TOP_FREE, -EAGAIN, "volumes are still coming in");
    } else if (place == MIG_PLACE_OWN && mig_tree_is_locked(&j->setup->tree, j->vmid)) {
        mig_target_done(j, MIG_TOP_FREE, -EAGAIN, "the source may still take the guest back");
    } else if (place == MIG_PLACE_OWN) {
        mig_job_say(j, "the configuration is here: its volumes stay");
        mig_target_done(j, MIG_TOP_FREE, 0, NULL);
    } else if (place < 0 && (j->made->len > 0 || j->intents != NULL)) {
        mig_target_done(j, MIG_TOP_FREE, -EAGAIN, err_text(&err));
    } else {
        find_unnoted(j);
        free_first(j);
    }
}

void mig_target_free_next(MigJob *j, const MigNote *n)
{
    if (n->r < 0) {
        mig_job_say(j, "volume '%s' is left on node '%s': %s",
                    (char *)g_ptr_array_index(j->made, 0), j->setup->tree.node, n->text);
    }
    g_ptr_array_remove_index(j->made, 0);
    mig_target_journal(j);
    free_first(j);
}
