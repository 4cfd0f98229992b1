/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of running guests share. */
#include "cli/qm_run.h"

#include "cli/qm_verbs.h"
#include "guest/core/volid.h"
#include "guest/io/guest_recover.h"
#include "lib/cfs/cfsfile.h"
#include "lib/conf/sectionlines.h"
#include "lib/port/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HA_ENV        "QUORATE_HA_AGENT"
#define HA_RESOURCES  "ha/resources.cfg"
#define HA_FILE_MAX   (1024 * 1024)
#define TIMEOUT_MAX_S (24 * 3600)

QmRunOptions qm_run = {.synchronous = 1};

static void say(void *ctx, GuestSayKind kind, const char *line)
{
    (void)ctx;
    if (kind == GUEST_SAY_WARNING) {
        fprintf(stderr, "warning: %s\n", line);
    } else {
        printf("%s\n", line);
        (void)fflush(stdout); /* a pipe's reader follows the progress */
    }
}

int qm_run_open(GuestHost **ret, Err *err)
{
    int r = guest_host_open(qm_options.root, qm_options.run_dir, ret, err);

    if (r == 0) {
        (*ret)->say = say;
    }
    return r;
}

int qm_run_begin(char **operands, GuestHost **ret, uint32_t *ret_vmid, Err *err)
{
    int r = vmid_parse(operands[0], ret_vmid, err);

    return r < 0 ? r : qm_run_open(ret, err);
}

int qm_run_change(char **operands, GuestHost **ret, uint32_t *ret_vmid, Err *err)
{
    int r = qm_run_begin(operands, ret, ret_vmid, err);

    if (r == 0) {
        guest_recover(*ret, *ret_vmid);
    }
    return r;
}

int qm_run_check_here(const GuestHost *h, uint32_t vmid, Err *err)
{
    return guest_tree_check_here(h->tree, vmid, err);
}

int qm_run_timeout(unsigned *ret_ms, Err *err)
{
    if (qm_run.timeout < 0 || qm_run.timeout > TIMEOUT_MAX_S) {
        return err_setf(err, -EINVAL, "--timeout %d: expected 0..%d seconds", qm_run.timeout,
                        TIMEOUT_MAX_S);
    }
    *ret_ms = (unsigned)qm_run.timeout * 1000;
    return 0;
}

static const SectionLinesEntry *find_vm(const SectionLines *file, const char *id)
{
    for (guint i = 0; i < file->sections->len; i++) {
        const SectionLinesEntry *entry = file->sections->pdata[i];
        if (strcmp(entry->type, "vm") == 0 && strcmp(entry->id, id) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* 1 when resources.cfg has the guest, with a state other than `ignored`. */
int qm_run_is_managed(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_autofree char *path = g_build_filename(h->tree->root, HA_RESOURCES, NULL);
    g_autofree char *id = g_strdup_printf("%u", vmid);
    g_autofree char *text = NULL;
    g_autoptr(SectionLines) file = NULL;
    const SectionLinesEntry *entry;
    const char *state;
    gsize size;
    int r = cfsfile_read(path, HA_FILE_MAX, &text, &size, err);

    if (r == -ENOENT || r == -ENOTDIR) {
        err_clear(err);
        return 0;
    }
    if (r == 0) {
        r = sectionlines_parse(text, size, &file, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, HA_RESOURCES);
    }
    entry = find_vm(file, id);
    state = entry != NULL ? sectionlines_get(entry, "state") : NULL;
    return entry != NULL && g_strcmp0(state, "ignored") != 0;
}

int qm_run_ask_ha(
    const GuestHost *h, uint32_t vmid, const char *what, const char *const *words, Err *err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    int r;

    if (g_strcmp0(g_getenv(HA_ENV), "1") == 0) {
        return 0;
    }
    r = qm_run_is_managed(h, vmid, err);
    if (r <= 0) {
        return r;
    }
    g_ptr_array_add(argv, (void *)(uintptr_t) "ha-manager");
    for (; *words != NULL; words++) {
        g_ptr_array_add(argv, (void *)(uintptr_t)*words);
    }
    g_ptr_array_add(argv, NULL);
    r = process_check((const char *const *)argv->pdata, NULL, NULL, err);
    if (r < 0) {
        return err_wrapf(err, r, "VM %u is managed by HA", vmid);
    }
    printf("Requesting HA %s for VM %u\n", what, vmid);
    return 1;
}
