/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A corosync.conf that corosync could not live with is refused to the one who writes it, at `close`
 * or `rename`: the reason is in the log of the daemon and in the cluster's. What other nodes have
 * written already is only kept from the host (corosync_conf_sync.h). Any thread.
 */
#include "lib/conf/corosync_check.h"
#include "pmxcfs/io/engine_priv.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define CONF_NAME "corosync.conf"

/* What the file would hold; NULL: nothing that has to be looked at. */
static GBytes *text_after(Engine *e, const TreeOp *op, const Entry *now)
{
    g_autoptr(Entry) from = NULL;
    GByteArray *text;
    gsize size = 0;

    if (op->kind == TREE_OP_RENAME && strcmp(op->to, CONF_NAME) == 0) {
        return engine_lookup(e, op->path, &from) == 0 && from->data != NULL
                   ? g_bytes_ref(from->data)
                   : NULL;
    }
    if (op->kind != TREE_OP_WRITE || strcmp(op->path, CONF_NAME) != 0 ||
        op->offset > COROSYNC_CONF_SIZE_MAX) {
        return NULL;
    }
    text = g_byte_array_new();
    if (now != NULL && now->data != NULL) {
        const guint8 *old = g_bytes_get_data(now->data, &size);

        g_byte_array_append(text, old, (guint)size);
    }
    if (op->data != NULL) {
        const guint8 *data = g_bytes_get_data(op->data, &size);
        guint end = (guint)(op->offset + size);

        g_byte_array_set_size(text, MAX(text->len, end));
        memcpy(text->data + op->offset, data, size);
        size = op->offset + size;
    } else {
        size = op->offset;
    }
    if (op->truncate) {
        g_byte_array_set_size(text, (guint)size);
    }
    return g_byte_array_free_to_bytes(text);
}

int engine_check_conf(Engine *e, const TreeOp *op, Err *err)
{
    g_autoptr(Entry) now = NULL;
    g_autoptr(GBytes) next = NULL;
    Err why = ERR_INIT;
    gsize size = 0, now_size = 0;
    g_autofree char *said = NULL;
    const char *text, *now_text;
    int r;

    /* Alone, in local mode, a node is repaired: there everything is allowed. */
    if (e->local || (op->kind != TREE_OP_WRITE && op->kind != TREE_OP_RENAME)) {
        return 0;
    }
    if (engine_lookup(e, CONF_NAME, &now) < 0) {
        now = NULL;
    }
    if ((next = text_after(e, op, now)) == NULL) {
        return 0;
    }
    text = g_bytes_get_data(next, &size);
    now_text = now != NULL && now->data != NULL ? g_bytes_get_data(now->data, &now_size) : NULL;
    if (size == 0 || (size == now_size && memcmp(text, now_text, size) == 0) ||
        corosync_check_text(text, size, now_text, now_size, &why) == 0) {
        return 0;
    }
    said = g_strdup_printf("corosync.conf was refused: %s ('pvecm check FILE' tells all)",
                           err_text(&why));
    trace(&e->log_dcdb, TRACE_ERR, "%s", said);
    /* For people who look elsewhere than on this node; its own log has it in any case. */
    r = engine_log(e, LOG_ERR, "root@pam", "pmxcfs", (uint32_t)getpid(), said, NULL);
    if (r < 0) {
        trace(&e->log_dcdb, TRACE_DEBUG, "cluster log: %s", g_strerror(-r));
    }
    return err_setf(err, -EINVAL, "%s", said);
}
