/* SPDX-License-Identifier: Apache-2.0 */
/* qm_status: shows whether a guest runs, and what else is known. */
#include "cli/qm_run.h"

#include "guest/io/guest_status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_value(const JsonTree *value)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (jsontree_text(value) != NULL) {
        printf("%s\n", jsontree_text(value));
        return;
    }
    jsontree_append(text, value);
    printf("%s\n", text->str);
}

static void print_all(const JsonTree *status)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new();

    for (guint i = 0; i < jsontree_count(status); i++) {
        g_ptr_array_add(keys, (void *)(uintptr_t)jsontree_key(status, i));
    }
    qsort(keys->pdata, keys->len, sizeof keys->pdata[0], compare_keys);
    for (guint i = 0; i < keys->len; i++) {
        printf("%s: ", (const char *)keys->pdata[i]);
        print_value(jsontree_get(status, keys->pdata[i]));
    }
}

int qm_status(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_autoptr(JsonTree) status = NULL;
    bool json = false;
    uint32_t vmid;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = qm_run_begin(operands, &h, &vmid, err);
    }
    if (r == 0) {
        r = guest_status(h, vmid, qm_run.verbose != 0, &status, err);
    }
    if (r < 0) {
        return r;
    }
    if (json) {
        g_autofree char *text = jsontree_pretty(status);
        printf("%s", text);
    } else if (qm_run.verbose) {
        print_all(status);
    } else {
        printf("status: %s\n", jsontree_get_text(status, "qmpstatus"));
    }
    return 0;
}
