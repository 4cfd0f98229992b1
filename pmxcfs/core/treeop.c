/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/treeop.h"

const char *tree_op_name(TreeOpKind kind)
{
    static const char *const names[TREE_OP_N] = {
        [TREE_OP_WRITE] = "WRITE",
        [TREE_OP_MKDIR] = "MKDIR",
        [TREE_OP_DELETE] = "DELETE",
        [TREE_OP_RENAME] = "RENAME",
        [TREE_OP_CREATE] = "CREATE",
        [TREE_OP_MTIME] = "MTIME",
        [TREE_OP_UNLOCK_REQUEST] = "UNLOCK_REQUEST",
        [TREE_OP_UNLOCK] = "UNLOCK",
    };

    return (size_t)kind < G_N_ELEMENTS(names) ? names[kind] : NULL;
}

TreeOp *tree_op_copy(const TreeOp *op)
{
    TreeOp *copy = g_new(TreeOp, 1);

    *copy = *op;
    copy->path = g_strdup(op->path);
    copy->to = g_strdup(op->to);
    copy->data = op->data != NULL ? g_bytes_ref(op->data) : NULL;
    return copy;
}

void tree_op_free(TreeOp *op)
{
    if (op != NULL) {
        g_free((char *)op->path);
        g_free((char *)op->to);
        g_clear_pointer(&op->data, g_bytes_unref);
        g_free(op);
    }
}
