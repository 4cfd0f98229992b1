/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_hook.h"

#include "guest/core/storage_path.h"
#include "lib/port/process.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HOOK_TIMEOUT_MS (10u * 60 * 1000) /* a script that hangs must not hold a guest for ever */

static void relay(void *ctx, const char *line)
{
    guest_say(ctx, GUEST_SAY_PROGRESS, "hookscript: %s", line);
}

static int find_script(const HostFacts *facts, const char *volid, VolumeSource **ret, Err *err)
{
    g_autoptr(VolumeSource) source = NULL;
    int r = volume_locate(facts, volid, &source, err);

    if (r == 0 && g_strcmp0(source->content, "snippets") != 0) {
        r = err_setf(err, -EINVAL, "'%s' is no snippet", volid);
    }
    if (r == 0 && access(source->path, X_OK) < 0) {
        r = err_setf(err, -errno, "%s: %s", source->path,
                     errno == EACCES ? "is not executable" : g_strerror(errno));
    }
    if (r == 0) {
        *ret = g_steal_pointer(&source);
    }
    return r;
}

int guest_hook_run(
    const GuestHost *h, const HostFacts *facts, const GuestConf *conf, const char *phase, Err *err)
{
    const char *volid = guestconf_text(conf, "hookscript");
    g_autofree char *vmid = g_strdup_printf("%u", guestconf_vmid(conf));
    g_autoptr(VolumeSource) source = NULL;
    int r;

    if (volid == NULL) {
        return 0;
    }
    r = find_script(facts, volid, &source, err);
    if (r == 0) {
        const char *argv[] = {source->path, vmid, phase, NULL};
        ProcessOptions options = {
            .timeout_ms = HOOK_TIMEOUT_MS, .line = relay, .ctx = (void *)(uintptr_t)h};
        r = process_check(argv, &options, NULL, err);
    }
    return r < 0 ? err_wrapf(err, r, "hookscript, %s", phase) : 0;
}
