/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/ipc_dispatch.h"

#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/core/guestprops.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <errno.h>
#include <string.h>

#define TOKEN_FILE "priv/token.cfg"

/* Parsed config of one guest, valid while the tree still has the very entry it was made from:
 * entries are never changed in place. */
typedef struct CachedGuest {
    gatomicrefcount refs;
    Entry *entry;
    GuestProps *props;
} CachedGuest;

struct IpcDispatch {
    Engine *engine;
    GMutex lock;        /* guards `guests`; held for a lookup or a swap only */
    GHashTable *guests; /* vmid -> CachedGuest */
};

static void cached_guest_unref(gpointer data)
{
    CachedGuest *g = data;

    if (g_atomic_ref_count_dec(&g->refs)) {
        entry_unref(g->entry);
        guestprops_free(g->props);
        g_free(g);
    }
}

static CachedGuest *cached_guest_ref(CachedGuest *g)
{
    g_atomic_ref_count_inc(&g->refs);
    return g;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CachedGuest, cached_guest_unref)

void ipc_answer_clear(IpcAnswer *a)
{
    g_clear_pointer(&a->body, g_bytes_unref);
}

IpcDispatch *ipc_dispatch_new(Engine *e)
{
    IpcDispatch *d = g_new0(IpcDispatch, 1);

    d->engine = e;
    g_mutex_init(&d->lock);
    d->guests = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, cached_guest_unref);
    return d;
}

void ipc_dispatch_free(IpcDispatch *d)
{
    if (d == NULL) {
        return;
    }
    g_hash_table_unref(d->guests);
    g_mutex_clear(&d->lock);
    g_free(d);
}

/* ---- views and files ---- */

static int get_view(IpcDispatch *d, const char *name, bool with_nul, GBytes **ret)
{
    GString *text = NULL;
    int rc = engine_view(d->engine, name, &text);

    if (rc < 0) {
        return rc;
    }
    if (with_nul) {
        g_string_append_c(text, '\0');
    }
    *ret = g_string_free_to_bytes(text);
    return 0;
}

/* A file whose content nobody ever sent (reference chapter 17) reads as zeros. */
static GBytes *entry_content(const Entry *e)
{
    if (e->hollow) {
        return g_bytes_new_take(g_malloc0(e->size), e->size);
    }
    return e->data != NULL ? g_bytes_ref(e->data) : NULL;
}

static bool is_special(const char *path)
{
    const char *slash = strchr(path, '/');
    g_autofree char *first = slash != NULL ? g_strndup(path, (gsize)(slash - path)) : NULL;

    return cfs_special_from_name(first != NULL ? first : path) >= 0;
}

/* A regular file of the tree by its canonical path: -ENOENT for anything else. */
static int lookup_file(IpcDispatch *d, const char *path, Entry **ret)
{
    g_autoptr(Entry) e = NULL;

    if (is_special(path) || engine_lookup(d->engine, path, &e) < 0 || e->type != ENTRY_FILE) {
        return -ENOENT;
    }
    *ret = g_steal_pointer(&e);
    return 0;
}

static int get_file(IpcDispatch *d, const IpcPeer *peer, const WireIpcText *path, GBytes **ret)
{
    g_autofree char *given = g_strndup(path->s, path->len);
    g_autofree char *canonical = NULL;
    g_autoptr(Entry) e = NULL;
    int rc;

    /* What is checked is what is looked up, spelled one way only (reference 18.1.11). */
    canonical = cfspath_normalize(given);
    if (peer->read_only && cfspath_is_private(canonical)) {
        return -EPERM;
    }
    rc = lookup_file(d, canonical, &e);
    if (rc == 0) {
        *ret = entry_content(e);
    }
    return rc;
}

/* ---- status and log ---- */

static int write_log(IpcDispatch *d, const IpcPeer *peer, const WireIpcLog *log)
{
    g_autofree char *text = g_strndup(log->text.s, log->text.len);

    if (log->priority > 7) {
        return 0; /* as documented: success, and nothing is logged */
    }
    return engine_log(d->engine, log->priority, log->ident, log->tag, peer->pid, text, NULL);
}

static int get_log(IpcDispatch *d, const WireIpcGetLog *req, GBytes **ret)
{
    GString *text = NULL;
    int rc = engine_clusterlog(d->engine, req->user, req->max, &text);

    if (rc < 0) {
        return rc;
    }
    *ret = g_string_free_to_bytes(text);
    return 0;
}

/* ---- tokens ---- */

/* Tells nothing by its duration but the length. */
static bool same_bytes(const char *a, const char *b, size_t n)
{
    uint8_t difference = 0;

    for (size_t i = 0; i < n; i++) {
        difference |= (uint8_t)a[i] ^ (uint8_t)b[i];
    }
    return difference == 0;
}

static int verify_token(IpcDispatch *d, const char *token)
{
    g_autoptr(Entry) e = NULL;
    g_autoptr(GBytes) content = NULL;
    size_t len = strlen(token);
    const char *text, *end;
    gsize size;
    bool found = false;

    if (lookup_file(d, TOKEN_FILE, &e) < 0 || (content = entry_content(e)) == NULL) {
        return -ENOENT;
    }
    text = g_bytes_get_data(content, &size);
    for (end = text + size; text < end;) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        const char *stop = nl != NULL ? nl : end;

        found |= (size_t)(stop - text) == len && same_bytes(text, token, len);
        text = nl != NULL ? nl + 1 : end;
    }
    return found ? 0 : -ENOENT;
}

/* ---- guest properties ---- */

static CachedGuest *cache_lookup(IpcDispatch *d, uint32_t vmid, const Entry *e)
{
    CachedGuest *g;

    g_mutex_lock(&d->lock);
    g = g_hash_table_lookup(d->guests, GUINT_TO_POINTER(vmid));
    g = g != NULL && g->entry == e ? cached_guest_ref(g) : NULL;
    g_mutex_unlock(&d->lock);
    return g;
}

/* Takes the reference to `e`. */
static CachedGuest *cache_insert(IpcDispatch *d, uint32_t vmid, Entry *e)
{
    CachedGuest *g = g_new0(CachedGuest, 1);
    g_autoptr(GBytes) content = entry_content(e);
    gsize size = 0;
    const char *text = content != NULL ? g_bytes_get_data(content, &size) : "";

    g_atomic_ref_count_init(&g->refs);
    g->entry = e;
    g->props = guestprops_parse(text, size);
    g_mutex_lock(&d->lock);
    g_hash_table_replace(d->guests, GUINT_TO_POINTER(vmid), cached_guest_ref(g));
    g_mutex_unlock(&d->lock);
    return g;
}

static int get_guest(IpcDispatch *d, uint32_t vmid, CachedGuest **ret)
{
    g_autofree char *node = NULL;
    g_autofree char *type = NULL;
    g_autofree char *path = NULL;
    g_autoptr(Entry) e = NULL;
    CachedGuest *g;

    if (!engine_find_guest(d->engine, vmid, &node, &type, NULL)) {
        return -ENOENT;
    }
    path = g_strdup_printf("nodes/%s/%s/%u.conf", node,
                           strcmp(type, "qemu") == 0 ? "qemu-server" : type, vmid);
    if (lookup_file(d, path, &e) < 0) {
        return -EIO; /* in the list, but gone by now */
    }
    g = cache_lookup(d, vmid, e);
    *ret = g != NULL ? g : cache_insert(d, vmid, g_steal_pointer(&e));
    return 0;
}

static gboolean is_gone(gpointer key, gpointer value, gpointer ctx)
{
    (void)value;
    return !g_hash_table_contains(ctx, key);
}

/* Forgets guests that no longer exist. */
static void cache_sweep(IpcDispatch *d, const GArray *vmids)
{
    g_autoptr(GHashTable) known = NULL;

    g_mutex_lock(&d->lock);
    if (g_hash_table_size(d->guests) > vmids->len) {
        known = g_hash_table_new(g_direct_hash, g_direct_equal);
        for (guint i = 0; i < vmids->len; i++) {
            g_hash_table_add(known, GUINT_TO_POINTER(g_array_index(vmids, uint32_t, i)));
        }
        g_hash_table_foreach_remove(d->guests, is_gone, known);
    }
    g_mutex_unlock(&d->lock);
}

static void append_all(IpcDispatch *d, const WireIpcGuestProperties *req, GString *out)
{
    g_autoptr(GArray) vmids = engine_guests(d->engine);
    bool any = false;

    cache_sweep(d, vmids);
    for (guint i = 0; i < vmids->len; i++) {
        uint32_t vmid = g_array_index(vmids, uint32_t, i);
        g_autoptr(CachedGuest) g = NULL;
        gsize before = out->len;

        if (get_guest(d, vmid, &g) < 0) {
            continue;
        }
        g_string_append(out, any ? ",\n" : "");
        if (guestprops_format(g->props, vmid, req->names, req->n_names, out)) {
            any = true;
        } else {
            g_string_truncate(out, before);
        }
    }
}

static int get_properties(IpcDispatch *d, const WireIpcGuestProperties *req, GBytes **ret)
{
    g_autoptr(GString) out = g_string_new("{\n");

    if (req->vmid > 0 && req->vmid < 100) {
        return -EINVAL;
    }
    if (req->vmid == 0) {
        append_all(d, req, out);
    } else {
        g_autoptr(CachedGuest) g = NULL;
        int rc = get_guest(d, req->vmid, &g);

        if (rc < 0) {
            return rc;
        }
        (void)guestprops_format(g->props, req->vmid, req->names, req->n_names, out);
    }
    g_string_append(out, "\n}\n");
    *ret = g_string_free_to_bytes(g_steal_pointer(&out));
    return 0;
}

/* ---- verification ---- */

static int verify(IpcDispatch *d, GBytes **ret)
{
    char *text = NULL;
    int rc = engine_verify(d->engine, &text, NULL);

    if (rc >= 0) {
        *ret = g_bytes_new_take(text, strlen(text));
    }
    return MIN(rc, 0);
}

/* ---- all of them ---- */

static int perform(IpcDispatch *d, const IpcPeer *peer, const WireIpcRequest *req, GBytes **ret)
{
    switch ((WireIpcId)req->id) {
    case WIRE_IPC_GET_VERSION:
        return get_view(d, ".version", false, ret);
    case WIRE_IPC_GET_MEMBERS:
        return get_view(d, ".members", false, ret);
    case WIRE_IPC_GET_VMLIST:
        return get_view(d, ".vmlist", false, ret);
    case WIRE_IPC_GET_RRD:
        return get_view(d, ".rrd", true, ret);
    case WIRE_IPC_SET_STATUS:
        return engine_status_set(d->engine, req->u.set_status.key, req->u.set_status.value,
                                 req->u.set_status.size, NULL);
    case WIRE_IPC_GET_STATUS:
        return engine_status_get(d->engine, req->u.get_status.node, req->u.get_status.key, ret);
    case WIRE_IPC_GET_FILE:
        return get_file(d, peer, &req->u.path, ret);
    case WIRE_IPC_LOG:
        return write_log(d, peer, &req->u.log);
    case WIRE_IPC_GET_LOG:
        return get_log(d, &req->u.get_log, ret);
    case WIRE_IPC_GUEST_PROPERTY:
    case WIRE_IPC_GUEST_PROPERTIES:
        return get_properties(d, &req->u.properties, ret);
    case WIRE_IPC_VERIFY_TOKEN:
        return verify_token(d, req->u.token);
    case WIRE_IPC_VERIFY:
        return verify(d, ret);
    }
    return -ECHRNG;
}

/* A verification makes who differs leave the group: that is for root. */
static bool changes_something(int32_t id)
{
    return id == WIRE_IPC_SET_STATUS || id == WIRE_IPC_LOG || id == WIRE_IPC_VERIFY;
}

bool ipc_dispatch_is_slow(const void *request, size_t size)
{
    WireIpcRequest req;

    return wire_ipc_decode(request, size, &req) == 0 &&
           (changes_something(req.id) || req.id == WIRE_IPC_GUEST_PROPERTY ||
            req.id == WIRE_IPC_GUEST_PROPERTIES);
}

void ipc_dispatch(IpcDispatch *d,
                  const IpcPeer *peer,
                  const void *request,
                  size_t size,
                  size_t answer_max,
                  IpcAnswer *ret)
{
    WireIpcRequest req = {0};
    GBytes *body = NULL;
    size_t total;
    int rc = wire_ipc_decode(request, size, &req);

    if (peer->read_only && changes_something(req.id)) {
        rc = -EPERM; /* before any other fault, which is none of their business */
    }
    if (rc == 0) {
        rc = perform(d, peer, &req, &body);
    }
    total = WIRE_IPC_RESPONSE_HEAD + (body != NULL ? g_bytes_get_size(body) : 0);
    if (rc >= 0 && total > answer_max) {
        rc = -EMSGSIZE;
    }
    if (rc < 0) {
        g_clear_pointer(&body, g_bytes_unref);
        total = WIRE_IPC_RESPONSE_HEAD;
    }
    wire_ipc_encode_response_head(req.id, total, MIN(rc, 0), ret->head);
    ret->body = body;
}
